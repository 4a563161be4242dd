"""Volumes in NIfTI files (.nii, .nii.gz) -> uint8 ``rows, columns, slices, 1``.

Whatever way a scanner stored a volume, it comes out as radiologists look at it: rows from
anterior to posterior, columns from the patient's right to left, slices from inferior to superior
(nibabel's axis codes P, L, S: the canonical R, A, S with the first two axes exchanged and
mirrored). A volume is read slab by slab and shrunk on the way: memory stays near the result's. One
that gets a window of its own is read twice, and at most 2**24 of its values are kept.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from math import prod
from pathlib import Path

import numpy as np

from ddcnn.base.errors import InputError
from ddcnn.data import intensity
from ddcnn.data.intensity import IntensityRule
from ddcnn.data.nifti import Stored, read_stored, turned
from ddcnn.data.options import ReadOptions
from ddcnn.data.packed import broken_files_named
from ddcnn.data.samples import Decoded
from ddcnn.data.scaling import (
    check_finite,
    cut_or_padded,
    fit_words,
    resample_axis,
    to_uint8,
    windowed,
)
from ddcnn.data.survey import (
    Header,
    HeaderGroup,
    Survey,
    change_notes,
    check_axes,
    common_shape,
    measured,
    read_headers,
    require_decoding,
    size_notes,
    size_text,
    window_missing,
)
from ddcnn.data.values import FEW_VALUES, Sampler, measure
from ddcnn.data.voxels import read_block, slabs

SUFFIXES = (".nii", ".nii.gz")
LIKE_SPACING = 1.02  # largest by smallest spacing of what still counts as alike


def decode_volume(path: Path, options: ReadOptions) -> np.ndarray:
    """One volume as uint8 ``rows, columns, slices, 1``.

    The window comes before resampling, so that metal or air far outside it does not shine into
    the voxels beside it. Resampling is linear and antialiased, see
    :func:`ddcnn.data.scaling.weights`; without a target spacing it stretches, so that the whole
    body stays in the volume whatever its spacing was.

    Raises:
        InputError: no NIfTI volume of three axes, a broken or too large one, or a window missing.
    """
    return read_volume(path, options).image


def read_volume(path: Path, options: ReadOptions) -> Decoded:
    """As :func:`decode_volume`, with what the file's values were."""
    with broken_files_named(path):
        stored = read_stored(path, options)
        check_axes(path, 3, options)
        window = _window(path, stored, options)
        sampler = Sampler(prod(stored.shape))
        volume = _shrunk(path, stored, options, window, sampler)
        image = turned(volume, stored)
        values = measure(sampler.values(), stored.dtype, window)
        return Decoded(cut_or_padded(image, options.shape or image.shape[:3]), values)


def _shrunk(
    path: Path,
    stored: Stored,
    options: ReadOptions,
    window: tuple[float, float] | None,
    sampler: Sampler,
) -> np.ndarray:
    """The volume in its stored order of axes, resampled; uint8."""
    sizes = stored.stored_sizes(_sizes(stored, options))
    # Without resampling nothing is left to average: uint8 needs a quarter of float32's memory.
    dtype = np.uint8 if sizes == list(stored.shape) else np.float32
    planes = np.empty((stored.shape[2], *sizes[:2]), dtype)
    for index, slab in enumerate(slabs(path, stored)):
        values = _values(slab, stored, path)
        sampler.add(values)
        gray = values if window is None else windowed(values, window, path)
        gray = resample_axis(resample_axis(gray, 0, sizes[0]), 1, sizes[1])
        planes[index] = np.rint(gray) if dtype == np.uint8 else gray
    volume = np.moveaxis(resample_axis(planes, 0, sizes[2]), 0, 2)
    return volume if volume.dtype == np.uint8 else to_uint8(volume)


def _sizes(stored: Stored, options: ReadOptions) -> tuple[int, ...]:
    """Rows, columns and slices after resampling, before anything is cut or padded."""
    if options.spacing is None:
        return tuple(options.shape or stored.result_shape)
    lengths = zip(stored.result_shape, stored.spacing, options.spacing, strict=True)
    return tuple(max(1, round(size * old / new)) for size, old, new in lengths)


def _values(slab: np.ndarray, stored: Stored, path: Path) -> np.ndarray:
    """What the voxels' numbers mean, by slope and intercept."""
    check_finite(slab, path)
    return slab.astype(np.float64) * stored.slope + stored.inter if stored.scaled else slab


def _window(path: Path, stored: Stored, options: ReadOptions) -> tuple[float, float] | None:
    """Which values become black and white; None: they are gray as they are.

    Raises:
        InputError: they are not, and nothing says which.
    """
    if options.intensity in intensity.PER_IMAGE:
        values = _sample(path, stored, intensity.MOST_VALUES)
        return intensity.own_window(values, options.intensity)
    if options.window is None and (missing := _windowless(stored)):
        raise InputError(window_missing(path, missing))
    return options.window


def _sample(path: Path, stored: Stored, most: int) -> np.ndarray:
    sampler = Sampler(prod(stored.shape), most)
    for slab in slabs(path, stored):
        sampler.add(_values(slab, stored, path))
    return sampler.values()


def sample(path: Path, options: ReadOptions) -> np.ndarray:
    """Some of a volume's values, one axis, for :func:`ddcnn.data.intensity.choose`."""
    with broken_files_named(path):
        return _sample(path, read_stored(path, options), FEW_VALUES)


