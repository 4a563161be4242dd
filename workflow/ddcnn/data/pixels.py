"""The kinds of pixels that Pillow knows, and how each becomes 8-bit gray or RGB.

Pillow converts some of them with a loss that nobody sees: every such case is either a note, or an
exact computation here, or refused.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from ddcnn.base.errors import InputError
from ddcnn.data.options import ReadOptions
from ddcnn.data.scaling import to_uint8, windowed

GRAY = ("1", "L", "LA", "La", "I", "F")
COLOUR = ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
DEEP_TOP = 2**16 - 1
TIFF_BITS, TIFF_ZERO, TIFF_SIGN = 258, 262, 339  # BitsPerSample, Photometric..., SampleFormat


def check_mode(path: Path, image: Image.Image, options: ReadOptions) -> None:
    """Refuse what cannot be turned into gray or RGB without an error that nobody sees."""
    if image.mode not in COLOUR and not is_gray(image):
        raise InputError(f"{path} has the colour space {image.mode}; accepted: gray, RGB, CMYK")
    if image.format == "TIFF":
        _check_tiff(path, image)
    if options.window and _is_deep_colour(image):
        raise InputError(
            f"{path} has colours of 16 bit, which a window cannot be applied to; "
            "remove window from dataset, or save the image in gray"
        )


def _check_tiff(path: Path, image: Image.Image) -> None:
    if _is_deep(image) and image.tag_v2.get(TIFF_ZERO) == 0:
        raise InputError(
            f"{path} is a TIFF above 8 bit whose zero is white; save it with black as zero"
        )
    if not _is_deep(image) and 2 in image.tag_v2.get(TIFF_SIGN, ()):
        raise InputError(f"{path} has signed values of 8 bit; save them unsigned or with 16 bit")


def is_gray(image: Image.Image) -> bool:
    """Whether an image, of which only the header is read, has no colour."""
    if image.mode == "P":
        return _has_gray_palette(image)
    return image.mode in GRAY or image.mode.startswith("I;16") or _raw_mode(image)[:3] == "LA;"


def _has_gray_palette(image: Image.Image) -> bool:
    order, content = image.palette.rawmode or image.palette.mode, bytes(image.palette.palette)
    if order == "RGB;L":  # TIFF: all reds, then all greens, then all blues
        planes = np.frombuffer(content, np.uint8).reshape(3, -1)
    elif order in ("RGB", "BGR", "BGRX", "RGBA"):
        usable = len(content) // len(order) * len(order)
        planes = np.frombuffer(content[:usable], np.uint8).reshape(-1, len(order)).T[:3]
    else:
        return False
    return bool((planes == planes[0]).all())


def _is_deep(image: Image.Image) -> bool:
    """Gray above 8 bit."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _is_deep_colour(image: Image.Image) -> bool:
    """Colours above 8 bit, which Pillow reduces while it decodes."""
    return not _is_deep(image) and (";16" in _raw_mode(image) or _pnm_top(image) > 255)


def _raw_mode(image: Image.Image) -> str:
    """How the file stores a pixel, in Pillow's words."""
    arguments = image.tile[0][3] if image.tile else ""
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def _pnm_top(image: Image.Image) -> int:
    """The value of white in a PGM or PPM file of which only the header is read."""
    arguments = image.tile[0][3] if image.tile else ""
    if image.format == "PPM" and image.mode != "F" and isinstance(arguments, tuple):
        return arguments[1]
    return DEEP_TOP if image.mode == "I" else 255


def windowless(image: Image.Image, options: ReadOptions) -> str:
    """The type of values that have no white of their own, if no window says what it is."""
    if options.window is not None:
        return ""
    if image.mode == "F":
        return "floating point values"
    if image.mode == "I" and image.format != "PPM":
        return "values of 32 bit or with a sign"
    return ""


def change(image: Image.Image, options: ReadOptions) -> str:
    """What a person should know of the way to 8-bit gray or RGB; empty if there is nothing."""
    changes = []
    if image.mode in ("P", "PA"):
        changes.append("palette replaced by its colours")
    if image.has_transparency_data:
        changes.append("transparent parts laid on white")
    if image.mode == "1":
        changes.append("1 bit turned into 0 and 255")
    if image.mode in ("CMYK", "YCbCr"):
        changes.append(f"{image.mode} turned into RGB")
    if _is_deep(image) and options.window is None:
        changes.append(f"{_white(image)} scaled to 255 (give a window for another range)")
    if _is_deep_colour(image):
        changes.append("colours of 16 bit reduced to 8")
    return ", ".join(changes)


def _white(image: Image.Image) -> int:
    """The largest value that a gray image above 8 bit can have by its header."""
    if image.format == "TIFF":
        return 2 ** image.tag_v2.get(TIFF_BITS, (16,))[0] - 1
    return _pnm_top(image) if image.format == "PPM" else DEEP_TOP


def as_bytes(path: Path, image: Image.Image, options: ReadOptions, channels: int) -> Image.Image:
    """The decoded image in mode L (one channel) or RGB (three), through the window if any."""
    if _is_deep(image):
        image = Image.fromarray(_deep_gray(path, image, options))
        return image if channels == 1 else image.convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("L" if channels == 1 else "RGB")
    if options.window is not None:
        table = to_uint8(windowed(np.arange(256, dtype=np.uint8), options.window, path))
        image = image.point(table.tolist() * channels)
    return image


def _deep_gray(path: Path, image: Image.Image, options: ReadOptions) -> np.ndarray:
    """Gray above 8 bit as uint8 ``rows, columns``: its window or its full range."""
    white = _white(image)
    # Pillow stretches a PGM's values to 65535; the window speaks of those in the file.
    stretch = DEEP_TOP / white if image.format == "PPM" and image.mode == "I" else 1
    low, high = options.window or (0, white)
    signs = image.tag_v2.get(TIFF_SIGN, (1,)) if image.format == "TIFF" else ()
    values = np.asarray(image)
    if values.dtype == np.int32 and signs == (1,):
        values = values.view(np.uint32)  # Pillow has no mode for unsigned values of 32 bit
    return to_uint8(windowed(values, (low * stretch, high * stretch), path))
