"""The report: table, figures, page and sentences, on made-up results."""

import csv
import io
import itertools
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from scipy import stats

from ddcnn.base.errors import DamagedResult, InputError
from ddcnn.base.files import read_json, write_json
from ddcnn.base.text import fraction
from ddcnn.evaluation.intervals import paired_difference, student, wilson
from ddcnn.report import figures, write_report
from ddcnn.report.comparison import compare, comparison_table, family_of
from ddcnn.report.figures import style
from ddcnn.report.figures.boxes import average_over_tiles, count_tiles, layers
from ddcnn.report.figures.votes import WeightedVote, votes_picture
from ddcnn.report.predictions import write_predictions
from ddcnn.report.sentences import findings, looks, seconds
from ddcnn.report.study import Study, studies_of
from ddcnn.report.summary import headline, mean_over_seeds, summary_table
from ddcnn.tiles.geometry import Tiling
from ddcnn.tiles.shards import plan_of
from fake_results import FakeExperiment, experiment_of, results_of

pytestmark = pytest.mark.filterwarnings("error")

COLUMNS = (
    "dataset,model,decomposition,kind,grid,overlap,coarse_view,tiles,seed,method,accuracy_val,"
    "accuracy_test,loss_val,loss_test,balanced_accuracy_val,balanced_accuracy_test,macro_f1_val,"
    "macro_f1_test,auc_val,auc_test,r2_val,r2_test,rmse_val,rmse_test,mae_val,mae_test,"
    "majority_test,parallel_seconds,serial_seconds,speedup,flop_ratio,parameters_largest,"
    "parameters_total,peak_memory_bytes,workers,step_seconds,compute_seconds,"
    "communication_seconds,idle_seconds,bytes_per_step,messages_per_step,start_seconds,kernels"
)
COMPARING = {"differences", "overlap", "cost"}  # they need more than the global net
LOCAL = {"heat-map", "agreement"}
OF_CLASSES = {"confusion", "reliability"}
ALL_FIGURES = COMPARING | LOCAL | OF_CLASSES | {"tiles", "times", "timeline", "curves", "mistakes"}
BESIDE = {"overlap", "cost", "timeline", "agreement", "curves", "reliability"}  # not on the page
SETTINGS = {
    "experiment": "<i>odd & long</i>",
    "grid": ["2x2"],
    "coarse_view": [False, True],
    "global_net": None,
    "local": {"epochs": 8},
}

EXPERIMENTS = {
    "quickstart": FakeExperiment(),
    "one overlap": FakeExperiment(tilings=(("blocks", "2x2", 2, False),)),
    "only whole": FakeExperiment(tilings=()),
    "no global net": FakeExperiment(global_net=False, tilings=(("blocks", "2x2", 4, True),)),
    "three seeds, colour": FakeExperiment(channels=3, seeds=(0, 1, 2)),
    "volumes": FakeExperiment(
        shape=(12, 16, 8),
        tilings=(("blocks", "2x2x2", "4x4x2", True), ("blocks", "2x2x1", "4x4x0", False)),
        classes=("normal", "findings"),
    ),
    "interleaved": FakeExperiment(
        tilings=(("interleaved", "2x2", 0, False), ("blocks", "2x2", 0, False))
    ),
    "64 tiles": FakeExperiment(shape=(32, 32), tilings=(("blocks", "8x8", 2, True),)),
    "signals": FakeExperiment(
        shape=(50,),
        channels=2,
        tilings=(("blocks", "4", 6, True), ("interleaved", "5", 0, False)),
    ),
    "regression": FakeExperiment(
        shape=(48,),
        tilings=(("blocks", "4", 0, False), ("blocks", "4", 8, True)),
        targets=("fat in <b>",),
        seeds=(0, 1),
    ),
    "regression of images": FakeExperiment(targets=("a", "b")),
    "100 classes": FakeExperiment(
        classes=tuple(f"class {k}" for k in range(100)), tilings=(("blocks", "1x3", 0, False),)
    ),
}


def report(experiment: FakeExperiment, root, name="fake"):
    results = root / "results"
    out = results / "reports" / name
    experiment.write(results)
    write_report(replace(experiment_of(experiment, **SETTINGS), name=name), results, out)
    return out


