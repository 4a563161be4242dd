"""How maps are cut among workers: grids, tiles, halos, and sections of layers. No torch.

Every map, however small, is cut as the image is, by :mod:`ddcnn.tiles.geometry` without overlap.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ddcnn.base.errors import InputError
from ddcnn.tiles.geometry import tile_start


def grid_of(workers: int, spatial: Sequence[int]) -> tuple[int, ...]:
    """The grid of so many tiles that cuts through the fewest pixels; of equal ones along rows."""
    counts = [k for k in range(workers, 0, -1) if workers % k == 0]
    grids = [
        grid
        for grid in itertools.product(counts, repeat=len(spatial))
        if math.prod(grid) == workers
    ]
    cut = [sum((p - 1) / n for p, n in zip(grid, spatial, strict=True)) for grid in grids]
    return grids[cut.index(min(cut))]


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


def halos_of(
    numbers: np.ndarray, index: Sequence[int], pixels: Sequence[int], windows: Sequence[Window]
) -> list[Halo]:
    """What a worker exchanges before a layer, one axis after the other, where the map is cut.

    Args:
        numbers: of the workers, in the shape of the grid.
        index: of this worker in it.
        pixels: of the whole map along every axis.
        windows: of the layer along every axis.
    """
    halos = []
    for axis in (axis for axis, count in enumerate(numbers.shape) if count > 1):
        line = list(index)
        line[axis] = slice(None)
        workers = [int(worker) for worker in numbers[tuple(line)]]
        halos.append(Halo.of(axis + 2, pixels[axis], windows[axis], workers, index[axis]))
    return halos


def is_too_small(pixels: Sequence[int], grid: Sequence[int]) -> bool:
    """Whether some worker would get no pixel of a map."""
    return any(len(set(bounds(n, p))) <= p for n, p in zip(pixels, grid, strict=True))


def balanced(seconds: Sequence[float], learns: Sequence[bool], num_workers: int) -> list[int]:
    """Ends of the sections, in pieces, of which the slowest is as fast as possible.

    Args:
        seconds: that every piece of the net takes.
        learns: whether it has weights; every section must.
        num_workers: how many sections.

    Raises:
        InputError: there are fewer pieces with weights than workers.
    """

    @cache
    def best(start: int, sections: int) -> tuple[float, list[int]]:
        if sections == 1:
            return sum(seconds[start:]) if any(learns[start:]) else math.inf, [len(learns)]
        found = (math.inf, [])
        for end in range(start + 1, len(learns)):
            if any(learns[start:end]):
                slowest, ends = best(end, sections - 1)
                found = min(found, (max(sum(seconds[start:end]), slowest), [end, *ends]))
        return found

    slowest, ends = best(0, num_workers)
    if math.isinf(slowest):
        raise InputError(
            f"parallel: pipeline: {num_workers} workers, but the net can be cut into "
            f"{sum(map(bool, learns))} pieces with weights; take fewer"
        )
    return ends
