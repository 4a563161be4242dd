"""Publish the studies: tables, figures and what they say of the paper's claims.

    python benchmarks/studies.py publish study-overlap --seconds 764
    python benchmarks/studies.py docs

The first copies the tables and figures of ``results/reports/{study}`` to ``benchmarks/{study}`` and
writes a page about them; the second renews these pages and the part of docs/studies.md between the
two marks. Everything in words is computed from the tables: a test writes docs/studies.md again and
finds no difference.
"""

import argparse
import shutil
import textwrap
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from ddcnn.base.files import read_json, write_aside, write_json
from ddcnn.base.provenance import git_commit, hardware, versions
from ddcnn.base.text import counted
from ddcnn.report import comparison
from ddcnn.report.verdicts import NO_DIFFERENCE

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "studies.md"
COMPLETE = ("study-complete", "study-complete-controls")  # of what the paper claims
CLAIMS = ("study-overlap", "study-grid", "study-controls")  # the same on a part of the images
NETS = ("study-lda", "study-gru")  # of other nets
STUDIES = (*COMPLETE, *CLAIMS, *NETS)
PARALLEL = ("study-parallel", "study-parallel-3d")  # against the other ways of parallel training
UNTIMED = (*NETS, *PARALLEL)  # run beside other work, so that their times say little
WHOLE_FASHION = "Fashion-MNIST, 55,000 training, 5,000 validation and 10,000 test images"
FASHION = "Fashion-MNIST, 7,000 training, 1,000 validation and 2,000 test images"
SUBJECTS = {
    **dict.fromkeys(COMPLETE, f"{WHOLE_FASHION}; global width 16, 8 epochs (auto)"),
    **dict.fromkeys(CLAIMS, f"{FASHION}; global width 16, 8 epochs"),
    "study-lda": f"{FASHION}; linear discriminant analysis, in which nothing is random",
    "study-parallel": f"{FASHION}; global width 16, 8 epochs (auto)",
    "study-parallel-3d": (
        "SYNTHETIC chest CT phantoms, 112 training, 24 validation and 24 test volumes of 32x32x16 "
        "voxels; global width 16, 43 epochs (auto); accuracies say nothing of real scans"
    ),
    "study-gru": "OSU Leaf, 159 training, 41 validation and 242 test leaves; global width 16",
}
MAIN = ("study-complete-controls", "blocks-2x2-overlap4")  # the decomposition of the page's table
BEGIN, END = "<!-- studies: made by benchmarks/studies.py -->", "<!-- end of studies -->"
FIGURES = ("differences", "overlap", "times", "other-ways")
PUBLISHED = (
    "What others report on the same 10,000 test images, as the authors of the data set collected "
    "it, unchecked, in its README: two convolutional layers and fewer than 100,000 parameters "
    "0.925; two convolutional layers, 113,000 parameters 0.922; three convolutional layers with "
    "pooling and batch normalisation 0.903; VGG16 with 26 million parameters 0.935."
)
WORDS = {
    "global": "global net, whole image",
    "small": "one small net, whole image",
    "ensemble": "four small nets, whole image, coarse net",
    "cnn-dnn": "**tiles, coarse net (CNN-DNN)**",
    "coherent": "trained as one model",
    "transfer": "trained as one model, from the trained nets",
    "logistic": "tiles, logistic regression",
    "weighted": "tiles, weighted average",
    "mean": "tiles, average",
    "vote": "tiles, majority vote",
    "best-tile": "best tile alone",
}


def publish(study: str, seconds: float, remarks: str) -> None:
    """Copy a finished study from ``results`` and write its page."""
    source, target = ROOT / "results" / "reports" / study, ROOT / "benchmarks" / study
    target.mkdir(exist_ok=True)
    for name in ("summary.csv", "comparison.csv"):
        shutil.copy(source / name, target / name)
    for name in figures_of(study):
        if (source / "figures" / f"{name}.svg").is_file():
            shutil.copy(source / "figures" / f"{name}.svg", target / f"{name}.svg")
    cores = 2 if study in PARALLEL else 1
    about = {
        "study": study,
        "date": datetime.now(UTC).date().isoformat(),
        "command": f"snakemake --cores {cores} --configfile config/{study}.yaml",
        "wall_seconds": round(seconds),
        "remarks": remarks,
        "commit": git_commit(),
        "hardware": hardware(),
        "versions": versions(),
    }
    write_json(target / "about.json", about)
    write_page(study)


def write_page(study: str) -> None:
    """``benchmarks/{study}/README.md`` from the tables beside it."""
    with write_aside(ROOT / "benchmarks" / study / "README.md") as aside:
        aside.write_text(page(study), encoding="utf-8")


