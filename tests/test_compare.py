"""``ddcnn compare``: made-up experiments side by side, against SciPy."""

import re
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import stats

from ddcnn.__main__ import main
from ddcnn.evaluation.intervals import paired_difference
from ddcnn.experiment.schema import complete
from ddcnn.report.compare import compare_experiments
from ddcnn.report.snapshot import write_snapshot
from ddcnn.report.summary import summary_table
from fake_results import FakeExperiment, results_of
from test_report_tables import latex_rows

EXPERIMENTS = {
    "narrow": FakeExperiment(seeds=(0, 1, 2)),
    "wide": FakeExperiment(seeds=(1, 2, 3), model="vgg-w32"),
    "fine": FakeExperiment(seeds=(0, 1), tilings=(("blocks", "3x3", 2, False),), global_net=False),
    "spots": FakeExperiment(dataset="spots"),
    "late": FakeExperiment(seeds=(7,)),
    "curve": FakeExperiment(
        dataset="fat", shape=(48,), targets=("fat",), tilings=(("blocks", "4", 8, True),)
    ),
}
EXPERIMENTS["steep"] = EXPERIMENTS["curve"]


def write_finished(results, name: str, experiment: FakeExperiment, settings: dict) -> None:
    """The files of a report that a comparison reads, without its figures."""
    runs = results_of(experiment, results)
    out = results / "reports" / name
    out.mkdir(parents=True)
    summary_table([run.evaluation for run in runs]).to_csv(out / "summary.csv", index=False)
    write_snapshot(runs, settings, out)


def settings_of(name: str, experiment: FakeExperiment) -> dict:
    width = int(experiment.model.removeprefix("vgg-w"))
    return complete({"experiment": name, "dataset": "fashion-mnist-10k", "width": width})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    for name, experiment in EXPERIMENTS.items():
        write_finished(folder / "results", name, experiment, settings_of(name, experiment))
        shutil.rmtree(folder / "results/runs")  # a later experiment may have other ones there
    return folder


@pytest.fixture
def compare(finished, monkeypatch, capsys):
    """Run the command in the folder of the results; its exit status, output and errors."""
    monkeypatch.chdir(finished)

    def run(*arguments):
        status = main(["compare", *map(str, arguments)])
        return status, *capsys.readouterr()

    return run


def rows_of(finished, *names: str) -> pd.DataFrame:
    return compare_experiments([finished / "results/reports" / name for name in names]).rows


def test_differences_are_paired_over_the_seeds_that_both_have(finished):
    rows = rows_of(finished, "narrow", "wide")
    first, second = (
        pd.read_csv(finished / f"results/reports/{name}/summary.csv")
        .set_index(["decomposition", "method", "seed"])["accuracy_test"]
        .sort_index()
        for name in ("narrow", "wide")
    )
    reports = finished / "results/reports"
    merits = {
        side: dict(np.load(reports / name / "merits.npz"))
        for side, name in (("first", "narrow"), ("second", "wide"))
    }
    assert len(rows) == 1 + 3 * 4  # the global net, and four methods of three decompositions
    for row in rows.to_dict("records"):
        which = row["first_decomposition"], row["method"]
        names = {key: value for key, value in row.items() if key != "seeds"}
        assert row["second_decomposition"] == row["first_decomposition"]
        ours, theirs = (side.loc[which].loc[[1, 2]] for side in (first, second))
        assert row["seeds"] == 2
        assert row["first_score"] == pytest.approx(ours.mean())
        assert row["second_score"] == pytest.approx(theirs.mean())
        assert row["difference"] == pytest.approx((theirs - ours).mean())
        place = "{dataset}/{%s_model}/{%s_decomposition}/seed{seed}/{method}"
        first_merits, second_merits = (
            np.stack([each[(place % (side, side)).format(seed=n, **names)] for n in (1, 2)])
            for side, each in merits.items()
        )
        expected = paired_difference(second_merits, first_merits)
        assert (row["low"], row["high"]) == (expected.low, expected.high)
        judged = expected.at(1 - 0.05 / len(rows))
        shown = judged.low > 0 or judged.high < 0
        assert (row["verdict"] in ("better", "worse")) == shown
        if judged.low > -1 and judged.high < 1:
            assert row["smallest"] == pytest.approx((judged.high - judged.low) / 2)


