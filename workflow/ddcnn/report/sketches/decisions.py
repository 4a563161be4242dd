"""What the local nets decide beside the final decision: agreement, calibration, mistakes."""

import numpy as np

from ddcnn.report import figures
from ddcnn.report.figures import LOCAL, ReliabilityCurve
from ddcnn.report.sketches.calibration import (
    BINS,
    calibration_error,
    of_probabilities,
    reliability_curve,
)
from ddcnn.report.sketches.sketch import MOST_TILINGS, Sketch, left_out
from ddcnn.report.study import RunResult, Study

TRUTH = "truth"
MEAN = "mean"


def sketch_agreement(study: Study) -> Sketch | None:
    """How alike the local nets decide; None without decompositions or local probabilities."""
    tilings = [slug for slug in study.by_tiling if slug != "whole"]
    matrices, names = {}, {}
    for slug in tilings[:MOST_TILINGS]:
        runs = [run for run in study.by_tiling[slug] if run.has_view] or study.by_tiling[slug]
        found = [matrix for run in runs if (matrix := _agreement(study, run)) is not None]
        if found:
            title = runs[0].tiling_label
            matrices[title] = np.mean(found, axis=0)
            names[title] = [*runs[0].evaluation["tiles"], TRUTH]
    if not matrices:
        return None
    what = (
        "Correlation (in percent) of the predictions of every two local nets"
        if study.is_regression
        else f"Percent of the test {study.noun}s on which every two local nets decide alike"
    )
    alone = "correlation with the truth" if study.is_regression else "accuracy"
    caption = (
        f"{what}; the last row and column hold the {alone} of each local net alone. The coarse net "
        "can gain most where nets are good and differ. Every panel has its own shades."
        + (f" Means over {len(study.seeds)} seeds." if len(study.seeds) > 1 else "")
        + left_out(tilings)
    )
    alternative = "Agreement of the local nets. " + " ".join(
        f"{title}: pairs of tiles from {low:.0f} to {high:.0f} percent."
        for title, values in matrices.items()
        for low, high in [_range_of_pairs(values)]
    )
    return Sketch(
        "Agreement between tiles", caption, alternative, figures.agreement(matrices, names)
    )


def _agreement(study: Study, run: RunResult) -> np.ndarray | None:
    """``T + 1, T + 1``: pairs of local nets, the truth as the last one; the diagonal is empty."""
    outputs = study.local_outputs(run)
    if outputs is None:
        return None
    if study.is_regression:
        all_TNM = np.stack([*outputs.values(), run.labels])
        if (all_TNM.std(axis=1) == 0).any():
            return None
        matrix = np.mean([np.corrcoef(x_TN) for x_TN in np.moveaxis(all_TNM, 2, 0)], axis=0)
    else:
        decided_TN = np.stack([*(p.argmax(axis=1) for p in outputs.values()), run.labels])
        matrix = np.array([(decided_TN == one_N).mean(axis=1) for one_N in decided_TN])
    np.fill_diagonal(matrix, np.nan)
    return matrix


def _range_of_pairs(values: np.ndarray) -> tuple[float, float]:
    pairs = values[:-1, :-1]
    pairs = pairs[np.isfinite(pairs)]
    return 100 * pairs.min(initial=1), 100 * pairs.max(initial=0)


def sketch_reliability(study: Study) -> Sketch | None:
    """Reliability of local, combined and global decisions; None for a regression."""
    if study.is_regression:
        return None
    curves = _curves(study)
    errors = {
        study.label_of(slug): calibration_errors(study, runs)
        for slug, runs in study.by_decomposition.items()
    }
    shown = (
        f"{study.decomposed[study.best][0].label}, the best one on the validation split, and the "
        "global net"
        if study.best
        else "the global net"
    )
    caption = (
        f"Left: test decisions in {BINS} bins of their confidence, for {shown}; on the dashed "
        "line a confidence can be taken at its word. Bins with fewer than 10 decisions are left "
        "out. Right: expected calibration error (ECE), the mean distance from that line."
        + (f" All {len(study.seeds)} seeds together." if len(study.seeds) > 1 else "")
    )
    alternative = "Reliability diagram. Expected calibration errors: " + " ".join(
        f"{label}: {', '.join(f'{name} {error:.3f}' for name, error in by_name.items())}."
        for label, by_name in errors.items()
    )
    return Sketch("Reliability", caption, alternative, figures.reliability(curves, errors))


def _curves(study: Study) -> list[ReliabilityCurve]:
    curves = [_pooled("global", study.whole)] if study.whole else []
    if study.best:
        runs = study.decomposed[study.best]
        methods = [name for name in ("cnn-dnn", MEAN) if name in runs[0].evaluation["methods"]]
        curves += [_pooled(method, runs) for method in methods]
        local = _local_curve(study, runs)
        curves += [local] if local else []
    return curves


def _pooled(method: str, runs: list[RunResult]) -> ReliabilityCurve:
    p_NK = np.concatenate([run.predictions[f"test_{method}"] for run in runs])
    return of_probabilities(method, p_NK, np.concatenate([run.labels for run in runs]))


def _local_curve(study: Study, runs: list[RunResult]) -> ReliabilityCurve | None:
    """All decisions of all local nets together."""
    confidence, is_right = [], []
    for run in runs:
        for p_NK in (study.local_outputs(run) or {}).values():
            confidence.append(p_NK.max(axis=1))
            is_right.append(p_NK.argmax(axis=1) == run.labels)
    if not confidence:
        return None
    return reliability_curve(LOCAL, np.concatenate(confidence), np.concatenate(is_right))


def mean_calibration_error(runs: list[RunResult], method: str) -> float:
    """Calibration error of a method's test decisions, mean over the seeds."""
    errors = [calibration_error(run.predictions[f"test_{method}"], run.labels) for run in runs]
    return float(np.mean(errors))


def calibration_errors(study: Study, runs: list[RunResult]) -> dict[str, float]:
    """Expected calibration errors by method and of the local nets, means over the seeds."""
    if runs[0].tiling == "whole":
        names = ["global"]
    else:
        names = [name for name in ("cnn-dnn", MEAN) if name in runs[0].evaluation["methods"]]
    errors = {name: mean_calibration_error(runs, name) for name in names}
    local = [
        calibration_error(p_NK, run.labels)
        for run in runs
        if runs[0].tiling != "whole"
        for p_NK in (study.local_outputs(run) or {}).values()
    ]
    return errors | ({LOCAL: float(np.mean(local))} if local else {})
