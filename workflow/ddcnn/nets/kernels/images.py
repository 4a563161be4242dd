"""Batches of images, gathered and normalised in one pass."""

import math

import torch

from ddcnn.nets.kernels.library import DONE, kernels
from ddcnn.nets.kernels.suitable import suit_here


def gather_images(
    pixels: torch.Tensor, index: torch.Tensor, scale: torch.Tensor, offset: torch.Tensor
) -> torch.Tensor | None:
    """The images ``index`` times ``scale`` plus ``offset``, with the bits of torch's arithmetic.

    Args:
        pixels: uint8 ``N, *spatial, C``.
        index: int64 ``B``.
        scale, offset: float32 ``C``.

    Returns:
        float32 ``B, *spatial, C``; None where that is torch's business.

    Raises:
        IndexError: there is no such image.
    """
    if (
        pixels.dtype != torch.uint8
        or index.dtype != torch.int64
        or {scale.dtype, offset.dtype} != {torch.float32}
        or not all(each.is_cpu and each.is_contiguous() for each in (pixels, index))
        or not suit_here()
    ):
        return None
    images, *shape = pixels.shape
    x = torch.empty((len(index), *shape), dtype=torch.float32, device="cpu")
    status = kernels().gather_images(
        *(tensor.data_ptr() for tensor in (pixels, index, scale, offset, x)),
        images,
        len(index),
        math.prod(shape),
        shape[-1],
    )
    if status != DONE:
        raise IndexError(f"images {index.min()} to {index.max()} of {images}")
    return x
