"""The stages download and prepare: from published files to arrays and a card."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from ddcnn.data.arrays import SPLITS, read_arrays
from ddcnn.data.registry import AXES, Dataset, dataset_of
from ddcnn.errors import InputError
from ddcnn.files import read_json, write_aside, write_json
from ddcnn.sources import fetch, file_sha256

log = logging.getLogger(__name__)

SPLIT_SEED = 0
SPLIT_SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}


def download(entry: str | dict[str, Any], manifest: str | Path) -> None:
    """Bring a data set's files beside ``manifest``, verified, and list them there."""
    dataset = dataset_of(entry)
    files = [fetch(dataset.file, Path(manifest).parent)]
    write_json(manifest, {"dataset": dataset.name, "source": dataset.source, "files": files})


def prepare(entry: str | dict[str, Any], manifest: str | Path, card: str | Path) -> None:
    """Write ``x_{split}.npy``, ``y_{split}.npy`` and ``card.json`` beside ``card``.

    Images are uint8 ``N, *spatial, C``, labels int64 ``N``.

    Raises:
        InputError: files that do not hold what the data set promises.
    """
    dataset, raw, folder = dataset_of(entry), Path(manifest).parent, Path(card).parent
    (file,) = read_json(manifest)["files"]
    splits, classes = read_arrays(raw / file["path"])
    classes = list(dataset.classes) or classes
    seed = None
    if "all" in splits:
        seed = SPLIT_SEED
        splits = split_by_class(*splits["all"], seed)
    _check_classes(dataset.name, splits, classes)
    checksums = {}
    for split in SPLITS:
        for letter, array in zip("xy", splits[split], strict=True):
            path = folder / f"{letter}_{split}.npy"
            with write_aside(path) as aside:
                np.save(aside, array)
            checksums[path.name] = f"sha256:{file_sha256(path)}"
        log.info("%s: %d images", split, len(splits[split][1]))
    write_json(card, make_card(dataset, splits, classes, checksums, seed))


def split_by_class(
    images: np.ndarray, labels: np.ndarray, seed: int
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Split every class at random into the shares :data:`SPLIT_SHARES`; order is kept."""
    rng = np.random.default_rng(seed)
    choice = np.empty(len(labels), dtype=int)
    bounds = np.cumsum(list(SPLIT_SHARES.values()))[:-1]
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        rank = rng.permutation(len(of_class))
        choice[of_class] = np.searchsorted(bounds * len(of_class), rank, side="right")
    return {s: (images[choice == i], labels[choice == i]) for i, s in enumerate(SPLIT_SHARES)}


def _check_classes(
    name: str, splits: dict[str, tuple[np.ndarray, np.ndarray]], classes: list[str]
) -> None:
    if len(classes) < 2:
        raise InputError(f"dataset {name}: one class only ({classes}); at least two are needed")
    for split, (_, labels) in splits.items():
        counts = np.bincount(labels, minlength=len(classes))
        if split == "train" and counts.min() == 0:
            empty = classes[int(counts.argmin())]
            raise InputError(f"dataset {name}: class {empty!r} has no image in the split {split}")
        if not len(labels):
            raise InputError(f"dataset {name}: the split {split} is empty; add images")


def make_card(
    dataset: Dataset,
    splits: dict[str, tuple[np.ndarray, np.ndarray]],
    classes: list[str],
    checksums: dict[str, str],
    split_seed: int | None,
) -> dict[str, Any]:
    """The content of ``card.json``; mean and std per channel of pixels / 255, training split."""
    images = splits["train"][0]
    mean, std = channel_statistics(images)
    return {
        "name": dataset.name,
        "title": dataset.title,
        "source": dataset.source,
        "licence": dataset.licence,
        "citation": dataset.citation,
        "synthetic": dataset.synthetic,
        "classes": classes,
        "shape": list(images.shape[1:-1]),
        "channels": images.shape[-1],
        "axes": AXES[images.ndim - 2],
        "counts": {
            split: dict(zip(classes, np.bincount(y, minlength=len(classes)).tolist(), strict=True))
            for split, (_, y) in splits.items()
        },
        "mean": mean,
        "std": std,
        "augment": {"flip": list(dataset.flip), "shift": dataset.shift},
        "split_seed": split_seed,
        "checksums": checksums,
    }


def channel_statistics(images: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of pixels / 255 per channel, exact, from a histogram."""
    means, stds = [], []
    for channel in range(images.shape[-1]):
        counts = np.bincount(images[..., channel].ravel(), minlength=256)
        values = np.arange(256) / 255
        mean = float(counts @ values / counts.sum())
        variance = float(counts @ (values - mean) ** 2 / counts.sum())
        means.append(mean)
        # A channel without any contrast would be divided by zero.
        stds.append(variance**0.5 or 1.0)
    return means, stds
