"""Samples divided at random, class by class: in given shares, or dealt into equal folds."""

import numpy as np


def deal(labels: np.ndarray, folds: int, seed: int, groups: np.ndarray | None = None) -> np.ndarray:
    """The fold of every sample, int64 ``N``: each has the same share of every class.

    Without groups two folds differ by one sample at most, in every class and in all.

    Args:
        labels: int64 ``N``; targets float ``N, M`` count as one class.
        folds: their number.
        seed: of the random choice.
        groups: int64 ``N``; see :func:`divide`.
    """
    labels = as_classes(labels)
    if groups is not None:
        return divide(labels, (1 / folds,) * folds, seed, groups)
    order = np.random.default_rng(seed).permutation(len(labels))
    dealt = np.empty(len(labels), np.int64)
    dealt[order[np.argsort(labels[order], kind="stable")]] = np.arange(len(labels)) % folds
    return dealt


def as_classes(labels: np.ndarray) -> np.ndarray:
    """Labels int64 ``N`` as they are; targets float ``N, M`` as one class for all."""
    return labels if labels.ndim == 1 else np.zeros(len(labels), np.int64)


def divide(
    labels: np.ndarray, shares: tuple[float, ...], seed: int, groups: np.ndarray | None = None
) -> np.ndarray:
    """The part of every image, int64 ``N``: parts have the shares of every class.

    Args:
        labels: int64 ``N``.
        shares: of the parts; equal ones make folds.
        seed: of the random choice.
        groups: int64 ``N``; images of one group stay together, and the shares are kept as well as
            that allows.
    """
    rng = np.random.default_rng(seed)
    if groups is None:
        return _divide_images(labels, shares, rng)
    _, inverse = np.unique(groups, return_inverse=True)
    return _divide_groups(labels, inverse, shares, rng)[inverse]


def _divide_images(
    labels: np.ndarray, shares: tuple[float, ...], rng: np.random.Generator
) -> np.ndarray:
    choice = np.empty(len(labels), dtype=np.int64)
    bounds = np.cumsum(shares)[:-1] / sum(shares)
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        rank = rng.permutation(len(of_class))
        # At least one image of every class in every split, if there are enough.
        edges = np.clip(np.round(bounds * len(of_class)), 1, None)
        edges = np.minimum(edges, len(of_class) - np.arange(len(edges), 0, -1))
        choice[of_class] = np.searchsorted(edges, rank, side="right")
    return choice


def _divide_groups(
    labels: np.ndarray, groups: np.ndarray, shares: tuple[float, ...], rng: np.random.Generator
) -> np.ndarray:
    """The part of every group, int64 ``G``.

    Groups are dealt from the large ones to the small ones, at random among those of about one
    size. Each goes where it adds least to the sum of ``filled ** 2 / wanted`` over parts and
    classes, which is smallest where the shares are met; groups of one size and class are dealt
    like seats by the method of Sainte-Laguë.
    """
    contents = _contents(labels, groups)
    sizes = np.bincount(groups)
    order = rng.permutation(len(sizes))
    order = order[np.argsort(-np.floor(np.log2(sizes[order])), kind="stable")]
    totals = np.bincount(labels)
    wanted = np.outer(np.array(shares) / sum(shares), np.maximum(totals, 1))
    filled = np.zeros_like(wanted)
    parts = np.empty(len(sizes), np.int64)
    for group in order:
        classes, counts = contents[group]
        added = counts * (2 * filled[:, classes] + counts) / wanted[:, classes]
        parts[group] = added.sum(axis=1).argmin()
        filled[parts[group], classes] += counts
    _spread_classes(parts, contents, sizes, wanted.shape)
    return parts


def _contents(labels: np.ndarray, groups: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Classes of every group, and its images of each."""
    pairs, counts = np.unique(np.stack([groups, labels]), axis=1, return_counts=True)
    starts = np.flatnonzero(np.diff(pairs[0], prepend=-1))[1:]
    return list(zip(np.split(pairs[1], starts), np.split(counts, starts), strict=True))


def _spread_classes(
    parts: np.ndarray,
    contents: list[tuple[np.ndarray, np.ndarray]],
    sizes: np.ndarray,
    shape: tuple[int, int],
) -> None:
    """Give every part each class, where there are enough groups, by moving small groups.

    Args:
        parts: of every group; changed in place.
        contents: classes of every group, and counts.
        sizes: images of every group.
        shape: number of parts and classes.
    """
    holders = np.zeros(shape, np.int64)  # groups of a part that have a class
    for group, (classes, _) in enumerate(contents):
        holders[parts[group], classes] += 1
    for part, label in np.argwhere(holders == 0):
        able = [
            group
            for group, (classes, _) in enumerate(contents)
            if label in classes and (holders[parts[group], classes] > 1).all()
        ]
        if holders[part, label] or not able:  # a group that moved before may have brought it
            continue
        moved = min(able, key=lambda group: sizes[group])
        classes = contents[moved][0]
        holders[parts[moved], classes] -= 1
        holders[part, classes] += 1
        parts[moved] = part
