"""Is a decision with 90 % confidence right in 90 of 100 cases? Reliability diagrams."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ddcnn.report.figures.style import (
    METHOD_COLOURS,
    METHOD_MARKERS,
    MUTED,
    WIDTH,
    direct_title,
    styled,
)

LOCAL = "local nets"
COLOURS = METHOD_COLOURS | {LOCAL: METHOD_COLOURS["best-tile"]}
MARKERS = METHOD_MARKERS | {LOCAL: METHOD_MARKERS["best-tile"]}
FEWEST = 10  # decisions below which the accuracy of a bin says nothing


class ReliabilityCurve(NamedTuple):
    """Decisions in bins of their confidence: arrays of one number for each bin."""

    name: str
    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray
    error: float  # expected calibration error


@styled
def reliability(
    curves: Sequence[ReliabilityCurve], errors: Mapping[str, Mapping[str, float]]
) -> Figure:
    """Accuracy against confidence at the left; calibration errors at the right.

    Args:
        curves: of one decomposition and of the global net.
        errors: expected calibration errors by decomposition and by name (method or local nets).
    """
    figure = Figure(figsize=(WIDTH, max(3.3, 0.3 * len(errors) + 1.6)))
    left, right = figure.subplots(1, 2, width_ratios=(1, 1))
    left.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (5, 2)), zorder=1)
    for curve in curves:
        enough = curve.count >= FEWEST
        left.plot(
            curve.confidence[enough],
            curve.accuracy[enough],
            label=f"{curve.name} (ECE {curve.error:.3f})",
            **_style(curve.name),
        )
    left.set_xlabel("confidence: probability of the decision")
    left.set_ylabel("accuracy of these decisions")
    left.set_xlim(0, 1.01)
    left.set_ylim(0, 1.01)
    left.grid(True, axis="both")
    left.legend(loc="upper left", fontsize=8)
    direct_title(left, "Reliability", "below the diagonal: too sure")
    _draw_errors(right, errors)
    return figure


def _draw_errors(axes: Axes, errors: Mapping[str, Mapping[str, float]]) -> None:
    for place, by_name in enumerate(errors.values()):
        for name, value in by_name.items():
            axes.plot(value, place, linestyle="none", **_style(name))
    axes.set_yticks(range(len(errors)), [label.replace(" + ", "\n+ ") for label in errors])
    axes.set_ylim(len(errors) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.grid(True, axis="both")
    axes.set_xlabel("expected calibration error (ECE)")
    direct_title(axes, "Calibration error", "symbols as at the left; 0 is perfect")


def _style(name: str) -> dict[str, object]:
    return {
        "color": COLOURS.get(name, MUTED),
        "marker": MARKERS.get(name, "."),
        "markeredgewidth": 0,
    }
