"""How a NIfTI file stores its volume: the header, checked against the file.

nibabel reads the header; the voxels come as a stream (:mod:`ddcnn.data.voxels`), so that no header,
however it lies, makes the program take more memory than the set limit.
"""

import logging
import struct
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ddcnn.base.errors import InputError
from ddcnn.base.foreign import check_regular
from ddcnn.data.options import ReadOptions
from ddcnn.data.packed import is_packed, stream
from ddcnn.data.survey import size_text

if TYPE_CHECKING:
    from nibabel import Nifti1Header

AXES = ("P", "L", "S")  # where the axes of the result run to, see volumes
KINDS = {348: "Nifti1Header", 540: "Nifti2Header"}  # nibabel's, by the size of the header
GZIP_MOST = 1032  # times that a deflate stream can grow at most
BEHIND_HEADER = 4  # bytes that say whether extensions follow
MILLIMETRES = {"meter": 1000.0, "micron": 0.001}
MOST_ROUNDING = 1e-3  # by which the square of a unit quaternion may exceed 1
MOST_DIFFERENCE = 0.01  # of spacings that are meant to be one
SERIES = "series (4D) without dataset.frame, which frame: 0 or frame: mean would read"
VECTOR_INTENTS = range(1003, 1010)  # matrices, vectors and the like, by the standard

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
        frames: volumes of a series.
        frame: which of them is read, or ``mean``.
        doubts: what other programs read otherwise, in words.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int
    slope: float
    inter: float
    turn: np.ndarray
    spacing: tuple[float, ...]
    oriented: bool
    frames: int = 1
    frame: int | str = 0
    doubts: tuple[str, ...] = ()

    @property
    def chosen_frames(self) -> range:
        """The volumes of the series that are read."""
        return range(self.frames) if self.frame == "mean" else range(self.frame, self.frame + 1)

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

    Where the standard leaves room and programs differ: an intercept counts with a slope only; the
    sform's own spacing counts, whatever ``pixdim`` says; see docs/reference/scans.md.

    Raises:
        InputError: no NIfTI volume of real gray values, one too large, or a series without a
            choice of its volumes.
    """
    from nibabel.affines import voxel_sizes

    check_regular(path)
    header = _header(path)
    shape, dtype = _checked_shape(path, header, options), header.get_data_dtype()
    frames, frame = _frames(path, header, options)
    if dtype.kind not in "uif":
        raise InputError(f"{path} holds {dtype} voxels; accepted: integers and real numbers")
    offset = max(int(header.get_data_offset()), header.sizeof_hdr + BEHIND_HEADER)
    claimed = shape if frames == 1 else (*shape, frames)
    _check_claim(path, claimed, offset + prod(claimed) * dtype.itemsize)
    slope, inter = _slope_inter(path, header)
    affine = _affine(path, header)
    turn = _turn(path, affine)
    spacing = voxel_sizes(affine)
    doubts = _doubts(header, spacing)
    spacing = spacing[np.argsort(turn[:, 0])] * MILLIMETRES.get(header.get_xyzt_units()[0], 1.0)
    oriented = bool(header["sform_code"] or header["qform_code"])
    place = (shape, dtype, offset, slope, inter)
    return Stored(*place, turn, tuple(spacing.tolist()), oriented, frames, frame, doubts)


def _slope_inter(path: Path, header: "Nifti1Header") -> tuple[float, float]:
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or not np.isfinite(slope):
        return 1.0, 0.0
    if not np.isfinite(inter):
        raise InputError(
            f"{path} has the slope {slope:g}, but the intercept {inter}; set scl_inter"
        )
    return slope, inter


def _affine(path: Path, header: "Nifti1Header") -> np.ndarray:
    """From voxels to millimetres, of a quaternion that rounding made too long, too."""
    fields = ("quatern_b", "quatern_c", "quatern_d")
    quaternion = np.array([float(header[name]) for name in fields])
    length = float(quaternion @ quaternion)
    if not header["sform_code"] and header["qform_code"] and length > 1:
        if length > 1 + MOST_ROUNDING:
            raise InputError(
                f"{path} has an orientation that is no rotation: the squares of "
                f"{', '.join(fields)} add up to {length:g}, above 1; repair its header"
            )
        for name, value in zip(fields, quaternion / length**0.5, strict=True):
            header[name] = value
    return header.get_best_affine()


def _doubts(header: "Nifti1Header", spacing: np.ndarray) -> tuple[str, ...]:
    doubts = []
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if (slope == 0 or not np.isfinite(slope)) and np.isfinite(inter) and inter != 0:
        doubts.append(f"the intercept {inter:g} without a slope is ignored, as the standard says")
    if header["sform_code"] and not np.allclose(spacing, header.get_zooms()[:3], MOST_DIFFERENCE):
        doubts.append("pixdim has another spacing than the sform, whose own counts")
    return tuple(doubts)


def _header(path: Path) -> "Nifti1Header":
    import nibabel  # here and below: pictures do not wait for it

    with stream(path) as file:
        block = file.read(max(KINDS))
    if not block:
        raise InputError(f"{path} is empty (0 bytes); replace or remove it", "empty")
    sizes = [struct.unpack(order + "i", block[:4].ljust(4))[0] for order in "<>"]
    kind = next((getattr(nibabel, KINDS[size]) for size in sizes if size in KINDS), None)
    if kind is None or kind.single_magic[:3] not in (block[344:347], block[4:7]):
        raise InputError(
            f"{path} is not a NIfTI file (it starts with {block[:16]!r}); accepted: .nii and "
            ".nii.gz; replace or remove it",
            "of another format",
        )
    header = kind(block[: kind.sizeof_hdr], check=False)
    header.check_fix(logger=silent, error_level=40)
    return header


def _checked_shape(path: Path, header: "Nifti1Header", options: ReadOptions) -> tuple[int, ...]:
    shape = tuple(int(size) for size in header.get_data_shape())
    if any(size != 1 for size in shape[4:]) or int(header["intent_code"]) in VECTOR_INTENTS:
        raise InputError(
            f"{path} holds vectors or matrices ({size_text(shape)}, intent "
            f"{int(header['intent_code'])}); accepted: one number a voxel"
        )
    if len(shape) < 3:
        raise InputError(
            f"{path} has {len(shape)} axes ({size_text(shape)}); accepted: volumes of three axes, "
            "series of four"
        )
    if min(shape) < 1:
        raise InputError(f"{path} claims the shape {size_text(shape)}; replace or remove it")
    if prod(shape[:3]) > options.most_pixels:
        raise InputError(
            f"{path} claims {size_text(shape[:3])} voxels, more than most_megapixels: "
            f"{options.most_megapixels:g}; make it smaller, or raise most_megapixels in dataset",
            "larger than most_megapixels",
        )
    return shape[:3]


def _frames(path: Path, header: "Nifti1Header", options: ReadOptions) -> tuple[int, int | str]:
    """Volumes of a series (a volume is a series of one), and which is read."""
    frames, frame = int((*header.get_data_shape(), 1)[3]), options.frame
    if frame is None and frames > 1:
        raise InputError(
            f"{path} is a series of {frames} volumes ({size_text(header.get_data_shape())}); add "
            "frame: 0 (the first), another number, or frame: mean to dataset, or split it",
            SERIES,
        )
    if isinstance(frame, int) and frame >= frames:
        raise InputError(
            f"{path} has {frames} volume{'s' if frames > 1 else ''}, but frame: {frame} is set; "
            f"accepted: 0 to {frames - 1}, or mean"
        )
    return frames, frame or 0


def _check_claim(path: Path, shape: tuple[int, ...], needed: int) -> None:
    size = path.stat().st_size
    most = size * GZIP_MOST if is_packed(path) else size
    if needed > most:
        raise InputError(
            f"{path} claims {size_text(shape)} voxels ({needed:,} bytes), but its {size:,} bytes "
            "cannot hold them; it is truncated or broken: get it again or remove it",
            "truncated or broken",
        )


def _turn(path: Path, affine: np.ndarray) -> np.ndarray:
    from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

    if not np.isfinite(affine).all():
        raise InputError(f"{path} has an orientation that is not finite; repair its header")
    stored = io_orientation(affine)
    if not np.isfinite(stored).all():
        raise InputError(f"{path} has an orientation without a volume; repair its header")
    return ornt_transform(stored, axcodes2ornt(AXES))


def turned(values: np.ndarray, stored: Stored) -> np.ndarray:
    """Values in the file's order of axes as ``rows, columns, slices, 1``."""
    from nibabel.orientations import apply_orientation

    return np.ascontiguousarray(apply_orientation(values, stored.turn))[..., None]