def page(study: str) -> str:
    """What the study was, what it says of the paper's claims, its table and figures."""
    folder = ROOT / "benchmarks" / study
    names = [name for name in figures_of(study) if (folder / f"{name}.svg").is_file()]
    figures = [f"![{name}]({name}.svg)" for name in names]
    rows = "\n".join(table(study))
    parts = [f"# {study}", what(study), *claims(study), rows, test_of(study), *figures]
    return "\n\n".join(parts) + "\n"


def figures_of(study: str) -> list[str]:
    """Names of the figures that are published."""
    timed = ("times", "other-ways")
    return [name for name in FIGURES if name not in timed or study not in UNTIMED]


def test_of(study: str) -> str:
    """What the intervals of a study are."""
    number = read(study, "comparison")["comparisons"].iloc[0]
    return (
        f"{comparison.TEST} Verdicts are adjusted for all {number} comparisons of the study, so "
        "that an interval that leaves out zero may still be no difference shown."
    )


def what(study: str) -> str:
    """Data, machine, date and command, in a sentence."""
    about = read_json(ROOT / "benchmarks" / study / "about.json")
    machine = about["hardware"]
    packages = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    minutes = f"{about['wall_seconds'] / 60:.0f} min"
    return (
        f"{SUBJECTS[study]}; {len(seeds(study))} seeds. `{about['command']}`, {about['date']}, "
        f"{minutes} on {machine['processor']}, {counted(machine['cores'], 'core')}, one thread a "
        f"job; {packages}. {about['remarks']}"
    )


def seeds(study: str) -> list[int]:
    return sorted(read(study, "summary")["seed"].unique())


def read(study: str, name: str) -> pd.DataFrame:
    return pd.read_csv(ROOT / "benchmarks" / study / f"{name}.csv")


def table(study: str, decomposition: str | None = None) -> list[str]:
    """Lines of a Markdown table; of one decomposition and the global net, or of all."""
    rows = read(study, "comparison")
    if decomposition:
        rows = rows[rows["decomposition"].isin(["whole", decomposition])]
    lines = [_cells(row, study, alone=bool(decomposition)) for row in rows.itertuples()]
    header = list(lines[0])
    return [
        f"| {' | '.join(header)} |",
        "| --- |" + " --- |" * (len(header) - 1),
        *(f"| {' | '.join(cells.values())} |" for cells in lines),
    ]


def _cells(row: tuple, study: str, alone: bool) -> dict[str, str]:
    """A row of the table by the names of its columns."""
    if alone:
        names = {"method": WORDS[row.method]}
    else:
        names = {"decomposition": row.label, "method": row.method}
    if study in NETS:
        names = {"net": row.model} | names
    cells = names | {
        "test accuracy": f"{row.accuracy_test:.4f} ± {row.accuracy_test_spread:.4f}",
        "against the global net": _difference(row, "global"),
        "against the mean": _difference(row, "mean"),
    }
    if study in UNTIMED:
        return cells | {
            "parameters of the largest net": f"{row.parameters_largest:,}",
            "ratio of the work": f"{row.flop_ratio:.1f}",
        }
    return cells | {
        "parallel time": f"{row.parallel_seconds:.1f} s",
        "serial time": f"{row.serial_seconds:.1f} s",
        "speed-up": f"{row.speedup:.1f}",
        "ideal": f"{row.flop_ratio:.1f}",
    }


def _difference(row: tuple, reference: str) -> str:
    """``-0.35 (-1.48 to +0.78), no difference shown``: in points."""
    value, low, high = (
        100 * getattr(row, f"{part}_to_{reference}") for part in ("difference", "low", "high")
    )
    if np.isnan(value):
        return ""
    verdict = getattr(row, f"verdict_to_{reference}")
    return f"{value:+.2f} ({low:+.2f} to {high:+.2f}), {verdict}".replace("-", "\u2212")


def claims(study: str) -> Iterator[str]:
    """What the paper says, and what these figures say of it."""
    rows = read(study, "comparison")
    rows = rows[rows["decomposition"] != "whole"]
    coarse = rows[rows["method"] == "cnn-dnn"]
    if study in NETS:
        yield from (_global_claim(net, of_net) for net, of_net in coarse.groupby("model"))
    if study in ("study-overlap", "study-complete"):
        yield _overlap_claim(study)
    if study in PARALLEL:
        yield _parallel_claim(study)
    yield _averaging_claim(coarse)
    if study not in UNTIMED:
        yield _time_claim(coarse)
    if study in COMPLETE:
        yield _accuracy_claim(coarse)


def published(studies: Iterable[str]) -> list[str]:
    """Those that have been run."""
    return [study for study in studies if (ROOT / "benchmarks" / study / "about.json").is_file()]


