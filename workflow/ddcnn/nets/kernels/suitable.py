"""When torch's functions are computed with kernels of ours at all."""

import torch

from ddcnn.nets.kernels.hooks import nobody_watches
from ddcnn.nets.kernels.library import kernels

CHANNELS_LAST = {2: torch.contiguous_format, 4: torch.channels_last, 5: torch.channels_last_3d}


def suit_here() -> bool:
    """Whether there are kernels, and nobody counts, records or transforms what torch is asked."""
    return (
        torch.get_num_threads() == 1
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
        and not torch.is_autocast_enabled("cpu")
        and kernels() is not None  # so torch has what the next line asks for
        and nobody_watches()
    )


def suits(x: torch.Tensor) -> bool:
    """Whether ``x`` may be the input of a kernel: ``N, F``, or channels last in memory."""
    return (
        type(x) is torch.Tensor  # neither traced nor of another kind
        and x.ndim in CHANNELS_LAST
        and x.dtype == torch.float32
        and x.is_cpu  # a GPU's training compiles no kernels
        and suit_here()
        and x.is_contiguous(memory_format=CHANNELS_LAST[x.ndim])
        and not x.is_neg()
        and x.numel() > 0
    )
