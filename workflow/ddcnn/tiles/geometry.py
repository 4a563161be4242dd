"""Geometry of the tiles: pure arithmetic, in any number of dimensions.

Along an axis of n pixels with p tiles and overlap d the tile size is
``s = ceil((n + (p-1)*d) / p)`` and tile i starts at ``min(i*(s-d), n-s)``: all tiles have the same
shape, they cover the image, and neighbours share at least d pixels (exactly d where it divides).
The rectangular sub-images with overlap are those of arXiv 2302.06564, section 3.1; interleaved
tiles and the coarse view are additions of this project.

Everything that cuts an image (the shards, the plan, prediction, figures) uses this module.
"""

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ddcnn.base.errors import InputError

KINDS = ("blocks", "interleaved")
VIEW = "view"


def tile_size(num_pixels: int, num_tiles: int, overlap: int) -> int:
    """Pixels of each of ``num_tiles`` tiles along an axis."""
    return -(-(num_pixels + (num_tiles - 1) * overlap) // num_tiles)  # rounded up


def tile_start(index: int, num_pixels: int, num_tiles: int, overlap: int) -> int:
    """First pixel of tile ``index`` along an axis; the last tiles are moved back to fit."""
    size = tile_size(num_pixels, num_tiles, overlap)
    return min(index * (size - overlap), num_pixels - size)


@dataclass(frozen=True)
class Tiling:
    """How images are cut: kind, tiles per axis, and pixels shared by neighbours per axis.

    Raises:
        InputError: an unknown kind, a grid below one, or overlaps that do not fit the grid.
    """

    kind: str
    grid: tuple[int, ...]
    overlap: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"kind: {self.kind!r} is not one of {', '.join(KINDS)}")
        if len(self.overlap) != len(self.grid):
            raise InputError(
                f"overlap: {format_axes(self.overlap)} has {len(self.overlap)} axes, "
                f"the grid {format_axes(self.grid)} has {len(self.grid)}"
            )
        if min(self.grid) < 1:
            raise InputError(f"grid: {format_axes(self.grid)} has an axis without tiles")
        if min(self.overlap) < 0:
            raise InputError(f"overlap: {format_axes(self.overlap)} has a negative number")

    @classmethod
    def whole(cls, num_axes: int) -> "Tiling":
        """The image as one tile: the decomposition of the global net."""
        return cls("blocks", (1,) * num_axes, (0,) * num_axes)

    @classmethod
    def of(cls, kind: str, grid: str, overlap: int | str = 0) -> "Tiling":
        """A tiling as the configuration writes it: ``Tiling.of("blocks", "2x2x1", "4x4x0")``."""
        counts = parse_axes(grid, "grid")
        shared = parse_axes(overlap, "overlap")
        if len(shared) == 1:
            shared = shared * len(counts)
        # An axis with one tile has no neighbours, interleaved tiles share no pixels: both get
        # overlap 0, so that equal tilings have one name and are computed once.
        if kind == "interleaved":
            shared = (0,) * len(shared)
        if len(shared) == len(counts):
            shared = tuple(d if p > 1 else 0 for d, p in zip(shared, counts, strict=True))
        return cls(kind, counts, shared)

    @property
    def num_tiles(self) -> int:
        return math.prod(self.grid)

    @property
    def names(self) -> list[str]:
        """Names of the tiles, row by row: ``0-0``, ``0-1``, ..."""
        return ["-".join(map(str, index)) for index in np.ndindex(*self.grid)]

    @property
    def slug(self) -> str:
        """Name of the tiling in paths, for example ``blocks-2x2-overlap4``."""
        if self.num_tiles == 1:
            return "whole"
        grid = format_axes(self.grid)
        return (
            f"interleaved-{grid}"
            if self.kind == "interleaved"
            else (f"blocks-{grid}-overlap{self.overlap_text}")
        )

    @property
    def overlap_text(self) -> str:
        """``4`` if every divided axis has the same overlap, else one number per axis: ``4x4x0``."""
        divided = {d for d, p in zip(self.overlap, self.grid, strict=True) if p > 1}
        return str(divided.pop()) if len(divided) == 1 else format_axes(self.overlap)

    def tile_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Pixels per axis of every tile of an image of ``shape``."""
        if self.kind == "interleaved":
            return tuple(n // p for n, p in zip(shape, self.grid, strict=True))
        return tuple(map(tile_size, shape, self.grid, self.overlap))

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise :class:`InputError` where images of ``shape`` cannot be cut this way."""
        if len(shape) != len(self.grid):
            raise InputError(
                f"grid: {format_axes(self.grid)} has {len(self.grid)} axes, but the images "
                f"({format_axes(shape)} pixels) have {len(shape)}; give one number per axis"
            )
        for axis, (n, p, d) in enumerate(zip(shape, self.grid, self.overlap, strict=True)):
            self._check_axis(axis, n, p, d)

    def _check_axis(self, axis: int, n: int, p: int, d: int) -> None:
        grid = format_axes(self.grid)
        if p > n:
            raise InputError(f"grid: {grid} has {p} tiles on axis {axis} of only {n} pixels")
        if self.kind == "interleaved" and n % p:
            divisors = ", ".join(str(k) for k in range(1, n + 1) if n % k == 0)
            raise InputError(
                f"grid: interleaved {grid} does not divide the {n} pixels of axis {axis}; "
                f"accepted on this axis: {divisors}"
            )
        if self.kind == "blocks" and p > 1 and d >= tile_size(n, p, d):
            raise InputError(
                f"overlap: {d} is not smaller than the tile of {tile_size(n, p, d)} pixels on "
                f"axis {axis} (grid {grid}, {n} pixels); the largest that fits is "
                f"{largest_overlap(n, p)}"
            )
        if self.kind == "blocks" and not _differ(n, p, d):
            fewer = next(k for k in range(p, 0, -1) if _differ(n, k, d))
            larger = next((k for k in range(d, n) if _differ(n, p, k)), None)
            raise InputError(
                f"grid: with {p} tiles and overlap {d} on axis {axis} of {n} pixels some tiles "
                f"coincide; take at most {fewer} tiles"
                + (f", or an overlap of {larger}" if larger else "")
            )

    def tiles(self, shape: tuple[int, ...]) -> dict[str, tuple[slice, ...]]:
        """Every tile's name and its slices, one per spatial axis of an image of ``shape``."""
        self.check(shape)
        per_axis = [
            [self._axis_slice(i, n, p, d) for i in range(p)]
            for n, p, d in zip(shape, self.grid, self.overlap, strict=True)
        ]
        return dict(zip(self.names, itertools.product(*per_axis), strict=True))

    def _axis_slice(self, index: int, n: int, p: int, d: int) -> slice:
        if self.kind == "interleaved":
            return slice(index, n, p)
        start = tile_start(index, n, p, d)
        return slice(start, start + tile_size(n, p, d), 1)


