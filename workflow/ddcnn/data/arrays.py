"""Images that come as arrays: one .npz, or .npy files in one folder.

| names | meaning |
| --- | --- |
| ``x``, ``y`` (or ``images``, ``labels``) | images and labels without a split |
| ``x_train``, ``y_train``, ``x_test``, ``y_test``, optionally ``x_val``, ``y_val`` | with splits |
| ``train_images``, ``train_labels``, ... | the same, as MedMNIST names them |
| ``classes`` | optional: names of the classes, text |

Images are ``N, *spatial`` (gray) or ``N, *spatial, C``, uint8, or with a window any real numbers.
Labels are integers from 0, ``N`` or ``N, 1``.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from ddcnn.data.images import fit_image
from ddcnn.data.labels import SPLITS, check_classes, check_splits
from ddcnn.data.npy import ArrayStore, open_store
from ddcnn.data.options import ReadOptions
from ddcnn.data.samples import ArraySamples, Collection
from ddcnn.data.scaling import resample, to_uint8, windowed, with_channels
from ddcnn.data.survey import check_axes, size_text, window_missing
from ddcnn.errors import InputError

MOST_CHANNELS = 4
# Families of names: split -> images, labels.
FAMILIES = [
    {split: (f"x_{split}", f"y_{split}") for split in SPLITS},
    {split: (f"{split}_images", f"{split}_labels") for split in SPLITS},
    {"all": ("x", "y")},
    {"all": ("images", "labels")},
]
IMAGE_NAMES = frozenset(x for family in FAMILIES for x, _ in family.values())
ACCEPTED = "accepted: x_train, y_train, x_test, y_test (and x_val, y_val), or x, y"


def read_arrays(raw: list[Path], options: ReadOptions) -> Collection:
    """Images and labels of every split, streamed.

    Args:
        raw: an .npz, an .npy of images (labels and further splits beside it), or a folder of .npy.
        options: shape, channels, fit, window and limits.

    Raises:
        InputError: arrays missing, broken, of other shapes or types than accepted; wrong labels.
    """
    (path,) = raw
    store = open_store(path)
    keys = array_names(store, path)
    check_splits(keys, path)
    shapes = {x: _checked_shape(store, x, options) for x, _ in keys.values()}
    if len({shape[1:] for shape in shapes.values()}) > 1:
        sizes = ", ".join(f"{key} {size_text(shape[1:])}" for key, shape in shapes.items())
        raise InputError(f"{path}: images of different shapes: {sizes}; save them with one shape")
    labels = {split: _labels(store, y, shapes[x][0]) for split, (x, y) in keys.items()}
    classes = _classes(store, labels)
    notes = check_classes(classes, labels, path)
    samples = {
        split: ArraySamples(labels[split], partial(_images, store, x, options), store.source(x))
        for split, (x, _) in keys.items()
    }
    return Collection(classes, samples, notes)


def image_shape(path: Path, options: ReadOptions) -> tuple[int, ...]:
    """Spatial axes and channels of one image, from the headers alone."""
    store = open_store(path)
    keys = array_names(store, path)
    shape = _checked_shape(store, next(iter(keys.values()))[0], options)[1:]
    return (*(options.shape or shape[:-1]), options.channels or shape[-1])


def array_names(store: ArrayStore, path: Path) -> dict[str, tuple[str, str]]:
    """The names of images and labels of every split (``all`` if there is none).

    Raises:
        InputError: none is there, or images without labels.
    """
    families = FAMILIES
    if path.suffix.lower() == ".npy":  # the file itself says which of the folder's arrays
        families = [f for f in families if path.stem in {x for x, _ in f.values()}]
    for family in families:
        found = {s: pair for s, pair in family.items() if store.keys & set(pair)}
        if found:
            missing = sorted(set().union(*found.values()) - store.keys)
            if missing:
                raise InputError(f"{path} lacks the array {', '.join(missing)}; {ACCEPTED}")
            return found
    names = ", ".join(sorted(store.keys)[:8]) or "none"
    raise InputError(f"{path} has no arrays of known names (found: {names}); {ACCEPTED}")


def _checked_shape(store: ArrayStore, key: str, options: ReadOptions) -> tuple[int, ...]:
    """``N, *spatial, C`` of images, from the header."""
    shape, dtype = store.header(key)
    source = store.source(key)
    if dtype.kind not in "uif":
        raise InputError(f"{source} has the type {dtype}; accepted: uint8, or numbers and a window")
    if dtype != np.uint8 and options.window is None:
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


def _labels(store: ArrayStore, key: str, num_images: int) -> np.ndarray:
    """int64 ``N``."""
    shape, dtype = store.header(key)
    source = store.source(key)
    if shape not in ((num_images,), (num_images, 1)):
        raise InputError(
            f"{source} has the shape {shape} for {num_images} images; accepted: one class for each "
            f"image, ({num_images},) or ({num_images}, 1)"
        )
    if dtype.kind not in "ui":
        raise InputError(f"{source} has the type {dtype}; accepted: integers from 0")
    labels = store.read(key).reshape(-1)
    wrong = np.flatnonzero((labels < 0) | (labels >= 2**31))
    if len(wrong):
        raise InputError(
            f"{source}[{wrong[0]}] is {labels[wrong[0]]}; accepted: integers from 0 to the number "
            "of classes minus 1"
        )
    return labels.astype(np.int64)


def _classes(store: ArrayStore, labels: dict[str, np.ndarray]) -> list[str]:
    """The names in the file, or the labels themselves."""
    highest = max(int(values.max()) for values in labels.values())
    if "classes" not in store.keys:
        present = np.unique(np.concatenate(list(labels.values())))
        gaps = np.flatnonzero(present != np.arange(len(present)))
        if len(gaps):
            raise InputError(
                f"{store.path}: label {gaps[0]} does not occur, but {highest} does; accepted: 0 to "
                f"{len(present) - 1} for {len(present)} classes"
            )
        return [str(label) for label in present]
    shape, dtype = store.header("classes")
    if len(shape) != 1 or dtype.kind != "U":
        raise InputError(
            f"{store.source('classes')} has the shape {shape} of {dtype}; accepted: a list of text"
        )
    names = [str(name) for name in store.read("classes")]
    if len(set(names)) < len(names) or highest >= len(names):
        problem = f"{len(names)} names, but label {highest}"
        problem = problem if highest >= len(names) else "a name twice"
        raise InputError(
            f"{store.source('classes')} has {problem}; accepted: a name for each class"
        )
    return names


def _images(store: ArrayStore, key: str, options: ReadOptions) -> Iterator[np.ndarray]:
    """Blocks uint8 ``n, *spatial, C`` as the options ask for."""
    shape = _checked_shape(store, key, options)
    first = 0
    for block in store.blocks(key):
        source = f"{store.source(key)}[{first}:{first + len(block)}]"
        first += len(block)
        values = block.reshape(len(block), *shape[1:])
        if options.window is not None:
            values = to_uint8(windowed(values, options.window, source))
        values = with_channels(values, options.channels or shape[-1])
        if options.shape is not None and values.shape[1:-1] != tuple(options.shape):
            values = np.stack([_fitted(image, options) for image in values])
        yield values


def _fitted(image: np.ndarray, options: ReadOptions) -> np.ndarray:
    """An image uint8 ``*spatial, C`` brought to the target shape, channel by channel."""
    if len(options.shape) == 3:
        return resample(image, options.shape)
    channels = [Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(image, -1, 0)]
    return np.stack([fit_image(c, options.shape, options.fit) for c in channels], axis=-1)
