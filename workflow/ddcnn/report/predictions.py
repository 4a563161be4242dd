"""``predictions.csv``: what every method of every run decides of every image, beside its file."""

import csv
from collections.abc import Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np

from ddcnn.base.escaping import csv_cell
from ddcnn.base.files import write_aside
from ddcnn.base.splits import JUDGED, stored_parts
from ddcnn.evaluation.methods import in_order
from ddcnn.report.study import RunResult, Study

# With more than these, about 20 MB, the validation split is left out.
MOST_ROWS = 200_000
NAMED = ("dataset", "model", "decomposition", "seed")
PLACED = ("split", "index", "file")


def write_predictions(studies: Sequence[Study], path: Path, most: int = MOST_ROWS) -> None:
    """Write the table: a row for every run and image of the validation and the test split.

    With folds there is a row for every seed and image, by the fold in which it is tested.

    Labels and decisions are names of classes; of a regression they are numbers, and with several
    targets there is a column for each: ``label_fat``, ``cnn-dnn_fat``.

    Args:
        studies: of the experiment.
        path: the file.
        most: rows, above which only the test split's are written.
    """
    runs = [(study, run) for study in studies for run in study.runs]
    rows = sum(len(run.predictions[f"{split}_labels"]) for _, run in runs for split in JUDGED)
    heads = _heads(runs)
    with write_aside(path) as aside, aside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*NAMED, *PLACED, *map(csv_cell, heads)])
        for study, run in runs:
            for split in JUDGED if rows <= most and not run.folds else ("test",):
                for each in run.single:
                    _write_run(writer, heads, study, each, split)


def _heads(runs: Sequence[tuple[Study, RunResult]]) -> list[str]:
    """Columns of labels and methods in the order of every table; data sets may differ in them."""
    methods = {name: None for _, run in runs for name in run.evaluation["methods"]}
    of_labels = {head: None for study, _ in runs for head in _columns_of(study, "label")}
    of_methods = {
        head: None
        for method, _ in in_order(methods)
        for study, run in runs
        if method in run.evaluation["methods"]
        for head in _columns_of(study, method)
    }
    return [*of_labels, *of_methods]


def _columns_of(study: Study, name: str) -> list[str]:
    """``label``, or one column for each of several targets."""
    targets = study.card.get("targets", [])
    return [f"{name}_{target}" for target in targets] if len(targets) > 1 else [name]


def _write_run(writer: Any, heads: Sequence[str], study: Study, run: RunResult, split: str) -> None:
    labels = run.predictions[f"{split}_labels"]
    columns = _said(study, "label", labels)
    for method in run.evaluation["methods"]:
        output = run.predictions[f"{split}_{method}"]
        decided = output if run.is_regression else output.argmax(axis=1)
        columns |= _said(study, method, decided)
    names = [repeat(run.evaluation[key]) for key in NAMED]
    part = split if run.run.fold is None else stored_parts(study.folds)[run.run.fold]
    files = map(csv_cell, study.files.get(part) or repeat(""))
    found = [columns.get(head) or repeat("") for head in heads]
    writer.writerows(zip(*names, repeat(part), range(len(labels)), files, *found))


def _said(study: Study, name: str, values: np.ndarray) -> Mapping[str, list[str]]:
    """Texts by column, of classes int64 ``N`` or of targets float ``N, M``."""
    if not study.is_regression:
        classes = study.runs[0].evaluation["classes"]
        cells = list(map(csv_cell, classes))
        return {name: [cells[value] for value in values.tolist()]}
    heads = _columns_of(study, name)
    return {
        head: [f"{value:.6g}" for value in column]
        for head, column in zip(heads, values.T.tolist(), strict=True)
    }
