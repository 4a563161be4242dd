"""What accuracy costs: against the number of tiles and against training time."""

import pandas as pd

from ddcnn.report import figures
from ddcnn.report.sentences import seconds
from ddcnn.report.sketches.charts import standard_error
from ddcnn.report.sketches.sketch import Sketch
from ddcnn.report.study import Study


def sketch_cost(study: Study) -> Sketch | None:
    """Scores against number of tiles and times, with Pareto fronts; None with one point only."""
    rows = [row for _, row in study.means.iterrows() if row["method"] != "best-tile"]
    if len(rows) < 2:
        return None
    points = [
        figures.CostPoint(
            row["method"],
            _num_nets(row),
            row["parallel_seconds"],
            row["serial_seconds"],
            row[f"{study.score}_test"],
            standard_error(study, row["decomposition"], row["method"]),
        )
        for row in rows
    ]
    names = [f"{study.label_of(row['decomposition'])}, {row['method']}" for row in rows]
    waiting = _front(points, names, [point.parallel for point in points])
    computing = _front(points, names, [point.serial for point in points])
    name = study.score_name
    caption = (
        f"Test {name} of every method on every decomposition. Left: against the number of nets "
        "that see images. Middle and right: against the training time with all local nets in "
        "parallel, and with all trainings one after another. The step line is the Pareto front: "
        f"nothing cheaper is as good. On it, by waiting time: {waiting}. The best single tile is "
        "in the table only, to keep the scale readable."
    )
    alternative = (
        f"Three scatter charts of test {name}: against the number of nets, the parallel and "
        f"the serial training time. Pareto front by waiting time: {waiting}. By computing time: "
        f"{computing}."
    )
    title = f"{name[0].upper()}{name[1:]} against tiles and cost"
    return Sketch(title, caption, alternative, figures.cost(points, name))


def _num_nets(row: pd.Series) -> int:
    """Nets that see images; the control ``small`` has one, whatever its run has."""
    return 1 if row["method"] == "small" else row["tiles"]


def _front(points: list[figures.CostPoint], names: list[str], times: list[float]) -> str:
    front = figures.pareto_front(times, [point.score for point in points])
    return "; ".join(f"{names[i]} ({points[i].score:.4f} in {seconds(times[i])})" for i in front)
