"""Rows of the page's tables: methods with spread and interval, single runs, trainings."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from ddcnn.report.comparison import comparison_table, score_interval
from ddcnn.report.sketches.decisions import mean_calibration_error
from ddcnn.report.study import Study
from ddcnn.report.summary import summary_table
from ddcnn.report.trainings import Training, seed_in_words
from ddcnn.report.verdicts import Family

MOST_TRAININGS = 400  # rows of a page
MOST_METHODS = 10  # rows of the first table


def method_rows(study: Study, family: Family) -> list[dict[str, Any]]:
    """One row per decomposition and method: means over the seeds, spread, interval, difference."""
    differences = comparison_table([study], family).to_dict("records")
    means = study.means.to_dict("records")
    rows = [
        means_of | _difference(difference) | _measured(study, means_of)
        for means_of, difference in zip(means, differences, strict=True)
    ]
    order = list(study.by_decomposition)  # the global net first
    return sorted(rows, key=lambda row: order.index(row["decomposition"]))


def first_rows(rows: Sequence[dict[str, Any]], study: Study) -> list[dict[str, Any]]:
    """The rows that matter first, in the order of ``rows``.

    The global net, the chosen decomposition with all its methods, then the coarse nets of the other
    decompositions, those first that validation prefers.
    """

    def rank(row: dict[str, Any]) -> tuple[int, float]:
        if row["method"] == "global" or row["is_best"]:
            return 0, 0.0
        if row["decomposition"] == study.best:
            return 1, 0.0
        return 2 + (row["method"] != "cnn-dnn"), -row[f"{study.score}_val"]

    chosen = sorted(range(len(rows)), key=lambda place: rank(rows[place]))[:MOST_METHODS]
    return [rows[place] for place in sorted(chosen)]


def _difference(row: dict[str, Any]) -> dict[str, Any]:
    return {
        key: row[f"{key}_to_global"] for key in ("difference", "low", "high", "verdict", "smallest")
    }


def _measured(study: Study, row: dict[str, Any]) -> dict[str, Any]:
    slug, method = row["decomposition"], row["method"]
    score = row[f"{study.score}_test"]
    spread = row[f"{study.score}_test_spread"]
    low, high = score_interval(study, slug, method)
    runs = study.by_decomposition[slug]
    return {
        "label": study.label_of(slug),
        "is_best": slug == study.best and method == "cnn-dnn",
        "score": score,
        "score_spread": spread,
        "score_low": low,
        "score_high": high,
        "calibration": None if study.is_regression else mean_calibration_error(runs, method),
    }


def run_rows(study: Study) -> Iterator[dict[str, Any]]:
    """One row per run and method, as in ``summary.csv``; with folds one for each of them."""
    for run in (single for pooled in study.runs for single in pooled.single):
        for row in summary_table([run.evaluation]).to_dict("records"):
            yield {key: None if pd.isna(value) else value for key, value in row.items()} | {
                "label": study.label_of(row["decomposition"]),
                "seed": seed_in_words(run.run.wildcards),
                "score": row[f"{study.score}_test"],
                "score_val": row[f"{study.score}_val"],
            }


def job_rows(trainings: Sequence[Training]) -> list[dict[str, Any]]:
    """One row per training, the first ones of very many."""
    return [
        {
            "net": each.label,
            "kind": each.kind,
            "decomposition": each.decomposition,
            "seed": each.seed,
            "where": each.where,
            "begin": each.begin - trainings[0].begin,
            "start": each.metrics["start_seconds"],
            "train": each.metrics["train_seconds"],
            "memory": each.metrics["peak_memory_bytes"],
        }
        for each in trainings[:MOST_TRAININGS]
    ]
