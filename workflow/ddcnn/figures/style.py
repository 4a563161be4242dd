"""Colours, type and saving: what makes all figures look like one set."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ddcnn.files import write_aside

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
}
METHOD_MARKERS = {"global": "D", "cnn-dnn": "o", "mean": "s", "vote": "^", "best-tile": "v"}
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
}


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Run a drawing function under this project's style, whatever the caller's settings."""

    @wraps(draw)
    def draw_with_style(*args: Any, **kwargs: Any) -> Figure:
        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return draw_with_style


def save(figure: Figure, stem: Path) -> tuple[Path, Path]:
    """Write ``stem``.svg (transparent) and ``stem``.png (200 dpi, on white); return both paths.

    No dates and no program versions go in, so that equal results give equal files.
    """
    svg, png = stem.with_name(f"{stem.name}.svg"), stem.with_name(f"{stem.name}.png")
    with matplotlib.rc_context(STYLE):
        with write_aside(svg) as aside:
            figure.savefig(aside, metadata={"Date": None, "Creator": None})
        with write_aside(png) as aside:
            figure.savefig(aside, dpi=200, facecolor=PAPER, metadata={"Software": None})
    return svg, png


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
