"""Which images train, choose and test, where the source does not say."""

import numpy as np

from ddcnn.base.division import as_classes, divide
from ddcnn.base.splits import SPLITS
from ddcnn.data.options import ReadOptions
from ddcnn.data.samples import Collection


def choose_splits(
    source: str,
    labels: np.ndarray,
    has_val: bool,
    options: ReadOptions,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """For every image of a source's split, the index in ``SPLITS`` where it goes.

    ``all`` is divided at random, class by class, in the shares of the options. A ``train``
    without a ``val`` beside it gives its share of validation images. Others stay. Samples with
    targets (float ``N, M``) are divided as if they were one class.
    """
    train, val, test = options.split_shares
    labels = as_classes(labels)
    if source == "all":
        return divide(labels, (train, val, test), options.split_seed, groups)
    if source == "train" and not has_val:
        return divide(labels, (train, val), options.split_seed, groups)
    return np.full(len(labels), SPLITS.index(source))


def rule_in_words(collection: Collection, options: ReadOptions, giver: str) -> str:
    """What :func:`choose_splits` does with the splits of people's own data.

    Args:
        collection: with the splits that were found.
        options: the shares.
        giver: what the splits are from, for example ``the table``.
    """
    what = "all samples" if collection.targets else "every class"
    how = f"{' in whole groups' if collection.groups else ''} at random"
    train, val, test = options.split_shares
    if "all" in collection.splits:
        shares = "/".join(f"{100 * share:g}" for share in (train, val, test))
        return f"made here: {shares} % of {what}{how}"
    if "val" not in collection.splits:
        share = f"{100 * val / (train + val):.1f} %"
        return f"test given by {giver}; validation made here: {share} of {what} of train{how}"
    return f"given by {giver}"
