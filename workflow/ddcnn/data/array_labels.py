"""What arrays say of their images: classes or targets, their names, and groups."""

from contextlib import suppress
from dataclasses import replace
from itertools import chain

import numpy as np

from ddcnn.base.errors import InputError
from ddcnn.base.names import check_name
from ddcnn.data import likely
from ddcnn.data.groups import Grouping, Groups
from ddcnn.data.npy import ArrayStore
from ddcnn.data.options import ReadOptions


def labels_of(store: ArrayStore, key: str, num_images: int) -> np.ndarray:
    """int64 ``N``."""
    shape, dtype = store.header(key)
    source = store.source(key)
    if shape not in ((num_images,), (num_images, 1)):
        raise InputError(
            f"{source} has the shape {shape} for {num_images} images; accepted: one class for each "
            f"image, ({num_images},) or ({num_images}, 1)"
        )
    if dtype.kind not in "ui":
        raise InputError(
            f"{source} has the type {dtype}; accepted: integers from 0, one for each class; for "
            "numbers to be predicted add task: regression to dataset"
        )
    labels = store.read(key).reshape(-1)
    wrong = np.flatnonzero((labels < 0) | (labels >= 2**31))
    if len(wrong):
        raise InputError(
            f"{source}[{wrong[0]}] is {labels[wrong[0]]}; accepted: integers from 0 to the number "
            "of classes minus 1"
        )
    return labels.astype(np.int64)


def groups_of(
    store: ArrayStore,
    keys: dict[str, tuple[str, str]],
    labels: dict[str, np.ndarray],
    options: ReadOptions,
) -> Groups:
    """What the arrays of the name ``group`` hold: numbers or text, ``N`` or ``N, 1``."""
    grouping = Grouping(options.group)
    for split, (x, _) in keys.items():
        key = options.group
        if split != "all":
            key = f"{split}_{key}" if x.startswith(split) else f"{key}_{split}"
        if key not in store.keys:
            raise InputError(
                f"dataset.group: {store.path} has no array {key!r}; its arrays: "
                f"{', '.join(sorted(store.keys))}"
            )
        (shape, dtype), num_images = store.header(key), len(labels[split])
        if shape not in ((num_images,), (num_images, 1)) or dtype.kind not in "uiU":
            raise InputError(
                f"{store.source(key)} has the shape {shape} of {dtype} for {num_images} images; "
                f"accepted for groups: a whole number or text for each image, ({num_images},)"
            )
        for value in store.read(key).reshape(-1).tolist():
            grouping.add(split, check_name(str(value), f"{store.source(key)}:"))
    return grouping.groups()


def likely_groups(
    store: ArrayStore,
    keys: dict[str, tuple[str, str]],
    labels: dict[str, np.ndarray],
    options: ReadOptions,
) -> list[str]:
    """A warning of an array beside the images that looks like groups."""
    others = store.keys - set(chain(*keys.values())) - {"classes", "targets"}
    names = {
        name.removeprefix(f"{split}_").removesuffix(f"_{split}")
        for split in keys
        for name in others
    }
    columns = {}
    for name in sorted(names):
        with suppress(InputError):  # no array of one value for each image
            columns[name] = groups_of(store, keys, labels, replace(options, group=name))
    return likely.unnamed_groups(columns, {}, labels, (), store.path.name)


def targets_of(store: ArrayStore, key: str, num_images: int) -> np.ndarray:
    """float32 ``N, M``."""
    shape, dtype = store.header(key)
    source = store.source(key)
    if len(shape) not in (1, 2) or shape[0] != num_images or 0 in shape:
        raise InputError(
            f"{source} has the shape {shape} for {num_images} images; accepted: one number or "
            f"several for each image, ({num_images},) or ({num_images}, M)"
        )
    if dtype.kind not in "uif":
        raise InputError(f"{source} has the type {dtype}; accepted for regression: numbers")
    with np.errstate(over="ignore"):  # beyond float32 is infinite, which the check names
        return store.read(key).reshape(num_images, -1).astype(np.float32)


def target_names(store: ArrayStore, targets: dict[str, np.ndarray]) -> list[str]:
    """The names in the file, or ``target`` and a number."""
    widths = {values.shape[1] for values in targets.values()}
    if len(widths) > 1:
        raise InputError(f"{store.path}: splits with different numbers of targets: {widths}")
    (num_targets,) = widths
    if "targets" not in store.keys:
        numbered = [f"target {number}" for number in range(1, num_targets + 1)]
        return numbered if num_targets > 1 else ["target"]
    shape, dtype = store.header("targets")
    if shape != (num_targets,) or dtype.kind != "U":
        raise InputError(
            f"{store.source('targets')} has the shape {shape} of {dtype}; accepted: a list of "
            f"text, a name for each of {num_targets} targets"
        )
    return _names(store, "targets")


def _names(store: ArrayStore, key: str) -> list[str]:
    return [check_name(str(name), f"{store.source(key)}:") for name in store.read(key)]


def class_names(store: ArrayStore, labels: dict[str, np.ndarray]) -> list[str]:
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
    names = _names(store, "classes")
    if len(set(names)) < len(names) or highest >= len(names):
        problem = f"{len(names)} names, but label {highest}"
        problem = problem if highest >= len(names) else "a name twice"
        raise InputError(
            f"{store.source('classes')} has {problem}; accepted: a name for each class"
        )
    return names
