"""Charts: accuracy (or R²) against overlap, differences to the global net, training curves."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ddcnn.report.figures.style import (
    CYCLE,
    INK,
    METHOD_COLOURS,
    METHOD_MARKERS,
    MUTED,
    WIDTH,
    direct_title,
    styled,
    write_plainly,
)

ACROSS = 3  # panels side by side


@styled
def accuracy_by_overlap(
    panels: Mapping[str, pd.DataFrame],
    global_accuracy: tuple[float, float] | None,
    score: str = "accuracy",
    unit: str = "pixels",
) -> Figure:
    """Test score of the methods against the overlap, the global net as a horizontal line.

    Args:
        panels: by their titles; columns ``method, overlap`` (text), ``pixels`` (of the overlap),
            ``accuracy, error`` (one standard error).
        global_accuracy: score of the global net and its standard error, or None without one.
        score: its name, ``accuracy`` or ``R²``.
        unit: of the overlap.
    """
    across, down = min(len(panels), ACROSS), -(-len(panels) // ACROSS)
    figure = Figure(figsize=(max(across, 2) * WIDTH / ACROSS + 0.3, 2.6 * down + 0.7))
    grid = figure.subplots(down, across, squeeze=False, sharey=True)
    for axes, (title, points) in zip(grid.flat, panels.items(), strict=False):
        _draw_overlap_panel(axes, points, global_accuracy)
        direct_title(axes, title)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes in grid[:, 0]:
        axes.set_ylabel(f"test {score}")
    for axes in grid.flat[: len(panels)]:
        axes.set_xlabel(f"overlap ({unit})")
    lines = {line.get_label(): line for axes in grid.flat for line in axes.lines}
    shown = [name for name in METHOD_COLOURS if name in lines]
    figure.legend(
        [lines[name] for name in shown], shown, loc="outside upper left", ncols=len(shown)
    )
    return figure


def _draw_overlap_panel(
    axes: Axes, points: pd.DataFrame, global_accuracy: tuple[float, float] | None
) -> None:
    if global_accuracy is not None:
        accuracy, error = global_accuracy
        axes.axhline(accuracy, color=INK, linestyle=(0, (5, 2)), linewidth=1.3, label="global")
        axes.axhspan(accuracy - error, accuracy + error, color=MUTED, alpha=0.15, linewidth=0)
    ticks = points.drop_duplicates("pixels").sort_values("pixels")
    step = np.diff(ticks["pixels"]).min() if len(ticks) > 1 else 1
    methods = [name for name in METHOD_COLOURS if name in set(points["method"])]
    for number, method in enumerate(methods):
        own = points[points["method"] == method].sort_values("pixels")
        # Side by side, so that the error bars of the methods can be told apart.
        aside = (number - (len(methods) - 1) / 2) * 0.05 * step
        axes.errorbar(
            own["pixels"] + aside,
            own["accuracy"],
            own["error"],
            color=METHOD_COLOURS[method],
            marker=METHOD_MARKERS[method],
            elinewidth=0.8,
            markeredgewidth=0,
        )
        axes.lines[-1].set_label(method)
    axes.set_xticks(ticks["pixels"], ticks["overlap"])
    axes.set_xlim(ticks["pixels"].min() - 0.35 * step, ticks["pixels"].max() + 0.35 * step)


class DifferenceRow(NamedTuple):
    """A method's score minus that of the global net, with its 95 % interval."""

    label: str  # of the decomposition
    method: str
    value: float
    low: float
    high: float


@styled
def differences(rows: Sequence[DifferenceRow], score: str = "accuracy") -> Figure:
    """Differences to the global net with their intervals, one colour for each decomposition.

    Args:
        rows: from top to bottom; those of a decomposition stand together.
        score: its name, ``accuracy`` (drawn in points) or ``R²``.
    """
    figure = Figure(figsize=(WIDTH, 0.23 * len(rows) + 1.2))
    axes = figure.subplots()
    axes.axvline(0, color=INK, linestyle=(0, (5, 2)), linewidth=1.3)
    factor = 100 if score == "accuracy" else 1
    labels = list(dict.fromkeys(row.label for row in rows))
    for place, row in enumerate(rows):
        colour = CYCLE[labels.index(row.label) % len(CYCLE)]
        axes.plot([factor * row.low, factor * row.high], [place, place], color=colour)
        axes.plot(factor * row.value, place, "o", color=colour, markeredgewidth=0)
    axes.set_yticks(range(len(rows)), [f"{row.label}: {row.method}" for row in rows])
    axes.set_ylim(len(rows) - 0.3, -0.7)
    unit = "points" if score == "accuracy" else score
    axes.set_xlabel(f"difference to the global net ({unit}, 95 % interval)")
    axes.grid(axis="y", visible=False)
    return figure


class CurveGroup(NamedTuple):
    """One row of :func:`training_curves`."""

    title: str
    histories: Sequence[tuple[str, pd.DataFrame]]  # name (of one colour) and its history.csv


@styled
def training_curves(groups: Sequence[CurveGroup], score: str = "accuracy") -> Figure:
    """Validation score at the left; loss on training (dashed) and validation at the right.

    Args:
        groups: one row each.
        score: its name in the histories' columns, ``accuracy`` or ``r2``.
    """
    figure = Figure(figsize=(WIDTH, 1.75 * len(groups) + 0.3))
    grid = figure.subplots(len(groups), 2, squeeze=False, sharey="col")
    for (left, right), group in zip(grid, groups, strict=True):
        _draw_group(left, right, group, score)
        direct_title(left, group.title)
        direct_title(right, " ")
    name = {"r2": "R²"}.get(score, score)
    grid[0, 0].set_title(f"{name} (validation)", **COLUMN_TITLE)
    grid[0, 1].set_title("loss (solid: validation, dashed: training)", **COLUMN_TITLE)
    for axes in grid[-1]:
        axes.set_xlabel("epoch")
    if score == "r2":  # of the first epochs it has no lower bound; errors fall by orders
        grid[0, 0].set_ylim(max(grid[0, 0].get_ylim()[0], LOWEST_R2), 1.02)
        grid[0, 1].set_yscale("log")
        write_plainly(grid[0, 1].yaxis)
    return figure


LOWEST_R2 = -0.2
COLUMN_TITLE = {"loc": "right", "color": MUTED, "fontweight": "normal", "fontsize": 9, "pad": 8}


def _draw_group(left: Axes, right: Axes, group: CurveGroup, score: str) -> None:
    names = list(dict.fromkeys(name for name, _ in group.histories))
    colours = dict(zip(names, _colours(len(names)), strict=True))
    width = 0.9 if len(group.histories) > 8 else 1.3
    for name, history in group.histories:
        style = {"color": colours[name], "linewidth": width, "alpha": 0.85}
        left.plot(history["epoch"], history[f"{score}_val"], **style)
        right.plot(history["epoch"], history["loss_val"], **style)
        right.plot(history["epoch"], history["loss_train"], **style, linestyle=(0, (3, 1.5)))
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    lines = [Line2D([], [], color=colours[name]) for name in names]
    if len(names) > 5:
        left.get_figure().legend(lines, names, loc="outside lower left", ncols=3, fontsize=8)
    elif len(names) > 1:
        # Losses fall, so the upper right corner is free.
        right.legend(lines, names, loc="upper right", fontsize=7.5)


def _colours(number: int) -> Sequence[str]:
    """Distinct colours as far as they go, shades in order beyond them."""
    if number <= len(CYCLE):
        return CYCLE[:number]
    return [to_hex(colour) for colour in colormaps["viridis"](np.linspace(0, 0.9, number))]
