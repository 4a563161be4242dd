"""Signals along time: how one is cut, and where in time the local nets do well."""

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, to_rgba
from matplotlib.figure import Figure

from ddcnn.report.figures.boxes import (
    Box,
    Boxes,
    average_over_tiles,
    count_tiles,
    is_interleaved,
    slices,
)
from ddcnn.report.figures.style import (
    BLUE,
    GREEN,
    INK,
    PAPER,
    PURPLE,
    SKY,
    VERMILLION,
    WIDTH,
    direct_title,
    styled,
    write_on_picture,
)

LANE_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE)  # neighbouring tiles differ
MOST_LANES = 16  # tiles that are drawn out below the signal
MOST_CHANNELS = 4  # of a signal that are drawn
LANE = 0.45  # inches
LANE_FILL = 0.9  # of a lane's height


@styled
def signal_picture(signal: np.ndarray, boxes: Boxes, view: np.ndarray | None = None) -> Figure:
    """The signal above; below it every tile in a lane of its own at its place in time.

    Args:
        signal: float ``T, C``.
        boxes: the plan's tiles.
        view: the coarse view ``t, C``, drawn over the whole time it stands for, or None.
    """
    names = list(boxes)[:MOST_LANES]
    lanes = [*names, *(["view"] if view is not None else [])]
    height = 1.3 + LANE * len(lanes) + 0.6
    figure = Figure(figsize=(WIDTH, height))
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=(1.3, LANE * len(lanes)))
    _draw_signal(top, signal, boxes)
    low, high = float(signal.min()), float(signal.max())
    for lane, name in enumerate(names):
        places = np.arange(len(signal))[slices(boxes[name])]
        style = {"color": LANE_COLOURS[lane % len(LANE_COLOURS)]}
        if is_interleaved(boxes):
            style |= {"marker": ".", "linestyle": "none", "markersize": 2.5}
        _draw_lane(below, lane, places, (signal[places], low, high), style)
    if view is not None:
        places = (np.arange(len(view)) + 0.5) * len(signal) / len(view) - 0.5
        _draw_lane(below, len(names), places, (view, low, high), {"color": INK})
    labels = [f"tile {name}" for name in names]
    if view is not None:
        labels.append("coarse view")
    below.set_yticks(range(len(lanes)), labels)
    below.set_ylim(len(lanes) - 0.5, -0.5)
    below.grid(False)
    below.spines["left"].set_visible(False)
    below.set_xlabel("time (samples)")
    tile = len(np.arange(len(signal))[slices(next(iter(boxes.values())))])
    jobs = "1 tile" if len(boxes) == 1 else f"{len(boxes)} tiles, one net each"
    shown = f"; the first {MOST_LANES}" if len(boxes) > MOST_LANES else ""
    direct_title(top, "One signal", f"{len(signal)} samples")
    direct_title(below, jobs, f"{tile} samples each{shown}")
    return figure


def _draw_signal(axes: Axes, signal: np.ndarray, boxes: Boxes) -> None:
    for channel in signal.T[:MOST_CHANNELS]:
        axes.plot(channel, color=INK, linewidth=1.2)
    if not is_interleaved(boxes):
        shared = count_tiles((len(signal),), boxes) > 1
        edges = np.flatnonzero(np.diff(np.r_[0, shared.astype(int), 0]))
        for start, stop in edges.reshape(-1, 2):
            axes.axvspan(start - 0.5, stop - 0.5, color=to_rgba(SKY, 0.35), linewidth=0)
    axes.set_xlim(-0.5, len(signal) - 0.5)


def _draw_lane(
    axes: Axes,
    lane: int,
    places: np.ndarray,
    values: tuple[np.ndarray, float, float],
    style: dict[str, object],
) -> None:
    """A part ``t, C`` of the signal, of values between low and high, in the height of a lane."""
    part, low, high = values
    for channel in part.T[:MOST_CHANNELS]:
        height = (channel - low) / ((high - low) or 1) - 0.5
        axes.plot(places, lane - LANE_FILL * height, linewidth=1.4, **{"linestyle": "-", **style})


def draw_signal_panel(
    axes: Axes,
    mean_signal: np.ndarray,
    boxes: Boxes,
    scores: dict[str, float],
    scale: Normalize,
    colours: str,
    most_numbers: int,
) -> None:
    """The mean signal over the colours of the scores of the tiles that cover each sample."""
    num_samples = len(mean_signal)
    score = average_over_tiles((num_samples,), boxes, scores)
    low, high = float(mean_signal.min()), float(mean_signal.max())
    margin = 0.12 * ((high - low) or 1)
    extent = (-0.5, num_samples - 0.5, low - margin, high + 3 * margin)
    axes.imshow(
        colormaps[colours](scale(score))[None],
        extent=extent,
        aspect="auto",
        interpolation="none",
        alpha=0.7,
    )
    axes.plot(mean_signal, color=PAPER, linewidth=3)
    axes.plot(mean_signal, color=INK, linewidth=1.3)
    axes.set_ylim(*extent[2:])
    axes.grid(False)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    if len(scores) <= most_numbers and not is_interleaved(boxes):
        _write_numbers(axes, boxes, scores, high + 1.6 * margin)


def _write_numbers(axes: Axes, boxes: Boxes, scores: dict[str, float], height: float) -> None:
    for name, score in scores.items():
        size = 8 if len(scores) <= 9 else 6
        write_on_picture(axes, _centre(boxes[name]), height, f"{score:.2f}", size)


def _centre(box: Box) -> float:
    return (box["start"][0] + box["stop"][0] - 1) / 2