@pytest.fixture
def only_svg(monkeypatch):
    """The formats that the page does not hold take most of the time; the quickstart has all."""
    monkeypatch.setattr(style, "FORMATS", {"svg": style.FORMATS["svg"]})


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory):
    return report(EXPERIMENTS["quickstart"], tmp_path_factory.mktemp("quickstart"))


def study_of(experiment: FakeExperiment, root) -> Study:
    (study,) = studies_of(results_of(experiment, root), experiment_of(experiment), root)
    return study


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_kind_of_experiment_has_a_sound_page(name, tmp_path, only_svg):
    out = report(EXPERIMENTS[name], tmp_path)
    missing = {
        "only whole": COMPARING | LOCAL,
        "no global net": {"differences"},
    }
    expected = ALL_FIGURES - missing.get(name, set())
    if EXPERIMENTS[name].targets:
        expected = expected - OF_CLASSES | {"scatter"}
    assert {path.name for path in (out / "figures").iterdir()} == {f"{n}.svg" for n in expected}
    for path in (out / "figures").glob("*.svg"):
        ElementTree.parse(path)
    page = (out / "report.html").read_text(encoding="utf-8")
    assert_sound(page, num_figures=len(expected - BESIDE))
    beside = re.findall(r"<code>figures/([a-z-]+)\.svg</code>", page)
    assert sorted(beside) == sorted(expected & BESIDE)


def assert_sound(page: str, num_figures: int) -> None:
    """Nothing from outside, ids unique, references met, every figure described."""
    assert re.findall(r"<script[^>]*>", page) == ["<script>"]
    outside = re.findall(r'(?:src|href)="(?!#|data:)[^"]*"|url\((?!#)[^)]*\)|@import', page)
    assert outside == []
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    references = re.findall(r'(?:href="|url\()#([^")]*)', page)
    assert set(references) <= set(ids)
    labels = re.findall(r'<div class="drawing" role="img" aria-label="([^"]{40,})"', page)
    assert len(labels) == num_figures
    assert page.count("<figcaption>") == num_figures
    assert re.search(r"\bnan\b", page) is None


def test_names_from_data_and_configuration_are_escaped(quickstart):
    page = (quickstart / "report.html").read_text(encoding="utf-8")
    assert "two <b>" not in page
    assert "two &lt;b&gt;" in page
    assert "<i>odd" not in page
    assert "cross &amp; bar" in page


def test_same_results_give_the_same_bytes(quickstart, tmp_path):
    again = report(EXPERIMENTS["quickstart"], tmp_path)
    files = [path for path in sorted(quickstart.rglob("*")) if path.is_file()]
    assert {path.suffix for path in files} == {
        *(".html", ".csv", ".tex", ".md", ".json", ".npz", ".svg", ".pdf", ".png")
    }
    # The page, five tables, settings and merits beside the figures.
    assert len(files) == 8 + len(style.FORMATS) * len(ALL_FIGURES)
    for path in files:
        assert (again / path.relative_to(quickstart)).read_bytes() == path.read_bytes(), path


def test_two_studies_share_a_page(tmp_path, only_svg):
    results = tmp_path / "results"
    both = FakeExperiment(), FakeExperiment(dataset="others")
    for experiment in both:
        experiment.write(results)
    write_report(experiment_of(*both), results, tmp_path / "out")
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert_sound(page, num_figures=2 * len(ALL_FIGURES - BESIDE))
    assert (tmp_path / "out/figures/others-vgg-w16-tiles.svg").is_file()
    lines = headline(tmp_path / "out/summary.csv")
    assert lines[lines.index("others, vgg-w16:") + 1].startswith("Test accuracy of the CNN-DNN")


def test_settings_and_provenance_are_shown_as_people_write_them(quickstart):
    page = (quickstart / "report.html").read_text(encoding="utf-8")
    rows = re.findall(r"<code>([^<]*)</code></th><td>([^<]*)</td>", page)
    assert ("local.epochs", "8") in rows
    assert ("coarse_view", "false, true") in rows
    assert ("global_net", "null") in rows
    assert "Made-up CPU, 2 cores, 24.0 GiB memory, Linux" in page
    assert "first started 2025-01-01 10:00:02 UTC" in page


