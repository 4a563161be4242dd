"""The voxels of a NIfTI file: slab by slab, or those of a part."""

from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ddcnn.base.errors import InputError
from ddcnn.data.nifti import Stored
from ddcnn.data.packed import SKIP_BYTES, skip, stream


def slabs(path: Path, stored: Stored) -> Iterator[np.ndarray]:
    """The voxels, one plane of the last stored axis after the other; of a mean as float64.

    A mean keeps one volume of float64 in memory.

    Raises:
        InputError: the file ends early, or its checksum (gzip) is wrong.
    """
    with stream(path) as file:
        skip(file, stored.offset + stored.chosen_frames.start * _frame_bytes(stored))
        if stored.frame == "mean" and stored.frames > 1:
            yield from _mean_slabs(path, file, stored)
        else:
            yield from _planes(path, file, stored)
        skip(file, (stored.frames - stored.chosen_frames.stop) * _frame_bytes(stored))
        file.read(SKIP_BYTES)  # up to the end, where gzip compares its checksum


def _frame_bytes(stored: Stored) -> int:
    return prod(stored.shape) * stored.dtype.itemsize


def _planes(path: Path, file: BinaryIO, stored: Stored) -> Iterator[np.ndarray]:
    """The planes of the volume that begins here."""
    plane_bytes = stored.shape[0] * stored.shape[1] * stored.dtype.itemsize
    for index in range(stored.shape[2]):
        content = file.read(plane_bytes)
        if len(content) < plane_bytes:
            raise InputError(
                f"{path} ends in slab {index + 1} of {stored.shape[2]}; it is truncated: "
                "get it again or remove it",
                "truncated",
            )
        yield np.frombuffer(content, stored.dtype).reshape(stored.shape[:2], order="F")


def _mean_slabs(path: Path, file: BinaryIO, stored: Stored) -> Iterator[np.ndarray]:
    total = np.zeros(stored.shape[::-1]).T  # planes of the last axis lie together
    for _ in stored.chosen_frames:
        for index, plane in enumerate(_planes(path, file, stored)):
            total[:, :, index] += plane
    total /= stored.frames
    yield from np.moveaxis(total, 2, 0)


def read_block(path: Path, stored: Stored, box: Sequence[slice]) -> np.ndarray:
    """The voxels of a part, in the file's order of axes and in their stored type (or the mean's).

    Args:
        box: slices of the result's axes, see :func:`ddcnn.data.volumes.decode_box`.
    """
    from nibabel.fileslice import fileslice  # here: pictures do not wait for it

    parts = []
    for size, (axis, direction) in zip(stored.shape, stored.turn, strict=True):
        indices = range(*box[int(axis)].indices(size))
        if direction < 0:
            indices = range(size - 1 - indices[-1], size - indices[0], indices.step)
        parts.append(slice(indices.start, indices[-1] + 1, indices.step))
    where = tuple(parts), stored.shape, stored.dtype
    frames = stored.chosen_frames
    offsets = [stored.offset + frame * _frame_bytes(stored) for frame in frames]
    with path.open("rb") as file:
        blocks = (fileslice(file, *where, offset, order="F") for offset in offsets)
        return next(blocks) if len(frames) == 1 else sum(b / len(frames) for b in blocks)