def _parallel_claim(study: str) -> str:
    """Accuracy and time of the global net in every way, and of tiles, without taking sides."""
    rows = read(study, "comparison")
    whole = rows[rows["decomposition"] == "whole"].set_index("method")
    one, ways = whole.loc["global"], whole.drop(index="global")
    tiles = rows[(rows["decomposition"] != "whole") & (rows["method"] == "cnn-dnn")]
    is_timed = study not in UNTIMED
    of_ways = [f"{row.Index} {_told(row, is_timed)}" for row in ways.itertuples()]
    of_tiles = [
        f"{row.label} on {counted(row.tiles, 'device')} {_told(row, is_timed)}"
        for row in tiles.itertuples()
    ]
    said = [
        "**Tiles against the other ways of parallel training.** The global net of one device has a "
        f"test accuracy of {one['accuracy_test']:.4f}"
        + (f" after {one['parallel_seconds']:.1f} s." if is_timed else "."),
        f"Workers ({ways.index[0].rpartition('-')[2]} of them), with differences in points from "
        f"that: {'; '.join(of_ways)}. Tiles: {'; '.join(of_tiles)}.",
        f"{(tiles['verdict_to_global'] == 'worse').sum()} of {len(tiles)} decompositions are worse "
        "than the global net.",
    ]
    if is_timed:
        faster = (tiles["parallel_seconds"] < ways["parallel_seconds"].min()).sum()
        said.append(f"{faster} of {len(tiles)} are faster than the fastest other way.")
    said.append(
        "Other ways compute with torch's kernels, local nets with those of ddcnn: "
        "benchmarks/results/ways.md has the times of an epoch with either."
    )
    return " ".join(said)


def _told(row: tuple, is_timed: bool) -> str:
    seconds = f"{row.parallel_seconds:.1f} s, " if is_timed else ""
    return f"{seconds}{_difference(row, 'global')}"


def _accuracy_claim(coarse: pd.DataFrame) -> str:
    counts = coarse["verdict_to_global"].value_counts()
    low, high = (100 * coarse["difference_to_global"].agg(each) for each in ("min", "max"))
    verdict = "Not confirmed" if counts.get("worse", 0) else "Not contradicted"
    return (
        f"**The accuracy of the global net is kept.** {verdict}: against it the coarse net's "
        f"decisions are worse in {counts.get('worse', 0)} of {len(coarse)} decompositions and "
        f"better in {counts.get('better', 0)} (in the others: {NO_DIFFERENCE}); the differences "
        f"are {_signed(low)} to {_signed(high)} points. {_unadjusted(coarse, 'global')}"
    )


def _global_claim(net: str, coarse: pd.DataFrame) -> str:
    each = "; ".join(
        f"{row.label}: {row.accuracy_test:.4f}, {_difference(row, 'global')}"
        for row in coarse.itertuples()
    )
    return f"**Tiles and coarse net against the global net, {net}.** In points: {each}."


def _averaging_claim(coarse: pd.DataFrame) -> str:
    counts = coarse["verdict_to_mean"].value_counts()
    better, worse = counts.get("better", 0), counts.get("worse", 0)
    verdict = "Confirmed" if better == len(coarse) else "Refuted" if worse else "Partly confirmed"
    low, high = (100 * coarse["difference_to_mean"].agg(each) for each in ("min", "max"))
    return (
        f"**The coarse net beats averaging.** {verdict}: it is better than the mean of the same "
        f"local nets in {better} of {len(coarse)} decompositions and worse in {worse} (in the "
        f"others: {NO_DIFFERENCE}); the differences are {_signed(low)} to {_signed(high)} points. "
        f"{_unadjusted(coarse, 'mean')}"
    )


def _unadjusted(coarse: pd.DataFrame, reference: str) -> str:
    low, high = (coarse[f"{part}_to_{reference}"] for part in ("low", "high"))
    return (
        f"By each 95 % interval alone, not adjusted, it would be better in {(low > 0).sum()} and "
        f"worse in {(high < 0).sum()}."
    )


def _overlap_claim(study: str) -> str:
    summary = read(study, "summary")
    chosen = (summary["kind"] == "blocks") & (summary["method"] == "cnn-dnn")
    chosen &= summary["decomposition"] != "whole"
    grids, parts, verdicts = summary.loc[chosen, "grid"].unique(), [], set()
    for grid, (view, words) in product(grids, ((False, "without"), (True, "with"))):
        rows = summary[chosen & (summary["coarse_view"] == view) & (summary["grid"] == grid)]
        words = f"{grid}, {words}" if len(grids) > 1 else words
        by_seed = rows.pivot(index="seed", columns="overlap", values="accuracy_test")
        by_seed.columns = by_seed.columns.astype(int)
        means = ", ".join(f"{by_seed[d].mean():.4f} ({d})" for d in sorted(by_seed))
        largest = max(by_seed)
        change = by_seed[largest] - by_seed[0]
        low, high = stats.t.interval(
            0.95, len(change) - 1, loc=change.mean(), scale=stats.sem(change)
        )
        verdicts.add("rises" if low > 0 else "falls" if high < 0 else NO_DIFFERENCE)
        parts.append(
            f"{words} the coarse view {means}; from 0 to {largest} "
            f"{_signed(100 * change.mean())} points (95 % interval {_signed(100 * low)} to "
            f"{_signed(100 * high)} for other seeds on these test images)"
        )
    verdict = {frozenset({"rises"}): "Confirmed", frozenset({"falls"}): "Refuted"}.get(
        frozenset(verdicts), "Partly confirmed" if "rises" in verdicts else "Not confirmed"
    )
    return f"**Accuracy rises with the overlap.** {verdict}: {'; '.join(parts)}."


