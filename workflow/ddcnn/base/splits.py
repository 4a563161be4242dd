"""The parts of every data set: one to learn from, one to choose by, one to report on.

With cross-validation the files hold K folds instead, and each run makes its splits of them: run k
is tested on fold k, chooses by the next one and learns from all others.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

SPLITS = ("train", "val", "test")
FITTING = SPLITS[:2]  # a training sees the labels of these
JUDGED = SPLITS[1:]  # decisions on these are scored


def stored_parts(folds: int) -> tuple[str, ...]:
    """What the files of images are called after: the splits, or ``fold0`` and so on.

    Args:
        folds: their number; 0: there is one split and no cross-validation.
    """
    return tuple(f"fold{number}" for number in range(folds)) or SPLITS


def parts_of_fold(fold: int, folds: int) -> dict[str, list[str]]:
    """The stored parts that every split of a fold's run consists of."""
    names = stored_parts(folds)
    after = [names[(fold + step) % folds] for step in range(folds)]
    return {"train": sorted(after[2:], key=names.index), "val": after[1:2], "test": after[:1]}


def parts_of(card: Mapping[str, Any], split: str) -> list[str]:
    """The stored parts that a split consists of, by its data card."""
    return card.get("parts", {}).get(split, [split])


def by_part(paths: Iterable[str | Path]) -> dict[str, Path]:
    """Files of images ``x_{part}.npy`` by their part."""
    return {Path(path).stem.removeprefix("x_"): Path(path) for path in paths}
