"""The worst mistakes of a method, each with what the tiles said."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from ddcnn.report.figures.boxes import Boxes, flat, is_interleaved, layers, slices
from ddcnn.report.figures.style import (
    BLUE,
    MUTED,
    PAPER,
    VERMILLION,
    WIDTH,
    bare,
    direct_title,
    styled,
)

ACROSS = 4  # panels side by side
MOST_TEXTS = 3  # tiles along an axis up to which every tile carries its vote
MOST_PIXELS = 256  # along an axis of a drawn image
LETTERS = 24  # of a title, at this width
TINT = 0.35


class JudgedVote(NamedTuple):
    """What one tile says of one image."""

    text: str
    right: bool


class Mistake(NamedTuple):
    """One image (or signal, or volume) with what was said of it."""

    image: np.ndarray  # *shape, C
    title: str
    note: str
    tally: str  # below the picture
    file: str  # below that, the end of its name
    votes: Mapping[str, JudgedVote]  # of the tiles, without the coarse view


@styled
def mistakes(cases: Sequence[Mistake], boxes: Boxes) -> Figure:
    """Tiles that were right are tinted blue and marked ✓, wrong ones vermillion and ✗.

    Args:
        cases: one or more, the worst one first.
        boxes: the plan's tiles; of a volume the middle slice of the middle layer is drawn.
    """
    shape = cases[0].image.shape[:-1]
    across, down = min(ACROSS, len(cases)), -(-len(cases) // ACROSS)
    side = WIDTH / ACROSS
    ratio = 0.62 if len(shape) == 1 else min(1.5, shape[0] / shape[1])
    figure = Figure(figsize=(WIDTH, down * (side * ratio + 0.85) + 0.1))
    grid = figure.subplots(down, ACROSS, squeeze=False)
    for axes in grid.flat[len(cases) :]:
        axes.set_axis_off()
    draw = _draw_signal if len(shape) == 1 else _draw_image
    for axes, case in zip(grid.flat[: max(across, len(cases))], cases, strict=False):
        draw(axes, case, boxes)
        direct_title(axes, _short(case.title), _short(case.note))
        axes.annotate(
            "\n".join(filter(None, (case.tally, _end(case.file)))),
            (0, 0),
            (0, -16 if len(shape) == 1 else -4),
            xycoords="axes fraction",
            textcoords="offset points",
            va="top",
            fontsize=8,
            color=MUTED,
        )
    return figure


def _draw_image(axes: Axes, case: Mistake, boxes: Boxes) -> None:
    bare(axes)
    stack = layers(boxes)
    index, names = stack[len(stack) // 2]
    picture = flat(case.image, index)
    rows, columns, channels = picture.shape
    step = max(1, -(-max(rows, columns) // MOST_PIXELS))
    shown = picture[::step, ::step] if channels == 3 else picture[::step, ::step].mean(axis=-1)
    limits = {} if channels == 3 else {"vmin": 0, "vmax": 255}
    extent = (0, columns, rows, 0)
    axes.imshow(shown, cmap="gray", extent=extent, interpolation="none", **limits)
    tint = np.zeros((rows, columns, 4))
    for name in names:
        if name in case.votes:
            right = case.votes[name].right
            tint[slices(boxes[name])[:2]] = to_rgba(BLUE if right else VERMILLION, TINT)
    axes.imshow(tint[::step, ::step], extent=extent, interpolation="none")
    if is_interleaved(boxes) or not case.votes:
        return
    many = max(len({boxes[name]["start"][axis] for name in names}) for axis in (0, 1)) > MOST_TEXTS
    for name in names:
        row, column = (
            (boxes[name]["start"][axis] + boxes[name]["stop"][axis]) / 2 for axis in (0, 1)
        )
        mark = "✓" if case.votes[name].right else "✗"
        text = mark if many else f"{mark} {case.votes[name].text}"
        _write(axes, column, row, text, 5 if many else 6.5)


def _draw_signal(axes: Axes, case: Mistake, boxes: Boxes) -> None:
    for channel in case.image.T:
        axes.plot(channel, color=MUTED, linewidth=1)
    low, high = float(case.image.min()), float(case.image.max())
    room = 0.16 * ((high - low) or 1)
    axes.set_ylim(low - 0.3 * room, high + (1 + len(case.votes)) * room)
    for lane, (name, vote) in enumerate(case.votes.items()):
        height = high + (lane + 1) * room
        box, colour = boxes[name], BLUE if vote.right else VERMILLION
        if not is_interleaved(boxes):
            axes.plot([box["start"][0], box["stop"][0]], [height, height], color=colour)
        mark = f"{'✓' if vote.right else '✗'} {vote.text}"
        if len(case.votes) <= 2 * MOST_TEXTS:
            _write(axes, (box["start"][0] + box["stop"][0]) / 2, height, mark, 6)
    axes.set_yticks([])
    axes.grid(False)
    axes.spines["left"].set_visible(False)


def _write(axes: Axes, x: float, y: float, text: str, size: float) -> None:
    box = {"boxstyle": "round,pad=0.15", "facecolor": PAPER, "edgecolor": "none", "alpha": 0.85}
    axes.text(x, y, text, ha="center", va="center", fontsize=size, bbox=box, clip_on=False)


def _short(text: str) -> str:
    return text if len(text) <= LETTERS else text[: LETTERS - 1] + "…"


def _end(name: str) -> str:
    """Names of a data set differ at their ends more often than where they begin."""
    return name if len(name) <= LETTERS else "…" + name[1 - LETTERS :]
