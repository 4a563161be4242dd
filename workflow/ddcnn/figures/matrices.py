"""Confusion matrices."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from ddcnn.figures.style import BLUE, INK, WIDTH, direct_title, styled

MOST_NUMBERS = 12  # classes up to which every cell carries its number
MOST_NAMES = 40  # classes up to which rows and columns carry their names


@styled
def confusion(matrices: Mapping[str, np.ndarray], classes: Sequence[str]) -> Figure:
    """Share of the images of each true class (row) that were given each class (column).

    Args:
        matrices: one or two, ``K, K`` counts, by their titles.
        classes: the names of the K classes.
    """
    num_classes = len(classes)
    names = [_short(name) for name in classes]
    # The width that the class names leave to the two squares is their height too.
    labels = 0.3 + (0.075 * max(map(len, names)) if num_classes <= MOST_NAMES else 0.2)
    figure = Figure(figsize=(WIDTH, (WIDTH - labels) / 2 + labels + 0.4))
    grid = figure.subplots(1, 2, sharey=True)
    for axes, (title, counts) in zip(grid, matrices.items(), strict=False):
        _draw_matrix(axes, counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))
        direct_title(axes, title)
        axes.set_xlabel("decision")
        _name_classes(axes, names)
    grid[0].set_ylabel("true class")
    for axes in grid[len(matrices) :]:
        axes.set_axis_off()
    return figure


def _draw_matrix(axes: Axes, shares: np.ndarray) -> None:
    """Opacity grows with the square root: rare confusions show, and any background will do."""
    cells = np.empty((*shares.shape, 4))
    cells[..., :3], cells[..., 3] = to_rgb(BLUE), np.sqrt(shares)
    axes.imshow(cells, interpolation="none")
    axes.grid(False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)
    if len(shares) > MOST_NUMBERS:
        return
    for (row, column), share in np.ndenumerate(shares):
        if round(100 * share):
            axes.text(
                column,
                row,
                f"{100 * share:.0f}",
                ha="center",
                va="center",
                fontsize=7.5,
                color=PAPER_ON_BLUE if share > 0.25 else INK,
            )


PAPER_ON_BLUE = "#fefefe"  # not PAPER: it stays white in the dark scheme


def _name_classes(axes: Axes, names: Sequence[str]) -> None:
    if len(names) > MOST_NAMES:
        axes.set_xlabel(f"decision (class 0 to {len(names) - 1})")
        return
    size = 8 if len(names) <= 15 else 6
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=size)
    axes.set_yticks(range(len(names)), names, fontsize=size)


def _short(name: str, length: int = 16) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"
