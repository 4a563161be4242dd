"""Why one image was decided as it was: its tiles' votes, and the weight of each in the decision."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ddcnn.base.escaping import visible
from ddcnn.base.files import write_aside
from ddcnn.report.figures.boxes import Box, Boxes, average_over_tiles, flat, is_interleaved, layers
from ddcnn.report.figures.style import (
    BLUE,
    INK,
    MUTED,
    PAPER,
    STYLE,
    VERMILLION,
    WIDTH,
    bare,
    direct_title,
    styled,
    write_on_picture,
)

MOST_BARS = 24  # subdomains whose weights are drawn: the largest
MOST_NAMES = 36  # tiles whose names are written into the pictures
MOST_OPACITY = 0.45  # of the colour of a weight
BAR, TEXT = 0.21, 22  # inches of a bar; letters of a name


@dataclass(frozen=True)
class WeightedVote:
    """What a subdomain says alone, in words, and its weight in the decision."""

    text: str
    weight: float


@styled
def votes_picture(
    image: np.ndarray,
    boxes: Boxes,
    votes: Mapping[str, WeightedVote],
    title: str,
    note: str,
    what: str,
) -> Figure:
    """The image with its tiles, coloured by their weights, and the weights as bars.

    Args:
        image: uint8 ``rows, columns, C``, a volume ``rows, columns, slices, C``, or a signal float
            ``T, C``.
        boxes: the plan's tiles.
        votes: of every subdomain; one without a box is the coarse view.
        title, note: the decision, and of what.
        what: the axis of the weights, with its unit.
    """
    shown = [(None, list(boxes))] if image.ndim == 2 else layers(boxes)
    height = max(2.6, 1.1 + BAR * min(len(votes), MOST_BARS))
    figure = Figure(figsize=(WIDTH, height * (1 if len(shown) < 3 else 1.3)))
    left, right = figure.subfigures(1, 2, width_ratios=(1.15, 1))
    columns = min(2, len(shown))
    panels = left.subplots(-(-len(shown) // columns), columns, squeeze=False).flat
    largest = max((abs(vote.weight) for vote in votes.values()), default=0) or 1.0
    weights = {name: votes[name].weight / largest for name in boxes}
    for axes, (index, names) in zip(panels, shown, strict=False):
        if image.ndim == 2:
            _draw_signal(axes, image, boxes, weights)
        else:
            _draw_picture(axes, flat(image, index), boxes, weights, index)
            if len(names) <= MOST_NAMES // len(shown):
                _write_names(axes, {name: boxes[name] for name in names})
            if index is not None:
                _write_below(axes, f"slice {index}")
    for axes in list(panels)[len(shown) :]:
        axes.set_visible(False)
    left.suptitle(f"{title}\n", x=0.02, ha="left", fontsize=9.5, fontweight="bold", color=INK)
    note = shorten(note, 70, placeholder=" ...")
    left.supxlabel(note, x=0.02, ha="left", fontsize=8, color=MUTED)
    _draw_bars(right.subplots(), votes, what)
    return figure


def _colours(weights: np.ndarray) -> np.ndarray:
    """RGBA: for the decision in blue, against it in vermillion, no weight transparent."""
    colours = np.where(weights[..., None] >= 0, to_rgb(BLUE), to_rgb(VERMILLION))
    return np.concatenate([colours, MOST_OPACITY * np.abs(weights)[..., None]], axis=-1)


def _draw_picture(
    axes: Axes, picture: np.ndarray, boxes: Boxes, weights: Mapping[str, float], index: int | None
) -> None:
    bare(axes)
    shown = picture if picture.shape[-1] == 3 else picture.mean(axis=-1)
    axes.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="none")
    overlay = average_over_tiles(picture.shape[:2], boxes, weights, index)
    axes.imshow(_colours(overlay), interpolation="none")
    if is_interleaved(boxes):
        return
    for box in boxes.values():
        (y, x), (y_end, x_end) = box["start"][:2], box["stop"][:2]
        axes.add_patch(
            Rectangle(
                (x - 0.5, y - 0.5), x_end - x, y_end - y, fill=False, edgecolor=PAPER, linewidth=1
            )
        )


def _write_names(axes: Axes, boxes: Boxes) -> None:
    """Names alone: what the tiles say stands beside the bars, where it has room."""
    if is_interleaved(boxes):
        return
    for name, box in boxes.items():
        y, x = _centre(box)
        write_on_picture(axes, x, y, name, 6.5)


def _write_below(axes: Axes, text: str) -> None:
    place = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "top"}
    axes.annotate(text, (0, 0), (0, -3), fontsize=8, color=MUTED, **place)


def _centre(box: Box) -> list[float]:
    return [(a + b - 1) / 2 for a, b in zip(box["start"][:2], box["stop"][:2], strict=True)]


def _draw_signal(
    axes: Axes, signal: np.ndarray, boxes: Boxes, weights: Mapping[str, float]
) -> None:
    overlay = average_over_tiles((len(signal),), boxes, weights)
    low, high = float(signal.min()), float(signal.max())
    extent = (-0.5, len(signal) - 0.5, low, high if high > low else low + 1)
    axes.imshow(_colours(overlay)[None], extent=extent, aspect="auto", interpolation="none")
    for channel in signal.T:
        axes.plot(channel, color=INK, linewidth=1.2)
    axes.grid(False)
    axes.set_xlabel("time (samples)")


def _draw_bars(axes: Axes, votes: Mapping[str, WeightedVote], what: str) -> None:
    names = sorted(votes, key=lambda name: -abs(votes[name].weight))[:MOST_BARS]
    names = [name for name in votes if name in names]
    weights = [votes[name].weight for name in names]
    places = np.arange(len(names))
    axes.barh(places, weights, color=[BLUE if w >= 0 else VERMILLION for w in weights], height=0.6)
    axes.axvline(0, color=MUTED, linewidth=0.8)
    labels = [f"{n}: {shorten(votes[n].text, TEXT, placeholder=' ...')}" for n in names]
    axes.set_yticks(places, labels, fontsize=7.5)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(True, axis="x")
    axes.grid(False, axis="y")
    axes.set_xlabel(what)
    more = f"the {MOST_BARS} largest of {len(votes)}" if len(votes) > MOST_BARS else ""
    direct_title(axes, "Vote and weight of each part", more)


def save_described(figure: Figure, path: Path, title: str, description: str) -> None:
    """Write an SVG that says in words what it shows, for those who cannot see it."""
    words = {"Title": visible(title), "Description": visible(description)}
    metadata = {"Date": None, "Creator": None, **words}
    with matplotlib.rc_context(STYLE), write_aside(path) as aside:
        figure.savefig(aside, metadata=metadata)
