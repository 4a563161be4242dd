"""Every method against the global net and against the mean, on the same seeds and images."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from ddcnn.evaluation.intervals import Difference, paired_difference
from ddcnn.report.study import RunResult, Study
from ddcnn.report.summary import WHOLE

NO_DIFFERENCE = "no difference shown"
TEST = (
    "Difference: mean over the seeds, on the same images. Interval, 95 %: for other seeds and "
    "other test images, both of them random; with one seed for other images and these trained nets."
)


def comparison_table(studies: Iterable[Study]) -> pd.DataFrame:
    """One row per decomposition and method: ``comparison.csv``.

    Means and spreads over the seeds, and for the references ``global`` and ``mean`` the columns
    ``difference_to_{reference}``, ``low_to_...``, ``high_to_...`` (95 % interval) and
    ``verdict_to_...``; all in the units of the score.
    """
    return pd.DataFrame([row for study in studies for row in _rows(study)])


def _rows(study: Study) -> Iterator[dict[str, Any]]:
    for _, means in study.means.iterrows():
        slug, method = means["decomposition"], means["method"]
        runs = study.by_decomposition[slug]
        names = {"dataset": study.dataset, "model": study.model, "label": runs[0].label}
        known = ("decomposition", "method", "tiles", "coarse_view", "seeds")
        score = f"{study.score}_test"
        measured = (score, f"{score}_spread", "parallel_seconds", "serial_seconds", "speedup")
        keys = (*known, *measured, "flop_ratio", "parameters_largest", "parameters_total")
        row = names | {key: means[key] for key in keys}
        has_mean = "mean" in runs[0].evaluation["methods"]
        references = {"global": (study.whole, "global"), "mean": (runs * has_mean, "mean")}
        for name, (others, other) in references.items():
            difference = compare(runs, method, others, other)
            same = (slug, method) == (WHOLE, "global") or method == name
            row |= _columns(None if same else difference, name)
        yield row


def _columns(difference: Difference | None, reference: str) -> dict[str, Any]:
    """Columns of a row; empty where there is nothing to compare with."""
    if difference is None or not difference.num_seeds:
        values = dict.fromkeys(("difference", "low", "high", "verdict"))
    else:
        values = {
            "difference": difference.value,
            "low": difference.low,
            "high": difference.high,
            "verdict": verdict(difference),
        }
    return {f"{key}_to_{reference}": value for key, value in values.items()}


def verdict(difference: Difference) -> str:
    """``better``, ``worse``, or that no difference is shown.

    One seed shows nothing of methods: these nets are ``ahead`` or ``behind``.
    """
    if not difference.is_clear:
        return NO_DIFFERENCE
    if difference.num_seeds == 1:
        return f"these nets: {'ahead' if difference.value > 0 else 'behind'}"
    return "better" if difference.value > 0 else "worse"


def compare(first: list[RunResult], method: str, second: list[RunResult], other: str) -> Difference:
    """Paired difference of test accuracies (or R²) over the seeds that both have."""
    by_seed = {run.seed: run for run in second}
    pairs = [(run, by_seed[run.seed]) for run in first if run.seed in by_seed]
    if not pairs:
        return Difference(float("nan"), -float("inf"), float("inf"), 0)
    merits = [(a.merits(method), b.merits(other)) for a, b in pairs]
    sides = (np.array(side) for side in zip(*merits, strict=True))
    return paired_difference(*sides, groups=pairs[0][0].groups)