def test_the_interval_knows_which_images_both_decide_alike(finished):
    """With one seed: the normal interval of a paired difference of proportions."""
    settings = settings_of("blobs", FakeExperiment())
    for name in ("once", "again"):
        experiment = FakeExperiment(model="vgg-w16" if name == "once" else "vgg-w8")
        write_finished(finished / "alone", name, experiment, settings | {"experiment": name})
    folders = [finished / "alone/reports" / name for name in ("once", "again")]
    row = compare_experiments(folders).rows.iloc[0]
    merits = [dict(np.load(folder / "merits.npz")) for folder in folders]
    nets = ("vgg-w16", "vgg-w8")
    keys = [f"blobs/{net}/whole/seed0/global" for net in nets]
    one, two = (each[key] for each, key in zip(merits, keys, strict=True))
    gained, lost = (two & ~one).sum(), (one & ~two).sum()
    assert row["difference"] == pytest.approx((gained - lost) / len(one))
    gained, lost, count = gained + 0.5, lost + 0.5, len(one) + 2  # Agresti and Min
    error = np.sqrt(gained + lost - (gained - lost) ** 2 / count) / count
    assert (row["high"] - row["low"]) / 2 == pytest.approx(stats.norm.ppf(0.975) * error, rel=1e-3)
    assert "p" not in row


def test_other_decompositions_meet_in_those_that_validation_chooses(finished):
    rows = rows_of(finished, "narrow", "fine")
    summary = pd.read_csv(finished / "results/reports/narrow/summary.csv")
    cnn_dnn = summary[summary["method"] == "cnn-dnn"].groupby("decomposition")["accuracy_val"]
    assert set(rows["first_decomposition"]) == {cnn_dnn.mean().idxmax()}
    assert set(rows["second_decomposition"]) == {"blocks-3x3-overlap2"}
    assert list(rows["method"]) == ["cnn-dnn", "mean", "vote", "best-tile"]
    assert set(rows["seeds"]) == {2}


def test_regression_is_compared_in_r2(finished):
    rows = rows_of(finished, "curve", "steep")
    assert set(rows["score"]) == {"r2_test"}
    assert (rows["difference"] == 0).all()
    assert rows["first_score"].between(0.5, 1).all()


def test_text_names_what_differs_and_what_is_paired(compare):
    status, text, _ = compare("narrow", "wide", "fine")
    assert status == 0
    assert re.search(r"^width +16 +32 +16$", text, re.MULTILINE)
    assert "epochs" not in text
    assert "wide minus narrow: blobs (vgg-w16, whole against vgg-w32, whole)" in text
    assert "fine minus narrow: blobs" in text
    assert "\u2212" in text
    assert "95 %" in text


def test_files_hold_the_same_rows(compare, finished, tmp_path):
    files = {key: tmp_path / f"out.{key}" for key in ("csv", "latex", "html")}
    options = [part for key, path in files.items() for part in (f"--{key}", path)]
    assert compare("narrow", "wide", *options)[0] == 0
    rows = rows_of(finished, "narrow", "wide")
    pd.testing.assert_frame_equal(pd.read_csv(files["csv"]), rows, rtol=1e-5)
    printed = [
        row for table in latex_rows(files["latex"].read_text(encoding="ascii")) for row in table[1:]
    ]
    assert [row[0] for row in printed] == list(rows["method"])
    for row, difference in zip(printed, rows["difference"], strict=True):
        assert float(row[4].strip("$")) == pytest.approx(100 * difference, abs=0.51)
    page = files["html"].read_text(encoding="utf-8")
    assert (
        re.findall(r'(?:src|href)="(?!#|data:)[^"]*"|url\((?!#)[^)]*\)|@import|<script', page) == []
    )
    assert page.count("<tr>") == 1 + 1 + 4 + len(rows)  # settings, four tables with a head each


