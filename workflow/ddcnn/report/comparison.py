"""Every method against the global net and against the mean, on the same seeds and images."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ddcnn.evaluation.intervals import Difference, mean_interval, paired_difference
from ddcnn.evaluation.methods import WORKER_KEYS
from ddcnn.report.study import RunResult, Study
from ddcnn.report.verdicts import Family

TEST = (
    "Difference: mean over the seeds, on the same images. Interval, 95 %: for other seeds and "
    "other test images, both of them random; with one seed for other images and these trained nets."
)
REFERENCES = ("global", "mean")


class Pair(NamedTuple):
    """A method of a decomposition, and its differences by what it is compared with."""

    means: pd.Series
    differences: dict[str, Difference]


def pairs_of(study: Study) -> Iterator[Pair]:
    """Every method against the global net and the mean, where there are these, in their order."""
    for _, means in study.means.iterrows():
        slug, method = means["decomposition"], means["method"]
        runs = study.by_decomposition[slug]
        others = {"global": study.whole, "mean": runs}
        yield Pair(
            means,
            {
                name: found
                for name in REFERENCES
                if method != name
                and (found := compare(runs, method, others[name], name)) is not None
            },
        )


def score_interval(study: Study, decomposition: str, method: str) -> tuple[float, float]:
    """95 % interval of a method's score on the test split, accuracy or R²."""
    low, high = mean_interval(study.merits(decomposition, method), study.runs[0].groups)
    return low + study.is_regression, high + study.is_regression  # of merits the mean is R² - 1


def overlap_ends(study: Study) -> list[list[RunResult]]:
    """Runs with the smallest and the largest overlap of a grid that has several, or none."""
    series: dict[tuple, list[list[RunResult]]] = {}
    for runs in study.decomposed.values():
        evaluation = runs[0].evaluation
        if evaluation["kind"] == "blocks":
            key = (tuple(evaluation["grid"]), evaluation["coarse_view"])
            series.setdefault(key, []).append(runs)
    longest = max(series.values(), key=len, default=[])
    if len(longest) < 2:
        return []
    low, *_, high = sorted(longest, key=lambda runs: runs[0].evaluation["overlap"])
    return [low, high]


def family_of(studies: Iterable[Study], margin: float) -> Family:
    """All differences of a page: of ``comparison.csv``, of overlaps, to the most frequent class.

    Args:
        studies: of the page.
        margin: points of accuracy, or hundredths of R²; see ``report.margin``.
    """
    size = 0
    for study in studies:
        size += sum(len(pair.differences) for pair in pairs_of(study))
        size += bool(overlap_ends(study)) + (not study.is_regression)
    return Family(size, margin / 100)


def comparison_table(studies: Sequence[Study], family: Family) -> pd.DataFrame:
    """One row per decomposition and method: ``comparison.csv``.

    Means and spreads over the seeds, the 95 % interval of the score (``{score}_low`` and
    ``{score}_high``), and for the references ``global`` and ``mean`` the columns
    ``difference_to_{reference}``, ``low_to_...``, ``high_to_...`` (95 % interval),
    ``verdict_to_...`` (adjusted for the family), and ``smallest_to_...``, the smallest difference
    that could have been shown; all in the units of the score.
    """
    return pd.DataFrame(
        [_row(study, pair, family) for study in studies for pair in pairs_of(study)]
    )


def _row(study: Study, pair: Pair, family: Family) -> dict[str, Any]:
    means = pair.means
    label = study.label_of(means["decomposition"])
    names = {"dataset": study.dataset, "model": study.model, "label": label}
    known = ("decomposition", "method", "tiles", "coarse_view", "seeds")
    score = f"{study.score}_test"
    measured = (score, f"{score}_spread", "parallel_seconds", "serial_seconds", "speedup")
    sizes = ("flop_ratio", "parameters_largest", "parameters_total", "peak_memory_bytes")
    keys = (*known, *measured, *sizes, "workers", *WORKER_KEYS)
    row = names | {key: means[key] for key in keys} | {"test_images": study.num_images}
    row[f"{score}_low"], row[f"{score}_high"] = score_interval(
        study, means["decomposition"], means["method"]
    )
    for name in REFERENCES:
        row |= _columns(pair.differences.get(name), name, family)
    return row | {"comparisons": family.size}


def _columns(difference: Difference | None, reference: str, family: Family) -> dict[str, Any]:
    """Columns of a row; empty where there is nothing to compare with."""
    keys = ("difference", "low", "high", "verdict", "smallest")
    values = [None] * len(keys)
    if difference is not None:
        smallest = family.smallest(difference)
        values = [*difference[:3], family.verdict(difference), smallest]
    return {f"{key}_to_{reference}": value for key, value in zip(keys, values, strict=True)}


def compare(
    first: Iterable[RunResult], method: str, second: Iterable[RunResult], other: str
) -> Difference | None:
    """Paired difference of test accuracies (or R²) over the seeds that both have.

    None where the second has not the method, or no seed in common with the first.
    """
    by_seed = {run.seed: run for run in second if other in run.evaluation["methods"]}
    pairs = [(run, by_seed[run.seed]) for run in first if run.seed in by_seed]
    if not pairs:
        return None
    merits = [(a.merits(method), b.merits(other)) for a, b in pairs]
    sides = (np.array(side) for side in zip(*merits, strict=True))
    return paired_difference(*sides, groups=pairs[0][0].groups)
