"""What the page says of every class: how much of it is found, and how often its name is right."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ddcnn.evaluation.intervals import mean_interval
from ddcnn.report.sketches.pictures import compared
from ddcnn.report.study import Study

MOST_CLASSES = 30  # rows of the table


class Share(NamedTuple):
    """A share with its 95 % interval and the counts behind it, of all seeds together."""

    value: float
    low: float
    high: float
    right: int
    of: int
    images: int  # that it is of, mean over the seeds


def class_table(study: Study) -> dict[str, Any] | None:
    """The table of classes, of the methods whose confusion is drawn; None without classes.

    Returns:
        ``methods``: their titles; ``rows``: of the classes that are shown, in the order of the data
        set: ``name``, ``images`` of the test split, and ``shares``: sensitivity, specificity and
        precision of one method after another, each a :class:`Share`, or None where there is
        nothing to have a share of; ``left_out``: number of classes that are not shown, those whose
        sensitivity by the first method is highest.
    """
    if study.is_regression:
        return None
    methods = compared(study)
    names, labels = study.runs[0].evaluation["classes"], study.runs[0].labels
    shares_MK = [
        shares_of(
            np.stack([run.decisions(method) for run in runs]),
            labels,
            len(names),
            study.runs[0].groups,
        )
        for _, runs, method in methods
    ]
    images = np.bincount(labels, minlength=len(names))
    by_sensitivity = sorted(range(len(names)), key=lambda k: _sensitivity(shares_MK[0][k]))
    shown = sorted(by_sensitivity[:MOST_CLASSES])
    rows = [
        {
            "name": names[k],
            "images": int(images[k]),
            "shares": [share for by_class in shares_MK for share in by_class[k]],
        }
        for k in shown
    ]
    titles = [title for title, _, _ in methods]
    return {"methods": titles, "rows": rows, "left_out": len(names) - len(shown)}


def shares_of(
    decided_SN: np.ndarray, labels_N: np.ndarray, num_classes: int, groups: np.ndarray | None = None
) -> list[tuple[Share | None, Share | None, Share | None]]:
    """Sensitivity, specificity and precision of every class.

    Args:
        decided_SN: class that every seed gives every image.
        labels_N: the true ones.
        num_classes: K.
        groups: ``N``, the group of each image; None where every image is one of its own.
    """
    found = []
    for k in range(num_classes):
        given_SN, is_class_SN = decided_SN == k, np.broadcast_to(labels_N == k, decided_SN.shape)
        pairs = ((given_SN, is_class_SN), (~given_SN, ~is_class_SN), (is_class_SN, given_SN))
        found.append(tuple(_share(right, among, groups) for right, among in pairs))
    return found


def _share(right_SN: np.ndarray, among_SN: np.ndarray, groups: np.ndarray | None) -> Share | None:
    """How many of some decisions are right; None without any."""
    if not among_SN.any():
        return None
    right_SN = right_SN & among_SN
    right, of = int(right_SN.sum()), int(among_SN.sum())
    interval = mean_interval(right_SN, groups, among_SN)
    return Share(right / of, *interval, right, of, round(of / len(among_SN)))


def _sensitivity(shares: Sequence[Share | None]) -> float:
    """To sort classes by; those without images come last."""
    return shares[0].value if shares[0] else 2.0
