"""Tables for a paper: ``table.tex`` (booktabs) and ``table.md``, a row per method."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ddcnn.base.escaping import latex, markdown
from ddcnn.base.files import write_aside
from ddcnn.base.text import decimals
from ddcnn.report.opening import baseline
from ddcnn.report.study import Study
from ddcnn.report.verdicts import Family

MISSING = "\N{EN DASH}"


class Column(NamedTuple):
    """A column of numbers: of the means, and its heads in the two formats."""

    key: str
    markdown: str
    latex: str
    digits: int | None = None  # behind the point; None: three digits in all, one at least
    has_spread: bool = True


SCORES = {
    "accuracy": [Column("accuracy_test", "test accuracy", "Test accuracy")],
    "r2": [
        Column("r2_test", "test R²", "Test $R^2$", 4),
        Column("rmse_test", "test RMSE", "Test RMSE"),
    ],
}
COSTS = [
    Column("parallel_seconds", "parallel time (s)", "Parallel (s)"),
    Column("serial_seconds", "serial time (s)", "Serial (s)"),
    Column("speedup", "speed-up", "Measured"),
    Column("flop_ratio", "ideal speed-up", "Ideal", has_spread=False),
]


class Cell(NamedTuple):
    """A mean and its standard deviation as written; the latter is empty with one seed."""

    mean: str
    spread: str
    is_best: bool


def write_tables(studies: Sequence[Study], family: Family, out: Path) -> None:
    """Write ``table.tex`` and ``table.md`` to ``out``: a table for every study."""
    for name, table in (("table.tex", latex_table), ("table.md", markdown_table)):
        with write_aside(out / name) as aside:
            text = "\n".join(table(study, family) for study in studies)
            aside.write_text(text, encoding="utf-8")


def note(study: Study, family: Family) -> str:
    """How the table is to be read, and what its accuracies are to be held against."""
    seeds = len(study.seeds)
    spread = (
        f"Mean ± standard deviation over n of {seeds} seeds."
        if seeds > 1
        else "One seed: of these trained nets, not of the methods."
    )
    best = f"Bold: highest test {study.score_name}, whether or not the lead is more than noise."
    held_against = "".join(f" {sentence}" for sentence in baseline(study, family))
    chosen = f" *: decomposition chosen by the validation {study.score_name}." if study.best else ""
    return (
        f"{spread} {best}{chosen} Parallel time: slowest local net plus coarse net; serial time: "
        f"the sum of all. Ideal speed-up: ratio of multiply-adds.{held_against}"
    )


def markdown_table(study: Study, family: Family) -> str:
    """A table as GitHub and pandoc read it, under a heading."""
    columns = _columns(study)
    heads = ["decomposition", "method", "n", *(column.markdown for column in columns)]
    lines = [
        f"### {markdown(study.dataset)}, {markdown(study.model)}",
        "",
        _markdown_row(heads),
        _markdown_row(["---", "---", *["---:"] * (len(heads) - 2)]),
    ]
    for label, rows in _rows(study):
        for row in rows:
            cells = [_markdown_cell(cell) for cell in _cells(row, columns, study)]
            method = f"`{row['method']}`" + (" *" if _is_chosen(row, study) else "")
            lines.append(_markdown_row([markdown(label), method, str(row["seeds"]), *cells]))
    return "\n".join([*lines, "", markdown(note(study, family)), ""])


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _markdown_cell(cell: Cell) -> str:
    mean = f"**{cell.mean}**" if cell.is_best else cell.mean
    return f"{mean} ± {cell.spread}" if cell.spread else mean


def latex_table(study: Study, family: Family) -> str:
    """A ``table`` environment; needs the package booktabs and nothing else."""
    columns = _columns(study)
    lines = list(_latex_head(study, family, columns))
    for label, rows in _rows(study):
        label = rf"\multicolumn{{{2 + len(columns)}}}{{@{{}}l}}{{{latex(label)}}} \\"
        lines += [r"    \midrule", f"    {label}"]
        for row in rows:
            cells = [_latex_cell(cell) for cell in _cells(row, columns, study)]
            method = rf"\quad {latex(row['method'])}" + ("*" if _is_chosen(row, study) else "")
            lines.append(f"    {' & '.join([method, str(row['seeds']), *cells])} \\\\")
    ends = [r"    \bottomrule", r"  \end{tabular}", r"\end{table}", ""]
    return "\n".join([*lines, *ends])


def _latex_head(study: Study, family: Family, columns: Sequence[Column]) -> Iterator[str]:
    """Everything above the first row; the last two columns stand below "Speed-up"."""
    width = 2 + len(columns)
    heads = ["Method", "$n$", *(column.latex for column in columns)]
    yield "% Needs \\usepackage{booktabs}; take it in with \\input{table}."
    yield r"\begin{table}"
    yield r"  \centering\footnotesize\setlength{\tabcolsep}{4pt}"
    title = f"{latex(study.dataset)}, {latex(study.model)}"
    yield f"  \\caption{{{title}. {_latex_note(study, family)}}}"
    yield f"  \\label{{tab:{study.dataset}-{study.model}}}".replace("_", "-")
    yield rf"  \begin{{tabular}}{{@{{}}l{'r' * (width - 1)}@{{}}}}"
    yield r"    \toprule"
    yield f"    {'& ' * (width - 2)}\\multicolumn{{2}}{{c@{{}}}}{{Speed-up}} \\\\"
    yield rf"    \cmidrule(l){{{width - 1}-{width}}}"
    yield f"    {' & '.join(heads)} \\\\"


def _latex_note(study: Study, family: Family) -> str:
    text = latex(note(study, family)).replace("“", "``").replace("”", "''")
    return text.replace("±", r"$\pm$").replace("R²", "$R^2$").replace("over n of", "over $n$ of")


def _latex_cell(cell: Cell) -> str:
    if cell.mean == MISSING:
        return "--"
    mean = rf"\mathbf{{{cell.mean}}}" if cell.is_best else cell.mean
    return f"${mean} \\pm {cell.spread}$" if cell.spread else f"${mean}$"


def _columns(study: Study) -> list[Column]:
    scores = SCORES[study.score]
    if not study.is_regression:
        scores = [each._replace(digits=decimals(study.num_images) + 2) for each in scores]
    return [*scores, *COSTS]


def _rows(study: Study) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Label and rows of every decomposition, the global net first."""
    means = study.means
    for slug, runs in study.by_decomposition.items():
        yield runs[0].label, means[means["decomposition"] == slug].to_dict("records")


def _is_chosen(row: Mapping[str, Any], study: Study) -> bool:
    return (row["decomposition"], row["method"]) == (study.best, "cnn-dnn")


def _cells(row: Mapping[str, Any], columns: Sequence[Column], study: Study) -> Iterator[Cell]:
    score = f"{study.score}_test"
    best = study.means[score].max()
    for column in columns:
        is_best = column.key == score and row[score] == best
        yield cell_of(row[column.key], row[f"{column.key}_spread"], column, is_best)


def cell_of(mean: float | None, spread: float | None, column: Column, is_best: bool) -> Cell:
    """A cell; a number that is missing is a dash, as is what has no global net to compare with."""
    if pd.isna(mean):
        return Cell(MISSING, "", False)
    digits = _digits(mean) if column.digits is None else column.digits
    shown = column.has_spread and not pd.isna(spread)
    return Cell(f"{mean:.{digits}f}", f"{spread:.{digits}f}" if shown else "", is_best)


def _digits(number: float) -> int:
    """Digits behind the point that show three of a number, one at least."""
    return max(1, 2 - math.floor(math.log10(abs(number)))) if number else 1
