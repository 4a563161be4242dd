"""``compare``: finished experiments side by side."""

import argparse
import difflib
from pathlib import Path

from ddcnn.base.disk import check_outputs
from ddcnn.base.errors import InputError
from ddcnn.base.escaping import csv_cell
from ddcnn.base.files import write_aside
from ddcnn.base.foreign import is_folder
from ddcnn.base.names import MOST_SHOWN
from ddcnn.commands.arguments import add_command, add_written, read_experiment
from ddcnn.experiment.paths import RESULTS, RULES

REPORTS = Path(RESULTS, RULES["report"].level)
EXAMPLES = """\
examples:
  ddcnn compare quickstart wide         by name, as under results/reports
  ddcnn compare config/a.yaml config/b.yaml
  ddcnn compare here/reports/a there/reports/b --csv ab.csv --latex ab.tex --html ab.html

Every experiment is compared with the first one, on the same data set, test images, seeds and
method: where both have the same model and decomposition, and where these differ, in the
decomposition that each would choose by the validation split. Only finished reports are read.
"""


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = add_command(commands, "compare", run, "finished experiments side by side", EXAMPLES)
    parser.add_argument(
        "experiments", nargs="+", metavar="EXPERIMENT",
        help="its name, its configuration file, or its report's folder",
    )  # fmt: skip
    add_written(parser, csv="all rows, unrounded", latex="tables for a paper (booktabs)")
    add_written(parser, html="a page that needs no network")


def run(options: argparse.Namespace) -> None:
    """Print the comparison and write the files that are asked for."""
    folders = [report_folder(name) for name in options.experiments]
    # SciPy, pandas and matplotlib take a second.
    from ddcnn.report.compare import READ, compare_experiments

    read = [folder / name for folder in folders for name in READ]
    outputs = [options.csv, options.latex, options.html]
    check_outputs(outputs, [*map(Path, options.experiments), *read])

    comparison = compare_experiments(folders)
    print(comparison.text())
    _write(options.csv, comparison.rows.map(csv_cell).to_csv(index=False, float_format="%.6g"))
    _write(options.latex, comparison.latex())
    _write(options.html, comparison.page())


def _write(path: Path | None, text: str) -> None:
    if path is not None:
        with write_aside(path) as aside:
            aside.write_text(text, encoding="utf-8")


def report_folder(text: str) -> Path:
    """Folder of the report of an experiment, by its name, its file, or the folder itself.

    Raises:
        InputError: there is no such experiment, or it is not finished.
    """
    path = Path(text)
    if "/" not in text and is_folder(REPORTS / text):
        return REPORTS / text
    if path.suffix in (".yaml", ".yml"):
        return _of_configuration(path)
    if is_folder(path):
        return path
    known = sorted(folder.name for folder in REPORTS.glob("*") if folder.is_dir())
    close = difflib.get_close_matches(text, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ";"
    raise InputError(
        f"{text[:MOST_SHOWN]!r} is no experiment with a report{hint} accepted: a configuration "
        "file (.yaml), a report's folder, or one of: "
        f"{', '.join(known) or f'nothing in {REPORTS} yet'}"
    )


def _of_configuration(path: Path) -> Path:
    """The report that a file asks for; made with other settings it is not the file's."""
    asked = read_experiment(path)
    folder = REPORTS / asked.name
    again = f"run: snakemake --cores all --configfile {path}"
    if not (folder / "settings.json").is_file():
        raise InputError(f"{path}: the experiment {asked.name} is not finished; {again}")
    from ddcnn.report.compare.experiment import read_settings
    from ddcnn.report.snapshot import flatten

    made_with = read_settings(folder / "settings.json")
    now, then = dict(flatten(asked.settings)), dict(flatten(made_with))
    for key in dict.fromkeys([*now, *then]):
        if now.get(key) != then.get(key):
            raise InputError(
                f"{path} says {key}: {now.get(key)}, but the report of {asked.name} was made with "
                f"{then.get(key)}; {again}"
            )
    return folder
