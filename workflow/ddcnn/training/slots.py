"""One GPU for every job: places on devices, held by locks for the life of a process.

``snakemake --resources gpu=4`` limits how many jobs run at a time, but tells none of them which
device is its own. Here a job takes the first free place by locking a file; the kernel gives the
lock back on whatever death of the process, so there is nothing to clean up after a crash.
"""

import fcntl
import logging
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ddcnn.base.errors import InputError

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
        InputError: the temporary folder is on a file system without locks.
    """
    folder = Path(tempfile.gettempdir()) / f"ddcnn-devices-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    places = [(device, number) for number in range(jobs_per_gpu()) for device in devices]
    prefix = os.environ.get("SLURM_JOB_ID", "machine")
    waited = False
    while True:
        for device, number in places:
            lock = _try_lock(folder / f"{prefix}-{device.replace('/', '_')}-{number}.lock")
            if lock is not None:
                return Slot(device, number, lock)
        if not waited:
            log.info("waiting: all %d places on the devices %s are taken", len(places), devices)
            waited = True
        time.sleep(POLL_SECONDS)


def _try_lock(path: Path) -> IO[str] | None:
    """The open, locked file; None if another process holds it."""
    file = path.open("w")
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
    return file
