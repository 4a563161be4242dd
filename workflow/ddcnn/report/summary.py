"""The table of an experiment: one row per run and method, and what a person is told of it."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ddcnn.base.escaping import visible
from ddcnn.base.files import read_json
from ddcnn.base.splits import JUDGED
from ddcnn.base.text import fraction
from ddcnn.evaluation.intervals import student
from ddcnn.evaluation.methods import WORKER_KEYS, in_order
from ddcnn.evaluation.scores import MEASURES
from ddcnn.experiment.paths import folder_of
from ddcnn.report.dataset import warnings_of
from ddcnn.tiles.geometry import Tiling, format_axes

# Every score of every task, what the most frequent class alone achieves, and what it cost.
MEASURED = (
    *(f"{score}_{split}" for scores in MEASURES.values() for score in scores for split in JUDGED),
    "majority_test",
    "parallel_seconds",
    "serial_seconds",
    "speedup",
    "flop_ratio",
    "parameters_largest",
    "parameters_total",
    "peak_memory_bytes",
    "workers",
    *WORKER_KEYS,
)
NAMED = (
    "dataset",
    "model",
    "decomposition",
    "kind",
    "grid",
    "overlap",
    "coarse_view",
    "tiles",
    "seed",
    "method",
)
WHOLE = "whole"


def summary_table(evaluations: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """One row per run and method; the columns of ``summary.csv`` in their order."""
    rows = [
        {
            **_names(evaluation),
            "method": method,
            **{key: values.get(key) for key in MEASURED},
            "majority_test": evaluation["baseline"] and evaluation["baseline"]["accuracy_test"],
            "kernels": values.get("kernels"),
        }
        for evaluation in evaluations
        for method, values in in_order(evaluation["methods"])
    ]
    return pd.DataFrame(rows, columns=[*NAMED, *MEASURED, "kernels"])


def _names(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{key: evaluation[key] for key in ("dataset", "model", "decomposition", "kind", "seed")},
        "grid": format_axes(evaluation["grid"]),
        "overlap": overlap_text(evaluation),
        "coarse_view": evaluation["coarse_view"],
        "tiles": len(evaluation["tiles"]),
    }


def overlap_text(evaluation: Mapping[str, Any]) -> str:
    """``4`` if every divided axis has the same overlap, else one number per axis: ``4x4x0``."""
    if not any(evaluation["overlap"]):
        return "0"
    return Tiling("blocks", tuple(evaluation["grid"]), tuple(evaluation["overlap"])).overlap_text


def mean_over_seeds(table: pd.DataFrame) -> pd.DataFrame:
    """One row per decomposition and method, in the table's order.

    The measured columns hold means over the seeds, ``{column}_spread`` the standard deviation
    (not a number with one seed), ``seeds`` their number.
    """
    groups = table.groupby(["decomposition", "method"], sort=False)
    numbers = (
        table[list(MEASURED)]
        .apply(pd.to_numeric)
        .groupby([table["decomposition"], table["method"]], sort=False)
    )
    rows = groups[["kind", "grid", "overlap", "coarse_view", "tiles"]].first()
    spread = numbers.std(ddof=1).add_suffix("_spread")
    return rows.join([numbers.mean(), spread]).assign(seeds=groups.size()).reset_index()


def score_of(table: pd.DataFrame) -> str:
    """``accuracy``, or ``r2`` where the task was regression: the prefix of the columns."""
    return "r2" if table["accuracy_val"].isna().all() else "accuracy"


def best_decomposition(means: pd.DataFrame) -> str | None:
    """The decomposition whose cnn-dnn decides best on the validation split; None without one."""
    candidates = means[means["method"] == "cnn-dnn"]
    if candidates.empty:
        return None
    return candidates.loc[candidates[f"{score_of(means)}_val"].idxmax(), "decomposition"]


def headline(summary: Path) -> list[str]:
    """Lines for a terminal: three figures with their intervals, what makes them doubtful, the page.

    Args:
        summary: the report's ``summary.csv``, in a folder of ``results/reports``.
    """
    table, folder = pd.read_csv(summary), Path(summary).parent
    compared = pd.read_csv(folder / "comparison.csv").set_index(["dataset", "model"])
    lines = []
    studies = list(table.groupby(["dataset", "model"], sort=False))
    for study, rows in studies:
        lines += [f"{', '.join(study)}:"] if len(studies) > 1 else []
        lines += _three_figures(rows, compared.loc[[study]])
    for dataset in dict.fromkeys(table["dataset"]):
        lines += _doubts(folder_of("prepare", dataset, folder.parents[1]) / "card.json")
    return [*lines, f"Report: {folder / 'report.html'}"]


def _doubts(card: Path) -> Iterator[str]:
    warnings = warnings_of(read_json(card)) if card.is_file() else []
    for warning in warnings:
        yield f"Warning: {visible(warning)}."


def _three_figures(table: pd.DataFrame, compared: pd.DataFrame) -> Iterator[str]:
    """Two scores on the test split and the speed-up, each with its 95 % interval."""
    best, score = best_decomposition(mean_over_seeds(table)), score_of(table)
    rows = compared.set_index(["decomposition", "method"])
    has_global = (WHOLE, "global") in rows.index
    images = int(rows["test_images"].iloc[0])
    name = {"accuracy": "accuracy", "r2": "R²"}[score]

    def shown(value: float) -> str:
        return fraction(value, images) if score == "accuracy" else f"{value:.4f}"

    def reached(key: tuple[str, str]) -> str:
        value, low, high = (rows.loc[key, f"{score}_test{end}"] for end in ("", "_low", "_high"))
        return f"{shown(value)} (95 %: {shown(low)} to {shown(high)})"

    if best is not None:
        yield f"Test {name} of the CNN-DNN: {reached((best, 'cnn-dnn'))}, {best}"
    if has_global:
        yield f"Test {name} of the global net: {reached((WHOLE, 'global'))}"
    if best is not None and has_global:
        row = rows.loc[(best, "cnn-dnn")]
        against = f"after adjustment for {row['comparisons']:.0f} comparisons"
        yield f"The CNN-DNN against the global net: {row['verdict_to_global']} {against}"
    if not pd.isna(majority := table["majority_test"].iloc[0]):
        yield f"Always saying the most frequent class: {shown(majority)}"
    if best is not None:
        yield _speed(table[(table["decomposition"] == best) & (table["method"] == "cnn-dnn")])


def _speed(rows: pd.DataFrame) -> str:
    """How much sooner a run's nets are trained with all tiles in parallel; a row a seed."""
    if rows["speedup"].isna().any():
        return f"Trained in {rows['parallel_seconds'].mean():.1f} s with all tiles in parallel"
    means, seeds = rows[["speedup", "flop_ratio"]].mean(), len(rows)
    spread = "one seed: no interval"
    if seeds > 1:
        margin = student(seeds - 1) * rows["speedup"].std(ddof=1) / seeds**0.5
        spread = f"95 %: {means['speedup'] - margin:.1f} to {means['speedup'] + margin:.1f}"
    ideal = "" if pd.isna(means["flop_ratio"]) else f", ideal {means['flop_ratio']:.1f}"
    return f"Trained {means['speedup']:.1f} times as fast ({spread}){ideal}"
