"""The worst mistakes of the best decomposition, each with what its tiles said."""

from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np

from ddcnn.report import figures
from ddcnn.report.figures import JudgedVote, Mistake
from ddcnn.report.sketches.sketch import Sketch
from ddcnn.report.study import RunResult, Study
from ddcnn.tiles.geometry import VIEW

MOST_MISTAKES = 8


class MistakeRow(NamedTuple):
    """One mistake as the table below the pictures tells it."""

    number: int  # of the image in the test split; with folds, of all in their order
    file: str  # empty where an earlier version prepared the data
    true: str
    decided: str
    votes: str


class _Judged(NamedTuple):
    run: RunResult
    method: str
    local: dict[str, np.ndarray]


def worst_mistakes(study: Study) -> list[MistakeRow]:
    """Words for the pictures of :func:`sketch_mistakes`, in their order."""
    judged = _judged(study)
    output = judged.run.predictions[f"test_{judged.method}"]
    rows = []
    for index in _worst(study, judged):
        votes = ", ".join(
            f"{'coarse view' if name == VIEW else name}: {_said(study, local[index])}"
            for name, local in judged.local.items()
        )
        truth = judged.run.labels[index]
        said = _said(study, output[index])
        rows.append(MistakeRow(int(index), _file(study, index), _truth(study, truth), said, votes))
    return rows


def sketch_mistakes(study: Study) -> Sketch | None:
    """Test images that are decided wrongly with the most confidence; None if all are right."""
    judged = _judged(study)
    worst = _worst(study, judged)
    if not len(worst):
        return None
    cases = [_case(study, judged, index) for index in worst]
    label = study.label_of(judged.run.evaluation["decomposition"])
    which = f"{judged.method} ({label}, seed {judged.run.seed})"
    caption = (
        f"The test {study.noun}s that {which} predicts worst: the largest errors in standard "
        "deviations of the target."
        if study.is_regression
        else f"The test {study.noun}s that {which} decides wrongly with the most confidence: the "
        "probability of the decision minus that of the true class is largest."
    )
    if judged.local:
        good = "nearer to the truth than the final prediction" if study.is_regression else "right"
        caption += (
            f" Blue and ✓: a tile that is {good}; vermillion and ✗: one that is not. Where tiles "
            "overlap, the later one's colour."
            + (
                " Of a volume one slice of the middle layer."
                if len(study.card["shape"]) > 2
                else ""
            )
            + " The votes of all tiles, and of the coarse view, stand in the table below."
        )
    alternative = f"{len(cases)} test {study.noun}s with their tiles' votes. " + " ".join(
        f"{row.file or row.number}: {row.decided}, in truth {row.true}."
        for row in worst_mistakes(study)
    )
    boxes = study.boxes(judged.run.tiling)
    return Sketch("The worst mistakes", caption, alternative, figures.mistakes(cases, boxes))


def _judged(study: Study) -> _Judged:
    """Run of the first seed and method that are looked at, with the local outputs."""
    if study.best:
        run = study.decomposed[study.best][0]
        return _Judged(run, "cnn-dnn", study.local_outputs(run) or {})
    return _Judged(study.whole[0], "global", {})


def _worst(study: Study, judged: _Judged) -> np.ndarray:
    output, truth = judged.run.predictions[f"test_{judged.method}"], judged.run.labels
    if study.is_regression:
        severity = (np.abs(output - truth) / _deviation(truth)).mean(axis=1)
    else:
        severity = output.max(axis=1) - output[np.arange(len(truth)), truth]
    order = np.argsort(-severity, kind="stable")[:MOST_MISTAKES]
    return order[severity[order] > 0]


def _deviation(truth: np.ndarray) -> np.ndarray:
    return np.maximum(truth.std(axis=0), 1e-12)


def _case(study: Study, judged: _Judged, index: int) -> Mistake:
    truth = judged.run.labels[index]
    output = judged.run.predictions[f"test_{judged.method}"][index]
    votes = {
        name: JudgedVote(_said(study, said, short=True), _is_good(study, said, output, truth))
        for name, said in ((tile, local[index]) for tile, local in judged.local.items())
    }
    tally = ""
    if votes:
        good = sum(vote.right for vote in votes.values())
        tally = f"{good} of {len(votes)} nets {'nearer' if study.is_regression else 'right'}"
    votes.pop(VIEW, None)
    note = f"true: {_truth(study, truth)}"
    name = PurePosixPath(_file(study, index)).name
    return Mistake(study.test_image(index), _said(study, output), note, tally, name, votes)


def _file(study: Study, index: int) -> str:
    files = study.files.get("test")
    return files[index] if files else ""


def _is_good(study: Study, local: np.ndarray, output: np.ndarray, truth: np.ndarray) -> bool:
    if study.is_regression:
        return bool(np.abs(local - truth).mean() < np.abs(output - truth).mean())
    return bool(local.argmax() == truth)


def _said(study: Study, output: np.ndarray, short: bool = False) -> str:
    if study.is_regression:
        return ", ".join(f"{value:.3g}" for value in output)
    name = study.runs[0].evaluation["classes"][int(output.argmax())]
    if short:
        return name if len(name) <= 9 else name[:8] + "…"
    return f"{name} ({100 * output.max():.0f} %)"


def _truth(study: Study, truth: np.ndarray) -> str:
    if study.is_regression:
        return ", ".join(f"{value:.3g}" for value in truth)
    return study.runs[0].evaluation["classes"][int(truth)]
