"""What ``samples.csv`` of a prepared data set says; :mod:`ddcnn.data.listing` writes it."""

import csv
from collections.abc import Collection
from pathlib import Path

import numpy as np

from ddcnn.base.escaping import csv_text
from ddcnn.base.files import check_prepared, read_json
from ddcnn.base.reading import reading


def read_files(path: Path) -> dict[str, list[str]]:
    """The file of every image, in the order of the arrays, by split.

    Raises:
        DamagedResult: this is not what the stage prepare wrote.
    """
    check_prepared(path)
    files: dict[str, list[str]] = {}
    with reading(path), path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            files.setdefault(row["split"], []).append(csv_text(row["file"]))
    return files


def groups_of(folder: Path, splits: Collection[str]) -> np.ndarray | None:
    """Group of every image of some splits of prepared data; None where every one is its own."""
    path = folder / "samples.csv"
    if not (read_json(folder / "card.json").get("group") and path.is_file()):
        return None
    return read_groups(path, splits)


def read_groups(path: Path, splits: Collection[str]) -> np.ndarray:
    """The group of every image of some splits, int64 ``N``, counted from 0 as they come.

    An image without a group is a group of its own.
    """
    with reading(path), path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] in splits]
    numbers: dict[str | int, int] = {}
    keys = (row["group"] or index for index, row in enumerate(rows))
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)