DOUBTS = {
    "source": "/home/ann/my scans/MRI",
    "split_rule": "70/15/15 % at random",
    "split_seed": 7,
    "group": "patient",
    "left_out": {
        "count": 13,
        "kinds": [
            {"kind": "truncated", "count": 12, "files": ["p1/a.nii"], "reason": "a.nii ends"},
            {
                "kind": "unreadable",
                "count": 1,
                "files": ["/home/ann/my scans/MRI/p2/b.nii"],
                "reason": "b.nii has two axes",
            },
        ],
    },
    "duplicates_across_splits": {"count": 1, "examples": [["train: p3/c.nii", "test: p4/d.nii"]]},
    "spacing_mm": {"min": [1, 1, 2.5], "max": [1, 1, 5]},
    "intensity": {"rule": "percentile", "window": None, "why": "every image's own percentiles"},
    "values": {"dtypes": ["int16"], "low": -3, "high": 4095, "hounsfield": False},
    "notes": ["3 of 9 were laid on white"],
    "warnings": ["2 of 9 images are unreadable", "/srv/other/labels.csv: 'site' <may> name groups"],
    "checksums": {"x_train.npy": "sha256:12", "y_train.npy": "sha256:34"},
}


def test_the_page_says_what_the_card_knows_and_not_where_the_data_lie(tmp_path, only_svg):
    results, experiment = tmp_path / "results", FakeExperiment(tilings=())
    experiment.write(results)
    card = results / "data/blobs/card.json"
    write_json(card, read_json(card) | DOUBTS)
    asked = {"dataset": [{"name": "b", "path": "/home/ann/my scans/MRI"}, "fashion-mnist"]}
    write_report(experiment_of(experiment, **asked), results, tmp_path / "out")
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert page.index("2 of 9 images are unreadable") < page.index("What was done</h2>")
    assert "labels.csv: &#39;site&#39; &lt;may&gt; name groups" in page
    facts = dict(re.findall(r"<div><dt>([^<]*)</dt><dd>(.*?)</dd></div>", page))
    assert facts["Source"] == "MRI"
    assert facts["Split"] == "70/15/15 % at random; seed 7"
    assert facts["Groups"] == "patient; each is in one split"
    assert "12 truncated: p1/a.nii and 11 more" in facts["Left out"]
    assert "1 unreadable: p2/b.nii (b.nii has two axes)" in facts["Left out"]
    assert "1 sample alike in every value: train: p3/c.nii = test: p4/d.nii" in page
    assert facts["Spacing"] == "1 × 1 × 2.5 to 1 × 1 × 5 mm"
    assert facts["Intensity"] == "every image&#39;s own percentiles"
    assert facts["Values in the files"].startswith("int16, -3 to 4095 in the training split; no H")
    assert facts["Notes"] == "3 of 9 were laid on white"
    assert re.match("[0-9a-f]{16} ", facts["Digest"])
    assert "{&#34;name&#34;: &#34;b&#34;, &#34;path&#34;: &#34;MRI&#34;}" in page
    for folder in ("/home", "my scans", "/srv"):
        assert folder not in page
    assert read_json(tmp_path / "out/settings.json")["dataset"] == asked["dataset"]


def test_data_of_an_older_version_have_a_page(tmp_path, only_svg):
    results, experiment = tmp_path / "results", FakeExperiment()
    experiment.write(results)
    (results / "data/blobs/samples.csv").unlink()
    card = results / "data/blobs/card.json"
    newer = {"dtype", "split_rule", "split_seed", "group", "left_out", "notes", "warnings"}
    kept = {key: value for key, value in read_json(card).items() if key not in newer}
    write_json(card, kept)
    write_report(experiment_of(experiment), results, tmp_path / "out")
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert_sound(page, num_figures=len(ALL_FIGURES - BESIDE))
    assert "<dt>Groups</dt>" not in page


