"""Pictures of a study: how images are cut, where the local nets do well, what they get wrong."""

import numpy as np

from ddcnn.evaluation.scores import confusion
from ddcnn.report import figures
from ddcnn.report.sketches.sketch import MOST_TILINGS, Sketch, left_out
from ddcnn.report.study import RunResult, Study, coarse_view
from ddcnn.tiles.geometry import VIEW


def sketch_tiles(study: Study) -> Sketch:
    """One test image or signal, its tiles and its coarse view."""
    run, image = example_run(study), study.test_image()
    boxes = study.boxes(run.tiling)
    view = coarse_view(image, next(iter(boxes.values()))) if run.has_view else None
    caption = (
        f"The first test {study.noun} of {study.card['title']}, cut as {run.label}. "
        + ("" if study.noun == "signal" else "Frames of one colour belong together. ")
        + "Every local net is trained on its own tile only; no tile's training "
        "waits for another's."
    )
    if any(run.evaluation["overlap"]):
        pixels = "times" if study.noun == "signal" else "pixels"
        caption += f" Shaded: {pixels} that belong to more than one tile."
    if view is not None:
        caption += (
            f" The coarse view is the whole {study.noun} averaged down to the shape of a tile: one "
            "more local net, and this project's own addition to the method."
        )
    alternative = (
        f"An example {study.noun} with its {len(boxes)} tiles, which are also drawn one by one"
        + (", and the coarse view." if view is not None else ".")
    )
    draw = figures.signal_picture if study.noun == "signal" else figures.tiles_picture
    title = "How a signal is cut" if study.noun == "signal" else "How an image is cut"
    return Sketch(title, caption, alternative, draw(image, boxes, view))


def example_run(study: Study) -> RunResult:
    """The run whose tiles are pictured: with as much of the method as there is."""
    runs = [runs[0] for runs in study.by_decomposition.values()]
    return max(
        runs,
        key=lambda run: (
            run.evaluation["kind"] == "blocks",
            run.has_view,
            max(run.evaluation["overlap"]) > 0,
            run.evaluation["decomposition"] == study.best,
        ),
    )


def sketch_heat_map(study: Study) -> Sketch | None:
    """Accuracies (or R²) of the local nets over the mean image; None with the global net only."""
    tilings = [slug for slug in study.by_tiling if slug != "whole"]
    if not tilings:
        return None
    maps = [_tile_map(study, slug) for slug in tilings[:MOST_TILINGS]]
    caption = (
        f"Test {study.score_name} of every local net alone, laid over the mean training "
        f"{study.noun}; where tiles overlap, the mean of the tiles that cover the place."
        + (f" Means over {len(study.seeds)} seeds." if len(study.seeds) > 1 else "")
        + left_out(tilings)
    )
    alternative = f"Heat maps of local test {study.score_name}. " + " ".join(
        f"{each.title}: from {min(each.scores.values()):.3f} to {max(each.scores.values()):.3f}."
        for each in maps
    )
    share = "" if study.is_regression else f" (share of the test {study.noun}s)"
    label = f"test {study.score_name} of the local nets{share}"
    title = f"Where the local nets {'predict' if study.is_regression else 'decide'} well"
    return Sketch(title, caption, alternative, figures.heat_map(study.mean_image(), maps, label))


def _tile_map(study: Study, tiling: str) -> figures.TileMap:
    scores = study.local_scores(tiling)
    view = scores.pop(VIEW, None)
    note = f"{min(scores.values()):.3f}–{max(scores.values()):.3f}"
    if view is not None:
        note += f", coarse view {view:.3f}"
    title = study.by_tiling[tiling][0].tiling_label
    return figures.TileMap(title, note, study.boxes(tiling), scores)


def sketch_scatter(study: Study) -> Sketch | None:
    """Predicted against true targets, cnn-dnn beside the global net; None without targets."""
    if not study.is_regression:
        return None
    panels, notes = {}, {}
    for title, runs, method in compared(study):
        true, predicted = (
            np.concatenate([each[f"test_{kind}"] for each in (run.predictions for run in runs)])
            for kind in ("labels", method)
        )
        panels[title] = (true, predicted)
        row = study.mean_of(runs[0].evaluation["decomposition"], method)
        notes[title] = f"R² {row['r2_test']:.3f}, RMSE {row['rmse_test']:.3g}"
    caption = (
        f"Every dot is a test {study.noun}; on the dashed line prediction and truth agree."
        + (" Decomposition: the best one on the validation split." if study.best else "")
        + (f" All {len(study.seeds)} seeds together." if len(study.seeds) > 1 else "")
    )
    alternative = "Predicted against true targets. " + " ".join(
        f"{title}: {note}." for title, note in notes.items()
    )
    chart = figures.predicted_against_true(panels, study.card["targets"], notes)
    return Sketch("Predicted against true", caption, alternative, chart)


def compared(study: Study) -> list[tuple[str, list[RunResult], str]]:
    """Title, runs and method of the best decomposition's cnn-dnn and of the global net."""
    compared = []
    if study.best:
        runs = study.decomposed[study.best]
        compared.append((f"CNN-DNN ({runs[0].label})", runs, "cnn-dnn"))
    if study.whole:
        compared.append(("Global net", study.whole, "global"))
    return compared


def sketch_confusion(study: Study) -> Sketch | None:
    """Confusion of the best decomposition's cnn-dnn beside the global net's; None for targets."""
    if study.is_regression:
        return None
    matrices = {
        title: confusions(runs, method).sum(axis=0) for title, runs, method in compared(study)
    }
    caption = (
        f"Rows: the true class; columns: the decision; numbers of test {study.noun}s, where there "
        "is room. The shade grows with the square root of the share of the row, so that rare "
        "confusions show."
        + (" Decomposition: the best one on the validation split." if study.best else "")
        + (f" All {len(study.seeds)} seeds together." if len(study.seeds) > 1 else "")
    )
    classes = study.runs[0].evaluation["classes"]
    alternative = "Confusion matrices. " + " ".join(
        f"{title}: {_worst_confusion(counts, classes)}" for title, counts in matrices.items()
    )
    return Sketch(
        "Which classes are confused", caption, alternative, figures.confusion(matrices, classes)
    )


def confusions(runs: list[RunResult], method: str) -> np.ndarray:
    """Of every seed, how often each true class (row) was given each class: int64 ``S, K, K``."""
    num_classes = len(runs[0].evaluation["classes"])
    return np.stack([confusion(run.decisions(method), run.labels, num_classes) for run in runs])


def _worst_confusion(counts: np.ndarray, classes: list[str]) -> str:
    wrong = counts * (1 - np.eye(len(counts), dtype=int))
    if not wrong.any():
        return "no image is decided wrongly."
    true, decided = np.unravel_index(wrong.argmax(), wrong.shape)
    share = counts[true, decided] / counts[true].sum()
    return (
        f"most often {classes[true]} is taken for {classes[decided]} ({share:.0%} of its images)."
    )
