"""Which training ran when, and where."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ddcnn.report.figures.style import (
    BLUE,
    GREEN,
    GRID,
    INK,
    MUTED,
    PAPER,
    PURPLE,
    VERMILLION,
    WIDTH,
    styled,
)

KIND_COLOURS = {
    "global net": INK,
    "local net": BLUE,
    "coarse view": GREEN,  # sky blue is too near to the blue of the dark scheme
    "coarse net": VERMILLION,
    "other training": PURPLE,
}
LANE = 0.26  # inches
MOST_INCHES = 9.0  # of all lanes together
LETTER = 0.068  # inches of one letter in a bar
LONG = 600  # seconds from which the axis counts minutes
VERY_LONG = 4 * 3600  # and hours


class Bar(NamedTuple):
    """A training: seconds on the figure's axis."""

    where: str
    lane: int  # of those that ran there at the same time
    kind: str  # a key of KIND_COLOURS
    label: str
    begin: float
    ready: float  # the first training step
    end: float
    critical: bool


@styled
def timeline(bars: Sequence[Bar], pauses: Sequence[float]) -> Figure:
    """One lane for each training that runs at the same time in the same place.

    Args:
        bars: in any order.
        pauses: where on the axis a time without any training is cut out.
    """
    lanes = sorted({(bar.where, bar.lane) for bar in bars})
    height = min(LANE * len(lanes), MOST_INCHES)
    figure = Figure(figsize=(WIDTH, height + 1.25))
    axes = figure.subplots()
    end = max(bar.end for bar in bars)
    divisor, unit = (3600, "h") if end > VERY_LONG else (60, "min") if end > LONG else (1, "s")
    for bar in bars:
        _draw_bar(axes, bar, lanes.index((bar.where, bar.lane)), divisor, end)
    for pause in pauses:
        axes.axvline(pause / divisor, color=MUTED, linestyle=(0, (1, 2)), linewidth=1.2)
    places = list(dict.fromkeys(where for where, _ in lanes))
    first = [next(i for i, (where, _) in enumerate(lanes) if where == place) for place in places]
    axes.set_yticks(first, places)
    for lane in first[1:]:
        axes.axhline(lane - 0.5, color=GRID, linewidth=0.8)
    axes.set_ylim(len(lanes) - 0.4, -0.6)
    axes.set_xlim(0, 1.01 * end / divisor)
    axes.set_xlabel(
        f"time since the first training started{', pauses cut out' * bool(pauses)} ({unit})"
    )
    axes.grid(axis="x")
    axes.grid(False, axis="y")
    axes.spines["left"].set_visible(False)
    _write_legend(figure, bars)
    return figure


def _draw_bar(axes: Axes, bar: Bar, lane: int, divisor: float, end: float) -> None:
    colour = KIND_COLOURS[bar.kind]
    height = 0.72
    start = min(bar.ready, bar.end) - bar.begin
    axes.barh(lane, start / divisor, height, left=bar.begin / divisor, color=GRID, linewidth=0)
    axes.barh(
        lane,
        (bar.end - bar.begin - start) / divisor,
        height,
        left=(bar.begin + start) / divisor,
        color=colour,
        edgecolor=PAPER,
        linewidth=0.4,
    )
    if bar.critical:
        axes.plot(
            [bar.begin / divisor, bar.end / divisor],
            [lane + 0.46, lane + 0.46],
            color=INK,
            linewidth=2.2,
            solid_capstyle="butt",
        )
    inches = (bar.end - bar.begin - start) / end * (WIDTH - 1.4)
    if inches > LETTER * len(bar.label) + 0.05:
        middle = (bar.begin + start + bar.end) / 2 / divisor
        axes.text(
            middle,
            lane,
            bar.label,
            ha="center",
            va="center_baseline",
            fontsize=7,
            color=PAPER,
            clip_on=True,
        )


def _write_legend(figure: Figure, bars: Sequence[Bar]) -> None:
    kinds = {bar.kind for bar in bars}
    handles = [Patch(color=KIND_COLOURS[kind]) for kind in KIND_COLOURS if kind in kinds]
    labels = [kind for kind in KIND_COLOURS if kind in kinds]
    handles += [Patch(color=GRID), *figure.axes[0].plot([], [], color=INK, linewidth=2.2)]
    labels += ["start and loading", "on the critical path"]
    figure.legend(handles, labels, loc="outside upper left", ncols=4)
