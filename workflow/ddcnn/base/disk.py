"""Disks that are full or closed: one clear error instead of a traceback."""

import errno
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ddcnn.base.errors import InputError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR}
FORBIDDEN |= {errno.ENAMETOOLONG, errno.ELOOP, errno.ENXIO, errno.ETXTBSY, errno.EINVAL}
FREE = "free some space, then run the same command again"


@contextmanager
def disk_errors(path: Path, needed: int | None = None, advice: str = FREE) -> Iterator[None]:
    """Turn a full or forbidden disk into one clear error.

    Args:
        path: what is being written.
        needed: bytes of it, if known.
        advice: what to do about a full disk.

    Raises:
        InputError: names ``path`` and the bytes it needs.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise InputError(_full(path, needed, error.strerror, advice)) from error
        # A folder that is none, as /proc; a missing file that is read in between is none of ours.
        no_place = error.errno == errno.ENOENT and Path(str(error.filename)).parent == path.parent
        if error.errno in FORBIDDEN or no_place:
            raise InputError(
                f"{path} cannot be written ({error.strerror}); check its name, the folder and its "
                "rights"
            ) from error
        raise


def output_place(path: Path) -> Path:
    """Where an output comes to lie: ``path``, or what the link of this name leads to.

    Raises:
        InputError: something lies there that no file may replace: a device, a pipe, a folder, or
            the file into which this process's own output goes.
    """
    with disk_errors(path):
        mode, what = _mode_of(path), ""
    if stat.S_ISDIR(mode):
        what = "a folder"
    elif mode and not stat.S_ISREG(mode):
        what = "a device or a pipe"
    elif mode and any(os.path.samestat(path.stat(), own) for own in _standard_files()):
        what = "the file that this command prints into"
    if what:
        raise InputError(f"{path} is {what}, which no output may replace; name another file")
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _mode_of(path: Path) -> int:
    """Kind and rights of what lies there; 0: nothing."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return 0


def _standard_files() -> Iterator[os.stat_result]:
    for descriptor in range(3):
        with suppress(OSError):  # closed
            yield os.fstat(descriptor)


def check_outputs(outputs: Iterable[Path | None], read: Iterable[Path] = ()) -> None:
    """Refuse outputs before any work is done for them.

    Args:
        outputs: files to write; None: this one is not asked for.
        read: files and folders that are read.

    Raises:
        InputError: an output would replace what is read, another output, or what is no file.
    """
    places = {}
    for path in filter(None, outputs):
        place = Path(os.path.realpath(output_place(path)))
        if place in places:
            raise InputError(f"{path} and {places[place]} are one file; give each its own")
        places[place] = path
    existing = [(place.stat(), path) for place, path in places.items() if place.exists()]
    for path in read if existing else ():
        with suppress(OSError):  # who reads it will say what is wrong
            found = path.stat()
            for known, output in existing:
                if os.path.samestat(found, known):
                    raise InputError(f"{output} is also read; name another file to write")


def own_folder(path: Path) -> Path:
    """A folder in which nobody else can put or change a file; made if there is none.

    Raises:
        InputError: what lies there is a link, somebody else's, or open to others.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
    if not (stat.S_ISDIR(found.st_mode) and only_ours(found)):
        raise InputError(
            f"{path} is a link, belongs to somebody else, or others may write in it, so that they "
            "could put files of theirs there; remove it, or choose another place for it"
        )
    return path


def only_ours(found: os.stat_result) -> bool:
    """Whether a file or folder is this user's, and nobody else may write to it."""
    return found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def require_writable(*folders: Path) -> None:
    """Raise an :class:`InputError` if files could not be made in (or below) a folder."""
    for folder in folders:
        nearest = next(f for f in (folder, *folder.absolute().parents) if f.exists())
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise InputError(
                f"{folder} cannot be written: {nearest.absolute()} is read-only or belongs to "
                "somebody else; make it writable, or work in a copy of the project"
            )


def require_space(path: Path, needed: int, advice: str = FREE) -> None:
    """Raise an :class:`InputError` if ``path`` cannot grow by ``needed`` bytes."""
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise InputError(_full(path, needed, f"{free:,} are free", advice))


def _full(path: Path, needed: int | None, reason: str | None, advice: str) -> str:
    more = "more bytes" if needed is None else f"{needed:,} bytes more"
    return f"the disk of {path} is full: it needs {more} ({reason}); {advice}"
