"""How a NIfTI file stores its volume: the header checked against the file, and slabs of voxels.

nibabel reads the header; the voxels come as a stream, so that no header, however it lies, makes
the program take more memory than the set limit.
"""

import gzip
import logging
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import BinaryIO, NamedTuple

import nibabel as nib
import numpy as np
from nibabel.fileslice import fileslice
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from ddcnn.base.errors import InputError
from ddcnn.data.options import ReadOptions
from ddcnn.data.survey import check_regular, reason, size_text

AXES = ("P", "L", "S")  # where the axes of the result run to, see volumes
KINDS = {348: nib.Nifti1Header, 540: nib.Nifti2Header}  # by the size of the header
GZIP_START = b"\x1f\x8b"
GZIP_MOST = 1032  # times that a deflate stream can grow at most
BEHIND_HEADER = 4  # bytes that say whether extensions follow
SKIP_BYTES = 2**20
MILLIMETRES = {"meter": 1000.0, "micron": 0.001}

silent = logging.getLogger("ddcnn.nifti")
silent.propagate = False
silent.addHandler(logging.NullHandler())


class Stored(NamedTuple):
    """How a file stores its volume; axes in the file's order.

    Attributes:
        shape: of the stored axes.
        dtype: of the voxels, with the byte order.
        offset: of the first voxel, bytes.
        slope, inter: value = voxel * slope + inter.
        turn: for each stored axis the axis of the result and its direction (1 or -1).
        spacing: of the result's axes, mm.
        oriented: whether the file says how the patient lies.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int
    slope: float
    inter: float
    turn: np.ndarray
    spacing: tuple[float, ...]
    oriented: bool

    @property
    def scaled(self) -> bool:
        """Whether the values differ from the voxels' numbers."""
        return (self.slope, self.inter) != (1, 0)

    @property
    def plain(self) -> bool:
        """Whether the voxels are 8-bit grays as they are."""
        return self.dtype == np.uint8 and not self.scaled

    @property
    def result_shape(self) -> tuple[int, ...]:
        """Rows, columns and slices of the volume as it is."""
        return tuple(self.shape[axis] for axis in np.argsort(self.turn[:, 0]))

    def stored_sizes(self, shape: Sequence[int]) -> list[int]:
        """Rows, columns and slices in the order of the stored axes."""
        return [shape[int(axis)] for axis in self.turn[:, 0]]


def read_stored(path: Path, options: ReadOptions) -> Stored:
    """The header of a NIfTI file, checked against its size and the limit; no voxel is read.

    Raises:
        InputError: no NIfTI volume of three axes with real gray values, or one too large.
    """
    check_regular(path)
    header = _header(path)
    shape, dtype = _checked_shape(path, header, options), header.get_data_dtype()
    if dtype.kind not in "uif":
        raise InputError(f"{path} holds {dtype} voxels; accepted: integers and real numbers")
    offset = max(int(header.get_data_offset()), header.sizeof_hdr + BEHIND_HEADER)
    _check_claim(path, shape, offset + prod(shape) * dtype.itemsize)
    slope, inter = header.get_slope_inter()
    affine = header.get_best_affine()
    turn = _turn(path, affine)
    spacing = nib.affines.voxel_sizes(affine)[np.argsort(turn[:, 0])]
    spacing = spacing * MILLIMETRES.get(header.get_xyzt_units()[0], 1.0)
    oriented = bool(header["sform_code"] or header["qform_code"])
    slope, inter = (1.0, 0.0) if slope is None else (slope, inter)
    return Stored(shape, dtype, offset, slope, inter, turn, tuple(spacing.tolist()), oriented)


def _header(path: Path) -> nib.Nifti1Header:
    with _stream(path) as file:
        block = file.read(max(KINDS))
    if not block:
        raise InputError(f"{path} is empty (0 bytes); replace or remove it")
    sizes = [struct.unpack(order + "i", block[:4].ljust(4))[0] for order in "<>"]
    kind = next((KINDS[size] for size in sizes if size in KINDS), None)
    if kind is None or kind.single_magic[:3] not in (block[344:347], block[4:7]):
        raise InputError(
            f"{path} is not a NIfTI file (it starts with {block[:16]!r}); accepted: .nii and "
            ".nii.gz; replace or remove it"
        )
    header = kind(block[: kind.sizeof_hdr], check=False)
    header.check_fix(logger=silent, error_level=40)
    return header