def test_the_page_has_the_scores_of_every_class(quickstart):
    page = (quickstart / "report.html").read_text(encoding="utf-8")
    table = page[page.index('aria-label="Table of classes"') :].split("</table>")[0]
    assert re.findall(r'<tr><th scope="row">(.*?)</th>', table) == [
        "round", "long", "two &lt;b&gt;", "cross &amp; bar",
    ]  # fmt: skip
    assert len(re.findall(r"[\d,]+ of [\d,]+", table)) == 4 * 2 * 3
    summary = pd.read_csv(quickstart / "summary.csv")
    for score in summary["balanced_accuracy_test"]:
        assert f"{score:.2f}<" in page  # of 400 images


def test_synthetic_data_is_called_synthetic(quickstart):
    assert "Synthetic data" in (quickstart / "report.html").read_text(encoding="utf-8")


def rows_of(path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_predictions_are_those_of_a_plain_loop(quickstart):
    rows = rows_of(quickstart / "predictions.csv")
    runs = quickstart.parents[1] / "runs/blobs/vgg-w16"
    assert len(rows) == 4 * (40 + 400)
    for row in rows:
        assert row["file"] == f"{row['split']}/{int(row['index']):03}, a.png"
    classes = EXPERIMENTS["quickstart"].classes
    for slug in ("whole", "blocks-2x2-overlap4-view"):
        saved = np.load(runs / slug / "seed0/predictions.npz")
        for split in ("val", "test"):
            of_split = [r for r in rows if (r["decomposition"], r["split"]) == (slug, split)]
            assert [row["label"] for row in of_split] == [
                classes[k] for k in saved[f"{split}_labels"]
            ]
            method = "global" if slug == "whole" else "mean"
            decided = saved[f"{split}_{method}"].argmax(axis=1)
            assert [row[method] for row in of_split] == [classes[k] for k in decided]
            assert {row["mean" if slug == "whole" else "global"] for row in of_split} == {""}


def test_predictions_of_targets_are_numbers_and_of_many_images_those_of_the_test_split(tmp_path):
    studies = [
        study_of(FakeExperiment(), tmp_path / "classes"),
        study_of(FakeExperiment(dataset="numbers", targets=("a", "b")), tmp_path / "targets"),
    ]
    (studies[1].data / "samples.csv").unlink()
    path = tmp_path / "predictions.csv"
    write_predictions(studies, path, most=8 * (40 + 400))
    assert len(rows_of(path)) == 8 * (40 + 400)
    write_predictions(studies, path, most=8 * (40 + 400) - 1)
    rows = rows_of(path)
    assert len(rows) == 8 * 400
    assert {row["split"] for row in rows} == {"test"}
    last, run = rows[-1], studies[1].runs[-1]
    assert last["file"] == last["label"] == last["cnn-dnn"] == last["vote"] == ""
    for column, target in enumerate("ab"):
        assert float(last[f"label_{target}"]) == pytest.approx(run.labels[-1, column], rel=1e-5)
        said = run.predictions["test_cnn-dnn"][-1, column]
        assert float(last[f"cnn-dnn_{target}"]) == pytest.approx(said, rel=1e-5)
    assert list(last)[7:11] == ["label", "label_a", "label_b", "global"]


def test_files_that_are_not_those_of_the_card_are_not_shown(tmp_path):
    study = study_of(FakeExperiment(), tmp_path)
    card = study.data / "card.json"
    write_json(card, read_json(card) | {"checksums": {"samples.csv": "sha256:0"}})
    with pytest.raises(DamagedResult, match=r"samples\.csv"):
        write_predictions([study], tmp_path / "predictions.csv")
    assert not (tmp_path / "predictions.csv").exists()


def test_summary_has_the_columns_and_a_row_per_run_and_method(quickstart):
    lines = (quickstart / "summary.csv").read_text().splitlines()
    assert lines[0] == COLUMNS
    table = pd.read_csv(quickstart / "summary.csv")
    assert list(table["method"]) == ["global"] + 3 * ["cnn-dnn", "mean", "vote", "best-tile"]
    assert list(table["decomposition"].unique()) == [
        "whole", "blocks-2x2-overlap0", "blocks-2x2-overlap4", "blocks-2x2-overlap4-view",
    ]  # fmt: skip
    assert list(table["overlap"].unique()) == [0, 4]
    assert list(table["tiles"].unique()) == [1, 4, 5]


def test_summary_holds_what_the_runs_say(tmp_path):
    runs = results_of(EXPERIMENTS["volumes"], tmp_path)
    table = summary_table(run.evaluation for run in runs)
    assert list(table["overlap"].unique()) == ["0", "4x4x2", "4"]
    for run in runs:
        for method, values in run.evaluation["methods"].items():
            row = table[
                (table["decomposition"] == run.evaluation["decomposition"])
                & (table["method"] == method)
            ].iloc[0]
            assert row["accuracy_test"] == values["accuracy_test"]
            assert row["accuracy_test"] == (run.decisions(method) == run.labels).mean()
            assert row["peak_memory_bytes"] == values["peak_memory_bytes"]


def test_means_over_seeds(tmp_path):
    runs = results_of(EXPERIMENTS["three seeds, colour"], tmp_path)
    table = summary_table(run.evaluation for run in runs)
    means = mean_over_seeds(table)
    assert set(means["seeds"]) == {3}
    chosen = table[(table["decomposition"] == "whole")]["accuracy_test"]
    assert means.loc[0, "accuracy_test"] == pytest.approx(chosen.mean())
    assert means.loc[0, "accuracy_test_spread"] == pytest.approx(np.std(chosen, ddof=1))


def test_headline_says_where_and_the_three_figures_with_intervals(quickstart):
    lines = headline(quickstart / "summary.csv")
    table = pd.read_csv(quickstart / "summary.csv").set_index(["decomposition", "method"])
    candidates = table.xs("cnn-dnn", level="method")
    best = candidates["accuracy_val"].idxmax()
    images = pd.read_csv(quickstart / "comparison.csv")["test_images"].iloc[0]

    def reached(accuracy: float) -> str:
        low, high = (fraction(end, images) for end in wilson(accuracy * images, images))
        return f"{fraction(accuracy, images)} (95 %: {low} to {high})"

    cnn_dnn = reached(candidates.loc[best, "accuracy_test"])
    alone = reached(table.loc[("whole", "global"), "accuracy_test"])
    assert lines[0] == f"Test accuracy of the CNN-DNN: {cnn_dnn}, {best}"
    assert lines[1] == f"Test accuracy of the global net: {alone}"
    assert re.fullmatch(r"The CNN-DNN against .*: .* after adjustment for 23 comparisons", lines[2])
    majority = fraction(table["majority_test"].iloc[0], images)
    assert lines[3] == f"Always saying the most frequent class: {majority}"
    speed, ideal = candidates.loc[best, ["speedup", "flop_ratio"]]
    assert (
        lines[4] == f"Trained {speed:.1f} times as fast (one seed: no interval), ideal {ideal:.1f}"
    )
    assert lines[5:] == [f"Report: {quickstart / 'report.html'}"]


def test_headline_of_several_seeds_has_an_interval_of_the_speed_up(tmp_path, only_svg):
    folder = report(EXPERIMENTS["three seeds, colour"], tmp_path)
    (line,) = [line for line in headline(folder / "summary.csv") if "as fast" in line]
    table = pd.read_csv(folder / "summary.csv").set_index(["decomposition", "method"])
    found = [
        f"Trained {rows['speedup'].mean():.1f} times as fast (95 %: {low:.1f} to {high:.1f})"
        for _, rows in table.xs("cnn-dnn", level="method").groupby("decomposition")
        for low, high in [
            stats.t.interval(0.95, 2, rows["speedup"].mean(), stats.sem(rows["speedup"]))
        ]
    ]
    assert line.split(", ideal")[0] in found


@pytest.mark.parametrize("name", ["only whole", "no global net"])
def test_headline_without_a_comparison(name, tmp_path, only_svg):
    text = "\n".join(headline(report(EXPERIMENTS[name], tmp_path) / "summary.csv"))
    assert "nan" not in text
    assert ("of the global net" in text) == (name == "only whole")


def test_headline_says_what_makes_it_doubtful(tmp_path, only_svg):
    folder = tmp_path / "results/reports/one"
    shutil.copytree(report(EXPERIMENTS["only whole"], tmp_path / "made"), folder)
    dataset = pd.read_csv(folder / "summary.csv")["dataset"].iloc[0]
    card = {"source": "/srv/x.csv", "warnings": ["the column 'patient' looks like groups"]}
    write_json(tmp_path / "results/data" / dataset / "card.json", card)
    warning = "Warning: the column 'patient' looks like groups."
    assert headline(folder / "summary.csv")[-2:] == [warning, f"Report: {folder / 'report.html'}"]


def test_paired_difference_of_one_seed_is_the_interval_of_discordant_pairs():
    first = np.array([[1, 1, 1, 1, 0, 0, 1, 1, 1, 0]], dtype=bool)
    second = np.array([[1, 0, 1, 0, 0, 1, 1, 0, 1, 0]], dtype=bool)
    gained, lost, n = 3, 1, 10
    difference = paired_difference(first, second)
    gained, lost, n = gained + 0.5, lost + 0.5, n + 2  # Agresti and Min
    error = np.sqrt(gained + lost - (gained - lost) ** 2 / n) / n
    assert difference.value == pytest.approx(0.2)
    assert difference.high - difference.value == pytest.approx(1.96 * error, rel=1e-3)
    assert difference.value - difference.low == pytest.approx(1.96 * error, rel=1e-3)
    assert not difference.is_clear


def test_paired_difference_of_seeds_grows_with_their_scatter():
    random = np.random.default_rng(0)
    second = random.random((4, 500)) < 0.8
    steady = paired_difference(random.random((4, 500)) < 0.8, second)
    scattered = second.copy()
    scattered[0, :150] = True
    scattered[1, :150] = False
    wide = paired_difference(scattered, second)
    assert wide.high - wide.low > 3 * (steady.high - steady.low)
    assert not wide.is_clear


def test_students_quantiles_agree_with_scipy():
    for degrees in range(1, 60):
        assert student(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=2e-3)


def test_few_images_on_which_two_agree_leave_a_doubt():
    right = np.ones((3, 9), dtype=bool)
    difference = paired_difference(right, right)
    assert difference.value == 0
    assert 0.1 < difference.high < 0.3
    many = paired_difference(np.ones((1, 10_000), dtype=bool), np.ones((1, 10_000), dtype=bool))
    assert many.high < 3 / 10_000


def test_merits_of_a_regression_that_agree_differ_by_nothing():
    merits = np.random.default_rng(0).normal(size=(1, 9))
    assert paired_difference(merits, merits)[:3] == (0, 0, 0)


def test_no_difference_is_claimed_inside_its_interval(tmp_path):
    study = study_of(FakeExperiment(), tmp_path)
    runs = study.decomposed["blocks-2x2-overlap4"]
    assert compare(runs, "cnn-dnn", runs, "cnn-dnn").value == 0
    family = family_of([study], 0.5)
    texts = [text for text in findings(study, family) if "% interval" in text]
    assert len(texts) == 3
    for text in texts:
        assert f"adjustment for the {family.size} comparisons" in text
        low, high = re.search(r"interval ([+−][\d.]+) to ([+−][\d.]+)", text).groups()
        if low[0] != high[0]:  # what 95 % do not show an adjusted interval does not
            assert re.search("no difference is shown|the two are equal", text)
        assert "is better" not in text  # one seed
        assert "among these trained nets" in text


def test_one_seed_is_qualified_and_several_are_not(tmp_path):
    one, three = (
        " ".join(findings(study, family_of([study], 0.5)))
        for study in (
            study_of(FakeExperiment(seeds=seeds), tmp_path / str(len(seeds)))
            for seeds in ((0,), (0, 1, 2))
        )
    )
    assert "1 seed." in one
    assert "run several seeds" in one
    assert "3 seeds." in three
    assert "run several seeds" not in three


def test_seeds_are_paired_and_missing_ones_left_out(tmp_path):
    fake = FakeExperiment(seeds=(0, 1, 2))
    runs = results_of(fake, tmp_path)
    kept = [run for run in runs if run.folder.parts[-2:] != ("whole", "seed1")]
    (study,) = studies_of(kept, experiment_of(fake), tmp_path)
    best = study.decomposed[study.best]
    assert compare(best, "cnn-dnn", study.whole, "global").num_seeds == 2
    assert compare(best, "cnn-dnn", [], "global") is None
    assert findings(study, family_of([study], 0.5))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.42, "0.42 s"), (8.21, "8.2 s"), (48.4, "48 s"), (738, "12.3 min"), (12240, "3.4 h")],
)
def test_seconds_for_people(value, text):
    assert seconds(value).replace("\N{NO-BREAK SPACE}", " ") == text


