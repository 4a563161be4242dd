"""Image files of two dimensions: PNG, JPEG, TIFF, WebP ... -> uint8 ``rows, columns, C``.

The format is recognised from the content, whatever the name says. Colour profiles are not
applied. Whatever Pillow would convert with a loss that nobody sees is noted or refused.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from math import prod
from pathlib import Path

import numpy as np
from PIL import Image

from ddcnn.base.errors import InputError
from ddcnn.base.foreign import check_regular
from ddcnn.base.reading import hindrance
from ddcnn.data import intensity, tiff
from ddcnn.data.options import ReadOptions
from ddcnn.data.pillow import PillowImage
from ddcnn.data.pixels import opened_unbounded
from ddcnn.data.samples import Decoded
from ddcnn.data.scaling import check_finite
from ddcnn.data.survey import (
    Header,
    Survey,
    change_notes,
    check_no_scans,
    common_shape,
    measured,
    read_headers,
    reason,
    require_decoding,
    size_notes,
    window_missing,
)
from ddcnn.data.values import FEW_VALUES, PREPARED, measure

NETPBM = (".pgm", ".ppm", ".pnm", ".pbm")
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", *NETPBM)
FORMATS = ("PNG", "JPEG", "PPM", "BMP", "WEBP")  # read by Pillow
RESAMPLING = Image.Resampling.BICUBIC  # Pillow widens it when it shrinks: no aliasing
ACCEPTED = "PNG, JPEG, PGM/PPM, TIFF, BMP, WebP"
FIT_WORDS = {
    "crop": "middle cropped and resized to",
    "pad": "resized and padded with black to",
    "stretch": "stretched to",
}
JPEG = (".jpg", ".jpeg")
DRAFT_PIXELS = 64  # of a JPEG are decoded as one at the smallest
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
FIRST_TURNED = 5  # orientations from here on exchange rows and columns


def decode_image(path: Path, options: ReadOptions, channels: int) -> np.ndarray:
    """One image file as uint8 ``rows, columns, channels``.

    Args:
        path: a file of one of the accepted formats.
        options: the target shape and how to fit it, the window, the limit of pixels.
        channels: 1 (gray) or 3 (RGB).

    Raises:
        InputError: the file holds no such image, or one that is too large.
    """
    with _opened(path, options) as stored:
        if missing := stored.windowless():
            raise InputError(window_missing(path, missing))
        orientation = stored.orientation
        if options.shape is not None:  # a JPEG decodes several times as fast at a smaller size
            rows, columns = _turned(options.shape, orientation)
            stored.draft((2 * rows, 2 * columns))
        upright = stored.as_bytes(channels)
    if orientation in UPRIGHT:
        upright = upright.transpose(UPRIGHT[orientation])
    if options.shape is not None:
        upright = fit_image(upright, options.shape, options.fit)
    return np.array(upright).reshape(upright.height, upright.width, channels)


def read_image(path: Path, options: ReadOptions, channels: int) -> Decoded:
    """As :func:`decode_image`; with a window also what it made of the values."""
    image = decode_image(path, options, channels)
    if options.window is None:
        return Decoded(image)
    return Decoded(image, measure(image.ravel(), image.dtype, PREPARED))


def read_header(path: Path, options: ReadOptions) -> Header:
    """What the file's header says; no pixel is decoded."""
    with _opened(path, options) as stored:
        return Header(
            _turned(stored.shape, stored.orientation),
            1 if stored.gray else 3,
            stored.changes(),
            is_deep=stored.deep,
        )


def _turned(shape: Sequence[int], orientation: int) -> tuple[int, ...]:
    return tuple(shape[::-1] if orientation >= FIRST_TURNED else shape)


def survey(paths: Sequence[Path], options: ReadOptions) -> Survey:
    """The common shape and channels of many image files, and what is converted.

    Raises:
        InputError: sizes differ without a target shape, a window is missing, nothing is readable.
    """
    groups = read_headers(partial(read_header, options=options), paths, "images")
    check_no_scans(groups[0].first[0], options)
    has_deep = any(group.header.is_deep for group in groups)
    if options.intensity is not None and options.window is None and not has_deep:
        raise InputError(
            f"dataset.intensity: {options.intensity}, but the images have 8 bit and stay as they "
            "are; remove it, or give a window"
        )
    shape = common_shape(groups, options)
    channels = options.channels or max(group.header.channels for group in groups)
    size, resized = (*shape, channels), options.shape is not None
    require_decoding(
        groups, lambda group: bytes_of(group.header, group.first[0], size, resized), "images"
    )
    notes = change_notes(groups, "images") + size_notes(groups, shape, FIT_WORDS[options.fit])
    how = {1: "gray repeated in three channels", 3: "colour turned into gray"}
    for group in groups:
        other = group.header.channels != channels
        note = (how[group.header.channels],) if other else ()
        group.header = group.header._replace(changes=note)
    notes += change_notes(groups, "images")
    facts = {"intensity": intensity.given(options)._asdict()}
    return Survey(shape, channels, notes, facts, intensity.is_open(options, has_deep))


