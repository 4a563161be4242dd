"""The runs of a cross-validation as one result: every sample judged once, by a net of its fold.

numpy only.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ddcnn.base.splits import JUDGED
from ddcnn.evaluation.methods import WORKER_KEYS
from ddcnn.evaluation.scores import all_scores, majority_baseline

Entry = Mapping[str, Any]


def joined(folds: Iterable[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays of every fold's ``predictions.npz``, one after the other."""
    parts = list(folds)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def scores_of(arrays: Mapping[str, np.ndarray], method: str, task: str) -> dict[str, float | None]:
    """Every score of a method, from its predictions of the validation and the test split."""
    found, y = ({s: arrays[f"{s}_{name}"] for s in JUDGED} for name in (method, "labels"))
    return all_scores(found, y, task)


def pooled_evaluation(
    folds: Sequence[Entry], predictions: Sequence[Mapping[str, np.ndarray]]
) -> dict[str, Any]:
    """One ``evaluation.json`` of those of all folds.

    Scores are those of all decisions together, and no mean over the folds. Times are those of a
    machine that trains all folds at once (``parallel_seconds``: the slowest fold) or one training
    after the other (``serial_seconds``: all folds). What belongs to single nets is the largest of
    the folds for seconds and bytes, and otherwise the mean, weighted by the folds' samples.

    Args:
        folds: the content of every fold's ``evaluation.json``.
        predictions: the arrays of every fold's ``predictions.npz``.
    """
    first, task, arrays = folds[0], folds[0]["task"], joined(predictions)
    sizes = [len(each["test_labels"]) for each in predictions]
    labels = {split: arrays[f"{split}_labels"] for split in JUDGED}
    everything = {"train": labels["test"], **labels}
    changed = {
        "methods": {
            method: scores_of(arrays, method, task)
            | _costs([fold["methods"][method] for fold in folds])
            for method in first["methods"]
        },
        "local": {
            tile: _combined([fold["local"][tile] for fold in folds], sizes)
            for tile in first["local"]
        },
        "baseline": first["baseline"] and majority_baseline(everything, first["classes"]),
        "coarse": first["coarse"] and _combined([fold["coarse"] for fold in folds], sizes),
        "overhead": _combined([fold["overhead"] for fold in folds], sizes),
    }
    if "diagnosis" in first:
        changed["diagnosis"] = _combined([fold["diagnosis"] for fold in folds], sizes)
    return {key: value for key, value in first.items() if key != "fold"} | changed


def _costs(folds: Sequence[Entry]) -> dict[str, Any]:
    """Of one method; the speed-up compares the slowest folds of the two."""
    column = {key: [fold[key] for fold in folds] for key in folds[0]}
    slowest = max(column["parallel_seconds"])
    known = None not in column["speedup"]
    alone = [fold["speedup"] * fold["parallel_seconds"] for fold in folds] if known else []
    largest = ("parameters_largest", "parameters_total", "peak_memory_bytes")
    of_workers = [key for key in ("workers", *WORKER_KEYS) if key in folds[0]]
    return {
        "parallel_seconds": slowest,
        "serial_seconds": round(sum(column["serial_seconds"]), 4),
        "speedup": round(max(alone) / slowest, 4) if known else None,
        "flop_ratio": float(np.mean(column["flop_ratio"])) if known else None,
        **{key: max(column[key]) for key in (*largest, *of_workers)},
        **({"kernels": folds[0]["kernels"]} if of_workers else {}),
    }


def _combined(folds: Sequence[Entry], sizes: Sequence[int]) -> dict[str, Any]:
    return {key: _value(key, [fold[key] for fold in folds], sizes) for key in folds[0]}


def _value(key: str, values: Sequence[Any], sizes: Sequence[int]) -> Any:
    if None in values:
        return None
    if not isinstance(values[0], int | float):
        return values[0]
    is_largest = key.endswith(("seconds", "_bytes")) or isinstance(values[0], int)
    return max(values) if is_largest else float(np.average(values, weights=sizes))
