"""Groups that nobody has named: columns and file names that look like several images a patient."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

import numpy as np

from ddcnn.base.errors import InputError
from ddcnn.data.groups import Grouping, Groups, crossings, group_finder
from ddcnn.data.labels import split_of

# What people call those of whom they have several images.
NAMES = re.compile(
    "(^|[^a-z])(patient|subject|person|participant|proband|donor|speaker|writer|individual|animal|"
    "specimen|case|series|study|session|visit|slide|video|scene|family|groups?(_?id)?$)",
    re.IGNORECASE,
)
# Parts of a path that often name a group: folders, a subject of BIDS, the begin of the name.
RULES = (
    *("^([^/]+)/", "^(.+)/", "(sub-[^/_]+)", "([^/_-]+)[_-][^/]*$"),
    *("([^/_-]+[_-][^/_-]+)[_-][^/]*$", "([^/]+)[_-][^/]*$"),
)
FEWEST_NAMED, FEWEST = 3, 8  # groups
MOST_IMAGES = 100  # a group; more are no patient's
FEWEST_IMAGES = 1.5  # a group, on average
PURE = 0.95  # share of images with the class that is most frequent in their group
ROWS = 1000  # of a table, after which columns that cannot hold groups are dropped


class FurtherColumns:
    """Columns of a table that nobody has named, as they are read.

    Args:
        places: of the columns in a line, by their names.
    """

    def __init__(self, places: Mapping[str, int]) -> None:
        self._columns = {name: (place, Grouping(name)) for name, place in places.items()}
        self._rows = 0

    def add(self, split: str, fields: Sequence[str]) -> None:
        """Take in a line of the table."""
        for place, grouping in self._columns.values():
            grouping.add(split, fields[place].strip())
        self._rows += 1
        if self._rows % ROWS == 0:  # measurements: their values would fill the memory
            most = self._rows / FEWEST_IMAGES
            self._columns = {
                name: (place, grouping)
                for name, (place, grouping) in self._columns.items()
                if len(grouping) <= most or NAMES.search(name)
            }

    def groups(self) -> dict[str, Groups]:
        """Each column as if it held groups."""
        return {name: grouping.groups() for name, (_, grouping) in self._columns.items()}


def unused_splits(columns: Mapping[str, Groups], source: str) -> list[str]:
    """Warnings of a split under another name, which must not be overlooked."""
    return [
        f"{source}: the column {column!r} looks like a split and is not used; add columns: "
        f"{{split: {column}}} to dataset, or remove it"
        for column, groups in columns.items()
        if len(groups.names) > 1 and all(map(split_of, groups.names))
    ]


def unnamed_groups(
    columns: Mapping[str, Groups],
    names: Mapping[str, Callable[[int], str]],
    labels: Mapping[str, np.ndarray],
    source: str,
) -> list[str]:
    """A warning where images seem to belong together and a split divides them.

    Args:
        columns: further columns of a table or arrays, each as if it held groups.
        names: an image's path by its place, for every split; as a rule for groups sees it. Empty
            where images have no files.
        labels: classes int64 ``N``, or targets float32 ``N, M``, of every split.
        source: what messages call the data: a name, no path that others may not know.
    """
    found = [groups for groups in columns.values() if _suspicious(groups, labels, by_name=True)]
    if found:  # of patients and their visits it is the patients that must not be divided
        first = min(found, key=lambda g: (not NAMES.search(g.rule), len(g.names)))
        what = ", ".join(repr(groups.rule) for groups in found)
        return [_text(source, what, first)]
    rules = _rules(names, labels) if names else iter(())
    return [_text(source, "the names of the files", groups) for groups in islice(rules, 1)]


def _text(source: str, what: str, groups: Groups) -> str:
    rule, num_images = groups.rule, sum(map(len, groups.ids.values()))
    quoted = f"'{rule}'" if re.search(r"\W", rule) else rule
    return (
        f"{source}: {what} may name groups, such as several images of one patient "
        f"({len(groups.names):,} groups of {num_images:,} images, {groups.names[0]!r} is one); as "
        "it is, a group can be in train and in test, and then scores are too high. Add group: "
        f"{quoted} to dataset, or group: none if every image stands for itself"
    )


def _rules(
    names: Mapping[str, Callable[[int], str]], labels: Mapping[str, np.ndarray]
) -> Iterator[Groups]:
    for rule in RULES:
        find, grouping = group_finder(rule, ""), Grouping(rule)
        try:
            for split, y in labels.items():
                for index in range(len(y)):
                    grouping.add(split, find(names[split](index)))
        except InputError:  # names of another form
            continue
        if _suspicious(groups := grouping.groups(), labels, by_name=False):
            yield groups


def _suspicious(groups: Groups, labels: Mapping[str, np.ndarray], by_name: bool) -> bool:
    """Whether these look like groups, and a split divides them or may do so."""
    divided = "all" in labels or "val" not in labels
    if not divided and not crossings(groups):
        return False
    ids, y = (np.concatenate([part[s] for s in labels]) for part in (groups.ids, labels))
    num_groups, num_classes = len(groups.names), len(np.unique(y)) if y.ndim == 1 else 1
    images = len(ids) / num_groups
    if by_name and NAMES.search(groups.rule):
        return num_groups >= FEWEST_NAMED and len(ids) > num_groups
    if num_groups < max(FEWEST, 2 * num_classes) or not FEWEST_IMAGES <= images <= MOST_IMAGES:
        return False
    return not all(map(_is_number, groups.names)) or _pure(ids, y)


def _is_number(text: str) -> bool:
    return bool(re.fullmatch(r"[-+]?\d*[.,]?\d*([eE][-+]?\d+)?", text))


def _pure(ids: np.ndarray, y: np.ndarray) -> bool:
    """Whether numbers go with classes as those of patients do, and measurements do not."""
    if y.ndim > 1:
        return False
    several = (np.bincount(ids) > 1)[ids]
    pairs, counts = np.unique(np.stack([ids, y])[:, several], axis=1, return_counts=True)
    largest = np.zeros(ids.max() + 1, np.int64)
    np.maximum.at(largest, pairs[0], counts)
    return largest.sum() >= PURE * several.sum() and len(np.unique(y)) > 1
