"""Boxes of tiles as figures need them: cut, layers of a volume, pixels covered.

A box is an entry of ``plan.json``: ``{"start": [0, 0], "stop": [16, 16], "step": [1, 1]}``. Of a
volume a figure shows one slice (of the last axis) for each layer of the grid.
"""

from collections.abc import Mapping, Sequence

import numpy as np

Box = Mapping[str, Sequence[int]]
Boxes = Mapping[str, Box]

MOST_LAYERS = 4  # of the grid of a volume that a figure shows


def slices(box: Box) -> tuple[slice, ...]:
    """The box as one slice per spatial axis."""
    return tuple(map(slice, box["start"], box["stop"], box["step"]))


def position(name: str) -> tuple[int, int]:
    """Row and column of a tile in its grid, from its name."""
    row, column = name.split("-")[:2]
    return int(row), int(column)


def is_interleaved(boxes: Boxes) -> bool:
    """Whether the tiles take every p-th pixel instead of blocks."""
    return any(max(box["step"]) > 1 for box in boxes.values())


def layers(boxes: Boxes) -> list[tuple[int | None, list[str]]]:
    """Index of the shown slice and names of the tiles, for each layer; None for plain images."""
    names_of: dict[int | None, list[str]] = {}
    for name, box in boxes.items():
        names_of.setdefault(_middle_slice(box), []).append(name)
    return list(names_of.items())[:MOST_LAYERS]


def _middle_slice(box: Box) -> int | None:
    if len(box["start"]) < 3:
        return None
    indices = range(box["start"][2], box["stop"][2], box["step"][2])
    return indices[len(indices) // 2]


def flat(image: np.ndarray, index: int | None) -> np.ndarray:
    """``rows, columns, ...`` of an image, or of slice ``index`` of a volume."""
    return image if index is None else image[:, :, index]


def average_over_tiles(
    shape: Sequence[int], boxes: Boxes, values: Mapping[str, float], index: int | None = None
) -> np.ndarray:
    """Mean of the values of the tiles that cover each pixel of a picture (of slice ``index``).

    Args:
        shape: rows and columns.
        values: one for each tile in ``boxes``.
    """
    total, count = np.zeros(shape), np.zeros(shape)
    for name, box in boxes.items():
        if index is None or index in range(box["start"][2], box["stop"][2], box["step"][2]):
            total[slices(box)[:2]] += values[name]
            count[slices(box)[:2]] += 1
    return total / np.maximum(count, 1)


def count_tiles(shape: Sequence[int], boxes: Boxes) -> np.ndarray:
    """Number of tiles that cover each pixel of a picture, or each sample of a signal."""
    count = np.zeros(shape, dtype=int)
    for box in boxes.values():
        count[slices(box)[:2]] += 1
    return count
