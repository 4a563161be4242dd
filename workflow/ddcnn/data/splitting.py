"""Which images train, choose and test, where the source does not say."""

import numpy as np

from ddcnn.base.division import as_classes, divide
from ddcnn.base.splits import SPLITS
from ddcnn.data.options import ReadOptions


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