def bytes_of(header: Header, path: Path, shape: Sequence[int], resized: bool) -> int:
    """Memory that decoding an image takes at least, with its result of ``shape``.

    Args:
        header: of the image.
        path: its file.
        shape: rows, columns, channels.
        resized: whether a JPEG may be decoded at an eighth of its size.
    """
    a_pixel = 6 if header.is_deep else {1: 2, 3: 7}[header.channels]
    draft = DRAFT_PIXELS if resized and path.suffix.lower() in JPEG else 1
    return prod(header.shape) * a_pixel // draft + prod(shape)


def choose_intensity(paths: Sequence[Path], options: ReadOptions) -> intensity.IntensityRule:
    """The rule that the images of the training split ask for.

    Raises:
        InputError: none of them can be read.
    """
    found = measured(partial(_sample, options=options), paths, "images")
    deep = [each for each in found if each is not None] or [(np.ones(1), 1)]
    samples, tops = zip(*deep, strict=True)
    return intensity.choose_for_images(samples, tops, options.intensity)


def _sample(path: Path, options: ReadOptions) -> tuple[np.ndarray, float | None] | None:
    """Some values of an image above 8 bit and the largest that it can have; None for others."""
    with _opened(path, options) as stored:
        if not stored.deep:
            return None
        values, white = stored.values()
        check_finite(values, path)
        return values.ravel()[:: max(1, values.size // FEW_VALUES)], white


def decoder(survey: Survey, options: ReadOptions) -> Callable[[Path], np.ndarray]:
    """The function that decodes the files of this survey, for :class:`FileSamples`."""
    options = replace(options, shape=survey.shape)
    return partial(read_image, options=options, channels=survey.channels)


def fit_image(image: Image.Image, shape: Sequence[int], fit: str) -> Image.Image:
    """Bring an L or RGB image to ``shape`` (rows, columns), antialiased.

    Args:
        image: the image.
        shape: rows and columns.
        fit: ``crop`` its middle, ``pad`` with black, or ``stretch``.
    """
    rows, columns = shape
    if image.size == (columns, rows):
        return image
    factors = columns / image.width, rows / image.height
    if fit == "pad":
        size = [max(1, round(old * min(factors))) for old in image.size]
        padded = Image.new(image.mode, (columns, rows))
        place = ((columns - size[0]) // 2, (rows - size[1]) // 2)
        padded.paste(image.resize(size, RESAMPLING), place)
        return padded
    box = (0.0, 0.0, *image.size)
    if fit == "crop":
        width, height = columns / max(factors), rows / max(factors)
        left, top = max(0, image.width - width) / 2, max(0, image.height - height) / 2
        box = (left, top, min(image.width, left + width), min(image.height, top + height))
    return image.resize((columns, rows), RESAMPLING, box=box)


@contextmanager
def _opened(path: Path, options: ReadOptions) -> Iterator[PillowImage | tiff.TiffImage]:
    """The image with its header read and judged, its pixels not yet decoded."""
    check_regular(path)
    try:
        reader = tiff.opened if tiff.is_tiff(path) else _opened_by_pillow
        with reader(path, options) as stored:
            yield stored
    except InputError:
        raise
    except Image.UnidentifiedImageError:
        raise _unrecognised(path) from None
    except Exception as error:  # on a broken file a decoder may raise anything
        raise hindrance(path, error) or InputError(
            f"{path} cannot be read as an image ({reason(error)}); replace or remove it",
            "truncated" if "truncated" in str(error) else "",
        ) from error


@contextmanager
def _opened_by_pillow(path: Path, options: ReadOptions) -> Iterator[PillowImage]:
    with opened_unbounded(path, FORMATS) as image:
        yield PillowImage(path, image, options)


def _unrecognised(path: Path) -> InputError:
    with path.open("rb") as file:
        start = file.read(16)
    if not start:
        return InputError(f"{path} is empty (0 bytes); replace or remove it", "empty")
    return InputError(
        f"{path} holds no image of a known kind (it starts with {start!r}); accepted: {ACCEPTED}; "
        "replace or remove it",
        "of another format",
    )
