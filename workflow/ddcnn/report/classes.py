"""What the page says of every class: how much of it is found, and how often its name is right."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ddcnn.evaluation.intervals import student_95, wilson
from ddcnn.report.sketches.pictures import compared, confusions
from ddcnn.report.study import Study

MOST_CLASSES = 30  # rows of the table


class Share(NamedTuple):
    """A share with its 95 % interval and the counts behind it, of all seeds together."""

    value: float
    low: float
    high: float
    right: int
    of: int


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
    shares_MK = [shares_of(confusions(runs, method)) for _, runs, method in methods]
    names = study.runs[0].evaluation["classes"]
    images = np.bincount(study.runs[0].labels, minlength=len(names))
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


def shares_of(counts_SKK: np.ndarray) -> list[tuple[Share | None, Share | None, Share | None]]:
    """Sensitivity, specificity and precision of every class, from counts of every seed."""
    right_SK = np.diagonal(counts_SKK, axis1=1, axis2=2)
    true_SK, decided_SK = counts_SKK.sum(axis=2), counts_SKK.sum(axis=1)
    others_SK = counts_SKK.sum(axis=(1, 2))[:, None] - true_SK
    rejected_SK = others_SK - (decided_SK - right_SK)
    pairs = ((right_SK, true_SK), (rejected_SK, others_SK), (right_SK, decided_SK))
    return [
        tuple(_share(right[:, k], of[:, k]) for right, of in pairs)
        for k in range(counts_SKK.shape[1])
    ]


def _share(right_S: np.ndarray, of_S: np.ndarray) -> Share | None:
    """Every test image counts once, however many seeds decide on it; chance between them is added.

    Of several seeds the two distances are added as squares (Zou and Donner 2008), which is a little
    too wide: what a seed does with single images is in both.

    Args:
        right_S, of_S: counts of every seed.
    """
    if not of_S.any():
        return None
    value, images = right_S.sum() / of_S.sum(), of_S.mean()
    by_seed, by_seeds = right_S[of_S > 0] / of_S[of_S > 0], 0.0
    if len(by_seed) > 1:
        by_seeds = student_95(len(by_seed) - 1) * by_seed.std(ddof=1) / np.sqrt(len(by_seed))
    low, high = (np.hypot(end - value, by_seeds) for end in wilson(value * images, images))
    ends = max(float(value - low), 0.0), min(float(value + high), 1.0)
    return Share(float(value), *ends, int(right_S.sum()), int(of_S.sum()))


def _sensitivity(shares: Sequence[Share | None]) -> float:
    """To sort classes by; those without images come last."""
    return shares[0].value if shares[0] else 2.0
