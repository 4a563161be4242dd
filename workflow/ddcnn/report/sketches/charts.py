"""Charts of a study: accuracy (or R²) against overlap, times, training curves."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ddcnn.base.errors import DamagedResult
from ddcnn.base.reading import reading
from ddcnn.evaluation import intervals
from ddcnn.report import figures
from ddcnn.report.comparison import TEST, pairs_of
from ddcnn.report.sketches.sketch import MOST_TILINGS, Sketch, left_out
from ddcnn.report.study import RunResult, Study
from ddcnn.report.summary import WHOLE
from ddcnn.tiles.geometry import VIEW

MOST_DIFFERENCES = 40  # rows that one figure shows
LINES = ("cnn-dnn", "mean", "vote")  # of the overlap chart; best-tile would spoil its scale


def sketch_overlap(study: Study) -> Sketch | None:
    """Test accuracy (or R²) against overlap; None with the global net only."""
    if not study.decomposed:
        return None
    panels: dict[str, list[dict]] = {}
    for runs in study.decomposed.values():
        panels.setdefault(_panel_title(runs[0]), []).extend(_overlap_points(study, runs))
    tables = {title: pd.DataFrame(points) for title, points in panels.items()}
    line = None
    if study.whole:
        row = study.mean_of("whole", "global")
        line = (row[f"{study.score}_test"], standard_error(study, WHOLE, "global"))
    caption = (
        f"Test {study.score_name} of the ways to combine the local nets"
        + (", and of the global net as a dashed line." if line else ".")
        + f" {_bars(study)} The best single tile is in the table only, to keep the scale readable."
    )
    alternative = f"Line chart of test {study.score_name} against overlap. " + " ".join(
        _lines_in_words(study)
    )
    title = f"{study.score_name[0].upper()}{study.score_name[1:]} against overlap"
    unit = "samples" if study.noun == "signal" else "pixels"
    chart = figures.accuracy_by_overlap(tables, line, study.score_name, unit)
    return Sketch(title, caption, alternative, chart)


def sketch_differences(study: Study) -> Sketch | None:
    """Every method against the global net; None without one, or with nothing to compare."""
    rows = [
        figures.DifferenceRow(
            study.label_of(pair.means["decomposition"]),
            pair.means["method"],
            *pair.differences["global"][:3],
        )
        for pair in pairs_of(study)
        if "global" in pair.differences and pair.means["method"] != "best-tile"
    ]
    if not rows:
        return None
    caption = (
        f"Test {study.score_name} of every method minus that of the global net, with 95 % "
        "intervals, which are not adjusted for their number: the table says what is shown. "
        f"{TEST} The best single tile is in the table only, to keep the scale readable."
    )
    if len(rows) > MOST_DIFFERENCES:
        caption += f" The first {MOST_DIFFERENCES} of {len(rows)}."
        rows = rows[:MOST_DIFFERENCES]
    alternative = "Differences to the global net. " + " ".join(
        f"{row.label}, {row.method}: {row.value:+.4f}, {row.low:+.4f} to {row.high:+.4f}."
        for row in rows
    )
    chart = figures.differences(rows, study.score_name)
    return Sketch("Against the global net", caption, alternative, chart)


def _panel_title(run: RunResult) -> str:
    grid = "x".join(map(str, run.evaluation["grid"]))
    title = f"interleaved {grid}" if run.evaluation["kind"] == "interleaved" else f"{grid} tiles"
    return title + (" + coarse view" if run.has_view else "")


def _overlap_points(study: Study, runs: list[RunResult]) -> Iterator[dict]:
    for method in LINES:
        if method in runs[0].evaluation["methods"]:
            row = study.mean_of(runs[0].evaluation["decomposition"], method)
            yield {
                "method": method,
                "overlap": row["overlap"],
                "pixels": max(runs[0].evaluation["overlap"]),
                "accuracy": row[f"{study.score}_test"],
                "error": standard_error(study, row["decomposition"], method),
            }


def standard_error(study: Study, decomposition: str, method: str) -> float:
    """Error of a mean score: chance of the test images and, with several seeds, of training.

    Not a number where one group of images says nothing of other ones.
    """
    error = intervals.standard_error(study.merits(decomposition, method), study.runs[0].groups)
    return error if np.isfinite(error) else float("nan")


def _bars(study: Study) -> str:
    seeds = " and the scatter between seeds" if len(study.seeds) > 1 else ""
    return (
        f"Bars and band: one standard error, from the {study.tested.rstrip(',')}{seeds}. All "
        f"methods decide on the same {study.noun}s, so a difference between two of them is surer "
        "than the bars suggest: the summary gives its interval."
    )


def _lines_in_words(study: Study) -> Iterator[str]:
    for slug, runs in study.by_decomposition.items():
        method = "global" if slug == "whole" else "cnn-dnn"
        score = study.mean_of(slug, method)[f"{study.score}_test"]
        yield f"{runs[0].label}: {score:.4f} ({method})."


def sketch_times(study: Study) -> Sketch:
    """Training times, overhead and speed-up of every decomposition."""
    rows = [_time_row(study, runs) for runs in study.by_decomposition.values()]
    caption = (
        "In parallel, training takes as long as the slowest local net plus the coarse net; the "
        "thin bar is the time of all of them one after another. Overhead is what the trainings "
        "do not count: start of the process, loading, setting up libraries and device, and for "
        "decompositions cutting the tiles and computing the local probabilities. Memory: the "
        "largest peak of one job, on a processor of its whole process."
    )
    if any(row.speedup for row in rows):
        caption += (
            " Ideal speed-up: multiply-adds per image of the global net over those of one local "
            "net. It counts less work per net as well as parallel work. Ideal memory: that of the "
            "global net's job times the share of its parameters in the largest local net; the rest "
            "is what every process holds, whatever it trains."
        )
    alternative = "Bar chart of training times in seconds, speed-up and memory. " + " ".join(
        map(_time_in_words, rows)
    )
    return Sketch("Time and memory", caption, alternative, figures.times(rows))


def _time_row(study: Study, runs: list[RunResult]) -> figures.TimeRow:
    evaluations = [run.evaluation for run in runs]
    method = "global" if runs[0].tiling == "whole" else "cnn-dnn"
    row = study.mean_of(evaluations[0]["decomposition"], method)
    coarse = float(
        np.mean([e["coarse"]["train_seconds"] if e["coarse"] else 0 for e in evaluations])
    )
    overhead = np.mean([sum(v for v in e["overhead"].values() if v) for e in evaluations])
    is_global = method == "global"
    return figures.TimeRow(
        label="global net" if is_global else runs[0].label,
        # Of a fold of out-of-fold decisions, if that is slower than any local net.
        slowest=float(row["parallel_seconds"]) - coarse,
        coarse=None if is_global else coarse,
        overhead=float(overhead),
        serial=None if is_global else float(row["serial_seconds"]),
        speedup=None if is_global or pd.isna(row["speedup"]) else float(row["speedup"]),
        ideal=None if is_global or pd.isna(row["flop_ratio"]) else float(row["flop_ratio"]),
        memory=float(row["peak_memory_bytes"]),
        ideal_memory=None if is_global else _ideal_memory(study, evaluations[0]),
    )


def _ideal_memory(study: Study, evaluation: dict[str, Any]) -> float | None:
    """Memory of a local net's job, if it shrank like the number of parameters."""
    if not study.whole:
        return None
    whole = study.mean_of("whole", "global")
    largest = max(net["parameters"] for net in evaluation["local"].values())
    return float(whole["peak_memory_bytes"] * largest / whole["parameters_largest"])


