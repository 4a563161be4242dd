"""The device a job computes on, and its memory."""

import ctypes
import logging
import os
import time
from dataclasses import dataclass, field

import torch

from ddcnn.base.process import found_place, peak_memory_bytes
from ddcnn.base.provenance import hardware
from ddcnn.nets.kernels.door import kernels
from ddcnn.training.slots import Slot, claim_slot

log = logging.getLogger(__name__)

# Numbers from glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


@dataclass(frozen=True)
class Device:
    """Where a job computes.

    Attributes:
        torch: the torch device.
        name: name of the GPU, or of the processor.
        threads: CPU threads the job uses.
        slot: the place on a GPU, held as long as this object lives; None without a GPU.
        given: what the job found when it started, see :func:`ddcnn.base.process.found_place`.
        waited: seconds for a free place on a GPU, or until the kernels for the CPU were compiled.
    """

    torch: torch.device
    name: str
    threads: int
    slot: Slot | None = None
    given: dict[str, str | None] = field(default_factory=dict)
    waited: float = 0.0

    def synchronize(self) -> None:
        """Wait until all work given to the device is done, so that a clock means something."""
        if self.torch.type == "cuda":
            torch.cuda.synchronize(self.torch)

    def peak_memory_bytes(self) -> int:
        """Largest memory so far: of the GPU's tensors, or of the whole process on a CPU."""
        if self.torch.type == "cuda":
            return torch.cuda.max_memory_allocated(self.torch)
        return peak_memory_bytes()


def choose_device(gpus: int, threads: int) -> Device:
    """The device for this job: a GPU if it asks for one and there is one, else the CPU.

    A GPU is claimed for this process alone (see :mod:`ddcnn.training.slots`), out of those that
    ``CUDA_VISIBLE_DEVICES`` names, or of all. The same seed gives the same numbers on the same
    device, so algorithms are deterministic.

    Args:
        gpus: what the job was granted; ``--resources gpu=0`` makes it 0 and forces the CPU.
        threads: CPU threads.
    """
    torch.set_num_threads(threads)
    keep_memory()
    given, devices = found_place(), visible_devices() if gpus > 0 else []
    begin = time.perf_counter()
    slot = claim_slot(devices) if devices else None
    waited = time.perf_counter() - begin
    if slot is not None:
        # Before CUDA starts, which reads it once: the job sees no device but its own.
        os.environ["CUDA_VISIBLE_DEVICES"] = slot.device
        log.info("device %s, place %d", slot.device, slot.number)
    if slot is not None and torch.cuda.is_available():
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False
        name = torch.cuda.get_device_name(0)
        return Device(torch.device("cuda", 0), name, threads, slot, given, waited)
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
    begin = time.perf_counter()
    if threads == 1:
        kernels()  # compiled here, if need be: no clock of a training runs yet
    waited += time.perf_counter() - begin
    name = str(hardware()["processor"])
    return Device(torch.device("cpu"), name, threads, slot, given, waited)


def keep_memory() -> None:
    """Let the process keep memory that it frees, where the C library is glibc.

    Otherwise every large tensor is mapped anew, and the kernel fills it with zeros page by page:
    half of the time of a step on volumes (docs/performance.md).
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def visible_devices() -> list[str]:
    """Names of the GPUs that this process may use."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip()]
    # Counts without starting CUDA, which would fix the devices for the life of the process.
    return [str(index) for index in range(torch.cuda.device_count())]
