"""Halos: the pixels beside a worker's own tile that a layer looks at, and how they get there."""

from collections.abc import Sequence

import torch
from torch.autograd.function import FunctionCtx, once_differentiable

from ddcnn.nets.kernels.door import CHANNELS_LAST
from ddcnn.parallel.cuts import Halo, Strip
from ddcnn.parallel.door import Door


class WithHalo(torch.autograd.Function):
    """``apply(x, halo, door)``: the own tile with its halo.

    Backwards the gradients of pixels that went to others come back and are added.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, x: torch.Tensor, halo: Halo, door: Door) -> torch.Tensor:
        ctx.halo, ctx.door = halo, door
        axis, kept = halo.axis, halo.kept
        result = _empty(x, axis, halo.size)
        result.narrow(axis, kept.start, kept.length).copy_(
            x.narrow(axis, halo.skipped, kept.length)
        )
        for piece, pixels in _swap(x, axis, halo.sends, halo.receives, door):
            result.narrow(axis, piece.start, piece.length).copy_(pixels)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        halo = ctx.halo
        axis, kept = halo.axis, halo.kept
        result = _empty(grad, axis, halo.own).zero_()
        result.narrow(axis, halo.skipped, kept.length).copy_(
            grad.narrow(axis, kept.start, kept.length)
        )
        for piece, pixels in _swap(grad, axis, halo.receives, halo.sends, ctx.door):
            result.narrow(axis, piece.start, piece.length).add_(pixels)
        return result, None, None


def _empty(x: torch.Tensor, axis: int, size: int) -> torch.Tensor:
    """A tensor like ``x`` of another size along an axis, in the same order in memory."""
    shape = [*x.shape[:axis], size, *x.shape[axis + 1 :]]
    last = CHANNELS_LAST.get(x.ndim, torch.contiguous_format)
    order = last if x.is_contiguous(memory_format=last) else torch.contiguous_format
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=order)


def _swap(
    x: torch.Tensor, axis: int, sends: Sequence[Strip], receives: Sequence[Strip], door: Door
) -> list[tuple[Strip, torch.Tensor]]:
    """Send pieces of ``x``; the pieces that come, with their pixels."""
    shape = list(x.shape)
    got = {}
    for piece in receives:
        shape[axis] = piece.length
        got[piece.worker] = x.new_empty(shape)
    door.exchange({piece.worker: x.narrow(axis, piece.start, piece.length) for piece in sends}, got)
    return [(piece, got[piece.worker]) for piece in receives]


class Summed(torch.autograd.Function):
    """``apply(x, door)``: the sum over all workers, on all of them.

    What follows is computed by all workers alike, so the gradient of the one loss is that of each
    of them, and passes as it is.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, x: torch.Tensor, door: Door) -> torch.Tensor:
        return door.sum(x)

    @staticmethod
    def backward(ctx: FunctionCtx, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        return grad, None