def test_the_page_says_how_often_the_test_split_was_looked_at(tmp_path):
    fake = FakeExperiment(seeds=(0, 1))
    study = study_of(fake, tmp_path)
    FakeExperiment(model="vgg-w32").write(tmp_path)  # of another experiment
    here = 2 * (1 + 3 * 4)
    text = looks(study)
    assert f"looked at {here + 13} times" in text
    assert f"{here} times on this page" in text
    assert "chosen among 3 by the validation split" in text


BOXES = {
    "0-0": {"start": [0, 0], "stop": [4, 3], "step": [1, 1]},
    "0-1": {"start": [0, 2], "stop": [4, 5], "step": [1, 1]},
}


def test_accuracies_are_averaged_where_tiles_overlap():
    found = average_over_tiles((4, 5), BOXES, {"0-0": 0.5, "0-1": 0.7})
    assert found.tolist() == 4 * [[0.5, 0.5, pytest.approx(0.6), 0.7, 0.7]]
    assert count_tiles((4, 5), BOXES).tolist() == 4 * [[1, 1, 2, 1, 1]]


def test_every_layer_of_a_volume_shows_its_own_slice_and_tiles():
    starts = list(itertools.product((0, 2), (0, 2), (0, 3)))
    boxes = {
        f"{r // 2}-{c // 2}-{s // 3}": {
            "start": [r, c, s], "stop": [r + 2, c + 2, s + 3], "step": [1, 1, 1],
        }
        for r, c, s in starts
    }  # fmt: skip
    found = layers(boxes)
    assert [index for index, _ in found] == [1, 4]
    assert [name[-1] for name in found[1][1]] == ["1"] * 4


