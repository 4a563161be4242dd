"""Volumes in NIfTI files (.nii, .nii.gz) -> uint8 ``rows, columns, slices, 1``.

Whatever way a scanner stored a volume, it comes out as radiologists look at it: rows from
anterior to posterior, columns from the patient's right to left, slices from inferior to superior
(nibabel's axis codes P, L, S: the canonical R, A, S with the first two axes exchanged and
mirrored). A volume is read slab by slab and shrunk on the way: memory stays near the result's.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from nibabel.orientations import apply_orientation

from ddcnn.base.errors import InputError
from ddcnn.data.nifti import Stored, broken_files_named, read_block, read_stored, slabs
from ddcnn.data.options import ReadOptions
from ddcnn.data.scaling import check_finite, resample_axis, to_uint8, windowed
from ddcnn.data.survey import (
    Header,
    HeaderGroup,
    Survey,
    change_notes,
    check_axes,
    check_windows,
    common_shape,
    read_headers,
    size_notes,
    window_missing,
)

SUFFIXES = (".nii", ".nii.gz")


def decode_volume(path: Path, options: ReadOptions) -> np.ndarray:
    """One volume as uint8 ``rows, columns, slices, 1``.

    The window comes before resampling, so that metal or air far outside it does not shine into
    the voxels beside it. Resampling is linear and antialiased, see
    :func:`ddcnn.data.scaling.weights`; it stretches, so that the whole body stays in the volume
    whatever its spacing was.

    Raises:
        InputError: no NIfTI volume of three axes, a broken or too large one, or a window missing.
    """
    with broken_files_named(path):
        stored = read_stored(path, options)
        if missing := _windowless(stored, options):
            raise InputError(window_missing(path, missing))
        check_axes(path, 3, options)
        volume = _shrunk(path, stored, options)
        return np.ascontiguousarray(apply_orientation(volume, stored.turn))[..., None]


def _shrunk(path: Path, stored: Stored, options: ReadOptions) -> np.ndarray:
    """The volume in its stored order of axes, but with the sizes of the result; uint8."""
    sizes = stored.stored_sizes(options.shape or stored.result_shape)
    # Without resampling nothing is left to average: uint8 needs a quarter of float32's memory.
    dtype = np.uint8 if sizes == list(stored.shape) else np.float32
    planes = np.empty((*sizes[:2], stored.shape[2]), dtype)
    for index, slab in enumerate(slabs(path, stored)):
        gray = _gray(slab, stored, options, path)
        gray = resample_axis(resample_axis(gray, 0, sizes[0]), 1, sizes[1])
        planes[:, :, index] = np.rint(gray) if dtype == np.uint8 else gray
    volume = resample_axis(planes, 2, sizes[2])
    return volume if volume.dtype == np.uint8 else to_uint8(volume)


def _gray(slab: np.ndarray, stored: Stored, options: ReadOptions, path: Path) -> np.ndarray:
    """A slab's values from 0 to 255."""
    check_finite(slab, path)
    values = slab.astype(np.float64) * stored.slope + stored.inter if stored.scaled else slab
    return values if options.window is None else windowed(values, options.window, path)


def _windowless(stored: Stored, options: ReadOptions) -> str:
    """The type of values that have no black and white, if no window says what they are."""
    if options.window is not None or stored.plain:
        return ""
    return f"{stored.dtype.name} values" + (" with a slope" if stored.scaled else "")


def decode_box(path: Path, options: ReadOptions, box: Sequence[slice]) -> np.ndarray:
    """A part of a volume that is not resampled, uint8 ``rows, columns, slices, 1``.

    No more than the part is in memory. Of packed files the parts cannot be found.

    Args:
        path: an uncompressed .nii file.
        options: the window and the limit of voxels.
        box: slices along rows, columns and slices, with steps above zero.

    Raises:
        InputError: as for :func:`decode_volume`.
    """
    with broken_files_named(path):
        stored = read_stored(path, options)
        if missing := _windowless(stored, options):
            raise InputError(window_missing(path, missing))
        gray = _gray(read_block(path, stored, box), stored, options, path)
        part = np.rint(gray).astype(np.uint8)
        return np.ascontiguousarray(apply_orientation(part, stored.turn))[..., None]


def read_header(path: Path, options: ReadOptions) -> Header:
    """What the file's header says; no voxel is read."""
    with broken_files_named(path):
        stored = read_stored(path, options)
    change = "no orientation in the file, taken as NIfTI's default (L, A, S)"
    return Header(
        stored.result_shape,
        changes=() if stored.oriented else (change,),
        windowless=_windowless(stored, options),
        spacing=stored.spacing,
    )


def survey(paths: Sequence[Path], options: ReadOptions) -> Survey:
    """The common shape of many volumes, and the spacing of their voxels.

    Raises:
        InputError: shapes differ without a target, a window is missing, nothing is readable.
    """
    if options.channels not in (None, 1):
        raise InputError(f"channels: {options.channels}, but volumes are gray; remove channels")
    groups = read_headers(partial(read_header, options=options), paths, "volumes")
    check_windows(groups)
    shape = common_shape(groups, options)
    notes = change_notes(groups, "volumes") + size_notes(groups, shape, "resampled to")
    return Survey(shape, 1, notes, {"spacing_mm": _spacing(groups)})


def _spacing(groups: Sequence[HeaderGroup]) -> dict[str, list[float]]:
    """Smallest, median and largest spacing of rows, columns and slices."""
    spacings = np.array([group.header.spacing for group in groups])
    spacings = np.repeat(spacings, [group.count for group in groups], axis=0)
    choices = {"min": np.min, "median": np.median, "max": np.max}
    return {
        name: [round(float(value), 4) for value in choose(spacings, axis=0)]
        for name, choose in choices.items()
    }


def decoder(survey: Survey, options: ReadOptions) -> Callable[[Path], np.ndarray]:
    """The function that decodes the files of this survey, for :class:`FileSamples`."""
    return partial(decode_volume, options=replace(options, shape=survey.shape))
