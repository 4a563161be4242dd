"""Groups that nobody has named: columns and file names that look like several images a patient."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
WORD = re.compile(r"[^\W\d_]+")
PICTURE = re.compile("(img|image|pic|picture|photo|sample)s?", re.IGNORECASE)
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
    classes: Iterable[str],
    source: str,
) -> list[str]:
    """A warning where images seem to belong together and a split divides them.

    Args:
        columns: further columns of a table or arrays, each as if it held groups.
        names: an image's path by its place, for every split; as a rule for groups sees it. Empty
            where images have no files.
        labels: classes int64 ``N``, or targets float32 ``N, M``, of every split.
        classes: their names, as the data have them.
        source: what messages call the data: a name, no path that others may not know.
    """
    words = {word.lower() for name in classes for word in WORD.findall(name)}
    found = [g for g in columns.values() if _is_named(g, labels) or _suspicious(g, labels, words)]
    if found:  # of patients and their visits it is the patients that must not be divided
        first = min(found, key=lambda g: (not NAMES.search(g.rule), len(g.names)))
        what = ", ".join(repr(groups.rule) for groups in found)
        return [_text(source, what, first)]
    rules = _rules(names, labels, words) if names else iter(())
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
    names: Mapping[str, Callable[[int], str]], labels: Mapping[str, np.ndarray], words: set[str]
) -> Iterator[Groups]:
    for rule in RULES:
        find, grouping = group_finder(rule, ""), Grouping(rule)
        try:
            for split, y in labels.items():
                for index in range(len(y)):
                    grouping.add(split, find(names[split](index)))
        except InputError:  # names of another form
            continue
        if _suspicious(groups := grouping.groups(), labels, words):
            yield groups


def _is_divided(groups: Groups, labels: Mapping[str, np.ndarray]) -> bool:
    """Whether a split divides groups, or may do so."""
    return "all" in labels or "val" not in labels or bool(crossings(groups))


def _is_named(groups: Groups, labels: Mapping[str, np.ndarray]) -> bool:
    """Whether a column has a name that people give to groups, and some of several images."""
    fits = NAMES.search(groups.rule) and len(groups.names) >= FEWEST_NAMED
    num_images = sum(map(len, labels.values()))
    return bool(fits) and num_images > len(groups.names) and _is_divided(groups, labels)


def _suspicious(groups: Groups, labels: Mapping[str, np.ndarray], words: set[str]) -> bool:
    """Whether these look like groups, whatever they are called, and a split may divide them.

    Args:
        words: of the classes' names, which say nothing of a group.
    """
    ids, y = (np.concatenate([part[s] for s in labels]) for part in (groups.ids, labels))
    num_groups, num_classes = len(groups.names), len(np.unique(y)) if y.ndim == 1 else 1
    if num_groups < max(FEWEST, 2 * num_classes):
        return False
    if not FEWEST_IMAGES <= len(ids) / num_groups <= MOST_IMAGES:
        return False
    if not _is_divided(groups, labels):
        return False
    rests = {_without_words(name, words) for name in groups.names}
    if "" in rests:  # classes and splits, no groups
        return False
    if not all(map(_is_number, rests)):
        return True
    # Numbers may count images: each class, or each split, from the start again.
    in_split = sum(len(np.unique(groups.ids[split])) for split in labels)
    return len(ids) >= FEWEST_IMAGES * in_split and _pure(ids, y)


def _without_words(name: str, words: set[str]) -> str:
    """A group's name without what every name may have: class, split, and what a picture is."""

    def kept(found: re.Match) -> str:
        word = found[0]
        known = word.lower() in words or split_of(word) or PICTURE.fullmatch(word)
        return "" if known else word

    return WORD.sub(kept, name).strip("/_-. ")


def _is_number(text: str) -> bool:
    return bool(re.fullmatch(r"[-+]?\d*[.,]?\d*([eE][-+]?\d+)?", text))


def _pure(ids: np.ndarray, y: np.ndarray) -> bool:
    """Whether numbers go with classes as those of patients do, and measurements do not.

    Groups of the most frequent class alone are no evidence: by chance there are many of them.
    """
    if y.ndim > 1:
        return False
    rare = np.zeros(ids.max() + 1, bool)
    rare[ids[y != np.bincount(y).argmax()]] = True
    chosen = (rare & (np.bincount(ids) > 1))[ids]
    pairs, counts = np.unique(np.stack([ids, y])[:, chosen], axis=1, return_counts=True)
    largest = np.zeros(ids.max() + 1, np.int64)
    np.maximum.at(largest, pairs[0], counts)
    return bool(chosen.any()) and largest.sum() >= PURE * chosen.sum()
