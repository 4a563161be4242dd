"""How the pixels of image files become 8 bit, whoever decodes them, and the notes on it."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from ddcnn.base.errors import InputError
from ddcnn.data.intensity import PER_IMAGE, own_window
from ddcnn.data.options import ReadOptions
from ddcnn.data.scaling import check_finite, to_uint8, windowed

ONE_BIT = "1 bit turned into 0 and 255"
ON_WHITE = "with transparency, laid on white"
PALETTE = "palette replaced by its colours"
PROFILE = "colour profile other than sRGB, not applied"
MASK = "mask beside the image left out"
SRGB = ("c2", "sgry")  # shortened forms of its profile that have no longer name


def to_rgb_note(space: str) -> str:
    """The note about another colour space."""
    return f"{space} turned into RGB"


def scaled_note(white: int | None) -> str:
    """The note about values whose white is not 255."""
    return f"{white} scaled to 255 (give a window for another range)"


def to_bytes(
    values: np.ndarray, white: float | None, options: ReadOptions | None, source: object
) -> np.ndarray:
    """Values of an image file as uint8 of the same shape.

    Args:
        values: of any real type.
        white: what becomes 255 where nothing else says so; 0 becomes 0.
        options: the window or the rule that finds one; None: neither counts.
        source: what errors call the values.
    """
    window = options and options.window
    if options and options.intensity in PER_IMAGE and is_deep(white):
        check_finite(values, source)
        window = own_window(values, options.intensity)
    if window is None and white == 255 and values.dtype == np.uint8:
        return values
    low, high = window or (0, white)
    if values.dtype in (np.uint8, np.uint16):  # a table needs no memory for floats
        every = np.arange(np.iinfo(values.dtype).max + 1, dtype=values.dtype)
        return to_uint8(windowed(every, (low, high), source))[values]
    return to_uint8(windowed(values, (low, high), source))


def is_deep(white: float | None) -> bool:
    """Whether values of this white have more than 8 bit; None: only a window says what it is."""
    return white is None or white > 255


def laid_on_white(
    colours: np.ndarray, alpha: np.ndarray, white: int, premultiplied: bool
) -> np.ndarray:
    """Colours ``rows, columns, C`` over white, float32; ``alpha`` is 0 to ``white``."""
    alpha = alpha.astype(np.float32)
    seen = colours if premultiplied else colours * (alpha / white)
    return np.minimum(seen + (white - alpha), white)


def has_foreign_profile(content: bytes | None) -> bool:
    """Whether there is a colour profile and it is not sRGB."""
    if not content:
        return False
    try:
        name = ImageCms.getProfileDescription(BytesIO(content)).strip().lower()
    except (ImageCms.PyCMSError, OSError):  # whatever it is, it is not applied
        return True
    return "srgb" not in name and name not in SRGB


def check_size(path: Path, shape: tuple[int, int], options: ReadOptions) -> None:
    """Refuse an image with more pixels than the user allows."""
    if shape[0] * shape[1] > options.most_pixels:
        raise InputError(
            f"{path} has {shape[0]} x {shape[1]} pixels, more than most_megapixels: "
            f"{options.most_megapixels:g}; make it smaller, or raise most_megapixels in dataset",
            "larger than most_megapixels",
        )


def check_single(path: Path, frames: int) -> None:
    """Refuse several images in a file."""
    if frames > 1:
        raise InputError(
            f"{path} holds {frames} pages or frames; accepted: one image a file; split it",
            "of several pages or frames",
        )


@contextmanager
def opened_unbounded(file: Path | BytesIO, formats: Sequence[str]) -> Iterator[Image.Image]:
    """An image with its header read by Pillow, whose own limit of pixels does not count."""
    limit = Image.MAX_IMAGE_PIXELS
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters is an error or a note of the reader
            Image.MAX_IMAGE_PIXELS = None  # the limit is the user's, see check_size
            with Image.open(file, formats=formats) as image:
                yield image
    finally:
        Image.MAX_IMAGE_PIXELS = limit
