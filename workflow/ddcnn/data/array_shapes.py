"""Shapes and types of arrays: what is taken for images, volumes or signals."""

import numpy as np

from ddcnn.base.errors import InputError
from ddcnn.data import intensity
from ddcnn.data.npy import ArrayStore
from ddcnn.data.options import ReadOptions
from ddcnn.data.survey import check_axes, check_no_scans, size_text, window_missing

MOST_CHANNELS = 4


def checked_shape(store: ArrayStore, key: str, options: ReadOptions) -> tuple[int, ...]:
    """``N, *spatial, C`` of images, from the header."""
    shape, dtype = store.header(key)
    source = store.source(key)
    if is_signals(options):
        return _checked_signals(source, shape, dtype, options)
    if len(shape) == 2:
        raise InputError(
            f"{source} has the shape {shape}; for signals (one row each) add shape: [{shape[1]}] "
            "to dataset; accepted for images: N, rows, columns(, slices)(, channels)"
        )
    if dtype.kind not in "uif":
        raise InputError(f"{source} has the type {dtype}; accepted: uint8, or numbers and a window")
    check_no_scans(source, options)
    if _lacks_window(dtype, options):
        raise InputError(window_missing(source, f"{dtype} values"))
    result = shape_with_channels(shape, options)
    if len(result) not in (4, 5) or min(shape) < 1 or result[-1] > MOST_CHANNELS:
        raise InputError(
            f"{source} has the shape {shape}; accepted: N, rows, columns(, slices)(, channels) "
            f"with at least one image and at most {MOST_CHANNELS} channels"
        )
    if _looks_channels_first(result) and tuple(options.shape or ()) != result[1:-1]:
        raise InputError(
            f"{source} has the shape {shape}, which looks like channels before rows; accepted: "
            f"channels last (np.moveaxis({key}, 1, -1)); volumes of so few rows: give their shape"
        )
    if np.prod(result[1:-1], dtype=float) > options.most_pixels:
        raise InputError(
            f"{source} has images of {size_text(result[1:-1])} pixels, more than most_megapixels: "
            f"{options.most_megapixels:g}; make them smaller, or raise most_megapixels in dataset"
        )
    check_axes(source, len(result) - 2, options)
    if options.channels not in (None, result[-1]) and result[-1] not in (1, 3):
        raise InputError(
            f"{source} has {result[-1]} channels, which cannot become channels: "
            f"{options.channels}; remove channels from dataset"
        )
    return result


def _lacks_window(dtype: np.dtype, options: ReadOptions) -> bool:
    if intensity.decides(options):
        return False
    return dtype != np.uint8 or options.intensity == "window"


def is_signals(options: ReadOptions) -> bool:
    """Whether a target shape of one number says so; the array alone could be gray images."""
    return options.shape is not None and len(options.shape) == 1


def _checked_signals(
    source: str, shape: tuple[int, ...], dtype: np.dtype, options: ReadOptions
) -> tuple[int, ...]:
    """``N, T, C`` of signals, from the header."""
    result = (*shape, 1) if len(shape) == 2 else shape
    if dtype.kind not in "uif" or len(result) != 3 or min(shape) < 1:
        raise InputError(
            f"{source} has the shape {shape} of {dtype}; accepted with shape: "
            f"{list(options.shape)}: signals N, time or N, time, channels of real numbers (images "
            "have a shape of two numbers or more)"
        )
    steps, channels = result[1:]
    if steps < channels and steps != options.shape[0]:
        raise InputError(
            f"{source} has the shape {shape}, which looks like channels before time; accepted: N, "
            f"time, channels (np.moveaxis(x, 1, 2)); if these are {channels} channels, give shape: "
            f"[{steps}]"
        )
    if np.prod(result[1:], dtype=float) > options.most_pixels:
        raise InputError(
            f"{source} has signals of {size_text(result[1:])} values, more than most_megapixels: "
            f"{options.most_megapixels:g}; make them shorter, or raise most_megapixels in dataset"
        )
    for key in ("channels", "window", "intensity", "frame", "spacing"):
        if getattr(options, key) is not None:
            raise InputError(
                f"dataset.{key}: signals do not take this key, they stay as they are; remove it"
            )
    return result


def shape_with_channels(shape: tuple[int, ...], options: ReadOptions) -> tuple[int, ...]:
    """Shape of images with the channel axis that gray images may lack.

    A target shape says how many axes are spatial. Without one the last axis counts as channels if
    it is short and at least two others are left.
    """
    if options.shape is not None:
        return (*shape, 1) if len(shape) == 1 + len(options.shape) else shape
    return shape if len(shape) > 3 and shape[-1] <= MOST_CHANNELS else (*shape, 1)


def _looks_channels_first(shape: tuple[int, ...]) -> bool:
    """Whether gray volumes ``N, 3, 32, 32, 1`` are more likely images of three channels."""
    return len(shape) == 5 and shape[-1] == 1 and shape[1] <= MOST_CHANNELS < min(shape[2:4])
