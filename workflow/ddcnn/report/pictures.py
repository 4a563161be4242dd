"""Pictures of a study: how images are cut, where the local nets decide well, what is confused."""

import numpy as np

from ddcnn import figures
from ddcnn.report.sketch import MOST_TILINGS, Sketch, left_out
from ddcnn.report.study import Run, Study, coarse_view
from ddcnn.tiles import VIEW


def sketch_tiles(study: Study) -> Sketch:
    """One test image, its tiles and its coarse view."""
    run, image = example_run(study), study.example_image()
    boxes = study.boxes(run.tiling)
    view = coarse_view(image, next(iter(boxes.values()))) if run.has_view else None
    caption = (
        f"The first test image of {study.card['title']}, cut as {run.label}. Frames of one colour "
        "belong together. Every local net is trained on its own tile only; no tile's training "
        "waits for another's."
    )
    if any(run.evaluation["overlap"]):
        caption += " Shaded: pixels that belong to more than one tile."
    if view is not None:
        caption += (
            " The coarse view is the whole image averaged down to the shape of a tile: one more "
            "local net, and this project's own addition to the method."
        )
    alternative = (
        f"An example image with the borders of its {len(boxes)} tiles drawn in, and the tiles cut "
        "out beside it" + (", with the coarse view at the right." if view is not None else ".")
    )
    return Sketch(
        "How an image is cut", caption, alternative, figures.tiles_picture(image, boxes, view)
    )


def example_run(study: Study) -> Run:
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
    """Accuracies of the local nets over the mean image; None with the global net only."""
    tilings = [slug for slug in study.by_tiling if slug != "whole"]
    if not tilings:
        return None
    maps = [_tile_map(study, slug) for slug in tilings[:MOST_TILINGS]]
    caption = (
        "Test accuracy of every local net alone, laid over the mean training image; where tiles "
        "overlap, the mean of the tiles that cover the pixel."
        + (f" Means over {len(study.seeds)} seeds." if len(study.seeds) > 1 else "")
        + left_out(tilings)
    )
    alternative = "Heat maps of local accuracies. " + " ".join(
        f"{each.title}: from {min(each.accuracies.values()):.3f} to "
        f"{max(each.accuracies.values()):.3f}."
        for each in maps
    )
    return Sketch(
        "Where the local nets decide well",
        caption,
        alternative,
        figures.heat_map(study.mean_image(), maps),
    )


def _tile_map(study: Study, tiling: str) -> figures.TileMap:
    accuracies = study.local_accuracies(tiling)
    view = accuracies.pop(VIEW, None)
    note = f"{min(accuracies.values()):.3f}–{max(accuracies.values()):.3f}"
    if view is not None:
        note += f", coarse view {view:.3f}"
    title = study.by_tiling[tiling][0].tiling_label
    return figures.TileMap(title, note, study.boxes(tiling), accuracies)


def sketch_confusion(study: Study) -> Sketch:
    """Confusion of the best decomposition's cnn-dnn beside that of the global net."""
    matrices = {}
    if study.best:
        runs = study.decomposed[study.best]
        matrices[f"CNN-DNN ({runs[0].label})"] = _confusion(runs, "cnn-dnn")
    if study.whole:
        matrices["Global net"] = _confusion(study.whole, "global")
    caption = (
        "Rows: the true class; columns: the decision; percent of the test images of the row. The "
        "shade grows with the square root, so that rare confusions show."
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


def _confusion(runs: list[Run], method: str) -> np.ndarray:
    num_classes = len(runs[0].evaluation["classes"])
    counts = np.zeros((num_classes, num_classes), dtype=int)
    for run in runs:
        np.add.at(counts, (run.labels, run.decisions(method)), 1)
    return counts


def _worst_confusion(counts: np.ndarray, classes: list[str]) -> str:
    wrong = counts * (1 - np.eye(len(counts), dtype=int))
    if not wrong.any():
        return "no image is decided wrongly."
    true, decided = np.unravel_index(wrong.argmax(), wrong.shape)
    share = counts[true, decided] / counts[true].sum()
    return (
        f"most often {classes[true]} is taken for {classes[decided]} ({share:.0%} of its images)."
    )
