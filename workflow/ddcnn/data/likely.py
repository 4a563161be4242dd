"""Groups that nobody has named: columns and file names that look like several images a patient."""

import re
from collections.abc import Callable, Mapping

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
# Parts of a path that often name a group: its folder, or its name's part before a separator.
RULES = ("^(.+)/", "([^/_-]+)[_-][^/]*$", "([^/]+)[_-][^/]*$")
FEWEST_NAMED, FEWEST = 3, 8  # groups
MOST_IMAGES = 100  # a group; more are no patient's
FEWEST_IMAGES = 1.5  # a group, on average
PURE = 0.95  # share of images with the class that is most frequent in their group


def warnings(
    columns: Mapping[str, Groups],
    names: Mapping[str, Callable[[int], str]],
    labels: Mapping[str, np.ndarray],
    source: str,
) -> list[str]:
    """What a person should look at before scores are believed.

    Args:
        columns: further columns of a table, each as if it held groups.
        names: an image's path by its place, for every split; as a rule for groups sees it.
        labels: classes int64 ``N``, or targets float32 ``N, M``, of every split.
        source: what messages call the data: a name, no path that others may not know.
    """
    found = [
        column for column, groups in columns.items() if _suspicious(groups, labels, by_name=True)
    ]
    rule = None if found else next(_rules(names, labels), None)
    notes = _unused_splits(columns, source) if "all" in labels else []
    if found:
        which = ", ".join(repr(column) for column in found)
        notes.append(_text(source, f"the column {which}", found[0], columns[found[0]]))
    elif rule:
        notes.append(_text(source, "the names of the files", rule.rule, rule))
    return notes


def _text(source: str, what: str, rule: str, groups: Groups) -> str:
    num_images = sum(map(len, groups.ids.values()))
    quoted = f"'{rule}'" if re.search(r"\W", rule) else rule
    return (
        f"{source}: {what} may name groups, such as several images of one patient "
        f"({len(groups.names):,} groups of {num_images:,} images, {groups.names[0]!r} is one); as "
        "it is, a group can be in train and in test, and then scores are too high. Add group: "
        f"{quoted} to dataset, or group: none if every image stands for itself"
    )


def _unused_splits(columns: Mapping[str, Groups], source: str) -> list[str]:
    """A split under another name must not be overlooked."""
    return [
        f"{source}: the column {column!r} looks like a split and is not used; add columns: "
        f"{{split: {column}}} to dataset, or remove it"
        for column, groups in columns.items()
        if len(groups.names) > 1 and all(map(split_of, groups.names))
    ]


def _rules(names: Mapping[str, Callable[[int], str]], labels: Mapping[str, np.ndarray]):
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
    ids, y = (np.concatenate(list(part.values())) for part in (groups.ids, labels))
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
