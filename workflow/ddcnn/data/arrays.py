"""Images that come as arrays: one .npz, or .npy files in one folder.

| names | meaning |
| --- | --- |
| ``x``, ``y`` (or ``images``, ``labels``) | images and labels without a split |
| ``x_train``, ``y_train``, ``x_test``, ``y_test``, optionally ``x_val``, ``y_val`` | with splits |
| ``train_images``, ``train_labels``, ... | the same, as MedMNIST names them |
| ``classes`` | optional: names of the classes, text |
| what ``group`` says, or ``NAME_train`` ... (``train_NAME``) | optional: group of each image |

Images are ``N, *spatial`` (gray) or ``N, *spatial, C``, uint8, or with a window any real numbers.
With a ``shape`` of one number, ``[150]``, they are signals ``N, T`` or ``N, T, C`` of any real
numbers, which stay what they are, as float32. Labels are integers from 0, ``N`` or ``N, 1``; with
``task: regression`` targets ``N`` or ``N, M`` of any real numbers, named by ``targets`` (text).
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from ddcnn.base.errors import InputError
from ddcnn.base.splits import SPLITS
from ddcnn.data import intensity
from ddcnn.data.array_labels import (
    class_names,
    groups_of,
    labels_of,
    likely_groups,
    target_names,
    targets_of,
)
from ddcnn.data.array_shapes import checked_shape, is_signals
from ddcnn.data.groups import check_given, wanted
from ddcnn.data.images import fit_image
from ddcnn.data.labels import check_classes, check_splits, check_targets, renamed
from ddcnn.data.npy import ArrayStore, open_store
from ddcnn.data.options import ReadOptions
from ddcnn.data.samples import ArraySamples, Block, Collection
from ddcnn.data.scaling import (
    check_finite,
    resample,
    resample_axis,
    to_uint8,
    windowed,
    with_channels,
)
from ddcnn.data.survey import size_text
from ddcnn.data.values import FEW_VALUES, measure

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
    shapes = {x: checked_shape(store, x, options) for x, _ in keys.values()}
    if len({shape[1:] for shape in shapes.values()}) > 1:
        sizes = ", ".join(f"{key} {size_text(shape[1:])}" for key, shape in shapes.items())
        raise InputError(f"{path}: images of different shapes: {sizes}; save them with one shape")
    if options.task == "regression":
        labels = {split: targets_of(store, y, shapes[x][0]) for split, (x, y) in keys.items()}
        classes, targets = [], target_names(store, labels)
        check_targets(labels, targets, path)
        notes = []
    else:
        labels = {split: labels_of(store, y, shapes[x][0]) for split, (x, y) in keys.items()}
        classes, new = renamed(class_names(store, labels), options.classes, path)
        labels, targets = {split: new[y] for split, y in labels.items()}, []
        notes = check_classes(classes, labels, path)
    groups = groups_of(store, keys, labels, options) if wanted(options.group) else None
    samples = {
        split: ArraySamples(
            labels[split], partial(image_blocks, store, x, options), store.source(x)
        )
        for split, (x, _) in keys.items()
    }
    facts = {"intensity": intensity.given(options)._asdict()} if _is_changed(options) else {}
    if groups:
        check_given(groups, lambda split, index: samples[split].name(index), path)
    warnings = [] if options.group else likely_groups(store, keys, labels, options)
    return Collection(classes, samples, notes, facts, targets, groups=groups, warnings=warnings)


def _is_changed(options: ReadOptions) -> bool:
    """Whether values pass through a window."""
    return (options.window, options.intensity) != (None, None)


def image_shape(path: Path, options: ReadOptions) -> tuple[int, ...]:
    """Spatial axes and channels of one image, from the headers alone."""
    store = open_store(path)
    keys = array_names(store, path)
    shape = checked_shape(store, next(iter(keys.values()))[0], options)[1:]
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


def image_blocks(store: ArrayStore, key: str, options: ReadOptions) -> Iterator[Block]:
    """Blocks ``n, *spatial, C``, uint8 (signals: float32), as the options ask for."""
    shape = checked_shape(store, key, options)
    first = 0
    for block in store.blocks(key):
        names = [f"{store.source(key)}[{first + place}]" for place in range(len(block))]
        first += len(block)
        values = block.reshape(len(block), *shape[1:])
        if is_signals(options):
            with np.errstate(over="ignore"):  # beyond float32 is infinite, which the check names
                values = values.astype(np.float32)
        left_out = _not_finite(values, names)
        values = np.delete(values, list(left_out), axis=0) if left_out else values
        if not len(values):
            yield Block(values, left_out=left_out)
        elif is_signals(options):
            yield Block(resample_axis(values, 1, options.shape[0]), left_out=left_out)
        else:
            gray = _gray(values, options, store.source(key))
            images = with_channels(gray.images, options.channels or shape[-1])
            if options.shape is not None and images.shape[1:-1] != tuple(options.shape):
                images = np.stack([_fitted(image, options) for image in images])
            yield Block(images, gray.values, left_out)


def _not_finite(values: np.ndarray, names: Sequence[str]) -> dict[int, InputError]:
    """Places of the images or signals ``n, *spatial, C`` that hold NaN or infinite values."""
    found = {}
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return found
    for place, name in enumerate(names):
        try:
            check_finite(values[place], name)
        except InputError as error:
            found[place] = error
    return found


def _gray(values: np.ndarray, options: ReadOptions, source: str) -> Block:
    """Finite images as uint8, each through its window where there is a rule."""
    if not _is_changed(options):
        return Block(values)
    samples = [image.ravel()[:: max(1, image.size // FEW_VALUES)] for image in values]
    own = options.intensity in intensity.PER_IMAGE
    windows = [
        intensity.own_window(image, options.intensity) if own else options.window
        for image in values
    ]
    gray = np.stack([
        to_uint8(windowed(image, window, source))
        for image, window in zip(values, windows, strict=True)
    ])  # fmt: skip
    pairs = zip(samples, windows, strict=True)
    return Block(gray, [measure(s, values.dtype, window) for s, window in pairs])


def _fitted(image: np.ndarray, options: ReadOptions) -> np.ndarray:
    """An image uint8 ``*spatial, C`` brought to the target shape, channel by channel."""
    if len(options.shape) == 3:
        return resample(image, options.shape)
    channels = [Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(image, -1, 0)]
    return np.stack([fit_image(c, options.shape, options.fit) for c in channels], axis=-1)