def choose_intensity(paths: Sequence[Path], options: ReadOptions) -> IntensityRule:
    """The rule that the volumes of the training split ask for.

    Raises:
        InputError: none of them can be read.
    """
    samples = measured(partial(sample, options=options), paths, "volumes")
    return intensity.choose(samples, options.intensity)


def _windowless(stored: Stored) -> str:
    """The type of values that have no black and white of their own; empty if they have."""
    if stored.plain:
        return ""
    return f"{stored.dtype.name} values" + (" with a slope" if stored.scaled else "")


def settled(path: Path, options: ReadOptions) -> ReadOptions:
    """The options with the window that this volume gets, for :func:`decode_box`."""
    with broken_files_named(path):
        window = _window(path, read_stored(path, options), options)
    return replace(options, intensity=None if window is None else "window", window=window)


def decode_box(path: Path, options: ReadOptions, box: Sequence[slice]) -> np.ndarray:
    """A part of a volume that is not resampled, uint8 ``rows, columns, slices, 1``.

    No more than the part is in memory. Of packed files the parts cannot be found.

    Args:
        path: an uncompressed .nii file.
        options: the window, see :func:`settled`, and the limit of voxels.
        box: slices along rows, columns and slices, with steps above zero.

    Raises:
        InputError: as for :func:`decode_volume`.
    """
    with broken_files_named(path):
        stored = read_stored(path, options)
        window = _window(path, stored, options)
        values = _values(read_block(path, stored, box), stored, path)
        gray = values if window is None else windowed(values, window, path)
        part = np.rint(gray).astype(np.uint8)
        return turned(part, stored)


def read_header(path: Path, options: ReadOptions) -> Header:
    """What the file's header says; no voxel is read. Its shape is that after resampling."""
    with broken_files_named(path):
        stored = read_stored(path, options)
    changes = list(stored.doubts)
    if not stored.oriented:
        changes.append("no orientation in the file, taken as NIfTI's default (L, A, S)")
    if stored.frames > 1:
        which = "mean" if stored.frame == "mean" else f"volume {stored.frame}"
        changes.append(f"{which} of a series")
    return Header(
        stored.result_shape if options.spacing is None else _sizes(stored, options),
        changes=tuple(changes),
        spacing=stored.spacing,
        is_deep=not stored.plain,
        stored=() if options.spacing is None else stored.result_shape,
    )


def survey(paths: Sequence[Path], options: ReadOptions) -> Survey:
    """The common shape of many volumes, and the spacing of their voxels.

    Raises:
        InputError: shapes differ without a target, nothing is readable.
    """
    if options.channels not in (None, 1):
        raise InputError(f"channels: {options.channels}, but volumes are gray; remove channels")
    groups = read_headers(partial(read_header, options=options), paths, "volumes")
    shape, spacing = common_shape(groups, options), _spacing(groups)
    sized = replace(options, shape=shape)
    require_decoding(groups, lambda group: bytes_of(group.header, sized), "volumes")
    notes = change_notes(groups, "volumes")
    notes += size_notes(groups, shape, fit_words(options.spacing))
    notes += _spacing_notes(spacing, options)
    is_open = intensity.is_open(options, any(group.header.is_deep for group in groups))
    facts = {"spacing_mm": spacing, "intensity": intensity.given(options)._asdict()}
    return Survey(shape, 1, notes, facts, is_open)


def bytes_of(header: Header, options: ReadOptions) -> int:
    """Memory that decoding a volume takes at least, with its result of the options' shape."""
    stored = header.stored or header.shape
    sizes = header.shape if options.spacing else options.shape or header.shape
    total = prod(sizes)
    # Which axis the file has last is in no header here: the one that makes the least.
    planes = min(total // size * slices for size, slices in zip(sizes, stored, strict=True))
    # Bytes of a voxel: as float and then as uint8, or once more when its axes are turned.
    needed = planes + total if sizes == stored else 4 * planes + 5 * total
    return needed + (8 * prod(stored) if options.frame == "mean" else 0)


def _spacing(groups: Sequence[HeaderGroup]) -> dict[str, list[float]]:
    """Smallest, median and largest spacing of rows, columns and slices."""
    spacings = np.array([group.header.spacing for group in groups])
    spacings = np.repeat(spacings, [group.count for group in groups], axis=0)
    choices = {"min": np.min, "median": np.median, "max": np.max}
    return {
        name: [round(float(value), 4) for value in choose(spacings, axis=0)]
        for name, choose in choices.items()
    }


def _spacing_notes(spacing: dict[str, list[float]], options: ReadOptions) -> list[str]:
    least, most = spacing["min"], spacing["max"]
    span = " to ".join(size_text(f"{number:g}" for number in each) for each in (least, most))
    if options.spacing is not None:
        target = size_text(f"{number:g}" for number in options.spacing)
        return [f"spacings in the files: {span} mm; resampled to {target} mm"]
    if all(high <= LIKE_SPACING * low for low, high in zip(least, most, strict=True)):
        return []
    return [
        f"spacings in the files: {span} mm, so that a voxel is not the same length in all volumes; "
        "spacing: [rows, columns, slices] in dataset resamples them to one"
    ]


def decoder(survey: Survey, options: ReadOptions) -> Callable[[Path], Decoded]:
    """The function that decodes the files of this survey, for :class:`FileSamples`."""
    return partial(read_volume, options=replace(options, shape=survey.shape))
