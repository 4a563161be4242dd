"""How the pixels of image files become 8-bit gray or RGB; the formats that Pillow reads.

Pillow converts some of them with a loss that nobody sees: every such case is either a note, or an
exact computation here, or refused.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageCms

from ddcnn.base.errors import InputError
from ddcnn.data.options import ReadOptions
from ddcnn.data.scaling import to_uint8, windowed

GRAY = ("1", "L", "LA", "La", "I", "F")
COLOUR = ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
DEEP_TOP = 2**16 - 1
PNG_START, PNG_EXIF = 8, b"eXIf"
ONE_BIT = "1 bit turned into 0 and 255"
ON_WHITE = "with transparency, laid on white"
PALETTE = "palette replaced by its colours"
PROFILE = "colour profile other than sRGB, not applied"
LEFT_OUT_MASK = "mask beside the image left out"
SRGB = ("c2", "sgry")  # shortened forms of its profile that have no longer name


def to_rgb_note(space: str) -> str:
    """The note about another colour space."""
    return f"{space} turned into RGB"


def scaled_note(white: int | None) -> str:
    """The note about values whose white is not 255."""
    return f"{white} scaled to 255 (give a window for another range)"


def to_bytes(
    values: np.ndarray, white: float | None, window: Sequence[float] | None, source: object
) -> np.ndarray:
    """Values of an image file as uint8 of the same shape.

    Args:
        values: of any real type.
        white: what becomes 255 where no window is given; 0 becomes 0.
        window: values that become 0 and 255.
        source: what errors call the values.
    """
    if window is None and white == 255 and values.dtype == np.uint8:
        return values
    low, high = window or (0, white)
    if values.dtype in (np.uint8, np.uint16):  # a table needs no memory for floats
        every = np.arange(np.iinfo(values.dtype).max + 1, dtype=values.dtype)
        return to_uint8(windowed(every, (low, high), source))[values]
    return to_uint8(windowed(values, (low, high), source))


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
            f"{options.most_megapixels:g}; make it smaller, or raise most_megapixels in dataset"
        )


def check_single(path: Path, frames: int) -> None:
    """Refuse several images in a file."""
    if frames > 1:
        raise InputError(
            f"{path} holds {frames} pages or frames; accepted: one image a file; split it"
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


class PillowImage:
    """An image of which only the header is read.

    Attributes:
        shape: rows and columns as stored.
        orientation: how a camera was held, as EXIF counts it; 1 is upright.
        gray: whether it has no colour.
        white: the stored value of white.
    """

    def __init__(self, path: Path, image: Image.Image, options: ReadOptions) -> None:
        self.path, self.image, self.options = path, image, options
        self.shape = image.height, image.width
        stored = image.tile[0].args if image.tile else ""  # gone once the pixels are decoded
        self._raw_mode = str(stored[0] if isinstance(stored, tuple) else stored)
        self.white = _white(image, stored)
        check_size(path, self.shape, options)
        # MPO is a JPEG of a phone or stereo camera with further views behind the picture itself.
        check_single(path, 1 if image.format == "MPO" else getattr(image, "n_frames", 1))
        self._check_mode()

    def _check_mode(self) -> None:
        """Refuse what cannot be turned into gray or RGB without an error that nobody sees."""
        if self.image.mode not in COLOUR and not self.gray:
            raise InputError(
                f"{self.path} has the colour space {self.image.mode}; accepted: gray, RGB, CMYK"
            )
        if not self._reduced:
            return
        if self.options.window:
            raise InputError(
                f"{self.path} has colours of 16 bit, which a window cannot be applied to; "
                "remove window from dataset, or save the image in gray or as TIFF"
            )
        if "transparency" in self.image.info:  # Pillow compares it with the reduced values
            raise InputError(
                f"{self.path} has colours of 16 bit, one of which is transparent; save it with an "
                "alpha channel, or without transparency"
            )

    @property
    def orientation(self) -> int:
        try:
            value = self._exif().get(ExifTags.Base.Orientation)
        except Exception:  # broken EXIF data say nothing; the image beside them may be whole
            return 1
        return value if value in range(1, 9) else 1

    def _exif(self) -> Image.Exif | dict:
        if "exif" in self.image.info:
            return self.image.getexif()
        exif = Image.Exif()
        if self.image.format == "PNG" and (content := _late_exif(self.path)):
            exif.load(content)
        return exif

    @property
    def gray(self) -> bool:
        if self.image.mode == "P":
            return self._has_gray_palette()
        mode = self.image.mode
        return mode in GRAY or mode.startswith("I;16") or self._raw_mode[:3] == "LA;"

    def _has_gray_palette(self) -> bool:
        palette = self.image.palette
        order, content = palette.rawmode or palette.mode, bytes(palette.palette)
        if order not in ("RGB", "BGR", "BGRX", "RGBA"):
            return False
        usable = len(content) // len(order) * len(order)
        planes = np.frombuffer(content[:usable], np.uint8).reshape(-1, len(order)).T[:3]
        return bool((planes == planes[0]).all())

    @property
    def _deep(self) -> bool:
        """Gray above 8 bit."""
        return self.image.mode in ("I", "F") or self.image.mode.startswith("I;16")

    @property
    def _reduced(self) -> bool:
        """Values above 8 bit, which Pillow reduces while it decodes."""
        deep = self.image.format == "PNG" and ";16" in self._raw_mode
        return not self._deep and (deep or self.white > 255)

    def windowless(self) -> str:
        """The type of values that have no white of their own, if no window says what it is."""
        if self.options.window is not None or self.image.mode != "F":
            return ""
        return "floating point values"

    def changes(self) -> tuple[str, ...]:
        """What a person should know of the way to 8-bit gray or RGB, a note each."""
        mode, reduced = self.image.mode, self._reduced and self.image.format == "PNG"
        notes = {
            PALETTE: mode in ("P", "PA"),
            ON_WHITE: self.image.has_transparency_data,
            ONE_BIT: mode == "1",
            to_rgb_note(mode): mode in ("CMYK", "YCbCr"),
            "16 bit reduced to the upper 8": reduced,
            scaled_note(self.white): self.white != 255 and self.options.window is None,
            PROFILE: has_foreign_profile(self.image.info.get("icc_profile")),
        }
        return tuple(note for note, holds in notes.items() if holds)

    def draft(self, shape: tuple[int, int]) -> None:
        """Let a JPEG decode at 1/2, 1/4 or 1/8, not below ``shape`` (rows, columns)."""
        self.image.draft(None, shape[::-1])

    def as_bytes(self, channels: int) -> Image.Image:
        """The decoded image, as stored, in mode L (one channel) or RGB (three)."""
        if self._deep:
            image = Image.fromarray(self._deep_gray())
            return image if channels == 1 else image.convert("RGB")
        white, image = self.white, self.image
        if image.has_transparency_data:
            if white < 255:  # of few bits: Pillow scales the pixels, but not the value
                image.info["transparency"] *= 255 // white
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        image = image.convert("L" if channels == 1 else "RGB")
        if self.options.window is None:
            return image
        return Image.fromarray(self._scaled(np.asarray(image), 255 / min(white, 255)))

    def _deep_gray(self) -> np.ndarray:
        """Gray above 8 bit as uint8 ``rows, columns``: its window or its full range."""
        values = np.asarray(self.image)
        stretched = self.image.format == "PPM" and self.image.mode == "I"
        found = self._scaled(values, DEEP_TOP / self.white if stretched else 1)
        key = self.image.info.get("transparency")
        return found if key is None else np.where(values == key, np.uint8(255), found)

    def _scaled(self, values: np.ndarray, stretch: float) -> np.ndarray:
        """As uint8; the window speaks of the file's values, which Pillow multiplied."""
        if stretch != 1:
            values = values / np.float32(stretch)
            values = np.rint(values) if self.gray else values
        return to_bytes(values, self.white, self.options.window, self.path)


def _white(image: Image.Image, stored: str | tuple) -> int:
    """The largest value that a pixel can have by its header; ``stored``: in Pillow's words."""
    if image.format == "PPM" and image.mode != "F" and isinstance(stored, tuple):
        return stored[1]
    if image.format == "PNG" and image.mode == "L":
        return {"L;2": 3, "L;4": 15}.get(stored, 255)
    return DEEP_TOP if image.mode in ("I", "F") or image.mode.startswith("I;16") else 255


def _late_exif(path: Path) -> bytes:
    """The EXIF data of a PNG wherever they stand: Pillow sees those behind the pixels too late."""
    with path.open("rb") as file:
        file.seek(PNG_START)
        while len(start := file.read(8)) == 8:
            length = int.from_bytes(start[:4])
            if start[4:] == PNG_EXIF:
                return file.read(length)
            file.seek(length + 4, 1)
    return b""
