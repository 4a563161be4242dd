"""Predicted against true targets of a regression."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ddcnn.report.figures.style import BLUE, MUTED, WIDTH, direct_title, styled

MOST_TARGETS = 4
MANY = 1000  # samples above which the dots become fainter


@styled
def predicted_against_true(
    panels: Mapping[str, tuple[np.ndarray, np.ndarray]],
    targets: Sequence[str],
    notes: Mapping[str, str],
) -> Figure:
    """A row of panels for each target; a dot on the diagonal is a perfect prediction.

    Args:
        panels: one or two: true and predicted targets, float ``N, M`` each, by their titles.
        targets: names of the M targets.
        notes: quieter lines below the titles.
    """
    rows = min(len(targets), MOST_TARGETS)
    side = WIDTH / 2 - 0.3
    figure = Figure(figsize=(WIDTH, rows * side + 0.5))
    grid = figure.subplots(rows, 2, squeeze=False)
    for column, (title, (true, predicted)) in enumerate(panels.items()):
        for row in range(rows):
            _draw_panel(grid[row, column], true[:, row], predicted[:, row])
            grid[row, column].set_xlabel(f"true {targets[row]}")
        direct_title(grid[0, column], title, notes.get(title, ""))
    for row in range(rows):
        grid[row, 0].set_ylabel(f"predicted {targets[row]}")
    for axes in grid[:, len(panels) :].flat:
        axes.set_axis_off()
    return figure


def _draw_panel(axes: Axes, true: np.ndarray, predicted: np.ndarray) -> None:
    both = np.concatenate([true, predicted])
    margin = 0.05 * (float(np.ptp(both)) or 1)
    limits = both.min() - margin, both.max() + margin
    axes.plot(limits, limits, color=MUTED, linewidth=1, linestyle=(0, (5, 2)), zorder=1)
    alpha = 0.6 if len(true) <= MANY else 0.2
    axes.plot(true, predicted, "o", color=BLUE, markersize=3.5, markeredgewidth=0, alpha=alpha)
    axes.set_xlim(limits)
    axes.set_ylim(limits)
    axes.set_aspect("equal")
    axes.grid(True, axis="both")
