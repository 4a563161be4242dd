"""The data sets that are known by name, and the description of people's own."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ddcnn.data import arrays
from ddcnn.errors import InputError
from ddcnn.sources import SourceFile

EMBEDDED = Path(__file__).parent / "embedded"
AXES = {2: ("row", "column"), 3: ("row", "column", "slice")}


@dataclass(frozen=True)
class Dataset:
    """What is known of a data set before it is read.

    Attributes:
        name: its folder under ``results/data``.
        title, source, licence, citation: for the card and the report.
        file: the archive of arrays it is read from, see :mod:`ddcnn.data.arrays`.
        classes: names of the classes; empty: taken from the file, or the labels themselves.
        flip: axes along which an image may be mirrored without changing its class.
        shift: pixels by which an image may be moved without changing its class.
        synthetic: True if the images were computed, not recorded.
    """

    name: str
    title: str
    source: str
    file: SourceFile
    licence: str = "not stated"
    citation: str = ""
    classes: tuple[str, ...] = ()
    flip: tuple[str, ...] = ()
    shift: int = 0
    synthetic: bool = False

    @property
    def own(self) -> bool:
        """Whether these are a user's own data, read where they lie."""
        return self.file.in_place

    @cached_property
    def image_shape(self) -> tuple[int, ...]:
        """Spatial axes and channels of one image, read from the file's header."""
        return arrays.image_shape(self.file.path)

    @property
    def shape(self) -> tuple[int, ...]:
        """Spatial axes of one image."""
        return self.image_shape[:-1]


def _embedded(name: str, sha256: str) -> SourceFile:
    return SourceFile(f"{name}.npz", EMBEDDED / f"{name}.npz", sha256)


REGISTRY = {
    dataset.name: dataset
    for dataset in [
        Dataset(
            name="fashion-mnist-10k",
            title="Fashion-MNIST, 7,000 + 1,000 + 2,000 images",
            source="the first 8,000 training and the first 2,000 test images of Fashion-MNIST",
            licence="MIT, Zalando SE",
            citation=(
                "Han Xiao, Kashif Rasul, Roland Vollgraf: Fashion-MNIST: a Novel Image Dataset "
                "for Benchmarking Machine Learning Algorithms. arXiv 1708.07747, 2017"
            ),
            file=_embedded("fashion-mnist-10k",
                "f60d256fbdac5140ed32a130eda51039e9a0f51069b88ee7de371ceeb81f1b19",
            ),
            classes=(
                "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
            ),
            flip=("column",),
            shift=2,
        ),
    ]
}  # fmt: skip


def _own_path(text: str) -> Path:
    try:
        path = Path(text).expanduser()
        if path.is_file() and path.suffix == ".npz":
            return path
    except (OSError, RuntimeError):  # too long, not allowed, or the home folder of nobody
        pass
    raise InputError(f"dataset: path {text!r} is not an .npz file")


def dataset_of(entry: str | dict[str, Any]) -> Dataset:
    """The data set that a configuration's ``dataset`` asks for.

    Args:
        entry: the name of a registered data set, or a mapping with ``name`` and ``path``.

    Raises:
        InputError: an unknown name, or a path that is not there or of no known kind.
    """
    if isinstance(entry, str):
        if entry not in REGISTRY:
            raise InputError(
                f"dataset: {entry!r} is not one of {', '.join(REGISTRY)}; "
                "for your own data write a mapping with name and path"
            )
        return REGISTRY[entry]
    if entry["name"] in REGISTRY:
        raise InputError(
            f"dataset: the name {entry['name']!r} is taken; give your data another one"
        )
    path = _own_path(entry["path"])
    return Dataset(
        name=entry["name"],
        title=entry.get("title", entry["name"]),
        source=str(path),
        licence=entry.get("licence", "not stated"),
        file=SourceFile(path.name, path, in_place=True),
        flip=tuple(entry.get("flip", ())),
        shift=entry.get("shift", 0),
        synthetic=entry.get("synthetic", False),
    )
