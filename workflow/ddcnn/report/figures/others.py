"""The other ways of parallel training: time against workers and against bandwidth."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from ddcnn.report.figures.style import (
    CYCLE,
    GRID,
    INK,
    METHOD_COLOURS,
    WIDTH,
    direct_title,
    styled,
)

MARKERS = ("s", "^", "D", "v")


class TimeCurve(NamedTuple):
    """Seconds of a training by the model at some places, and pairs of a place and what it took."""

    name: str
    places: Sequence[float]
    seconds: Sequence[float]
    measured: Sequence[tuple[float, float]]


class TimePoint(NamedTuple):
    """A decomposition: devices, and seconds of its slowest and its coarse net."""

    devices: int
    seconds: float


@styled
def other_ways(
    by_workers: Sequence[TimeCurve],
    by_bandwidth: Sequence[TimeCurve],
    one_device: float | None,
    decompositions: Sequence[TimePoint],
) -> Figure:
    """Two panels with one scale of seconds; lines are the model, markers were measured.

    Args:
        by_workers, by_bandwidth: a curve for each way, in one order.
        one_device: seconds of the global net on one device, if it was trained.
        decompositions: at least one, or none.
    """
    figure = Figure(figsize=(WIDTH, 3.2))
    left, right = figure.subplots(1, 2, sharey=True)
    _draw(left, by_workers, "workers, or devices with a tile each", base=2)
    direct_title(left, "More devices", "by the link of this machine")
    _draw(right, by_bandwidth, "bandwidth of the link (Gbit/s)", base=10)
    direct_title(right, "Other links", "as many workers as were measured")
    colour = METHOD_COLOURS["cnn-dnn"]
    if decompositions:
        places = [point.devices for point in decompositions]
        times = [point.seconds for point in decompositions]
        left.plot(places, times, "o", color=colour, label="tiles")
        right.axhline(min(times), color=colour)
    if one_device is not None:
        for axes in (left, right):
            axes.axhline(one_device, color=INK, linestyle=":", linewidth=1, label="one device")
    left.set_ylabel("training time (s)")
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=6)
    return figure


def _draw(axes: Axes, curves: Sequence[TimeCurve], label: str, base: int) -> None:
    colours = [colour for colour in CYCLE if colour != METHOD_COLOURS["cnn-dnn"]]
    for curve, colour, marker in zip(curves, colours, MARKERS, strict=False):
        axes.plot(curve.places, curve.seconds, color=colour)
        axes.plot(
            [place for place, _ in curve.measured],
            [seconds for _, seconds in curve.measured],
            marker,
            color=colour,
            label=curve.name,
        )
    axes.set_xscale("log", base=base)
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(label)
    axes.grid(axis="x", color=GRID)