def test_the_page_names_no_folder_of_the_machine(finished):
    settings = settings_of("blobs", FakeExperiment())
    for name, path in (("mine", "/home/ann/my scans"), ("other", "~/others")):
        asked = settings | {"experiment": name, "dataset": {"name": "blobs", "path": path}}
        write_finished(finished / "private", name, FakeExperiment(), asked)
    folders = [finished / f"private/reports/{name}" for name in ("mine", "other")]
    found = compare_experiments(folders)
    assert "/home/ann/my scans" in found.text()
    assert "/home/ann" not in found.page()
    assert "<td>my scans</td>" in found.page()


def test_names_are_escaped_on_the_page(finished):
    shutil.copytree(finished / "results/reports/wide", finished / "<b>&/reports/wide")
    shutil.copytree(finished / "results/reports/wide", finished / "<i>&/reports/wide")
    page = compare_experiments([finished / f"<{x}>&/reports/wide" for x in "bi"]).page()
    assert "<b>&/" not in page
    assert "&lt;b&gt;&amp;/reports/wide" in page  # of one name: told apart by their folders


def test_configuration_files_name_their_experiments(compare, tmp_path):
    for name in ("narrow", "wide"):
        settings = settings_of(name, EXPERIMENTS[name])
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(settings))
    status, text, _ = compare(tmp_path / "narrow.yaml", tmp_path / "wide.yaml")
    assert status == 0
    assert "wide minus narrow" in text


def write_yaml(folder, **settings):
    path = folder / "asked.yaml"
    path.write_text(yaml.safe_dump({"dataset": "fashion-mnist-10k", **settings}))
    return path


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ([], "name two or more"),
        (["wid"], "'wid' is no experiment.*did you mean 'wide'.*narrow"),
        (["narrow"], "named twice"),
        (["results/reports/narrow/"], "named twice"),
        (["results"], "results holds no summary.csv.*not finished"),
        (["missing/folder"], "is no experiment"),
        (["spots"], "narrow and spots have nothing in common.*data sets are blobs and spots"),
        (["late"], "nothing in common.*no method of blobs has a seed that both"),
        ([{"experiment": "unstarted"}], "unstarted is not finished; run: snakemake"),
        ([{"experiment": "wide", "width": 64}], "says width: 64, but .* with 32; run: snakemake"),
        ([{"experiment": "wide", "widht": 64}], "widht: unknown key; did you mean 'width'"),
    ],
)
def test_a_mistake_is_one_clear_line(compare, tmp_path, others, said):
    others = [write_yaml(tmp_path, **o) if isinstance(o, dict) else o for o in others]
    status, output, error = compare("narrow", *others)
    assert status == 1
    assert output == ""
    assert re.search(said, error)
    assert error.count("\n") == 1


@pytest.mark.parametrize("name", ["summary.csv", "settings.json", "merits.npz"])
def test_a_comparison_replaces_no_report(compare, finished, name):
    file = finished / "results/reports/wide" / name
    before = file.read_bytes()
    status, _, error = compare("narrow", "wide", "--csv", file)
    assert status == 1
    assert f"{name} is also read" in error
    assert file.read_bytes() == before


def test_another_test_split_is_not_compared(finished, tmp_path):
    changed = tmp_path / "changed"
    shutil.copytree(finished / "results/reports/wide", changed)
    arrays = dict(np.load(changed / "merits.npz"))
    arrays["blobs"] = arrays["blobs"][::-1]
    np.savez(changed / "merits.npz", **arrays)
    with pytest.raises(ValueError, match="the test split of blobs is not the same"):
        compare_experiments([finished / "results/reports/narrow", changed])


@pytest.mark.parametrize("name", ["summary.csv", "settings.json", "merits.npz"])
def test_a_damaged_report_is_named(finished, tmp_path, name):
    shutil.copytree(finished / "results/reports/wide", tmp_path / "wide")
    (tmp_path / "wide" / name).write_bytes(b"\x80\x00 cut off")
    with pytest.raises(ValueError, match=f"{name} is damaged"):
        compare_experiments([finished / "results/reports/narrow", tmp_path / "wide"])
