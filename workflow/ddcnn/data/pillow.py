"""Image files that Pillow reads: PNG, JPEG, PGM/PPM, BMP, WebP.

Pillow converts some of them with a loss that nobody sees: every such case is either a note, or an
exact computation here, or refused.
"""

from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from ddcnn.base.errors import InputError
from ddcnn.data.intensity import decides
from ddcnn.data.options import ReadOptions
from ddcnn.data.pixels import (
    ON_WHITE,
    ONE_BIT,
    PALETTE,
    PROFILE,
    check_single,
    check_size,
    has_foreign_profile,
    scaled_note,
    to_bytes,
    to_rgb_note,
)

GRAY = ("1", "L", "LA", "La", "I", "F")
COLOUR = ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
DEEP_TOP = 2**16 - 1
PNG_START, PNG_EXIF = 8, b"eXIf"


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
    def deep(self) -> bool:
        """Gray above 8 bit."""
        return self.image.mode in ("I", "F") or self.image.mode.startswith("I;16")

    @property
    def _reduced(self) -> bool:
        """Values above 8 bit, which Pillow reduces while it decodes."""
        deep = self.image.format == "PNG" and ";16" in self._raw_mode
        return not self.deep and (deep or self.white > 255)

    def windowless(self) -> str:
        """The type of values that have no white of their own, if no window says what it is."""
        if decides(self.options) or self.image.mode != "F":
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
            scaled_note(self.white): self.white != 255
            and not (decides(self.options) if self.deep else self.options.window),
            PROFILE: has_foreign_profile(self.image.info.get("icc_profile")),
        }
        return tuple(note for note, holds in notes.items() if holds)

    def draft(self, shape: tuple[int, int]) -> None:
        """Let a JPEG decode at 1/2, 1/4 or 1/8, not below ``shape`` (rows, columns)."""
        self.image.draft(None, shape[::-1])

    def as_bytes(self, channels: int) -> Image.Image:
        """The decoded image, as stored, in mode L (one channel) or RGB (three)."""
        if self.deep:
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

    def values(self) -> tuple[np.ndarray, float | None]:
        """Gray above 8 bit ``rows, columns`` as stored, and its white; None: it has none."""
        values, top = np.asarray(self.image), None if self.image.mode == "F" else self.white
        if self.image.format != "PPM" or self.image.mode != "I":
            return values, top
        return np.rint(values / np.float32(DEEP_TOP / self.white)), top  # Pillow stretched it

    def _deep_gray(self) -> np.ndarray:
        """Gray above 8 bit as uint8 ``rows, columns``."""
        found = to_bytes(self.values()[0], self.white, self.options, self.path)
        key = self.image.info.get("transparency")
        if key is None:
            return found
        return np.where(np.asarray(self.image) == key, np.uint8(255), found)

    def _scaled(self, values: np.ndarray, stretch: float) -> np.ndarray:
        """As uint8; the window speaks of the file's values, which Pillow multiplied."""
        if stretch != 1:
            values = values / np.float32(stretch)
            values = np.rint(values) if self.gray else values
        return to_bytes(values, self.white, self.options, self.path)


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
