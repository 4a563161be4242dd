"""Times, speed-up and memory of the decompositions."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ddcnn.report.figures.style import (
    BLUE,
    GRID,
    INK,
    MUTED,
    VERMILLION,
    WIDTH,
    direct_title,
    styled,
)

MEBIBYTE = 2**20


class TimeRow(NamedTuple):
    """Seconds of one decomposition, or of the global net, which has neither coarse nor serial."""

    label: str
    slowest: float  # training of the slowest local net, or of the global net
    coarse: float | None
    overhead: float  # of one job after another: in none of the other numbers
    serial: float | None
    speedup: float | None
    ideal: float | None
    memory: float  # bytes, peak of the largest job
    ideal_memory: float | None


@styled
def times(rows: Sequence[TimeRow]) -> Figure:
    """Seconds in parallel and one after another; speed-up and memory beside them."""
    has_speedup = any(row.speedup for row in rows)
    ratios = (3, 2, 1.7) if has_speedup else (3, 1.7)
    figure = Figure(figsize=(WIDTH, 0.46 * len(rows) + 1.6))
    panels = figure.subplots(1, len(ratios), sharey=True, width_ratios=ratios)
    _draw_seconds(panels[0], rows)
    panels[0].set_yticks(range(len(rows)), [_in_two_lines(row.label) for row in rows])
    panels[0].invert_yaxis()
    if has_speedup:
        _draw_speedups(panels[1], rows)
    _draw_memory(panels[-1], rows)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower left", ncols=5)
    return figure


def _in_two_lines(label: str) -> str:
    """The panels need the room that a long label would take."""
    return label.replace(" + ", "\n+ ")


def _draw_seconds(axes: Axes, rows: Sequence[TimeRow]) -> None:
    places = np.arange(len(rows))
    parts = {
        "global net": ([row.slowest if row.coarse is None else 0 for row in rows], INK),
        "slowest local net": ([0 if row.coarse is None else row.slowest for row in rows], BLUE),
        "coarse net": ([row.coarse or 0 for row in rows], VERMILLION),
        "overhead": ([row.overhead for row in rows], GRID),
    }
    left = np.zeros(len(rows))
    for name, (values, colour) in parts.items():
        if any(values):
            edge = {"edgecolor": MUTED, "linewidth": 0.6} if name == "overhead" else {}
            axes.barh(places - 0.12, values, 0.36, left=left, color=colour, label=name, **edge)
        left += values
    serial = [row.serial or 0 for row in rows]
    if any(serial):
        axes.barh(places + 0.2, serial, 0.14, color=MUTED, label="serial")
    _lie_down(axes)
    axes.set_xlabel("seconds")
    direct_title(axes, "Training time", "thick: in parallel, thin: serial")


def _draw_speedups(axes: Axes, rows: Sequence[TimeRow]) -> None:
    found = [(place, row) for place, row in enumerate(rows) if row.speedup]
    for place, row in found:
        _draw_pair(axes, place, row.speedup, row.ideal, _factor)
    numbers = [1, *(value for _, row in found for value in (row.speedup, row.ideal) if value)]
    # Room at the right for the last number.
    if max(numbers) > 50:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set_xlim(0.5 * min(numbers), 8 * max(numbers))
    else:
        axes.set_xlim(0, 1.3 * max(numbers))
    axes.axvline(1, color=INK, linestyle=(0, (5, 2)), linewidth=1, zorder=0)
    _lie_down(axes)
    axes.set_xlabel("× the global net's speed")
    direct_title(axes, "Speed-up", "● measured   ◆ ideal")


def _draw_memory(axes: Axes, rows: Sequence[TimeRow]) -> None:
    for place, row in enumerate(rows):
        ideal = row.ideal_memory and row.ideal_memory / MEBIBYTE
        _draw_pair(axes, place, row.memory / MEBIBYTE, ideal)
    axes.set_xlim(0, 1.15 * max(row.memory for row in rows) / MEBIBYTE)
    axes.locator_params(axis="x", nbins=4)
    _lie_down(axes)
    axes.set_xlabel("MiB, largest job")
    direct_title(axes, "Peak memory", "● measured   ◆ ideal")


def _draw_pair(
    axes: Axes, place: int, measured: float, ideal: float | None, write: object = None
) -> None:
    """Measured as a dot, ideal as a diamond, joined by what lies between them."""
    if ideal:
        axes.plot([measured, ideal], [place, place], color=GRID, linewidth=3, zorder=1)
        axes.plot(ideal, place, "D", color=MUTED, markersize=5.5)
    axes.plot(measured, place, "o", color=BLUE, markersize=6.5)
    if write is not None:
        if ideal:
            _number(axes, write(ideal), (ideal, place), MUTED, (7, 0), "left", "center_baseline")
        _number(axes, write(measured), (measured, place), BLUE, (0, 7), "center", "baseline")


def _factor(value: float) -> str:
    return f"{value:.1f}×" if value < 100 else f"{value:,.0f}×"


def _number(
    axes: Axes,
    text: str,
    at: tuple[float, int],
    colour: str,
    offset: tuple[int, int],
    across: str,
    along: str,
) -> None:
    axes.annotate(
        text,
        at,
        offset,
        textcoords="offset points",
        fontsize=8.5,
        color=colour,
        ha=across,
        va=along,
    )


def _lie_down(axes: Axes) -> None:
    """Grid and axis for horizontal bars."""
    axes.grid(axis="x")
    axes.grid(False, axis="y")
    axes.spines["left"].set_visible(False)