def _time_in_words(row: figures.TimeRow) -> str:
    text = f"{row.label}: {row.slowest + (row.coarse or 0):.1f} s"
    if row.serial is not None:
        text += f" in parallel, {row.serial:.1f} s one after another"
    if row.speedup and row.ideal:
        text += f", {row.speedup:.1f} times as fast as the global net, ideal {row.ideal:.1f}"
    return f"{text}; {row.memory / 2**20:,.0f} MiB."


def sketch_curves(study: Study) -> Sketch | None:
    """Histories of all nets of the first seed; None where there is none."""
    tilings = list(study.by_tiling)
    groups = [_local_curves(study, slug) for slug in tilings[:MOST_TILINGS]]
    groups.append(_coarse_curves(study))
    groups = [group for group in groups if group.histories]
    if not groups:
        return None
    caption = (
        f"Seed {study.seeds[0]}{', fold 0' if study.folds else ''}. "
        f"Left: {study.score_name} on the validation split. Right: "
        f"{'mean squared error of standardised targets' if study.is_regression else 'loss'} on the "
        "validation split (solid) and on the training split (dashed); a dashed line that goes on "
        "falling while the solid one rises means overfitting." + left_out(tilings)
    )
    alternative = "Training curves. " + " ".join(
        f"{group.title}: {len(group.histories)} nets, last validation {study.score_name} "
        f"{min(_last(group, study)):.3f} to {max(_last(group, study)):.3f}."
        for group in groups
    )
    chart = figures.training_curves(groups, study.score)
    return Sketch("Training curves", caption, alternative, chart)


def _last(group: figures.CurveGroup, study: Study) -> list[float]:
    return [float(history[f"{study.score}_val"].iloc[-1]) for _, history in group.histories]


def _local_curves(study: Study, tiling: str) -> figures.CurveGroup:
    run = next(run for run in study.by_tiling[tiling] if run.seed == study.seeds[0])
    if tiling == "whole":
        title, labels = "Global net", {run.tiles[0]: "global net"}
    else:
        title = f"Local nets, {run.tiling_label}"
        labels = dict.fromkeys(run.tiles, "tiles") | {VIEW: "coarse view"}
    folders = [(labels[name], study.local_folder(run, name)) for name in run.evaluation["tiles"]]
    return figures.CurveGroup(title, _histories(folders))


def _coarse_curves(study: Study) -> figures.CurveGroup:
    runs = [run for runs in study.decomposed.values() for run in runs if run.seed == study.seeds[0]]
    return figures.CurveGroup(
        "Coarse nets", _histories([(run.label, run.folder / "coarse") for run in runs])
    )


def _read_history(path: Path) -> pd.DataFrame:
    with reading(path):
        if path.read_bytes()[-1:] != b"\n":
            raise DamagedResult(path, "its last line is cut off")
        return pd.read_csv(path)


def _histories(folders: list[tuple[str, Path]]) -> list[tuple[str, pd.DataFrame]]:
    """Histories of trainings in epochs: a linear coarse net, solved directly, has none."""
    found = [
        (label, _read_history(folder / "history.csv"))
        for label, folder in folders
        if (folder / "history.csv").is_file()
    ]
    return [(label, history) for label, history in found if "epoch" in history]
