"""The report of an experiment: ``summary.csv``, figures, and one page that explains itself."""

import os
from importlib.util import find_spec
from pathlib import Path

from ddcnn.base.errors import InputError
from ddcnn.base.escaping import csv_cell
from ddcnn.base.files import write_aside
from ddcnn.base.logs import importing
from ddcnn.base.private import names_only
from ddcnn.experiment.runs import Experiment

# A notebook passes the name of its own backend on to the programs that it starts. Where that is not
# installed, matplotlib could not be imported; figures are saved here, never shown.
_BACKEND = os.environ.get("MPLBACKEND", "")
if _BACKEND.startswith("module://") and not find_spec(_BACKEND[9:].partition(".")[0]):
    del os.environ["MPLBACKEND"]


def write_report(experiment: Experiment, results: Path, out: Path, processes: int = 1) -> None:
    """Write the tables, figures as SVG, PDF and PNG, and ``report.html``.

    Tables are ``summary.csv``, ``comparison.csv``, ``predictions.csv``, ``table.tex`` and
    ``table.md``; a comparison with other experiments needs ``settings.json`` and ``merits.npz``.

    Args:
        experiment: whose runs are evaluated. Neither the user's data nor nets are looked at.
        results: the folder of all results.
        out: the folder ``results/reports/{experiment}``.
        processes: that draw figures.

    Raises:
        InputError: no run at all, or a result file that cannot be read.
    """
    # Here, so that a part of this package can be had without what draws its figures.
    with importing():
        from ddcnn.report.comparison import comparison_table, family_of
        from ddcnn.report.drawing import draw_study
        from ddcnn.report.page import render_page
        from ddcnn.report.predictions import write_predictions
        from ddcnn.report.snapshot import write_snapshot
        from ddcnn.report.study import RunResult, pooled_runs, studies_of
        from ddcnn.report.summary import summary_table
        from ddcnn.report.tables import write_tables

    if not experiment.runs:
        raise InputError(f"report of {experiment.name}: there is no run to report")
    read = pooled_runs(RunResult.of(run, results) for run in experiment.runs)
    with write_aside(out / "summary.csv") as aside:
        summary_table([run.evaluation for run in read]).map(csv_cell).to_csv(aside, index=False)
    studies = studies_of(read, experiment, results)
    family = family_of(studies, experiment.settings["report"]["margin"])
    with write_aside(out / "comparison.csv") as aside:
        table = comparison_table(studies, family).map(csv_cell)
        table.to_csv(aside, index=False, float_format="%.6g")
    write_predictions(studies, out / "predictions.csv")
    write_tables(studies, family, out)
    write_snapshot(read, experiment.settings, out)
    several = len(studies) > 1
    drawn = [draw_study(study, out / "figures", several, processes) for study in studies]
    page = render_page(experiment.name, studies, drawn, names_only(experiment.settings), family)
    with write_aside(out / "report.html") as aside:
        aside.write_text(page, encoding="utf-8")