def test_picture_shows_the_tiles_as_they_are_cut():
    image = np.arange(20, dtype=np.uint8).reshape(4, 5, 1)
    drawn = figures.tiles_picture(image, BOXES, view=image[:, :3])
    shown = [np.asarray(each.get_array()) for each in drawn.axes[0].get_images()]
    assert any(np.array_equal(each, image[:, 2:5, 0]) for each in shown)
    assert any(np.array_equal(each, image[:, :3, 0]) for each in shown)


@pytest.mark.parametrize(
    ("shape", "grid", "overlap"),
    [
        ((48, 48, 1), "3x3", 6),
        ((28, 28, 1), "4x4", 4),
        ((64, 48, 3), "2x2", 0),
        ((32, 32, 16, 1), "3x3x2", 4),
        ((32, 32, 8, 1), "4x4x2", 2),
    ],
)
def test_no_label_of_an_explanation_lies_on_another(shape, grid, overlap):
    boxes = plan_of(Tiling.of("blocks", grid, overlap), shape[:-1])["tiles"]
    said = "a finding of a very long name 0.99"
    votes = {name: WeightedVote(said, 0.5) for name in (*boxes, "view")}
    image = np.zeros(shape, np.uint8)
    drawn = votes_picture(image, boxes, votes, "T-shirt/top, probability 0.97", "a/b.png", "change")
    drawn.savefig(io.BytesIO())
    texts = [each for each in drawn.findobj(Text) if each.get_text().strip() and each.get_visible()]
    extents = [each.get_window_extent().padded(-0.5) for each in texts]
    pairs = zip(texts, extents, strict=True)
    for (one, first), (other, second) in itertools.combinations(pairs, 2):
        assert not first.overlaps(second), (one.get_text(), other.get_text())


