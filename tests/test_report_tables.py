"""``table.tex`` and ``table.md``, read back and compared with ``summary.csv``."""

import re

import pandas as pd
import pytest

from ddcnn.report import write_report
from ddcnn.report.tables import latex
from fake_results import FakeExperiment, experiment_of

NUMBER = re.compile(r"-?\d+\.\d+")


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """Two studies: three seeds and names with signs of LaTeX, and a regression with one seed."""
    results = tmp_path_factory.mktemp("tables") / "results"
    classes = FakeExperiment(dataset="blobs_a", model="my_nets.small-w16", seeds=(0, 1, 2))
    numbers = FakeExperiment(
        shape=(48,), dataset="fat", targets=("fat",), tilings=(("blocks", "4", 8, True),)
    )
    for experiment in (classes, numbers):
        experiment.write(results)
    write_report(experiment_of(classes, numbers, name="tables"), results, results / "out")
    return results / "out"


@pytest.fixture(scope="module")
def expected(out):
    """The rows of ``summary.csv``, run by run, of every study."""
    summary = pd.read_csv(out / "summary.csv", keep_default_na=True)
    return [rows for _, rows in summary.groupby(["dataset", "model"], sort=False)]


def markdown_tables(text: str) -> list[list[list[str]]]:
    """Cells of the rows of every table."""
    blocks = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    return [
        [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()]
        for block in blocks
    ]


def latex_rows(text: str) -> list[list[list[str]]]:
    """Cells of the rows of every tabular; fails where the structure is not LaTeX."""
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
    begun = re.findall(r"\\(begin|end)\{(\w+)\}", text)
    one = [("begin", "table"), ("begin", "tabular"), ("end", "tabular"), ("end", "table")]
    assert begun == one * (len(begun) // 4)
    tables = []
    for columns, body in re.findall(
        r"\\begin\{tabular\}\{@\{\}(\w+)@\{\}\}(.*?)\\end\{tabular\}", text, re.DOTALL
    ):
        assert re.findall(r"\\(toprule|bottomrule)", body) == ["toprule", "bottomrule"]
        body = re.sub(r"\\(toprule|midrule|bottomrule|cmidrule\(l\)\{\d-\d\})", "", body)
        rows = [row.split("&") for row in body.split(r"\\") if row.strip()]
        for row in rows:
            spans = [re.match(r"\s*\\multicolumn\{(\d)\}", cell) for cell in row]
            assert sum(int(span[1]) if span else 1 for span in spans) == len(columns)
        tables.append([[cell.strip() for cell in row] for row in rows])
    return tables


def check_row(cells: list[str], runs: pd.DataFrame, columns: list[str]) -> None:
    """Seeds, means and standard deviations of a row, computed from its runs alone."""
    count, *cells = cells
    assert int(count) == len(runs)
    assert len(cells) == len(columns)
    for cell, column in zip(cells, columns, strict=True):
        shown = [float(number) for number in NUMBER.findall(cell)]
        half = 0.5 * 10 ** -len(NUMBER.search(cell)[0].split(".")[1]) + 1e-9
        wanted = [runs[column].mean()]
        if len(runs) > 1 and column != "flop_ratio":
            wanted.append(runs[column].std())
        assert shown == pytest.approx(wanted, abs=half), column


COSTS = ["parallel_seconds", "serial_seconds", "speedup", "flop_ratio"]


def columns_of(runs: pd.DataFrame) -> list[str]:
    if runs["accuracy_test"].isna().all():
        return ["r2_test", "rmse_test", *COSTS]
    return ["accuracy_test", *COSTS]


def test_markdown_says_what_the_summary_says(out, expected):
    tables = markdown_tables((out / "table.md").read_text(encoding="utf-8"))
    assert len(tables) == len(expected) == 2
    for (_, rule, *rows), runs in zip(tables, expected, strict=True):
        assert set("".join(rule)) <= set("-:")
        groups = [group for _, group in runs.groupby(["decomposition", "method"], sort=False)]
        assert len(rows) == len(groups)
        for (_, method, *cells), group in zip(rows, groups, strict=True):
            assert re.match(r"`(.*?)`", method)[1] == group["method"].iloc[0]
            check_row(cells, group, columns_of(runs))


def test_latex_says_what_the_summary_says(out, expected):
    tables = latex_rows((out / "table.tex").read_text(encoding="utf-8"))
    assert len(tables) == 2
    for rows, runs in zip(tables, expected, strict=True):
        rows = [row for row in rows if row[0].startswith(r"\quad")]
        groups = [group for _, group in runs.groupby(["decomposition", "method"], sort=False)]
        for (method, *cells), group in zip(rows, groups, strict=True):
            assert method.removeprefix(r"\quad ").rstrip("*") == group["method"].iloc[0]
            check_row(cells, group, columns_of(runs))


def test_the_best_and_the_chosen_are_marked(out, expected):
    for table, runs in zip(
        markdown_tables((out / "table.md").read_text(encoding="utf-8")), expected, strict=True
    ):
        score = columns_of(runs)[0]
        means = runs.groupby(["decomposition", "method"])[score].mean()
        (bold,) = (row for row in table if "**" in row[3])
        assert float(NUMBER.search(bold[3])[0]) == pytest.approx(
            means.max(), abs=0.0051
        )  # of 400 images
        validation = score.replace("test", "val")
        cnn_dnn = runs[runs["method"] == "cnn-dnn"].groupby("decomposition")[validation].mean()
        (chosen,) = (row for row in table if row[1].endswith("*"))
        assert chosen[1] == "`cnn-dnn` *"
        assert ("coarse view" in chosen[0]) == cnn_dnn.idxmax().endswith("-view")


def test_no_sign_of_a_name_reaches_latex(out):
    text = (out / "table.tex").read_text(encoding="utf-8")
    assert r"blobs\_a, my\_nets.small-w16" in text
    assert re.search(r"(?<!\\)_", text) is None
    assert text.isascii()


@pytest.mark.parametrize(
    ("plain", "written"),
    [
        ("50 % of a_b & #1", r"50 \% of a\_b \& \#1"),
        (r"C:\x{y}", r"C:\textbackslash{}x\{y\}"),
        ("$~^<>|", r"\$\textasciitilde{}\textasciicircum{}\textless{}\textgreater{}\textbar{}"),
    ],
)
def test_signs_of_latex_are_written_out(plain, written):
    assert latex(plain) == written
