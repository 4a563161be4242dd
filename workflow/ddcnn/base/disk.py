"""Disks that are full or closed: one clear error instead of a traceback."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ddcnn.base.errors import InputError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR}
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
        if error.errno in FORBIDDEN:
            raise InputError(
                f"{path} cannot be written ({error.strerror}); check the folder and its rights"
            ) from error
        raise


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