def test_no_run_and_broken_results_are_named(tmp_path):
    with pytest.raises(InputError, match="no run"):
        write_report(experiment_of(), tmp_path, tmp_path / "out")
    runs = FakeExperiment().write(tmp_path)
    (runs[1] / "predictions.npz").write_bytes(b"not an archive")
    with pytest.raises(InputError, match=r"predictions\.npz"):
        write_report(experiment_of(FakeExperiment()), tmp_path, tmp_path / "out")
    assert not (tmp_path / "out/report.html").exists()


# Every method against the global net and the mean


def test_a_comparison_holds_paired_differences_over_the_seeds(tmp_path):
    fake = FakeExperiment(seeds=(0, 1, 2))
    runs = results_of(fake, tmp_path)
    studies = studies_of(runs, experiment_of(fake), tmp_path)
    table = comparison_table(studies, family_of(studies, 0.5)).set_index(
        ["decomposition", "method"]
    )
    slug = next(slug for slug, _ in table.index if slug != "whole")
    row = table.loc[slug, "cnn-dnn"]
    by_seed = {
        (run.evaluation["decomposition"], run.seed): run.evaluation["methods"] for run in runs
    }
    differences = [
        by_seed[slug, seed]["cnn-dnn"]["accuracy_test"]
        - by_seed["whole", seed]["global"]["accuracy_test"]
        for seed in fake.seeds
    ]
    assert row.difference_to_global == pytest.approx(np.mean(differences), abs=1e-9)
    (study,) = studies
    expected = paired_difference(study.merits(slug, "cnn-dnn"), study.merits("whole", "global"))
    assert (row.low_to_global, row.high_to_global) == (expected.low, expected.high)
    assert not any("p_to" in column for column in table.columns)
    outside = row.low_to_global > 0 or row.high_to_global < 0
    assert row.verdict_to_global not in ("better", "worse") or outside
    assert row.comparisons == 12 + 3 * 3 + 1 + 1  # to global and mean, of overlaps, to the majority
    judged = expected.at(1 - 0.05 / row.comparisons)
    assert row.smallest_to_global == pytest.approx((judged.high - judged.low) / 2)


