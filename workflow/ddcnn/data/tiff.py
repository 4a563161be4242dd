"""TIFF files through tifffile: the values as stored, or a refusal that says what is stored.

Pillow reads most of them, but some wrongly without an error (a turned image that it maps into
memory, signed values of the other byte order), and colours of 16 bit by their upper half alone.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import islice
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ddcnn.base.errors import InputError
from ddcnn.data.intensity import decides
from ddcnn.data.options import ReadOptions
from ddcnn.data.pixels import (
    MASK,
    ON_WHITE,
    ONE_BIT,
    PALETTE,
    PROFILE,
    check_single,
    check_size,
    has_foreign_profile,
    is_deep,
    laid_on_white,
    opened_unbounded,
    scaled_note,
    to_bytes,
    to_rgb_note,
)

if TYPE_CHECKING:  # its import takes as long as the rest of a command: only where a TIFF is met
    from tifffile import TiffFile, TiffPage

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two are BigTIFF
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, INDEXED, CMYK, YCBCR = 0, 1, 2, 3, 5, 6
COLOURS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, INDEXED: 1, CMYK: 4, YCBCR: 3}
PREMULTIPLIED, ALPHA = 1, 2  # values of ExtraSamples; others have no known meaning
SUBFILE_REDUCED, SUBFILE_MASK = 1, 4
ORIENTATION, INK_SET = 274, 332
JPEG = 7
# tifffile bounds what these unpack to by the size in the header; others could fill the memory.
COMPRESSIONS = {1, 2, 3, 4, 5, JPEG, 8, 32773, 32946, 34925, 50000}
PREDICTABLE = {5, JPEG, 8, 32946, 34925, 50000}  # LZW, Deflate ...: with others readers disagree
INTEGER_DIFFERENCES, FLOAT_DIFFERENCES = 2, 3
COMPRESSION_NAMES = "none, CCITT, LZW, JPEG, Deflate, PackBits, LZMA, Zstandard"
VALUE_WORDS = {1: "unsigned", 2: "signed", 3: "real", 5: "complex integer", 6: "complex"}
SEPARATE_PLANES = 2  # a value of PlanarConfiguration
PLANES = "planes of colours, as which tifffile writes a volume of 3 or 4 slices, too: look at them"
MOST_PAGES = 64  # looked at; an image with all its overviews has fewer
MOST_BYTES_A_PIXEL = 16  # four channels of 32 bit


def is_tiff(path: Path) -> bool:
    """Whether the file starts as a TIFF does, whatever its name says."""
    with path.open("rb") as file:
        return file.read(4) in MAGIC


class TiffImage:
    """The image of a TIFF file, of which only the header is read.

    Attributes:
        shape: rows and columns as stored.
        orientation: how the image was held, as EXIF counts it.
        gray: whether it has no colour.
    """

    def __init__(self, path: Path, file: "TiffFile", options: ReadOptions) -> None:
        self.path, self.options = path, options
        self.page, self.has_mask = _the_page(path, file)
        self.shape = self.page.imagelength, self.page.imagewidth
        self.extra = self.page.samplesperpixel - COLOURS.get(self.page.photometric, 0)
        self._check_layout()
        self._check_values()
        self._check_extent()
        self.alpha = next((i for i, kind in enumerate(self._extra_kinds()) if kind), None)
        self._check_extra()

    @property
    def orientation(self) -> int:
        value = self.page.tags.valueof(ORIENTATION, 1)
        return value if value in range(1, 9) else 1

    @property
    def gray(self) -> bool:
        if self.page.photometric == INDEXED:
            return bool((self.page.colormap == self.page.colormap[0]).all())
        return COLOURS[self.page.photometric] == 1

    @property
    def white(self) -> int | None:
        """The stored value of white; None for values that only a window can bring to 8 bit."""
        unsigned = self.page.dtype.kind in "bu" and self.page.bitspersample <= 16
        return 2**self.page.bitspersample - 1 if unsigned else None

    def windowless(self) -> str:
        """The type of values that have no white of their own, if no window says what it is."""
        if decides(self.options) or self.white is not None:
            return ""
        if self.page.dtype.kind == "f":
            return "floating point values"
        return "values of 32 bit or with a sign"

    def changes(self) -> tuple[str, ...]:
        """What a person should know of the way to 8-bit gray or RGB, a note each."""
        indexed, cmyk = self.page.photometric == INDEXED, self.page.photometric == CMYK
        scaled = self.white not in (None, 1, 255) and not indexed
        further = self.extra - (self.alpha is not None)
        notes = {
            PALETTE: indexed,
            to_rgb_note("CMYK"): cmyk,
            ON_WHITE: self.alpha is not None,
            "channels beyond RGB left out": further > 0,
            ONE_BIT: self.white == 1 and not indexed,
            scaled_note(self.white): scaled and (cmyk or not self._is_ruled()),
            "zero is white, inverted": self.page.photometric == WHITE_IS_ZERO and self.white > 1,
            MASK: self.has_mask,
            PLANES: self.page.is_shaped and self.page.planarconfig == SEPARATE_PLANES,
            PROFILE: has_foreign_profile(self.page.iccprofile),
        }
        return tuple(note for note, holds in notes.items() if holds)

    def draft(self, shape: tuple[int, int]) -> None:
        """Decoding at a smaller size is not offered."""

    def as_bytes(self, channels: int) -> Image.Image:
        """The decoded image, as stored, in mode L (one channel) or RGB (three)."""
        values, white = self.values()
        values = to_bytes(values, white, self.options, self.path)
        image = Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values)
        return image.convert("L" if channels == 1 else "RGB")

    @property
    def deep(self) -> bool:
        """Whether gray or colours have more than 8 bit."""
        return is_deep(self.white) and self.page.photometric not in (INDEXED, CMYK)

    def _is_ruled(self) -> bool:
        return decides(self.options) if self.deep else self.options.window is not None

    def values(self) -> tuple[np.ndarray, int | None]:
        """Gray or RGB ``rows, columns, C`` as stored, black at 0, and its white; None: no white."""
        return self._colours(self._decoded())

    def _decoded(self) -> np.ndarray:
        """Stored values ``rows, columns, samples``."""
        if self.page.compression == JPEG:
            self._check_jpegs()
        values = self.page.asarray(squeeze=False, maxworkers=1)[:, 0]
        values = values.transpose(1, 2, 0, 3).reshape(*self.shape, self.page.samplesperpixel)
        return values.view(np.uint8) if values.dtype == bool else values

    def _colours(self, values: np.ndarray) -> tuple[np.ndarray, int | None]:
        """Gray or RGB values ``rows, columns, C`` with black at 0, and the value of white."""
        kind, white = self.page.photometric, self.white
        if kind == INDEXED:
            return _palette(self.page.colormap)[values[..., 0]], 255
        if kind == CMYK:
            inks = Image.fromarray(to_bytes(values, white, None, self.path), "CMYK")
            return np.asarray(inks.convert("RGB")), 255
        colours = values[..., : COLOURS[kind]]
        if kind == WHITE_IS_ZERO:
            colours = white - colours
        if self.alpha is not None:
            alpha = values[..., COLOURS[kind] + self.alpha][..., None]
            premultiplied = self._extra_kinds()[self.alpha] == PREMULTIPLIED
            colours = laid_on_white(colours, alpha, white, premultiplied)
        return (colours * np.uint8(255), 255) if white == 1 else (colours, white)

    def _extra_kinds(self) -> tuple[int, ...]:
        """What each channel beyond the colours is: alpha or not known (0)."""
        kinds = list(self.page.extrasamples)[: max(0, self.extra)]
        known = [int(kind) if kind in (PREMULTIPLIED, ALPHA) else 0 for kind in kinds]
        return tuple(known + [0] * (self.extra - len(known)))

    def _check_layout(self) -> None:
        page = self.page
        if page.compression not in COMPRESSIONS:
            raise self._refused("its compression", f"compressions {COMPRESSION_NAMES}")
        if page.photometric not in COLOURS or page.tags.valueof(INK_SET, 1) != 1:
            raise self._refused("its colour space", "gray, RGB, palette, CMYK")
        if page.photometric == YCBCR and page.compression != JPEG:
            raise self._refused("its colour space", "YCbCr in JPEG alone; save it in RGB")
        if page.imagedepth > 1:
            raise self._refused(f"a depth of {page.imagedepth} slices", "one image a file")

    def _check_values(self) -> None:
        page = self.page
        if not isinstance(page.bitspersample, int):
            raise self._refused("samples of different bits", "the same for all")
        if page.dtype is None or page.dtype.kind not in "buif":
            raise self._refused("its type of values", "integers and real numbers")
        if page.predictor != 1 and not self._is_predicted_rightly():
            raise self._refused(f"its predictor {int(page.predictor)}", "no predictor here")
        if page.photometric in (WHITE_IS_ZERO, INDEXED, CMYK) and self.white is None:
            raise self._refused("these values", "up to 16 bit without a sign")
        if page.photometric == WHITE_IS_ZERO and self.options.window:
            raise InputError(
                f"{self.path} is a TIFF whose zero is white, which a window cannot be applied to; "
                "save it with black as zero, or remove window from dataset"
            )

    def _is_predicted_rightly(self) -> bool:
        """Whether the values are differences that the compression and their type may have."""
        if self.page.predictor == FLOAT_DIFFERENCES:
            fits = self.page.dtype.kind == "f"
        else:
            whole = self.page.bitspersample == 8 * self.page.dtype.itemsize
            fits = self.page.predictor == INTEGER_DIFFERENCES and whole
        return fits and self.page.compression in PREDICTABLE

    def _check_extra(self) -> None:
        known = self.extra == (self.alpha is not None)
        if self.extra < 0 or (self.page.photometric != RGB and not known):
            raise self._refused(
                f"{self.page.samplesperpixel} channels", "gray or RGB, with or without alpha"
            )
        plain = self.page.photometric in (BLACK_IS_ZERO, RGB)
        if self.alpha is not None and (self.white is None or not plain):
            raise self._refused("transparency", "gray and RGB up to 16 bit with transparency")

    def _check_extent(self) -> None:
        """Refuse before decoding what is cut off, and what would fill the memory."""
        page = self.page
        check_size(self.path, self.shape, self.options)
        tile = max(page.tilewidth * page.tilelength, prod(self.shape))
        size = tile * page.samplesperpixel * page.dtype.itemsize
        if size > MOST_BYTES_A_PIXEL * self.options.most_pixels:
            raise self._refused("too many channels or too large tiles", "smaller ones")
        parts = list(zip(page.dataoffsets, page.databytecounts, strict=False))
        if len(parts) < prod(page.chunked):
            raise InputError(
                f"{self.path} holds {len(parts)} of {prod(page.chunked)} parts of its image; "
                "replace or remove it"
            )
        if 0 in self.shape:
            raise self._refused(
                f"its size of {self.shape[0]} x {self.shape[1]}", "one pixel or more"
            )
        there = self.path.stat().st_size
        if max(start + length for start, length in parts) > there:
            raise InputError(
                f"{self.path} is cut off: its {there:,} bytes end before its image does; "
                "replace or remove it",
                "truncated",
            )

    def _check_jpegs(self) -> None:
        """Refuse parts whose own headers claim more pixels than the page says."""
        page, file = self.page, self.page.parent.filehandle
        width, length = page.tilewidth or page.imagewidth, page.tilelength or page.rowsperstrip
        for start, size in zip(page.dataoffsets, page.databytecounts, strict=False):
            file.seek(start)
            if size and not _fits(file.read(size), width, length):
                raise InputError(
                    f"{self.path} holds a JPEG of another size than its header says; "
                    "replace or remove it"
                )

    def _refused(self, what: str, accepted: str) -> InputError:
        page, names = self.page, []
        for value in (page.photometric, page.compression):
            names.append(getattr(value, "name", str(value)))
        bits = page.bitspersample if isinstance(page.bitspersample, int) else "different"
        form = VALUE_WORDS.get(page.sampleformat, f"format {page.sampleformat}")
        return InputError(
            f"{self.path} cannot be read for {what}: a TIFF of {page.samplesperpixel} samples of "
            f"{bits} bit ({form}), {names[0]}, compression {names[1]}; accepted: {accepted}"
        )


@contextmanager
def opened(path: Path, options: ReadOptions) -> Iterator[TiffImage]:
    """The image with its header read and judged, its pixels not yet decoded."""
    from tifffile import TiffFile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what matters is refused here
    with TiffFile(path) as file:
        yield TiffImage(path, file, options)


def _the_page(path: Path, file: "TiffFile") -> tuple["TiffPage", bool]:
    """The page that is the image, without its overviews; whether masks stand beside it."""
    pages = list(islice(file.pages, MOST_PAGES))
    masks = [page for page in pages if page.subfiletype & SUBFILE_MASK]
    whole = [p for p in pages if not p.subfiletype & (SUBFILE_MASK | SUBFILE_REDUCED)]
    if not whole:
        raise InputError(
            f"{path} holds overviews or masks alone, no full image; replace or remove it"
        )
    frames = len(whole)
    if frames > 1:
        frames = len(file.pages) - (len(pages) - len(whole))
    elif file.is_imagej or file.is_shaped:  # may store many behind one header
        frames = prod(file.series[0].shape) // prod(whole[0].shape)
    check_single(path, frames)
    return whole[0], bool(masks)


def _fits(content: bytes, width: int, length: int) -> bool:
    with opened_unbounded(BytesIO(content), ("JPEG",)) as part:
        return part.width <= width and part.height <= length


def _palette(colours: np.ndarray) -> np.ndarray:
    """uint8 ``entries, 3`` of a colour map ``3, entries``; some programs store it with 8 bit."""
    return (colours if colours.max() < 256 else colours >> 8).astype(np.uint8).T
