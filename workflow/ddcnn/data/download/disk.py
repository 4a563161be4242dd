"""Folders that several processes share."""

import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import IO

from ddcnn.base.disk import disk_errors

log = logging.getLogger(__name__)

BUSY = {errno.EAGAIN, errno.EACCES}
LOOK_AGAIN_SECONDS = 0.1


class Stopped(Exception):
    """The work was given up from outside, for example by Ctrl-C."""


@contextmanager
def locked(path: Path, stop: Event) -> Iterator[bool]:
    """Let one thread of one process at a time work on ``path``.

    The lock ends with its process, however that ends.

    Yields:
        False on the rare network disk that knows no locks: others may be at work too.

    Raises:
        Stopped: ``stop`` was set while another process had the lock.
        InputError: the folder cannot be written.
    """
    lock = path.with_name(f".{path.name}.lock")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    file, exclusive = _acquire(lock, stop)
    with file:
        try:
            yield exclusive
        finally:
            lock.unlink(missing_ok=True)


def _acquire(lock: Path, stop: Event) -> tuple[IO[str], bool]:
    waited = False
    while True:
        with disk_errors(lock):
            file = lock.open("a")
        locked = _try_lock(file)
        # An earlier owner removes the file: a lock on a removed file keeps nobody out.
        if locked is None or (locked and _still_there(lock, file)):
            return file, bool(locked)
        file.close()
        if not waited:
            log.info("waiting for another process that has %s", lock)
            waited = True
        if stop.wait(LOOK_AGAIN_SECONDS):
            raise Stopped


def _try_lock(file: IO[str]) -> bool | None:
    """True: locked, False: another has it, None: the disk knows no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in BUSY else None
    return True


def _still_there(lock: Path, file: IO[str]) -> bool:
    try:
        return os.path.samestat(lock.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
