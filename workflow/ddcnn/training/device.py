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

    def forget_peak_memory(self) -> None:
        """A GPU's :meth:`peak_memory_bytes` counts from here: another training begins."""
        if self.torch.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.torch)

    def peak_memory_bytes(self) -> int:
        """Largest memory of the GPU's tensors in this training, on a CPU of the process so far."""
        if self.torch.type == "cuda":
            return torch.cuda.max_memory_allocated(self.torch)
        return peak_memory_bytes()


def choose_device(gpus: int, threads: int) -> Device:
    """The device for this job: a GPU if it asks for one and there is one, else the CPU.

    A GPU is claimed for this process alone (see :mod:`ddcnn.training.slots`), out of those that
    torch sees.

    Args:
        gpus: what the job was granted; ``--resources gpu=0`` makes it 0 and forces the CPU.
        threads: CPU threads.
    """
    torch.set_num_threads(threads)
    keep_memory()
    given, devices = found_place(), visible_devices() if gpus > 0 else []
    if not devices:
        return _processor(gpus, threads, given)
    begin = time.perf_counter()
    slot = claim_slot(devices)
    waited = time.perf_counter() - begin
    log.info("device %s, place %d", slot.device, slot.number)
    # By its number: CUDA_VISIBLE_DEVICES means nothing any more to a driver that has started, and
    # counting the devices may have started it.
    device = torch.device("cuda", devices.index(slot.device))
    torch.cuda.set_device(device)
    compute_repeatably()
    name = torch.cuda.get_device_name(device)
    return Device(device, name, threads, slot, given, waited)


def _processor(gpus: int, threads: int, given: dict[str, str | None]) -> Device:
    """The CPU, and in the log why."""
    if gpus > 0 and _names(given["devices"]):
        # Hours on a processor are not what somebody wants who asked for a GPU.
        log.warning(
            "warning: computing on the CPU: the job was given device %s, but torch %s finds no GPU",
            given["devices"],
            torch.__version__,
        )
    else:
        why = "no GPU is granted" if gpus == 0 else "there is no GPU"
        log.info("computing on the CPU: %s", why)
    begin = time.perf_counter()
    if threads == 1:
        kernels()  # compiled here, if need be: no clock of a training runs yet
    waited = time.perf_counter() - begin
    name = str(hardware()["processor"])
    return Device(torch.device("cpu"), name, threads, None, given, waited)


def compute_repeatably() -> None:
    """On a GPU, the same numbers from the same seed, software and kind of GPU, and float32 in full.

    TF32, which convolutions take otherwise, keeps 10 of float32's 23 binary digits. Kernels that
    torch knows to add in an order of chance are replaced where it has others, or warned of.
    """
    for part in (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn):
        part.fp32_precision = "ieee"
    torch.backends.cudnn.benchmark = False  # which kernel is fastest depends on the moment
    torch.backends.cudnn.deterministic = True
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # as torch asks for
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # we read none


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
    """Names of the GPUs that torch sees, in its order: as CUDA_VISIBLE_DEVICES calls them."""
    # Asks the driver itself: what was given to a job need not be there.
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    given = _names(os.environ.get("CUDA_VISIBLE_DEVICES"))
    return (given or [str(index) for index in range(count)])[:count]


def _names(given: str | None) -> list[str]:
    names = [name.strip() for name in (given or "").split(",")]
    return [name for name in names if name not in ("", "-1")]
