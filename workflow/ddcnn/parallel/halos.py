"""Halos: the pixels beside a worker's own tile that a layer looks at, and how they get there."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch.autograd.function import FunctionCtx, once_differentiable

from ddcnn.nets.kernels.door import CHANNELS_LAST
from ddcnn.parallel.door import Door
from ddcnn.tiles.geometry import tile_start


class Window(NamedTuple):
    """What one output pixel of a layer looks at along an axis."""

    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1

    def num_outputs(self, num_pixels: int) -> int:
        """Output pixels of a map."""
        reach = self.dilation * (self.kernel - 1) + 1
        return (num_pixels + 2 * self.padding - reach) // self.stride + 1

    def inputs(self, first: int, end: int) -> tuple[int, int]:
        """First input pixel, and the one behind the last, of the outputs ``first`` to ``end``.

        The padding counts: these pixels lie below 0 and above the map.
        """
        reach = self.dilation * (self.kernel - 1) + 1
        return first * self.stride - self.padding, (end - 1) * self.stride - self.padding + reach


def bounds(num_pixels: int, num_tiles: int) -> list[int]:
    """First pixel of every worker along an axis, and the end of the map.

    Tiles of :mod:`ddcnn.tiles.geometry` without overlap; the pixels that two of them share where
    the sizes do not divide belong to the second, so tiles are unequal then.
    """
    return [*(tile_start(i, num_pixels, num_tiles, 0) for i in range(num_tiles)), num_pixels]


class Strip(NamedTuple):
    """Pixels that go from one worker to another, or stay: where they lie at either end."""

    worker: int
    start: int  # in the own tile where they are sent, in the result where they arrive
    length: int


@dataclass(frozen=True)
class Halo:
    """What one worker sends and gets along one axis before a layer.

    Attributes:
        axis: of tensors ``N, C, *spatial``.
        own: pixels of this worker's tile.
        size: pixels of the map that the layer looks at.
        padding: pixels of padding before and after them, at the edges of the map.
        kept: own pixels that the layer looks at; ``start`` is that in the result.
        skipped: own pixels before them that nobody here looks at.
        sends, receives: pieces for and from other workers.
    """

    axis: int
    own: int
    size: int
    padding: tuple[int, int]
    kept: Strip
    skipped: int
    sends: tuple[Strip, ...]
    receives: tuple[Strip, ...]

    @classmethod
    def of(
        cls, axis: int, num_pixels: int, window: Window, workers: Sequence[int], place: int
    ) -> "Halo":
        """The halo of worker ``workers[place]``.

        Args:
            axis: of tensors ``N, C, *spatial``.
            num_pixels: of the whole map along the axis.
            window: of the layer; where there is none before the next, the identity is one.
            workers: those along the axis.
            place: which of them this is.
        """
        here = bounds(num_pixels, len(workers))
        there = bounds(window.num_outputs(num_pixels), len(workers))
        owned = list(pairwise(here))
        wanted = [window.inputs(*each) for each in pairwise(there)]
        padding = max(0, -wanted[place][0]), max(0, wanted[place][1] - num_pixels)
        wanted = [_common(each, (0, num_pixels)) for each in wanted]
        (first, end), (low, high) = owned[place], wanted[place]
        start, stop = _common(owned[place], wanted[place])
        sends, receives = [], []
        for number, worker in enumerate(workers):
            if number == place:
                continue
            begin, last = _common(owned[place], wanted[number])
            if last > begin:
                sends.append(Strip(worker, begin - first, last - begin))
            begin, last = _common(owned[number], wanted[place])
            if last > begin:
                receives.append(Strip(worker, begin - low, last - begin))
        kept = Strip(workers[place], start - low, max(0, stop - start))
        return cls(
            axis,
            end - first,
            high - low,
            padding,
            kept,
            start - first,
            tuple(sends),
            tuple(receives),
        )

    @property
    def does_nothing(self) -> bool:
        """The layer gets the own tile as it is, and nobody else gets any of it."""
        return self.own == self.size == self.kept.length and not self.sends


def _common(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return max(one[0], other[0]), min(one[1], other[1])


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
