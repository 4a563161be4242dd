"""Colours, type and saving: what makes all figures look like one set."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from ddcnn.base.escaping import all_visible
from ddcnn.base.files import write_aside

# Paper, ink and lines stand for what a page may exchange in its dark scheme (THEME_COLOURS).
PAPER, INK, MUTED, GRID = "#ffffff", "#1f2328", "#656d76", "#d5dbe1"
# Okabe and Ito's palette; yellow and the light orange are left out as too faint on white.
BLUE, VERMILLION, GREEN, PURPLE, SKY = "#0072b2", "#d55e00", "#009e73", "#b8609a", "#56b4e9"
THEME_COLOURS = {"paper": PAPER, "ink": INK, "muted": MUTED, "grid": GRID, "blue": BLUE}

METHOD_COLOURS = {
    "global": INK,
    "cnn-dnn": BLUE,
    "mean": VERMILLION,
    "vote": GREEN,
    "best-tile": PURPLE,
    "small": MUTED,
    "ensemble": MUTED,
    "coherent": SKY,
    "transfer": SKY,
    "logistic": GREEN,
    "weighted": VERMILLION,
}
# Where a colour stands for two methods, the marker tells them apart.
METHOD_MARKERS = {
    "global": "D",
    "cnn-dnn": "o",
    "mean": "s",
    "vote": "^",
    "best-tile": "v",
    "small": "d",
    "ensemble": "h",
    "coherent": "P",
    "transfer": "X",
    "logistic": "<",
    "weighted": "p",
}
CYCLE = (BLUE, VERMILLION, GREEN, PURPLE, SKY, MUTED)

WIDTH = 7.6  # inches: the text column of the report, and of most journals across both columns

STYLE = {
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same everywhere
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "text.parse_math": False,  # names of classes and files may hold dollars
    "axes.titlecolor": INK,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "ytick.major.size": 0,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.07,
    "image.composite_image": False,
    "svg.fonttype": "none",  # text stays text: sharp, small, can be searched and copied
    "svg.hashsalt": "ddcnn",  # the same ids for the same figure
    "pdf.fonttype": 3,  # text stays text; subsets of TrueType cost four times as long to write
}


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Run a drawing function under this project's style, whatever the caller's settings.

    No text that it is given is hidden or read as a formula.
    """

    @wraps(draw)
    def draw_with_style(*args: Any, **kwargs: Any) -> Figure:
        with matplotlib.rc_context(STYLE):
            return draw(*map(all_visible, args), **all_visible(kwargs))

    return draw_with_style


# Formats of a figure: no dates and no program versions, so that equal results give equal files.
FORMATS: dict[str, dict[str, Any]] = {
    "svg": {"metadata": {"Date": None, "Creator": None}},
    "pdf": {"metadata": {"CreationDate": None, "Creator": None, "Producer": None}},
    "png": {
        "metadata": {"Software": None},
        "dpi": 200,
        "facecolor": PAPER,
        "pil_kwargs": {"compress_level": 3},  # half the time, a tenth more bytes
    },
}


def save(figure: Figure, stem: Path) -> dict[str, Path]:
    """Write ``stem``.svg and ``stem``.pdf (transparent) and ``stem``.png (200 dpi, on white).

    Returns:
        the path of every format by its name.
    """
    paths = {name: stem.with_name(f"{stem.name}.{name}") for name in FORMATS}
    with matplotlib.rc_context(STYLE):
        # Everything is placed once for all formats: savefig would draw every figure twice for it.
        figure.get_layout_engine().execute(figure)
        matplotlib.rcParams["figure.constrained_layout.use"] = False
        figure.set_layout_engine(None)
        for name, path in paths.items():
            with write_aside(path) as aside:
                figure.savefig(aside, **FORMATS[name])
    return paths


class PlainLogFormatter(LogFormatter):
    """Numbers on a logarithmic axis as ``0.4``: powers of ten would be formulas."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """The text at ``x``; empty where none has room."""
        return f"{x:g}" if super().__call__(x, pos) else ""


def write_plainly(axis: Axis) -> None:
    """Write out the numbers of a logarithmic axis."""
    axis.set_major_formatter(PlainLogFormatter())
    axis.set_minor_formatter(PlainLogFormatter())


def direct_title(axes: Axes, title: str, note: str = "") -> None:
    """A bold title over the left edge, and a quieter note in a line of its own below it."""
    axes.set_title(title, pad=20 if note else 8)
    if note:
        axes.annotate(
            note,
            (0, 1),
            (0, 8),
            xycoords="axes fraction",
            textcoords="offset points",
            color=MUTED,
            fontsize=8.5,
            va="bottom",
        ).set_in_layout(False)  # a long note must not push the panels apart


def bare(axes: Axes) -> None:
    """Take axes, ticks and grid away: for pictures."""
    axes.set_axis_off()
    axes.set_aspect("equal")


def write_on_picture(axes: Axes, x: float, y: float, text: str, size: float) -> None:
    """A number that can be read on whatever lies below it, centred on a point in data units."""
    box = {"boxstyle": "round,pad=0.2", "facecolor": PAPER, "edgecolor": "none", "alpha": 0.8}
    axes.text(x, y, text, ha="center", va="center", fontsize=size, bbox=box)
