"""The device a job computes on, its clocks and its memory."""

import ctypes
import logging
import os
import resource
import socket
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import torch

from ddcnn.provenance import hardware
from ddcnn.slots import Slot, claim_slot

log = logging.getLogger(__name__)

# Of glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


@dataclass(frozen=True)
class Device:
    """Where a job computes.

    Attributes:
        torch: the torch device.
        name: name of the GPU, or of the processor.
        threads: CPU threads the job uses.
        slot: the place on a GPU, held as long as this object lives; None without a GPU.
        given: what the job found when it started, see :func:`found_place`.
    """

    torch: torch.device
    name: str
    threads: int
    slot: Slot | None = None
    given: dict[str, str | None] = field(default_factory=dict)

    def synchronize(self) -> None:
        """Wait until all work given to the device is done, so that a clock means something."""
        if self.torch.type == "cuda":
            torch.cuda.synchronize(self.torch)

    def peak_memory_bytes(self) -> int:
        """Largest memory so far: of the GPU's tensors, or of the whole process on a CPU."""
        if self.torch.type == "cuda":
            return torch.cuda.max_memory_allocated(self.torch)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def choose_device(gpus: int, threads: int) -> Device:
    """The device for this job: a GPU if it asks for one and there is one, else the CPU.

    A GPU is claimed for this process alone (see :mod:`ddcnn.slots`), out of those that
    ``CUDA_VISIBLE_DEVICES`` names, or of all. The same seed gives the same numbers on the same
    device, so algorithms are deterministic.

    Args:
        gpus: what the job was granted; ``--resources gpu=0`` makes it 0 and forces the CPU.
        threads: CPU threads.
    """
    torch.set_num_threads(threads)
    keep_memory()
    given = found_place()
    slot = claim_slot(devices) if gpus > 0 and (devices := visible_devices()) else None
    if slot is not None:
        # Before CUDA starts, which reads it once: the job sees no device but its own.
        os.environ["CUDA_VISIBLE_DEVICES"] = slot.device
        log.info("device %s, place %d", slot.device, slot.number)
    if slot is not None and torch.cuda.is_available():
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False
        name = torch.cuda.get_device_name(0)
        return Device(torch.device("cuda", 0), name, threads, slot, given)
    if slot is None:
        why = "no GPU is granted" if gpus == 0 else "there is no GPU"
        log.info("computing on the CPU: %s", why)
    else:
        # Hours on a processor are not what somebody wants who has waited for a GPU.
        log.warning(
            "warning: computing on the CPU: the job was given device %s, but torch %s finds no GPU",
            slot.device,
            torch.__version__,
        )
    return Device(torch.device("cpu"), str(hardware()["processor"]), threads, slot, given)


def keep_memory() -> None:
    """Let the process keep memory that it frees, where the C library is glibc.

    Otherwise every large tensor is mapped anew, and the kernel fills it with zeros page by page:
    half of the time of a step on volumes (docs/performance.md).
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def found_place() -> dict[str, str | None]:
    """Node, SLURM job and ``CUDA_VISIBLE_DEVICES`` of this process; None for what is not set."""
    return {
        "node": os.environ.get("SLURMD_NODENAME", socket.gethostname()),
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
        "devices": os.environ.get("CUDA_VISIBLE_DEVICES"),
    }


def visible_devices() -> list[str]:
    """Names of the GPUs that this process may use."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip()]
    # Counts without starting CUDA, which would fix the devices for the life of the process.
    return [str(index) for index in range(torch.cuda.device_count())]


class JobClock:
    """What a training costs beside the training itself; made when its work begins.

    Args:
        first: the first training of its process also pays the process's start.
    """

    def __init__(self, first: bool = True) -> None:
        self._started = datetime.now(UTC)
        self._begin = time.perf_counter()
        self._before = _process_seconds() if first else 0.0
        self._load_seconds = self._start_seconds = 0.0

    def loaded(self) -> None:
        """The data are on the device."""
        self._load_seconds = time.perf_counter() - self._begin

    def ready(self) -> None:
        """The next thing is the first training step."""
        self._start_seconds = self._before + time.perf_counter() - self._begin

    def metrics(self) -> dict[str, float | str]:
        """For ``metrics.json``: seconds of loading, and from process start to the first step."""
        return {
            "load_seconds": round(self._load_seconds, 4),
            "start_seconds": round(self._start_seconds, 4),
            "started": self._started.isoformat(timespec="milliseconds"),
            "finished": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }


def _process_seconds() -> float:
    """Since the start of this process, to a hundredth.

    Both clocks count from the start of the machine; the time of day of that start, which other
    ways go through, is known to a second only.
    """
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start = int(fields[19]) / os.sysconf("SC_CLK_TCK")  # starttime of proc_pid_stat(5)
    return time.clock_gettime(time.CLOCK_BOOTTIME) - start
