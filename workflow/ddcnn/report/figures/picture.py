"""How one image is cut: the image with its tiles, the tiles beside it, the coarse view."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ddcnn.report.figures.boxes import (
    Box,
    Boxes,
    count_tiles,
    flat,
    is_interleaved,
    layers,
    position,
    slices,
)
from ddcnn.report.figures.style import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    PURPLE,
    SKY,
    VERMILLION,
    WIDTH,
    bare,
    styled,
)

TILE_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE)  # by parity of row and column: neighbours differ
OVERLAP_COLOUR = to_rgba(SKY, 0.45)
LINE = 1.6  # points
TEXT = 0.17  # inches of one line of text


@styled
def tiles_picture(image: np.ndarray, boxes: Boxes, view: np.ndarray | None = None) -> Figure:
    """Draw everything to one scale, so that one sees the pixels which an overlap adds.

    Args:
        image: uint8 ``*shape, C``.
        boxes: the plan's tiles.
        view: uint8 ``*tile_shape, C``, or None without a coarse view.
    """
    layout = _layout(image, boxes, view)
    figure = Figure(figsize=layout.size_inches)
    axes = figure.add_subplot()
    bare(axes)
    for row, (index, names) in enumerate(layers(boxes)):
        top = row * layout.row_height
        _draw_image(axes, flat(image, index), {name: boxes[name] for name in names}, top)
        for name in names:
            tile = flat(image, index)[slices(boxes[name])[:2]]
            _framed(axes, tile, layout.place(name, top), tile_colour(name))
        if index is not None:
            _write(axes, 0, top + image.shape[0], f"slice {index}", below=True)
    if view is not None:
        _framed(
            axes,
            flat(view, view.shape[2] // 2 if view.ndim == 4 else None),
            (layout.view_left, 0),
            INK,
        )
    _write_headings(axes, layout, image, boxes, view)
    axes.set_xlim(-1 / layout.scale / 72, layout.width)
    axes.set_ylim(layout.height, -layout.text(2.6))
    return figure


def tile_colour(name: str) -> str:
    """Neighbouring tiles have different colours, in every grid."""
    row, column = position(name)
    return TILE_COLOURS[2 * (row % 2) + column % 2]


@dataclass(frozen=True)
class _Layout:
    """Places in pixels of the image; x to the right, y down."""

    tile_shape: tuple[int, int]
    gap: float  # between tiles
    tiles_left: float
    view_left: float
    width: float
    row_height: float
    height: float

    @property
    def scale(self) -> float:
        """Inches of one pixel."""
        return WIDTH / self.width

    @property
    def size_inches(self) -> tuple[float, float]:
        return WIDTH, self.scale * (self.height + self.text(2.6))

    def text(self, lines: float) -> float:
        """Pixels of the image that lines of text take."""
        return lines * TEXT / self.scale

    def place(self, name: str, top: float) -> tuple[float, float]:
        row, column = position(name)
        rows, columns = self.tile_shape
        return self.tiles_left + column * (columns + self.gap), top + row * (rows + self.gap)


def _layout(image: np.ndarray, boxes: Boxes, view: np.ndarray | None) -> _Layout:
    rows, columns = image.shape[:2]
    tile_rows, tile_columns = image[slices(next(iter(boxes.values())))].shape[:2]
    grid_rows, grid_columns = np.max([position(name) for name in boxes], axis=0) + 1
    gap = max(0.5, 0.12 * tile_columns)
    tiles_left = 1.12 * columns
    tiles_right = tiles_left + grid_columns * (tile_columns + gap) - gap
    view_left = tiles_right + 0.12 * columns
    # A heading needs about an image's width at most, whatever stands below it.
    width = max(tiles_right, tiles_left + 0.9 * columns)
    if view is not None:
        view_left = max(view_left, tiles_left + columns)
        width = view_left + max(tile_columns, 0.5 * columns)
    width = max(width, 2.6 * columns)
    num_layers = len(layers(boxes))
    block = max(rows, grid_rows * (tile_rows + gap) - gap)
    row_height = block + (0 if image.ndim == 3 else 1.7 * TEXT * width / WIDTH)
    return _Layout(
        (tile_rows, tile_columns),
        gap,
        tiles_left,
        view_left,
        width,
        row_height,
        num_layers * row_height,
    )


def _draw_image(axes: Axes, picture: np.ndarray, boxes: Boxes, top: float) -> None:
    rows, columns = picture.shape[:2]
    _show(axes, picture, (0, top))
    if is_interleaved(boxes):
        tint = np.zeros((rows, columns, 4))
        for name, box in boxes.items():
            tint[slices(box)[:2]] = to_rgba(tile_colour(name), 0.4)
        _show(axes, tint, (0, top))
        return
    shared = count_tiles((rows, columns), boxes) > 1
    _show(axes, shared[..., None] * np.array(OVERLAP_COLOUR), (0, top))
    for name, box in boxes.items():
        _draw_box(axes, box, top, tile_colour(name))


def _draw_box(axes: Axes, box: Box, top: float, colour: str) -> None:
    """Drawn a little inside, so that the borders of neighbours do not hide each other."""
    (y, x), (y_end, x_end) = box["start"][:2], box["stop"][:2]
    inset = 0.012 * axes.get_figure().get_size_inches()[1]
    axes.add_patch(
        Rectangle(
            (x + inset, y + top + inset),
            x_end - x - 2 * inset,
            y_end - y - 2 * inset,
            fill=False,
            edgecolor=colour,
            linewidth=LINE,
            clip_on=False,
        )
    )


def _framed(axes: Axes, picture: np.ndarray, place: tuple[float, float], colour: str) -> None:
    _show(axes, picture, place)
    axes.add_patch(
        Rectangle(
            place,
            picture.shape[1],
            picture.shape[0],
            fill=False,
            edgecolor=colour,
            linewidth=LINE,
            clip_on=False,
        )
    )


def _show(axes: Axes, picture: np.ndarray, place: tuple[float, float]) -> None:
    x, y = place
    rows, columns, channels = picture.shape
    if channels not in (3, 4):
        picture = picture.mean(axis=-1)
    axes.imshow(
        picture,
        cmap="gray",
        extent=(x, x + columns, y + rows, y),
        interpolation="none",
        **({} if picture.dtype == np.uint8 or channels == 4 else {"vmin": 0, "vmax": 255}),
    )


def _write_headings(
    axes: Axes, layout: _Layout, image: np.ndarray, boxes: Boxes, view: np.ndarray | None
) -> None:
    tile = image[slices(next(iter(boxes.values())))]
    jobs = "1 tile" if len(boxes) == 1 else f"{len(boxes)} tiles, one net each"
    headings = [
        (0.0, "One image" if image.ndim == 3 else "One volume", size_text(image.shape[:-1])),
        (layout.tiles_left, jobs, size_text(tile.shape[:-1])),
    ]
    if view is not None:
        headings.append((layout.view_left, "Coarse view", size_text(view.shape[:-1])))
    for left, title, note in headings:
        _write(axes, left, -layout.text(1.2), title, weight="bold", color=INK)
        _write(axes, left, 0, note)


def _write(axes: Axes, x: float, y: float, text: str, below: bool = False, **style: str) -> None:
    axes.annotate(
        text,
        (x, y),
        (0, -4 if below else 4),
        textcoords="offset points",
        va="top" if below else "baseline",
        fontsize=9,
        **{"color": MUTED, **style},
    )


def size_text(shape: Sequence[int]) -> str:
    """``28 x 28 pixels`` or ``64 x 64 x 32 voxels``, with a real multiplication sign."""
    return " × ".join(map(str, shape)) + (" pixels" if len(shape) < 3 else " voxels")