def _time_claim(coarse: pd.DataFrame) -> str:
    rows = coarse[~coarse["coarse_view"]].sort_values("tiles")
    more = (rows["speedup"] > rows["tiles"]).sum()
    verdict = "Confirmed" if more == len(rows) else "Partly confirmed" if more else "Not confirmed"
    each = ", ".join(
        f"{row.label}: {row.speedup:.1f} times with {row.tiles} tiles (ideal {row.flop_ratio:.1f})"
        for row in rows.itertuples()
    )
    return (
        f"**The parallel time falls by more than the number of tiles.** {verdict} on this machine, "
        f"in {more} of {len(rows)}: {each}. Time is that of the slowest local net and the coarse "
        "net; starting jobs comes on top."
    )


def _signed(points: float) -> str:
    return f"{points:+.1f}".replace("-", "\u2212")


def summary_of_all() -> str:
    """What docs/studies.md says of the studies."""
    study, decomposition = MAIN
    label = read(study, "comparison").set_index("decomposition").loc[decomposition, "label"].iloc[0]
    places = ", ".join(f"`benchmarks/{name}/README.md`" for name in (*COMPLETE, *CLAIMS))
    overlap, _, _ = claims("study-overlap")
    averaging = _averaging_claim(_all_coarse())
    _, time = claims("study-grid")
    parts = [
        _wrapped(
            f"All ways of deciding and the controls, {label}, mean ± standard deviation over "
            f"{len(seeds(study))} seeds; differences in points with 95 % intervals:"
        ),
        "\n".join(table(study, decomposition)),
        _wrapped(what(study)),
        _wrapped(test_of(study)),
        "What the paper claims, and what the study of 2x2 and 3x3 tiles of these images says:",
        _items(claims("study-complete")),
        _wrapped(PUBLISHED),
        _wrapped(
            "Three smaller studies, on 7,000 training and 2,000 test images, with interleaved "
            "tiles and up to 4x4 tiles, say:"
        ),
        _items((overlap, averaging, time)),
        _wrapped(f"Tables and figures: {places}."),
        "Other nets, in studies of their own:",
        _items(_of_nets(name) for name in NETS),
    ]
    return "\n\n".join(parts)


def _items(sentences: Iterable[str]) -> str:
    return "\n".join(_wrapped(f"- {sentence}", indent="  ") for sentence in sentences)


def _of_nets(study: str) -> str:
    """Subject, the global nets' accuracies, and what the study says."""
    rows = read(study, "comparison")
    whole = rows[rows["decomposition"] == "whole"]
    nets = ", ".join(f"{row.model} {row.accuracy_test:.4f}" for row in whole.itertuples())
    said = " ".join(claims(study))
    return f"{SUBJECTS[study]} (`benchmarks/{study}/README.md`). Global nets: {nets}. {said}"


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(text, width=100, subsequent_indent=indent, break_on_hyphens=False)


def _all_coarse() -> pd.DataFrame:
    """The cnn-dnn rows of the studies of the paper's claims, each decomposition once."""
    rows = pd.concat([read(study, "comparison") for study in CLAIMS])
    rows = rows[(rows["method"] == "cnn-dnn") & (rows["decomposition"] != "whole")]
    return rows.drop_duplicates("decomposition")


def with_studies(text: str) -> str:
    """The page with the part between the marks renewed."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{summary_of_all()}\n\n{END}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("publish", help="copy a finished study and write its page")
    one.add_argument("study", choices=(*STUDIES, *PARALLEL))
    one.add_argument("--seconds", type=float, required=True, help="wall time of the command")
    one.add_argument("--remarks", default="", help="what a reader must know of this run")
    commands.add_parser("docs", help="renew all pages about the studies")
    options = parser.parse_args()
    if options.command == "publish":
        publish(options.study, options.seconds, options.remarks)
        return
    for study in (*STUDIES, *published(PARALLEL)):
        write_page(study)
    text = with_studies(PAGE.read_text(encoding="utf-8"))
    with write_aside(PAGE) as aside:
        aside.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