def _checked_shape(path: Path, header: nib.Nifti1Header, options: ReadOptions) -> tuple[int, ...]:
    shape = tuple(int(size) for size in header.get_data_shape())
    if len(shape) < 3 or any(size != 1 for size in shape[3:]):
        raise InputError(
            f"{path} has {len(shape)} axes ({size_text(shape)}); accepted: volumes of three axes; "
            "split series into one file a volume"
        )
    if min(shape) < 1:
        raise InputError(f"{path} claims the shape {size_text(shape)}; replace or remove it")
    if prod(shape) > options.most_pixels:
        raise InputError(
            f"{path} claims {size_text(shape[:3])} voxels, more than most_megapixels: "
            f"{options.most_megapixels:g}; make it smaller, or raise most_megapixels in dataset"
        )
    return shape[:3]


def _check_claim(path: Path, shape: tuple[int, ...], needed: int) -> None:
    size = path.stat().st_size
    most = size * GZIP_MOST if is_packed(path) else size
    if needed > most:
        raise InputError(
            f"{path} claims {size_text(shape)} voxels ({needed:,} bytes), but its {size:,} bytes "
            "cannot hold them; it is truncated or broken: get it again or remove it"
        )


def _turn(path: Path, affine: np.ndarray) -> np.ndarray:
    if not np.isfinite(affine).all():
        raise InputError(f"{path} has an orientation that is not finite; repair its header")
    stored = io_orientation(affine)
    if not np.isfinite(stored).all():
        raise InputError(f"{path} has an orientation without a volume; repair its header")
    return ornt_transform(stored, axcodes2ornt(AXES))


def slabs(path: Path, stored: Stored) -> Iterator[np.ndarray]:
    """The voxels, one plane of the last stored axis after the other.

    Raises:
        InputError: the file ends early, or its checksum (gzip) is wrong.
    """
    voxels = stored.shape[0] * stored.shape[1]
    with _stream(path) as file:
        _skip(file, stored.offset)
        for index in range(stored.shape[2]):
            content = file.read(voxels * stored.dtype.itemsize)
            if len(content) < voxels * stored.dtype.itemsize:
                raise InputError(
                    f"{path} ends in slab {index + 1} of {stored.shape[2]}; it is truncated: "
                    "get it again or remove it"
                )
            yield np.frombuffer(content, stored.dtype).reshape(stored.shape[:2], order="F")
        file.read(SKIP_BYTES)  # up to the end, where gzip compares its checksum


def read_block(path: Path, stored: Stored, box: Sequence[slice]) -> np.ndarray:
    """The voxels of a part, in the file's order of axes and in their stored type.

    Args:
        box: slices of the result's axes, see :func:`ddcnn.data.volumes.decode_box`.
    """
    parts = []
    for size, (axis, direction) in zip(stored.shape, stored.turn, strict=True):
        indices = range(*box[int(axis)].indices(size))
        if direction < 0:
            indices = range(size - 1 - indices[-1], size - indices[0], indices.step)
        parts.append(slice(indices.start, indices[-1] + 1, indices.step))
    with path.open("rb") as file:
        return fileslice(file, tuple(parts), stored.shape, stored.dtype, stored.offset, order="F")


def _skip(file: BinaryIO, count: int) -> None:
    while count > 0 and (content := file.read(min(count, SKIP_BYTES))):
        count -= len(content)


def is_packed(path: Path) -> bool:
    """Whether a file is compressed by gzip, whatever its name says."""
    with path.open("rb") as file:
        return file.read(2) == GZIP_START


@contextmanager
def _stream(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes, unpacked if they are gzip whatever the name says."""
    with gzip.open(path, "rb") if is_packed(path) else path.open("rb") as file:
        yield file


@contextmanager
def broken_files_named(path: Path) -> Iterator[None]:
    """Turn what libraries raise on a broken file into an error that names it."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"{path} is truncated or broken ({reason(error)}); get it again or remove it"
        ) from error
    except Exception as error:  # on a broken header nibabel may raise anything
        raise InputError(
            f"{path} cannot be read as a NIfTI volume ({reason(error)}); replace or remove it"
        ) from error
