"""What a job knows of its process without torch: where it runs, its clocks and its memory."""

import ctypes
import os
import resource
import socket
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def found_place() -> dict[str, str | None]:
    """Node, SLURM job and ``CUDA_VISIBLE_DEVICES`` of this process; None for what is not set."""
    return {
        "node": os.environ.get("SLURMD_NODENAME", socket.gethostname()),
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
        "devices": os.environ.get("CUDA_VISIBLE_DEVICES"),
    }


def peak_memory_bytes() -> int:
    """Largest memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def count_gpus() -> int:
    """GPUs that NVIDIA's driver shows this process; 0 without a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    number = ctypes.c_int()
    done = driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(number)) == 0
    return number.value if done else 0


class JobClock:
    """What a training costs beside the training itself; made when its work begins.

    Args:
        first: the first training of its process also pays the process's start.
        waited: seconds of that start in which it could do nothing but wait for a device.
    """

    def __init__(self, first: bool = True, waited: float = 0.0) -> None:
        self._started = datetime.now(UTC)
        self._begin = time.perf_counter()
        self._waited = waited
        self._before = _process_seconds() - waited if first else 0.0
        self._load_seconds = self._start_seconds = 0.0

    def loaded(self) -> None:
        """The data are on the device."""
        self._load_seconds = time.perf_counter() - self._begin

    def ready(self) -> None:
        """The next thing is the first training step."""
        self._start_seconds = self._before + time.perf_counter() - self._begin

    def metrics(self) -> dict[str, float | str]:
        """For ``metrics.json``: seconds of loading, from process start to the first step, and of
        waiting, which are in neither.
        """
        return {
            "load_seconds": round(self._load_seconds, 4),
            "start_seconds": round(self._start_seconds, 4),
            "wait_seconds": round(self._waited, 4),
            "started": self._started.isoformat(timespec="milliseconds"),
            "finished": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }


def own_seconds(metrics: Mapping[str, Any]) -> float:
    """Training seconds of a ``metrics.json``, its share where several trainings took them at once,
    and those of every worker where several trained one net.

    What a refit took is part of ``train_seconds``; how many took it at once, it says itself.
    """
    refit = metrics.get("refit", {"train_seconds": 0.0})
    workers = metrics.get("parallel", {}).get("workers", 1)
    first = metrics["train_seconds"] - refit["train_seconds"]
    share = workers * first / metrics.get("at_once", 1)
    return share + refit["train_seconds"] / refit.get("at_once", 1)


def _process_seconds() -> float:
    """Since the start of this process, to a hundredth.

    Both clocks count from the start of the machine; the time of day of that start, which other
    ways go through, is known to a second only.
    """
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start = int(fields[19]) / os.sysconf("SC_CLK_TCK")  # starttime of proc_pid_stat(5)
    return time.clock_gettime(time.CLOCK_BOOTTIME) - start