def largest_overlap(num_pixels: int, num_tiles: int) -> int:
    """Largest overlap for which the tiles of an axis are all different."""
    return next((d for d in range(num_pixels - 1, 0, -1) if _differ(num_pixels, num_tiles, d)), 0)


def _differ(num_pixels: int, num_tiles: int, overlap: int) -> bool:
    """Whether the tiles of an axis are all different, and longer than what they share."""
    if num_tiles == 1:
        return True
    # Each tile but the last begins one step after the one before it; the last is moved back.
    step = tile_size(num_pixels, num_tiles, overlap) - overlap
    return step > 0 and (num_tiles - 2) * step < num_pixels - (step + overlap)


@dataclass(frozen=True)
class Decomposition:
    """What the coarse net sees: a tiling, with or without the coarse view."""

    tiling: Tiling
    coarse_view: bool = False

    @property
    def slug(self) -> str:
        return self.tiling.slug + ("-view" if self.coarse_view else "")

    @property
    def subdomains(self) -> list[str]:
        """Names of the tiles, with ``view`` last where there is one."""
        return self.tiling.names + ([VIEW] if self.coarse_view else [])


def parse_axes(value: int | str, key: str) -> tuple[int, ...]:
    """``"2x2x1"`` as (2, 2, 1); a single number as one entry."""
    if not re.fullmatch(r"\d+(x\d+)*", str(value)):
        raise InputError(f"{key}: {value!r} is not of the form 2x2 or 2x2x1")
    return tuple(int(part) for part in str(value).split("x"))


def format_axes(numbers: tuple[int, ...]) -> str:
    """(2, 2, 1) as ``"2x2x1"``."""
    return "x".join(map(str, numbers))


def area_counts(num_in: int, num_out: int) -> np.ndarray:
    """Matrix ``num_out, num_in`` of whole numbers: how much of each pixel an output pixel covers.

    A pixel counts ``num_out`` where it is covered entirely, and every row sums to ``num_in``.
    """
    out, pixels = np.arange(num_out)[:, None] * num_in, np.arange(num_in) * num_out
    covered = np.minimum(out + num_in, pixels + num_out) - np.maximum(out, pixels)
    return np.clip(covered, 0, None)


def area_weights(num_in: int, num_out: int) -> np.ndarray:
    """:func:`area_counts` as float32 shares of the output pixel: every row sums to one."""
    return (area_counts(num_in, num_out) / num_in).astype(np.float32)


def exact_type(shape: Sequence[int]) -> type[np.floating]:
    """The type in which sums of 8-bit pixels over a whole image are exact in any order.

    With it the coarse view of an image is the same on every machine and in every library: an
    average of x.5 is rounded alike, and that is a frequent one.
    """
    return np.float32 if 255 * math.prod(shape) <= 2**24 else np.float64


def resample(images: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Average images to another shape: the coarse view, or a coarse grid of any picture.

    Args:
        images: uint8 ``N, *spatial, C``, or float32 (signals).
        shape: pixels per spatial axis of the result.

    Returns:
        ``N, *shape, C`` of the same type; uint8 rounded to the nearest value.
    """
    sizes = images.shape[1:-1]
    is_exact = images.dtype == np.uint8
    matrix, dtype = (area_counts, exact_type(sizes)) if is_exact else (area_weights, np.float32)
    out = images.astype(dtype)
    for axis, each in enumerate(zip(sizes, shape, strict=True), start=1):
        out = np.moveaxis(np.tensordot(out, matrix(*each).astype(dtype), axes=(axis, 1)), -1, axis)
    return np.rint(out / math.prod(sizes)).astype(np.uint8) if is_exact else out
