"""The device a job computes on, its clocks and its memory."""

import resource
import sys
import time
from dataclasses import dataclass

import psutil
import torch

from ddcnn.provenance import hardware


@dataclass(frozen=True)
class Device:
    """Where a job computes.

    Attributes:
        torch: the torch device.
        name: name of the GPU, or of the processor.
        threads: CPU threads the job uses.
    """

    torch: torch.device
    name: str
    threads: int

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

    The same seed gives the same numbers on the same device, so algorithms are deterministic.
    """
    torch.set_num_threads(threads)
    if gpus > 0 and torch.cuda.is_available():
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False
        return Device(torch.device("cuda", 0), torch.cuda.get_device_name(0), threads)
    return Device(torch.device("cpu"), str(hardware()["processor"]), threads)


def process_seconds() -> float:
    """Seconds since this process started, imports included."""
    return time.time() - psutil.Process().create_time()
