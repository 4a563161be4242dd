"""The figures of a study, drawn and saved."""

import gc
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from ddcnn.report import figures
from ddcnn.report.sketches.charts import (
    sketch_curves,
    sketch_differences,
    sketch_overlap,
    sketch_times,
)
from ddcnn.report.sketches.decisions import sketch_agreement, sketch_reliability
from ddcnn.report.sketches.mistakes import sketch_mistakes
from ddcnn.report.sketches.others import sketch_others
from ddcnn.report.sketches.pareto import sketch_cost
from ddcnn.report.sketches.pictures import (
    sketch_confusion,
    sketch_heat_map,
    sketch_scatter,
    sketch_tiles,
)
from ddcnn.report.sketches.sketch import Sketch
from ddcnn.report.sketches.timeline import sketch_timeline
from ddcnn.report.study import Study

# Every figure by its name; None where the study has no data for it.
SKETCHES: dict[str, Callable[[Study], Sketch | None]] = {
    "tiles": sketch_tiles,
    "differences": sketch_differences,
    "overlap": sketch_overlap,
    "cost": sketch_cost,
    "times": sketch_times,
    "timeline": sketch_timeline,
    "other-ways": sketch_others,
    "heat-map": sketch_heat_map,
    "agreement": sketch_agreement,
    "curves": sketch_curves,
    "confusion": sketch_confusion,
    "scatter": sketch_scatter,
    "reliability": sketch_reliability,
    "mistakes": sketch_mistakes,
}
# Drawn first: begun last, they would be waited for alone.
LONGEST = ("mistakes", "curves", "cost", "confusion", "agreement")


class Drawn(NamedTuple):
    """One figure of the page: name (of its file and anchor), words, and where the SVG is."""

    name: str
    title: str
    caption: str
    alternative: str
    svg: Path


def draw_study(study: Study, folder: Path, several: bool, processes: int = 1) -> dict[str, Drawn]:
    """Draw, save and describe every figure that the study has data for.

    Args:
        study: its runs.
        folder: where ``{name}.svg``, ``.pdf`` and ``.png`` go.
        several: more than one study shares the folder; file names then begin with the study.
        processes: figures that are drawn at a time.
    """
    task = (study, folder, several)
    if processes == 1:
        drawn = [_draw(name, *task) for name in SKETCHES]
    else:
        # Forked processes have the study already; an argument would be copied for each figure.
        context = multiprocessing.get_context("fork")
        with context.Pool(processes, _begin, task) as pool:
            names = sorted(SKETCHES, key=lambda name: name not in LONGEST)
            found = dict(zip(names, pool.map(_draw_begun, names, chunksize=1), strict=True))
            drawn = [found[name] for name in SKETCHES]
    return {name: each for name, each in zip(SKETCHES, drawn, strict=True) if each}


_task: tuple[Study, Path, bool]


def _begin(*task: Any) -> None:
    global _task
    _task = task


def _draw_begun(name: str) -> Drawn | None:
    return _draw(name, *_task)


def _draw(name: str, study: Study, folder: Path, several: bool) -> Drawn | None:
    gc.disable()  # a figure is a hundred thousand objects that are needed to its end
    try:
        return _save_sketch(name, SKETCHES[name](study), study, folder, several)
    finally:
        gc.enable()
        gc.collect()


def _save_sketch(
    name: str, sketch: Sketch | None, study: Study, folder: Path, several: bool
) -> Drawn | None:
    if sketch is None:
        return None
    stem = f"{study.dataset}-{study.model}-{name}" if several else name
    svg = figures.save(sketch.figure, folder / stem)["svg"]
    return Drawn(stem, sketch.title, sketch.caption, sketch.alternative, svg)
