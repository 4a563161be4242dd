"""Bring the published files of a data set into its ``raw`` folder, checksum verified."""

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

from ddcnn.errors import InputError
from ddcnn.files import copy_file

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SourceFile:
    """One published file.

    Attributes:
        name: its name in the ``raw`` folder.
        path: where it lies on this machine.
        sha256: hexadecimal digest, or None where nothing is published.
        in_place: True for people's own data, which are read where they lie, not copied.
    """

    name: str
    path: Path
    sha256: str | None = None
    in_place: bool = False


def file_sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(source: SourceFile, folder: Path) -> dict[str, str | int]:
    """Put ``source`` into ``folder`` unless it is there, and verify it.

    Returns:
        Path, size in bytes and checksum, as ``raw/manifest.json`` records them; the path is
        relative to ``folder``.

    Raises:
        InputError: the file is missing or its checksum is wrong.
    """
    target = source.path.absolute() if source.in_place else folder / source.name
    if not source.in_place and not _verified(target, source.sha256):
        _copy(source, target)
    digest = file_sha256(target)
    path = str(target) if source.in_place else source.name
    return {"path": path, "bytes": target.stat().st_size, "sha256": digest}


def _copy(source: SourceFile, target: Path) -> None:
    if not source.path.is_file():
        raise InputError(f"{source.path} does not exist; check the path of the data set")
    digest = file_sha256(source.path)
    if source.sha256 not in (None, digest):
        raise InputError(
            f"{source.path} has the SHA-256 checksum {digest}, expected {source.sha256}; "
            "the file is damaged or another version"
        )
    copy_file(source.path, target)
    log.info("copied %s", source.name)


def _verified(path: Path, sha256: str | None) -> bool:
    return sha256 is not None and path.is_file() and file_sha256(path) == sha256
