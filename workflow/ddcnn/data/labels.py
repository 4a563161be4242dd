"""Classes, targets and splits: what readers check of them before any image is read."""

import re
from collections.abc import Collection as Names
from collections.abc import Mapping, Sequence

import numpy as np

from ddcnn.base.errors import InputError
from ddcnn.base.names import check_name
from ddcnn.base.splits import JUDGED, SPLITS

SPLIT_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
# What programs write where a label is missing; a table shows them as if they were a class.
MISSING_LABELS = ("nan", "none", "null", "na", "n/a", "<na>", "nat")
# Two train, as the preparation asks for; one each for val and test where they are taken from it.
FEWEST = {("all",): 4, ("test", "train"): 3}


def split_of(word: str) -> str | None:
    """The split that a folder's name or a table's word stands for, in upper or lower case."""
    return SPLIT_WORDS.get(word.lower())


def check_label(label: str, source: str) -> None:
    """Refuse what stands for a missing label: it would become a class."""
    if label.lower() in MISSING_LABELS:
        raise InputError(
            f"{source}: the label is {label!r}, which stands for a missing one; fill it in or "
            f"remove it; if it is a class, say so by classes: {{{label}: NAME}} in dataset"
        )


def check_splits(found: Names[str], source: object) -> None:
    """Refuse a choice of splits that leaves open what is trained or tested on."""
    if set(found) in ({"all"}, {"train", "test"}, set(SPLITS)):
        return
    names = ", ".join(sorted(found, key=SPLITS.index))
    missing = " and ".join(split for split in ("train", "test") if split not in found)
    advice = "accepted: train, test and optionally val, or no splits at all"
    if set(found) == {"train", "val"}:
        advice = "rename val to test (val is then taken from train at random), or add test"
    raise InputError(f"{source} has the split {names}, but no {missing}; {advice}")


def class_order(names: Names[str]) -> list[str]:
    """Names in the order of labels: as numbers if all are numbers, else by their characters."""
    if all(name.isascii() and name.isdigit() for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def renamed(
    classes: Sequence[str], names: Mapping[str, str], source: object
) -> tuple[list[str], np.ndarray]:
    """Classes under the names that the configuration gives them; two of one name become one.

    Args:
        classes: as the data name them, in the order of the labels.
        names: new names by old ones; a class that is not there keeps its name.
        source: file or folder, for messages.

    Returns:
        The new names, and the new label of every old one, int64 ``K``.

    Raises:
        InputError: a name for a class that the data do not have.
    """
    unknown = [name for name in names if name not in classes]
    if unknown:
        found = ", ".join(repr(name) for name in classes[:8]) + (", ..." if classes[8:] else "")
        raise InputError(
            f"dataset.classes: {source} has no class {unknown[0]!r}; its classes: {found}; put "
            "names in quotes that YAML reads as something else (yes, no, 01)"
        )
    for name in names.values():
        check_name(name, "dataset.classes:")
    new = [names.get(name, name) for name in classes]
    kept = list(dict.fromkeys(new))
    return kept, np.array([kept.index(name) for name in new], np.int64)


def check_classes(
    classes: Sequence[str], labels: Mapping[str, np.ndarray], source: object
) -> list[str]:
    """Check that every class can be learned.

    Args:
        classes: all names, in the order of the labels.
        labels: integers from 0 of every split.
        source: file or folder, for messages.

    Returns:
        Notes, on classes that a split lacks.

    Raises:
        InputError: one class only; a class without images for training, or with too few of them.
    """
    if len(classes) < 2:
        only = f"one class only ({classes[0]!r})" if classes else "no class"
        raise InputError(f"{source} has {only}; at least two are needed")
    counts = {split: np.bincount(y, minlength=len(classes)) for split, y in labels.items()}
    _check_known(classes, counts, source)
    _check_enough(classes, counts, source)
    return [
        f"the split {split} has no image of {', '.join(repr(classes[i]) for i in lacking)}"
        for split, of_class in counts.items()
        if len(lacking := np.flatnonzero(of_class == 0))
    ]


def _check_known(classes: Sequence[str], counts: Mapping[str, np.ndarray], source: object) -> None:
    trained = counts.get("train", counts.get("all"))
    for split, of_class in counts.items():
        unknown = np.flatnonzero((of_class > 0) & (trained == 0))
        if len(unknown):
            raise InputError(
                f"{source}: class {classes[unknown[0]]!r} is in the split {split}, but not in "
                f"train; accepted: {_listed(classes, trained > 0)}; rename it or add images to "
                "train"
            )


def _check_enough(classes: Sequence[str], counts: Mapping[str, np.ndarray], source: object) -> None:
    fewest = FEWEST.get(tuple(sorted(counts)), 2)
    split = "all" if "all" in counts else "train"
    few = counts[split] < fewest
    if few.any():
        number = {"all": "images, but train needs two, val and test one each"}.get(
            split, "training images" + (", but train needs two, val one" if fewest == 3 else "")
        )
        sizes = [f"{classes[i]!r} ({counts[split][i]})" for i in np.flatnonzero(few)[:5]]
        raise InputError(
            f"{source}: too few {number}, in class {', '.join(sizes)}"
            f"{', ...' if few.sum() > 5 else ''}; at least {fewest} are needed: add images, or "
            f"remove the class{_NUMBERS if all(map(_is_fraction, classes)) else ''}"
        )


_NUMBERS = " (if these are numbers to be predicted, name the table's column target)"


def _is_fraction(name: str) -> bool:
    return bool(re.fullmatch(r"[-+]?\d*[.,]?\d+([eE][-+]?\d+)?", name))


def check_targets(targets: Mapping[str, np.ndarray], names: Sequence[str], source: object) -> None:
    """Check that every target of a regression can be learned.

    Args:
        targets: float ``N, M`` of every split.
        names: of the M targets.
        source: file or folder, for messages.

    Raises:
        InputError: NaN or infinite targets, too few samples, or a target that never changes in a
            split.
    """
    for split, values in targets.items():
        wrong = np.argwhere(~np.isfinite(values))
        if len(wrong):
            row, column = wrong[0]
            raise InputError(
                f"{source}: {names[column]} of sample {row} of the split {split} is "
                f"{values[row, column]}; accepted: finite numbers; remove such samples"
            )
    fewest = FEWEST.get(tuple(sorted(targets)), 2)
    learned = targets["all" if "all" in targets else "train"]
    if len(learned) < fewest:
        raise InputError(
            f"{source} has {len(learned)} training samples; at least {fewest} are needed"
        )
    for name, values in zip(names, learned.T, strict=True):
        if np.ptp(values) == 0:
            raise InputError(
                f"{source}: the target {name} is {values[0]:g} for every training sample, there is "
                "nothing to learn; remove it"
            )
    for split, values_NM in targets.items():
        if split in JUDGED:
            _check_varying(split, values_NM, names, source)


def _check_varying(split: str, values_NM: np.ndarray, names: Sequence[str], source: object) -> None:
    """R² divides by the variance of the targets."""
    for name, values in zip(names, values_NM.T, strict=True):
        if len(values) and np.ptp(values) == 0:
            raise InputError(
                f"{source}: the target {name} is {values[0]:g} for every sample of the split "
                f"{split} ({len(values)}), where R² has no meaning; add samples, or take another "
                "split (dataset.split_seed)"
            )


def _listed(classes: Sequence[str], chosen: np.ndarray) -> str:
    names = [repr(classes[i]) for i in np.flatnonzero(chosen)]
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
