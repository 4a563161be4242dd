"""One GPU for every job: places on devices, held by locks for the life of a process.

``snakemake --resources gpu=4`` limits how many jobs run at a time, but tells none of them which
device is its own. Here a job takes the first free place by locking a file; the kernel gives the
lock back on whatever death of the process, so there is nothing to clean up after a crash.
"""

import fcntl
import logging
import os
import stat
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO
from urllib.parse import quote, unquote

from ddcnn.base.disk import disk_errors, only_ours, own_folder
from ddcnn.base.errors import InputError
from ddcnn.base.logs import WAITING

log = logging.getLogger(__name__)

JOBS_PER_GPU = "DDCNN_JOBS_PER_GPU"
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Slot:
    """A place on a device; it is held as long as ``lock`` is open.

    Attributes:
        device: what ``CUDA_VISIBLE_DEVICES`` calls it.
        number: of the place, from 0, where several jobs share a device.
    """

    device: str
    number: int
    lock: IO[str]


def jobs_per_gpu() -> int:
    """Jobs that may share a device, from the environment variable ``DDCNN_JOBS_PER_GPU``."""
    text = os.environ.get(JOBS_PER_GPU, "1")
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"{JOBS_PER_GPU}: {text!r} is not a whole number above 0")
    return int(text)


def claim_slot(devices: Sequence[str]) -> Slot:
    """Hold a free place on one of ``devices``, waiting for one where all are taken.

    Every device gets its first job before one gets its second. Under SLURM each job has devices
    of its own, so the places of different jobs are different.

    Raises:
        InputError: the temporary folder is on a file system without locks, or the folder in it is
            not this user's alone.
    """
    folder = own_folder(Path(tempfile.gettempdir()) / f"ddcnn-devices-{os.geteuid()}")
    places = [(device, number) for number in range(jobs_per_gpu()) for device in devices]
    waited = False
    while True:
        for device, number in places:
            lock = _try_lock(_lock_file(folder, device, number))
            if lock is not None:
                return Slot(device, number, lock)
        if not waited:
            files = [_lock_file(folder, *place) for place in places]
            log.info("%sall places are taken: %s", WAITING, "; ".join(map(_holder, files)))
            waited = True
        time.sleep(POLL_SECONDS)


def _lock_file(folder: Path, device: str, number: int) -> Path:
    """Of a place; whatever the environment says, it is in the folder."""
    name = f"{os.environ.get('SLURM_JOB_ID', 'machine')}-{device}-{number}.lock"
    return folder / quote(name, safe=" ")


def _try_lock(path: Path) -> IO[str] | None:
    """The open, locked file, which says who holds it; None if another process does.

    Raises:
        InputError: it is no file of this user alone, or on a file system without locks.
    """
    # A link would lead elsewhere, and to open a pipe would wait for somebody who writes.
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    with disk_errors(path):
        descriptor = os.open(path, flags, 0o600)
    found = os.fstat(descriptor)
    if not (stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and only_ours(found)):
        os.close(descriptor)
        raise InputError(f"{path} is no lock of this user; remove it, then run again")
    file = os.fdopen(descriptor, "r+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    except OSError as error:
        file.close()
        raise InputError(
            f"{path.parent} is on a file system without locks ({error.strerror}); set TMPDIR to a "
            "folder on a local disk"
        ) from error
    file.truncate()
    file.write(f"process {os.getpid()} since {datetime.now():%Y-%m-%d %H:%M:%S}")
    file.flush()
    return file


def _holder(path: Path) -> str:
    """Which place, and who holds it since when."""
    with suppress(OSError):
        return f"{unquote(path.stem)} by {path.read_text(errors='replace')[:100] or 'nobody yet'}"
    return unquote(path.stem)
