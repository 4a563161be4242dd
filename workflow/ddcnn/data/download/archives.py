"""Unpack archives that may be damaged or hostile: complete and in their folder, or not at all."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from ddcnn.base.disk import disk_errors, require_space
from ddcnn.base.errors import InputError
from ddcnn.data.download.disk import locked
from ddcnn.data.download.members import Limits, Member, reader_of
from ddcnn.data.download.streams import BLOCK_BYTES, damage_errors, open_gzip

__all__ = ["open_gzip", "unpack"]

MOST_BYTES = 32 * 2**30
MOST_FILES = 1_000_000
MOST_STEPS = 64  # folders inside each other
MOST_STEP_BYTES, MOST_NAME_BYTES = 255, 2000  # what disks accept


def unpack(
    archive: Path, folder: Path, most_bytes: int = MOST_BYTES, most_files: int = MOST_FILES
) -> Path:
    """Unpack a zip or tar archive (plain, .gz, .xz, .bz2).

    Its kind is told by its content. Files get the rights 644, folders 755; dates and owners are
    not kept.

    Args:
        archive: the file; not inside ``folder``.
        folder: has the content when it is complete; an earlier one is replaced.
        most_bytes: of the unpacked files together.
        most_files: files and folders in the archive.

    Returns:
        ``folder``.

    Raises:
        InputError: no archive, a damaged or encrypted one, one with links, devices or members
            that leave the folder, or above a limit; the disk is full. An earlier ``folder`` is
            then as it was.
    """
    archive, folder = Path(archive), Path(folder)
    assert folder.absolute() not in archive.absolute().parents, folder
    read_members = reader_of(archive)
    with locked(folder, Event()) as exclusive, _made_aside(folder, exclusive) as aside:
        require_space(aside, archive.stat().st_size)
        with damage_errors(archive):
            _write_all(archive, read_members(archive, Limits(most_bytes, most_files)), aside)
        _set_rights(aside)
    return folder


@contextmanager
def _made_aside(folder: Path, exclusive: bool) -> Iterator[Path]:
    """Yield a new folder beside ``folder``; if all goes well it takes its place."""
    owner = "" if exclusive else f".{os.getpid()}"
    aside = folder.with_name(f".{folder.name}{owner}.partial")
    earlier = folder.with_name(f".{folder.name}{owner}.partial-earlier")
    try:
        for path in (aside, earlier):  # left by a killed process
            shutil.rmtree(path, ignore_errors=True)
        with disk_errors(folder):
            aside.mkdir(parents=True)
            yield aside
            if folder.exists():
                os.replace(folder, earlier)
            os.replace(aside, folder)
    finally:
        for path in (aside, earlier):
            shutil.rmtree(path, ignore_errors=True)


def _write_all(archive: Path, members: Iterator[Member], folder: Path) -> None:
    files = 0
    for member in members:
        path = folder.joinpath(*_safe_parts(archive, member.name))
        try:
            if member.content is None:
                path.mkdir(parents=True, exist_ok=True)
            else:
                _write(member, path)
                files += 1
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise InputError(f"{archive}: {member.name!r} is both a file and a folder") from error
    if not files:
        raise InputError(f"{archive} holds no files")


def _write(member: Member, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Members are read no further than the size that the limits have counted.
    with path.open("wb") as target, disk_errors(path, member.size), member.content as content:
        shutil.copyfileobj(content, target, BLOCK_BYTES)


def _safe_parts(archive: Path, name: str) -> list[str]:
    """The steps of a member's path, made sure to stay inside the folder.

    Raises:
        InputError: an absolute path, one with ``..``, a name that is no text or too long.
    """
    steps = re.split(r"[/\\]", name)
    if steps[0] == "" or re.fullmatch("[A-Za-z]:", steps[0]) or ".." in steps:
        raise InputError(f"{archive}: {name!r} would be written outside the folder; refused")
    if "\0" in name or re.search("[\ud800-\udfff]", name):
        raise InputError(f"{archive}: the name {name!r} is not UTF-8; refused")
    lengths = [len(step.encode()) for step in steps]
    if len(steps) > MOST_STEPS or max(lengths) > MOST_STEP_BYTES or sum(lengths) > MOST_NAME_BYTES:
        raise InputError(f"{archive}: the name {name[:80]!r}... is too long or too deep; refused")
    return [step for step in name.split("/") if step not in ("", ".")]


def _set_rights(folder: Path) -> None:
    for path, _, files in os.walk(folder):
        Path(path).chmod(0o755)
        for name in files:
            Path(path, name).chmod(0o644)