def test_nothing_is_compared_with_itself(tmp_path):
    fake = FakeExperiment()
    studies = studies_of(results_of(fake, tmp_path), experiment_of(fake), tmp_path)
    table = comparison_table(studies, family_of(studies, 0.5)).set_index(
        ["decomposition", "method"]
    )
    assert pd.isna(table.loc[("whole", "global"), "difference_to_global"])
    means = table[table.index.get_level_values("method") == "mean"]
    assert means["difference_to_mean"].isna().all()
    assert means["difference_to_global"].notna().all()


def test_names_are_no_formulas_of_figures_and_spreadsheets(tmp_path, only_svg):
    """Nor do the numbers of a logarithmic axis come as formulas that nobody reads."""
    names = (r"$\frac{1}$", "=1+1")
    blocks = (("blocks", "2x2", 0, False),)
    out = report(FakeExperiment(targets=names, tilings=blocks, seeds=(0,)), tmp_path)
    figures_of = {svg.stem: svg.read_text() for svg in (out / "figures").glob("*.svg")}
    assert r"true $\frac{1}$" in figures_of["scatter"]
    assert not [name for name, text in figures_of.items() if "mathdefault" in text]
    with (out / "predictions.csv").open() as file:
        assert r"label_$\frac{1}$" in next(csv.reader(file))
    classes = ("=1+1", "-1", "@x", "$x^{$")
    out = report(FakeExperiment(classes=classes, tilings=blocks), tmp_path / "classes")
    with (out / "predictions.csv").open() as file:
        assert {row["label"] for row in csv.DictReader(file)} == {"'=1+1", "-1", "'@x", "$x^{$"}
    texts = "".join(ElementTree.parse(out / "figures/confusion.svg").getroot().itertext())
    assert all(name in texts for name in classes)


def test_figures_are_drawn_below_a_notebook_of_another_environment(tmp_path):
    """Its kernel names its backend to all that it starts; without its package matplotlib stops."""
    environment = os.environ | {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    command = "from matplotlib.figure import Figure; Figure().savefig('drawn.svg')"
    alone, ours = (
        subprocess.run([sys.executable, "-c", text], env=environment, cwd=tmp_path, check=False)
        for text in (command, f"import ddcnn.report; {command}")
    )
    assert alone.returncode
    assert not ours.returncode
    assert (tmp_path / "drawn.svg").is_file()
