"""Matrices: which classes are confused, which tiles agree."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from ddcnn.report.figures.style import BLUE, INK, WIDTH, direct_title, styled

LARGEST, SMALLEST = 7.5, 5.5  # points of a count; where it has no room there is none
MOST_NAMES = 40  # classes up to which rows and columns carry their names


@styled
def confusion(matrices: Mapping[str, np.ndarray], classes: Sequence[str]) -> Figure:
    """How many images of each true class (row) were given each class (column).

    Args:
        matrices: one or two, ``K, K`` counts, by their titles.
        classes: the names of the K classes.
    """
    num_classes = len(classes)
    names = [_short(name) for name in classes]
    # The width that the class names leave to the two squares is their height too.
    labels = 0.3 + (0.075 * max(map(len, names)) if num_classes <= MOST_NAMES else 0.2)
    side = (WIDTH - labels) / 2
    figure = Figure(figsize=(WIDTH, side + labels + 0.4))
    grid = figure.subplots(1, 2, sharey=True)
    for axes, (title, counts) in zip(grid, matrices.items(), strict=False):
        _draw_matrix(axes, counts, 72 * side)
        direct_title(axes, title)
        axes.set_xlabel("decision")
        _name_classes(axes, names)
    grid[0].set_ylabel("true class")
    for axes in grid[len(matrices) :]:
        axes.set_axis_off()
    return figure


def _draw_matrix(axes: Axes, counts: np.ndarray, side: float) -> None:
    """Opacity grows with the square root: rare confusions show, and any background will do.

    Args:
        axes: to draw on.
        counts: ``K, K``.
        side: of the matrix, in points.
    """
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    room = 0.85 * side / len(counts)  # for the longest number, whose digits are 0.64 of its size
    size = min(room / (0.64 * len(str(counts.max()))), LARGEST)
    texts = np.where(counts > 0, counts.astype(str), "")
    _draw_cells(axes, np.sqrt(shares), texts if size >= SMALLEST else None, size)


def _draw_cells(axes: Axes, opacity: np.ndarray, texts: np.ndarray | None, size: float) -> None:
    """Blue squares with what is written in them.

    Args:
        axes: to draw on.
        opacity: of every square, from 0 to 1.
        texts: of every square, or None.
        size: of the texts, in points.
    """
    cells = np.empty((*opacity.shape, 4))
    cells[..., :3], cells[..., 3] = to_rgb(BLUE), opacity
    axes.imshow(cells, interpolation="none")
    axes.grid(False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)
    for (row, column), text in np.ndenumerate([] if texts is None else texts):
        if text:
            colour = PAPER_ON_BLUE if opacity[row, column] > 0.5 else INK
            axes.text(column, row, text, ha="center", va="center", fontsize=size, color=colour)


PAPER_ON_BLUE = "#fefefe"  # not PAPER: it stays white in the dark scheme


def _name_classes(axes: Axes, names: Sequence[str]) -> None:
    if len(names) > MOST_NAMES:
        axes.set_xlabel(f"decision (class 0 to {len(names) - 1})")
        return
    size = 8 if len(names) <= 15 else 6
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=size)
    axes.set_yticks(range(len(names)), names, fontsize=size)


@styled
def agreement(matrices: Mapping[str, np.ndarray], names: Mapping[str, Sequence[str]]) -> Figure:
    """How alike the local nets of a tiling decide, pair by pair.

    Args:
        matrices: by their titles: symmetric ``T, T`` between 0 and 1 (or correlations); what is
            below 0 counts as 0. Not a number leaves a cell empty.
        names: of the T rows of each.
    """
    across, down = min(len(matrices), ACROSS), -(-len(matrices) // ACROSS)
    side = WIDTH / max(across, 2)
    figure = Figure(figsize=(side * across, (side + 0.45) * down))
    grid = figure.subplots(down, across, squeeze=False)
    for axes in grid.flat[len(matrices) :]:
        axes.set_axis_off()
    for axes, (title, values) in zip(grid.flat, matrices.items(), strict=False):
        _draw_agreement(axes, values)
        direct_title(axes, title)
        if len(values) <= MOST_NAMES:
            size = 8 if len(values) <= MOST_AGREEING else 5
            axes.set_xticks(range(len(values)), names[title], rotation=90, fontsize=size)
            axes.set_yticks(range(len(values)), names[title], fontsize=size)
        else:
            axes.set_xticks([])
            axes.set_yticks([])
    return figure


ACROSS = 3  # panels side by side
MOST_AGREEING = 10  # rows up to which every cell carries its number


def _draw_agreement(axes: Axes, values: np.ndarray) -> None:
    """Shades between the smallest and the largest number that is shown."""
    shown = np.clip(np.nan_to_num(values), 0, 1)
    real = shown[np.isfinite(values)]
    low, high = real.min(), real.max()
    shades = 0.08 + 0.87 * (shown - low) / ((high - low) or 1)
    texts = np.array([f"{100 * v:.0f}" if np.isfinite(v) else "" for v in values.flat])
    has_room = len(values) <= MOST_AGREEING
    _draw_cells(
        axes,
        np.where(np.isfinite(values), shades, 0),
        texts.reshape(values.shape) if has_room else None,
        8,
    )


def _short(name: str, length: int = 16) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"
