"""Values and shapes of images: windows of intensity, resampling, channels. NumPy alone."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from ddcnn.base.errors import InputError

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R 601, as image programs do it


def windowed(values: np.ndarray, window: Sequence[float], source: object) -> np.ndarray:
    """Values with ``window`` stretched to 0 to 255 and what lies outside cut off, float32.

    Args:
        values: of any real type and shape.
        window: the values that become 0 and 255.
        source: what the error calls the values.

    Raises:
        InputError: NaN or infinite values; the window would hide them.
    """
    check_finite(values, source)
    low, high = window
    # Integers of 32 bit do not fit into the 24 bits that float32 has for digits.
    exact = np.float32 if values.dtype.itemsize <= 2 or values.dtype == np.float32 else np.float64
    scaled = values.astype(exact)
    scaled -= exact(low)  # in place: new memory costs more than the arithmetic
    scaled *= exact(255 / (high - low))
    return np.clip(scaled, 0, 255, out=scaled).astype(np.float32, copy=False)


def check_finite(values: np.ndarray, source: object) -> None:
    """Refuse NaN and infinite values."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        count = values.size - np.count_nonzero(np.isfinite(values))
        raise InputError(
            f"{source} holds NaN or infinite values ({count}); "
            "replace them by a number, or remove the image",
            "with NaN or infinite values",
        )


def to_uint8(values: np.ndarray) -> np.ndarray:
    """Floats from 0 to 255, rounded to uint8."""
    return np.rint(values).astype(np.uint8)


@lru_cache(maxsize=8)  # every slice of a volume asks for the same
def weights(size_in: int, size_out: int) -> np.ndarray:
    """Linear interpolation of an axis that does not alias: float32 ``size_out, size_in``.

    Read only: whoever asks again gets the same array.

    Enlarging is plain linear interpolation. Shrinking widens the triangle by the factor of
    shrinking, so that every value of the input counts; ``scipy.ndimage.zoom`` would instead pick
    two neighbours per axis and turn the noise and thin vessels between them into chance.
    Pillow's ``BILINEAR`` computes the same.
    """
    factor = size_in / size_out
    reach = max(factor, 1.0)
    centres = (np.arange(size_out) + 0.5) * factor - 0.5
    distance = np.abs(np.arange(size_in) - centres[:, None])
    triangle = np.maximum(0.0, 1.0 - distance / reach)
    found = (triangle / triangle.sum(axis=1, keepdims=True)).astype(np.float32)
    found.setflags(write=False)
    return found


def resample_axis(values: np.ndarray, axis: int, size: int) -> np.ndarray:
    """``values`` with ``size`` entries along ``axis``; float32 unless nothing changes."""
    if values.shape[axis] == size:
        return values
    matrix = weights(values.shape[axis], size)
    moved = np.tensordot(matrix, values.astype(np.float32, copy=False), axes=(1, axis))
    return np.moveaxis(moved, 0, axis)


def resample(image: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """A uint8 image ``*spatial, C`` stretched to the spatial axes ``shape``, uint8."""
    values = image
    for axis, size in enumerate(shape):
        values = resample_axis(values, axis, size)
    return values if values.dtype == np.uint8 else to_uint8(values)


def fit_words(spacing: Sequence[float] | None) -> str:
    """What brings volumes to a shape, before ``to`` and the shape.

    Args:
        spacing: mm, to which they were resampled before; or None.
    """
    return "resampled to" if spacing is None else "middle cut, or padded with black, to"


def cut_or_padded(image: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """The middle of an image ``*spatial, C`` with the spatial axes ``shape``; black around it.

    Where an odd number of entries is cut or added, the end gets one more than the start.
    """
    for axis, size in enumerate(shape):
        more = size - image.shape[axis]
        if more < 0:
            first = -more // 2
            image = np.take(image, range(first, first + size), axis)
        elif more > 0:
            image = np.pad(
                image, [(more // 2, more - more // 2) if axis == a else (0, 0)
                        for a in range(image.ndim)]
            )  # fmt: skip
    return image


def with_channels(images: np.ndarray, channels: int) -> np.ndarray:
    """Images ``..., C`` with one or three channels: gray repeated, or the luma of RGB."""
    if images.shape[-1] == channels:
        return images
    if (images.shape[-1], channels) == (1, 3):
        return np.repeat(images, 3, axis=-1)
    assert (images.shape[-1], channels) == (3, 1), "checked by the reader"
    return to_uint8(images.astype(np.float32) @ LUMA)[..., None]
