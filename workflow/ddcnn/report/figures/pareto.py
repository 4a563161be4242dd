"""What accuracy costs: scores against the number of tiles and against training time."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from ddcnn.report.figures.style import (
    GRID,
    METHOD_COLOURS,
    METHOD_MARKERS,
    MUTED,
    WIDTH,
    direct_title,
    styled,
)


class CostPoint(NamedTuple):
    """A method on a decomposition, means over the seeds."""

    method: str
    nets: int  # that see images
    parallel: float  # seconds
    serial: float
    score: float
    error: float  # one standard error of the score


def pareto_front(costs: Sequence[float], scores: Sequence[float]) -> list[int]:
    """Indices of the points that no other point beats in cost and score, the cheapest first."""
    front: list[int] = []
    for index in sorted(range(len(costs)), key=lambda index: (costs[index], -scores[index])):
        if not front or scores[index] > scores[front[-1]]:
            front.append(index)
    return front


@styled
def cost(points: Sequence[CostPoint], score: str = "accuracy") -> Figure:
    """Three panels with one scale of scores; the step line is the Pareto front.

    Args:
        points: one or more.
        score: its name, ``accuracy`` or ``R²``.
    """
    figure = Figure(figsize=(WIDTH, 3.1))
    panels = figure.subplots(1, 3, sharey=True)
    _draw_by_nets(panels[0], points)
    _draw_by_seconds(panels[1], points, [point.parallel for point in points])
    direct_title(panels[1], "Waiting time", "all local nets in parallel")
    _draw_by_seconds(panels[2], points, [point.serial for point in points])
    direct_title(panels[2], "Computing time", "one training after another")
    panels[0].set_ylabel(f"test {score}")
    shown = [name for name in METHOD_COLOURS if name in {point.method for point in points}]
    handles, labels = panels[0].get_legend_handles_labels()
    lines = dict(zip(labels, handles, strict=True))
    figure.legend([lines[name] for name in shown], shown, loc="outside upper left", ncols=6)
    return figure


def _draw_by_nets(axes: Axes, points: Sequence[CostPoint]) -> None:
    numbers = sorted({point.nets for point in points})
    for method in dict.fromkeys(point.method for point in points):
        own = [point for point in points if point.method == method]
        # Equal distances: 4, 5 and 64 nets can all be read.
        places = [numbers.index(point.nets) for point in own]
        axes.errorbar(
            places,
            [point.score for point in own],
            [point.error for point in own],
            linestyle="none",
            elinewidth=0.8,
            label=method,
            **_style(method),
        )
    axes.set_xticks(range(len(numbers)), numbers)
    axes.set_xlim(-0.5, len(numbers) - 0.5)
    axes.set_xlabel("nets that see images")
    direct_title(axes, "Number of nets", "bars: one standard error")


def _draw_by_seconds(axes: Axes, points: Sequence[CostPoint], seconds: Sequence[float]) -> None:
    front = pareto_front(seconds, [point.score for point in points])
    end = 1.3 * max(seconds)
    steps = [*(seconds[index] for index in front), end]
    heights = [points[index].score for index in front]
    axes.step(steps, [*heights, heights[-1]], where="post", color=MUTED, linewidth=1, zorder=1)
    for index, (point, x) in enumerate(zip(points, seconds, strict=True)):
        axes.plot(x, point.score, alpha=1 if index in front else 0.55, **_style(point.method))
    axes.set_xscale("log")
    axes.set_xlim(min(seconds) / 1.3, end)
    if max(seconds) / min(seconds) < 30:
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("training time (s)")
    axes.grid(axis="x", color=GRID)


def _style(method: str) -> dict[str, object]:
    colour = METHOD_COLOURS.get(method, MUTED)
    marker = METHOD_MARKERS.get(method, ".")
    return {"color": colour, "marker": marker, "markersize": 6, "markeredgewidth": 0}
