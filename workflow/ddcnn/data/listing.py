"""``samples.csv``: where every prepared image is from, and which group it is in.

One row an image, in the order of the arrays: ``split``, ``index`` (its place in ``x_{split}.npy``),
``file``, ``label`` (for regression the targets) and ``group`` (empty: it stands for itself).
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ddcnn.base.escaping import csv_cell
from ddcnn.base.files import write_aside
from ddcnn.data.samples import Collection, LabelledImages


class Part(NamedTuple):
    """Some images of a split: the ones at ``index`` of ``samples``, a split of the source."""

    source: str
    samples: LabelledImages
    index: np.ndarray


def write_samples(path: Path, splits: Mapping[str, Sequence[Part]], collection: Collection) -> None:
    """Write ``samples.csv``.

    Args:
        path: the file.
        splits: what every split consists of, in its order.
        collection: classes, targets and groups.
    """
    targets = [name if name == "target" else f"target_{name}" for name in collection.targets]
    with write_aside(path) as aside, aside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        heads = ["split", "index", "file", *(targets or ["label"]), "group"]
        writer.writerow(map(csv_cell, heads))
        for split, parts in splits.items():
            for index, row in enumerate(_rows(parts, collection)):
                writer.writerow([split, index, *map(csv_cell, row)])


def _rows(parts: Sequence[Part], collection: Collection) -> Iterator[list[object]]:
    groups = collection.groups
    for source, samples, index in parts:
        for place in index.tolist():
            label = samples.labels[place]
            known = [collection.classes[label]] if collection.classes else label.tolist()
            yield [
                _shown(samples.name(place)),
                *known,
                groups.name(source, place) if groups else "",
            ]


def _shown(name: str) -> str:
    """A name without the folders of this machine, which mean nothing elsewhere."""
    return Path(name).name if Path(name).is_absolute() else name
