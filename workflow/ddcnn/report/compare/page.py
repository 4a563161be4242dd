"""A comparison for people: text, a LaTeX table, and a page of its own."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from ddcnn import report
from ddcnn.base.escaping import latex
from ddcnn.base.private import names_only
from ddcnn.base.text import decimals, fraction, interval, signed, table
from ddcnn.report.comparison import TEST
from ddcnn.report.sentences import seconds
from ddcnn.report.template import template_environment
from ddcnn.report.verdicts import Family, in_cell

HERE = Path(__file__).parent
STYLE = Path(report.__file__).with_name("style.css")
HEADS = ("method", "n", "first", "second", "difference", "95 % interval", "verdict", "time")


@dataclass(frozen=True)
class Comparison:
    """Experiments side by side.

    Attributes:
        labels: names of the experiments; the first one is what the others are compared with.
        settings: rows of the settings that differ: ``setting`` and a value per label.
        rows: see :func:`ddcnn.report.compare.pairs.judged`.
        family: of all differences.
    """

    labels: list[str]
    settings: list[dict[str, str]]
    rows: pd.DataFrame
    family: Family

    def sections(self) -> Iterator[tuple[str, str, list[dict[str, str]]]]:
        """Title, what is paired, and rows as texts, for each second experiment and data set."""
        for (second, dataset), rows in self.rows.groupby(["second", "dataset"], sort=False):
            keys = ["first_model", "first_decomposition", "second_model", "second_decomposition"]
            for cuts, group in rows.groupby(keys, sort=False):
                one, two = ", ".join(cuts[:2]), ", ".join(cuts[2:])
                paired = one if one == two else f"{one} against {two}"
                title = f"{second} minus {self.labels[0]}: {dataset}"
                yield title, paired, [_texts(row) for row in group.to_dict("records")]

    def text(self) -> str:
        """For a terminal."""
        lines = [f"Settings that differ ({', '.join(self.labels)}):", ""]
        if self.settings:
            lines += table([["setting", *self.labels], *(list(r.values()) for r in self.settings)])
        else:
            lines.append("none")
        for title, paired, rows in self.sections():
            body = [list(row.values()) for row in rows]
            lines += ["", f"{title} ({paired})", *table([list(HEADS), *body])]
        return "\n".join([*lines, "", self.note()])

    def note(self) -> str:
        """How the numbers are to be read."""
        r2 = "R²" if set(self.rows["score"]) == {"r2_test"} else "accuracy"
        both = "accuracy (or R²)" if self.rows["score"].nunique() > 1 else r2
        return (
            f"First, second: test {both}, mean over the n seeds that both have. {TEST} "
            f"{self.family.note()} Time: parallel training time, first and second; comparable on "
            "equal hardware only."
        )

    def latex(self) -> str:
        """A ``table`` environment for every section; needs the package booktabs."""
        parts = [_latex_table(*section) for section in self.sections()]
        head = "% Needs \\usepackage{booktabs}.\n% " + _ascii(self.note())
        return "\n".join([head, *parts])

    def page(self) -> str:
        """One HTML file with everything in it; names are escaped."""
        return (
            template_environment(HERE)
            .get_template("compare.html.jinja")
            .render(
                labels=self.labels,
                settings=names_only(self.settings),
                sections=list(self.sections()),
                heads=HEADS,
                note=self.note(),
                style=Markup(STYLE.read_text(encoding="utf-8")),
            )
        )


def _texts(row: Mapping[str, Any]) -> dict[str, str]:
    """A row as it is printed, by the heads; differences of accuracies in points."""
    points, images = row["score"] == "accuracy_test", row["test_images"]
    unit, digits = (100, decimals(images)) if points else (1, 4)
    scores = (row["first_score"], row["second_score"])
    value = signed(unit * row["difference"], digits)
    times = (seconds(row[f"{side}_parallel_seconds"]) for side in ("first", "second"))
    cells = [
        row["method"],
        str(row["seeds"]),
        *(fraction(score, images) if points else f"{score:.4f}" for score in scores),
        f"{value} points" if points else value,
        interval(unit * row["low"], unit * row["high"], digits),
        in_cell(row["verdict"], unit * row["smallest"], digits),
        ", ".join(times),
    ]
    return dict(zip(HEADS, cells, strict=True))


def _latex_table(title: str, paired: str, rows: list[dict[str, str]]) -> str:
    heads = [head for head in HEADS if head != "time"]
    body = [" & ".join(_latex_cell(head, row[head]) for head in heads) + r" \\" for row in rows]
    unit = "; differences in points" if rows[0]["difference"].endswith("points") else ""
    lines = [
        r"\begin{table}",
        r"  \centering\footnotesize\setlength{\tabcolsep}{4pt}",
        rf"  \caption{{{latex(title)} ({latex(paired)}{unit}).}}",
        r"  \begin{tabular}{@{}lrrrrrl@{}}",
        r"    \toprule",
        "    " + " & ".join("$n$" if h == "n" else latex(h) for h in heads) + r" \\",
        r"    \midrule",
        *(f"    {line}" for line in body),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
        "",
    ]
    return "\n".join(lines)


def _latex_cell(head: str, text: str) -> str:
    """Signed numbers in math mode, for a real minus sign."""
    if head in ("difference", "95 % interval"):
        words = _ascii(text).removesuffix(" points").split(" to ")
        return " to ".join(f"${word}$" for word in words)
    return latex(text)


def _ascii(text: str) -> str:
    for sign, plain in (("\N{MINUS SIGN}", "-"), ("R²", "R^2"), ("\N{NO-BREAK SPACE}", " ")):
        text = text.replace(sign, plain)
    return text
