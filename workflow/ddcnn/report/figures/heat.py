"""Where in the image the local nets do well: their scores laid over the mean image or signal."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from ddcnn.report.figures.boxes import Box, Boxes, average_over_tiles, flat, is_interleaved, layers
from ddcnn.report.figures.signal import draw_signal_panel
from ddcnn.report.figures.style import WIDTH, bare, direct_title, styled, write_on_picture

COLOUR_SHARE = 0.7  # of the score's colour, against the mean image below it
COLOURS = "viridis"
ACROSS = 3  # panels side by side
MOST_NUMBERS = 36  # tiles of a panel that carry their score as a number


class TileMap(NamedTuple):
    """One tiling: a panel, or one panel per layer of its grid."""

    title: str
    note: str
    boxes: Boxes
    scores: Mapping[str, float]


@styled
def heat_map(mean_image: np.ndarray, maps: Sequence[TileMap], label: str) -> Figure:
    """Where tiles overlap, the scores of the tiles that cover a pixel are averaged.

    Args:
        mean_image: float ``*shape`` between 0 and 1.
        maps: one or more.
        label: what the colours mean.
    """
    scale = _scale([value for each in maps for value in each.scores.values()])
    if mean_image.ndim == 1:
        return _signal_map(mean_image, maps, label, scale)
    rows = _rows_of_panels(maps)
    across = max(ACROSS, *map(len, rows))
    side = WIDTH / across * min(1.3, mean_image.shape[0] / mean_image.shape[1])
    figure = Figure(figsize=(WIDTH, len(rows) * (side + 0.45) + 0.6))
    grid = figure.subplots(len(rows), across, squeeze=False)
    for axes in grid.flat:
        bare(axes)
    for line, row in zip(grid, rows, strict=True):
        for axes, panel in zip(line, row, strict=False):
            _draw_panel(axes, mean_image, *panel, scale)
    _draw_scale(figure, grid, scale, label)
    return figure


def _signal_map(
    mean_signal: np.ndarray, maps: Sequence[TileMap], label: str, scale: Normalize
) -> Figure:
    """Along time: a row for every tiling."""
    figure = Figure(figsize=(WIDTH, 1.25 * len(maps) + 1.1))
    grid = figure.subplots(len(maps), 1, squeeze=False, sharex=True)
    for axes, each in zip(grid[:, 0], maps, strict=True):
        draw_signal_panel(axes, mean_signal, each.boxes, each.scores, scale, COLOURS, MOST_NUMBERS)
        direct_title(axes, each.title, each.note)
    grid[-1, 0].set_xlabel("time (samples)")
    _draw_scale(figure, grid, scale, label)
    return figure


Panel = tuple[TileMap, int | None, list[str]]  # a layer of a tiling: its slice and its tiles


def _rows_of_panels(maps: Sequence[TileMap]) -> list[list[Panel]]:
    """Images fill the rows; the layers of a volume's tiling have a row of their own."""
    stacks = [[(each, *layer) for layer in layers(each.boxes)] for each in maps]
    if max(map(len, stacks)) > 1:
        return stacks
    panels = [panel for stack in stacks for panel in stack]
    return [panels[start : start + ACROSS] for start in range(0, len(panels), ACROSS)]


def _scale(values: Sequence[float]) -> Normalize:
    low, high = min(values), max(values)
    return Normalize(low, high) if high > low else Normalize(low - 0.01, high + 0.01)


def _draw_scale(figure: Figure, grid: np.ndarray, scale: Normalize, label: str) -> None:
    bar = figure.colorbar(
        ScalarMappable(scale, COLOURS),
        ax=grid,
        orientation="horizontal",
        fraction=0.05,
        aspect=60,
        pad=0.03,
    )
    bar.set_label(label)
    bar.outline.set_visible(False)


def _draw_panel(
    axes: Axes,
    mean_image: np.ndarray,
    each: TileMap,
    index: int | None,
    names: Sequence[str],
    scale: Normalize,
) -> None:
    grey = flat(mean_image, index)
    score = average_over_tiles(grey.shape, each.boxes, each.scores, index)
    colour = colormaps[COLOURS](scale(score))[..., :3]
    axes.imshow(COLOUR_SHARE * colour + (1 - COLOUR_SHARE) * grey[..., None], interpolation="none")
    note = each.note if index is None else f"slice {index}: {each.note}"
    direct_title(axes, each.title, note)
    if len(names) <= MOST_NUMBERS and not is_interleaved(each.boxes):
        _write_numbers(axes, each, names)


def _write_numbers(axes: Axes, each: TileMap, names: Sequence[str]) -> None:
    for name in names:
        row, column = _centre(each.boxes[name])
        size = 8.5 if len(names) <= 9 else 6.5
        write_on_picture(axes, column, row, f"{each.scores[name]:.2f}", size)


def _centre(box: Box) -> Iterator[float]:
    return (
        (start + stop - 1) / 2 for start, stop in zip(box["start"][:2], box["stop"], strict=False)
    )
