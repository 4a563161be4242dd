"""Images that belong together, such as those of one patient: they stay within one split.

A group is named by a table's column, by an array beside the images, or by a rule: a regular
expression whose one pair of brackets finds the group in an image's path. Paths are those below the
class folder, or as a table writes them: ``^([^_]+)_`` finds ``p01`` in ``p01_left.png``.
"""

import re
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ddcnn.base.errors import InputError
from ddcnn.data.options import NO_GROUPS


@dataclass(frozen=True)
class Groups:
    """Which group every image is in.

    Attributes:
        rule: what the configuration calls them: a column, an array or a regular expression.
        names: of the groups.
        ids: places in ``names``, int64 ``N`` for every split.
    """

    rule: str
    names: list[str]
    ids: dict[str, np.ndarray]

    def name(self, split: str, index: int) -> str:
        """The name of an image's group."""
        return self.names[self.ids[split][index]]


class Grouping:
    """Collects :class:`Groups`, image by image, a few bytes each."""

    def __init__(self, rule: str) -> None:
        self._rule = rule
        self._names: dict[str, int] = {}
        self._ids: dict[str, array] = {}

    def __len__(self) -> int:
        """How many groups were seen."""
        return len(self._names)

    def add(self, split: str, name: str) -> None:
        """The next image of a split is in the group ``name``."""
        number = self._names.setdefault(name, len(self._names))
        self._ids.setdefault(split, array("q")).append(number)

    def groups(self) -> Groups:
        ids = {split: np.frombuffer(found, np.int64) for split, found in self._ids.items()}
        return Groups(self._rule, list(self._names), ids)


def is_rule(group: str) -> bool:
    """Whether a configuration's ``group`` is a regular expression, and no name."""
    return "(" in group


def wanted(group: str | None) -> bool:
    """Whether a configuration's ``group`` asks for groups."""
    return group not in (None, NO_GROUPS)


def group_finder(rule: str, source: object) -> Callable[[str], str]:
    """The function that finds the group in a path.

    Raises:
        InputError: no regular expression with one pair of brackets; or, from the function, a path
            in which it finds nothing.
    """
    accepted = (
        "accepted: a regular expression with one pair of brackets around the group, for the path "
        "below the class folder, such as '^([^_]+)_'"
    )
    try:
        pattern = re.compile(rule)
    except re.error as error:
        raise InputError(f"dataset.group: {rule!r} ({error}); {accepted}") from error
    if pattern.groups != 1:
        raise InputError(f"dataset.group: {rule!r} has {pattern.groups} such pairs; {accepted}")

    def find(path: str) -> str:
        found = pattern.search(path)
        if not (found and found.group(1)):
            raise InputError(
                f"dataset.group: {rule!r} finds nothing in {path!r} of {source}; change the rule "
                "so that it fits every file, or rename the file"
            )
        return found.group(1)

    return find


def check_given(groups: Groups, name: Callable[[str, int], str], source: object) -> None:
    """Refuse groups in two of the splits that the data come with.

    Args:
        groups: of every split.
        name: what messages call an image, by its split and place.
        source: file or folder, for messages.
    """
    crossing = crossings(groups)
    if not crossing:
        return
    group, split, other = crossing[0]
    files = [name(s, int(np.flatnonzero(groups.ids[s] == group)[0])) for s in (split, other)]
    more = f" (and {len(crossing) - 1} more such groups)" if len(crossing) > 1 else ""
    raise InputError(
        f"{source}: the group {groups.names[group]!r} ({groups.rule}) is in {split} ({files[0]}) "
        f"and in {other} ({files[1]}){more}; keep all its images in one split, or remove the "
        "splits, and groups are divided at random"
    )


def crossings(groups: Groups) -> list[tuple[int, str, str]]:
    """Groups with images in two splits, and these splits."""
    inside = {split: np.unique(ids) for split, ids in groups.ids.items()}
    splits = list(inside)
    return [
        (int(group), first, second)
        for i, first in enumerate(splits)
        for second in splits[i + 1 :]
        for group in np.intersect1d(inside[first], inside[second])
    ]


def check_enough(
    groups: Groups,
    labels: Mapping[str, np.ndarray],
    classes: list[str],
    source: object,
    folds: int = 0,
) -> None:
    """Refuse a class in fewer groups than a random split has parts.

    Args:
        groups: of every split.
        labels: classes int64 ``N`` of every split (of a regression: targets, one class for all).
        classes: their names; none for regression.
        source: file or folder, for messages.
        folds: of cross-validation; 0: none.
    """
    parts = {("all",): "train, val and test", ("test", "train"): "train and val"}
    words = f"{folds} folds" if folds else parts.get(tuple(sorted(labels)))
    if words is None:
        return
    split, fewest = ("all", folds or 3) if "all" in labels else ("train", 2)
    ids, y = groups.ids[split], labels[split]
    y = y if classes else np.zeros(len(y), np.int64)
    pairs = np.unique(np.stack([y, ids]), axis=1)
    counts = np.bincount(pairs[0], minlength=max(1, len(classes)))
    few = np.flatnonzero(counts < fewest)
    if len(few):
        names = ", ".join(repr(groups.names[g]) for g in pairs[1][pairs[0] == few[0]])
        what = f"class {classes[few[0]]!r}" if classes else "the data set"
        raise InputError(
            f"{source}: {what} has {counts[few[0]]} groups only ({groups.rule}: {names}); {words} "
            "need one each: add images of other groups, or join or remove the class"
        )
