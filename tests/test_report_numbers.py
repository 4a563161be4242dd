"""What the report computes: calibration, fronts, timeline, mistakes, sentences."""

import itertools
import json
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
from matplotlib.text import Text
from scipy import stats

from ddcnn import nets
from ddcnn.base.files import read_json, write_json
from ddcnn.evaluation.intervals import mean_interval, paired_difference, wilson
from ddcnn.report import figures
from ddcnn.report.citation import citations
from ddcnn.report.classes import MOST_CLASSES, class_table, shares_of
from ddcnn.report.comparison import compare, family_of
from ddcnn.report.opening import baseline, believed, three_sentences
from ddcnn.report.sentences import in_score, steps
from ddcnn.report.sketches.calibration import calibration_error, reliability_curve
from ddcnn.report.sketches.decisions import sketch_agreement, sketch_reliability
from ddcnn.report.sketches.mistakes import sketch_mistakes, worst_mistakes
from ddcnn.report.sketches.pareto import sketch_cost
from ddcnn.report.sketches.timeline import bars_of, pauses_of, sketch_timeline
from ddcnn.report.study import Study, studies_of
from ddcnn.report.table import method_rows, run_rows
from ddcnn.report.trainings import critical_path, trainings_of
from fake_results import FakeExperiment, experiment_of, results_of

SEEDS = FakeExperiment(seeds=(0, 1, 2))
REGRESSION = FakeExperiment(
    shape=(48,), tilings=(("blocks", "4", 8, True),), targets=("fat", "water"), seeds=(0, 1)
)


MARGIN = 0.5


def study_of(experiment: FakeExperiment, root) -> Study:
    (study,) = studies_of(results_of(experiment, root), experiment_of(experiment), root)
    return study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return study_of(SEEDS, tmp_path_factory.mktemp("seeds"))


@pytest.fixture(scope="module")
def regression(tmp_path_factory):
    return study_of(REGRESSION, tmp_path_factory.mktemp("regression"))


# Calibration


def test_calibration_error_is_the_mean_gap_over_the_bins():
    random = np.random.default_rng(0)
    p = random.dirichlet(np.ones(4), size=500)
    labels = random.integers(4, size=500)
    gap = 0.0
    for low in np.arange(15) / 15:
        inside = [
            (each.max(), each.argmax() == label)
            for each, label in zip(p, labels, strict=True)
            if low <= each.max() < low + 1 / 15
        ]
        if inside:
            confidence, right = np.mean(inside, axis=0)
            gap += len(inside) / 500 * abs(confidence - right)
    assert calibration_error(p, labels) == pytest.approx(gap, abs=1e-12)


def test_a_net_that_is_sure_and_right_is_calibrated_and_one_that_is_wrong_is_not():
    p, labels = np.eye(3)[[0, 1, 2, 1]], np.array([0, 1, 2, 1])
    assert calibration_error(p, labels) == 0
    assert calibration_error(p, labels[::-1]) == pytest.approx(np.mean(labels != labels[::-1]))


def test_reliability_keeps_every_decision():
    confidence = np.array([0.2, 0.5, 0.52, 0.99, 1.0])
    curve = reliability_curve("one", confidence, np.array([False, True, False, True, True]))
    assert curve.count.sum() == 5
    assert (curve.count * curve.confidence).sum() == pytest.approx(confidence.sum())
    assert (curve.count * curve.accuracy).sum() == pytest.approx(3)


# Scores, costs, agreement


def test_nothing_beats_a_point_of_the_front():
    random = np.random.default_rng(1)
    costs, scores = random.random((2, 40)).round(1)
    front = figures.pareto_front(costs, scores)

    def is_beaten(i: int) -> bool:
        return any(
            costs[k] <= costs[i]
            and scores[k] >= scores[i]
            and (costs[k], scores[k]) != (costs[i], scores[i])
            for k in range(40)
        )

    places = {(costs[i], scores[i]) for i in range(40) if not is_beaten(i)}
    assert {(costs[i], scores[i]) for i in front} == places
    assert [costs[i] for i in front] == sorted(costs[i] for i in front)


@pytest.mark.parametrize(("right", "num_images"), [(9, 9), (0, 9), (1, 1), (1790, 2000)])
def test_the_interval_of_a_share_is_wilsons(right, num_images):
    expected = stats.binomtest(right, num_images).proportion_ci(method="wilson")
    assert wilson(right, num_images) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_the_table_has_mean_spread_and_interval_of_every_method(study):
    for row in method_rows(study, family_of([study], MARGIN)):
        runs = study.by_decomposition[row["decomposition"]]
        scores = [run.evaluation["methods"][row["method"]]["accuracy_test"] for run in runs]
        assert row["score"] == pytest.approx(np.mean(scores))
        assert row["score_spread"] == pytest.approx(np.std(scores, ddof=1))
        right = np.stack([run.decisions(row["method"]) == run.labels for run in runs])
        assert (row["score_low"], row["score_high"]) == mean_interval(right)
        assert row["score_low"] < row["score"] < row["score_high"]
    assert method_rows(study, family_of([study], MARGIN))[0]["method"] == "global"
    assert len(list(run_rows(study))) == 3 * len(method_rows(study, family_of([study], MARGIN)))


def test_images_of_a_patient_are_no_independent_draws(tmp_path):
    alone = study_of(SEEDS, tmp_path)
    free = [compare(runs, "cnn-dnn", alone.whole, "global") for runs in alone.decomposed.values()]
    data = tmp_path / "data/blobs"
    write_json(data / "card.json", read_json(data / "card.json") | {"group": "patient"})
    samples = pd.read_csv(data / "samples.csv")
    samples["group"] = [f"p{index // 6}" for index in samples["index"]]
    samples.to_csv(data / "samples.csv", index=False)
    again = [replace(run) for run in alone.runs]
    (study,) = studies_of(again, experiment_of(SEEDS), tmp_path)
    groups = np.arange(len(study.runs[0].labels)) // 6
    np.testing.assert_array_equal(study.runs[0].groups, groups)
    for row in method_rows(study, family_of([study], MARGIN)):
        low, high = mean_interval(study.merits(row["decomposition"], row["method"]), groups)
        assert (row["score_low"], row["score_high"]) == (low, high)
    for runs, one in zip(study.decomposed.values(), free, strict=True):
        found = compare(runs, "cnn-dnn", study.whole, "global")
        merits = [
            np.stack([r.merits(m) for r in s])
            for s, m in ((runs, "cnn-dnn"), (study.whole, "global"))
        ]
        assert found == paired_difference(*merits, groups=groups)
        assert found.value == one.value
        assert (found.low, found.high) != (one.low, one.high)


def test_agreement_is_that_of_the_diagnosis_and_its_margin_the_accuracies(study):
    drawn = sketch_agreement(study)
    slug = "blocks-2x2-overlap0"
    runs = study.by_tiling[slug]
    panel = drawn.figure.axes[0]
    shown = {
        (round(text.get_position()[1]), round(text.get_position()[0])): int(text.get_text())
        for text in panel.texts
    }
    pairs = [shown[pair] for pair in itertools.permutations(range(4), 2)]
    measured = np.mean([run.evaluation["diagnosis"]["agreement"] for run in runs])
    assert np.mean(pairs) == pytest.approx(100 * measured, abs=0.5)
    accuracies = study.local_scores(slug)
    for place, tile in enumerate(accuracies):
        assert shown[4, place] == pytest.approx(100 * accuracies[tile], abs=0.51)


def test_a_regression_has_agreement_and_no_calibration(regression):
    assert sketch_reliability(regression) is None
    assert "correlation" in sketch_agreement(regression).caption.lower()
    assert sketch_cost(regression).title.startswith("R²")


# Timeline


def shift(training, seconds: float) -> None:
    """Make a training one of an earlier or a later run."""
    file = training.folder / "metrics.json"
    metrics = json.loads(file.read_text())
    for key in ("started", "finished"):
        moment = datetime.fromisoformat(metrics[key]) + timedelta(seconds=seconds)
        metrics[key] = moment.isoformat(timespec="milliseconds")
    file.write_text(json.dumps(metrics))


def test_bars_of_a_lane_do_not_overlap_and_pauses_are_cut_out(tmp_path):
    study = study_of(SEEDS, tmp_path)
    first = [each for each in trainings_of(study) if each.kind == "global net"]
    for training in first:
        shift(training, -86400)
    trainings = trainings_of(study)
    pauses = pauses_of(trainings)
    bars = bars_of(trainings, pauses, critical_path(study))
    assert len(bars) == len(trainings) == 3 * (1 + 4 + 5 + 3)
    assert len(pauses) == 1
    assert 85000 < pauses[0][1] < 86400
    assert max(bar.end for bar in bars) < 600
    by_lane = {}
    for bar in sorted(bars, key=lambda bar: bar.begin):
        assert by_lane.get((bar.where, bar.lane), 0) <= bar.begin + 1e-6
        by_lane[bar.where, bar.lane] = bar.end
        assert bar.begin <= bar.ready <= bar.end
    assert {where for where, _ in by_lane} == {"node1, CPU", "node2, CPU"}
    assert "1 pause" in sketch_timeline(study).caption


def test_a_clock_set_back_makes_no_training_end_before_its_steps(tmp_path):
    """Nor a critical path of less than nothing, where Snakemake measured nothing."""
    study = study_of(FakeExperiment(tilings=(("blocks", "2x2", 0, False),)), tmp_path)
    for training in trainings_of(study):
        file = training.folder / "metrics.json"
        metrics = json.loads(file.read_text())
        moment = datetime.fromisoformat(metrics["finished"]) - timedelta(hours=1)
        metrics["finished"] = moment.isoformat(timespec="milliseconds")
        file.write_text(json.dumps(metrics))
    trainings = trainings_of(study)
    bars = bars_of(trainings, pauses_of(trainings), critical_path(study))
    assert all(bar.begin <= bar.ready < bar.end for bar in bars)
    slowest = max(t.metrics["train_seconds"] for t in trainings if t.kind != "global net")
    assert critical_path(study).seconds >= slowest


def write_benchmarks(results, measured: dict[str, float]) -> None:
    for name, seconds in measured.items():
        file = results / "benchmarks" / f"{name}.tsv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"s\th:m:s\n{seconds}\t0:00\n")


def test_the_critical_path_is_the_longest_chain_of_measured_jobs(tmp_path):
    experiment = FakeExperiment(tilings=(("blocks", "2x2", 4, True),))
    study = study_of(experiment, tmp_path)
    run, net = "blobs/vgg-w16/blocks-2x2-overlap4-view/seed0", "blobs/vgg-w16/{}/seed0/{}"
    tiled = net.format("blocks-2x2-overlap4", "{}")
    measured = {"prepare/blobs": 3, "tile/blobs/whole": 1, "tile/blobs/blocks-2x2-overlap4": 2}
    measured |= {"coarse_view/blobs/blocks-2x2-overlap4": 9}
    measured |= {f"train_local/{tiled.format(t)}": s for t, s in (("0-0", 70), ("view", 60))}
    measured |= {f"train_local/{tiled.format(t)}": 50 for t in ("0-1", "1-0", "1-1")}
    measured |= {f"train_local/{net.format('whole', '0-0')}": 74, f"train_coarse/{run}/coarse": 5}
    write_benchmarks(tmp_path, measured)
    path = critical_path(study)
    # 3 + 2 + 70 + 5 through tile 0-0; 3 + 2 + 9 + 60 + 5 through the view; 3 + 1 + 74 globally.
    assert path.seconds == 80
    rules = [
        "download",
        "prepare",
        "tile",
        "train_local",
        "train_coarse",
        "evaluate",
    ]
    assert [step.rule for step in path.steps] == rules
    assert path.steps[0].seconds is None
    assert "download" in sketch_timeline(study).caption


@pytest.mark.parametrize(
    ("name", "coarse"),
    [
        ("local_features/{}/0-1", {"input": "features", "fit_on": "train"}),
        ("train_fold/{}/0-1/fold1", {"fit_on": "out-of-fold", "folds": 2, "input": "logits"}),
    ],
)
def test_the_critical_path_holds_what_a_coarse_net_needs_beside_local_nets(tmp_path, name, coarse):
    fake = FakeExperiment(tilings=(("blocks", "2x2", 4, False),))
    job = name.format("blobs/vgg-w16/blocks-2x2-overlap4/seed0")
    write_benchmarks(tmp_path, {job: 5000})
    experiment = experiment_of(fake, coarse=coarse)
    (study,) = studies_of(results_of(fake, tmp_path), experiment, tmp_path)
    path = critical_path(study)
    rules = [step.rule for step in path.steps]
    rule = job.partition("/")[0]
    assert rules[-3:] == [rule, "train_coarse", "evaluate"]
    assert next(step.seconds for step in path.steps if step.rule == rule) == 5000


def test_the_critical_path_goes_through_the_ensemble(tmp_path):
    fake = FakeExperiment(tilings=(("blocks", "2x2", 4, False),))
    run = "blobs/vgg-w16/blocks-2x2-overlap4/seed0"
    member = "train_local/blobs/vgg-w8/whole/seed2000000/0-0"
    write_benchmarks(tmp_path, {member: 5000, f"train_coarse/{run}/ensemble": 7})
    experiment = experiment_of(fake, methods=["ensemble"])
    (study,) = studies_of(results_of(fake, tmp_path), experiment, tmp_path)
    path = critical_path(study)
    assert [step.rule for step in path.steps][-3:] == ["train_local", "train_coarse", "evaluate"]
    assert path.seconds == 5007


def test_trainings_of_controls_and_folds_are_named(tmp_path):
    """A run's own seed may be larger than the step between the seeds of an ensemble."""
    fake = FakeExperiment(tilings=(("blocks", "1x2", 0, False),), seeds=(3, 5_000_000))
    results = results_of(fake, tmp_path)
    local = tmp_path / "local/blobs"
    metrics = json.loads((local / "vgg-w16/whole/seed3/0-0/metrics.json").read_text())
    small = nets.local_width(16, 2)
    for name in (f"vgg-w{small}/whole/seed6000000/0-0", f"vgg-w{small}/whole/seed3/0-0",
                 "vgg-w16/blocks-1x2-overlap0/seed3/0-1/fold1"):  # fmt: skip
        (local / name).mkdir(parents=True)
        write_json(local / name / "metrics.json", metrics)
    coarse = {"input": "logits", "fit_on": "out-of-fold", "folds": 2}
    experiment = experiment_of(fake, methods=["ensemble"], coarse=coarse)
    (study,) = studies_of(results, experiment, tmp_path)
    found = {(each.kind, each.label, each.seed) for each in trainings_of(study)}
    kinds = {"global net": ["global"], "local net": ["0-0", "0-1"], "coarse net": ["coarse"]}
    expected = {(k, label, s) for k in kinds for label in kinds[k] for s in ("3", "5000000")}
    expected |= {("other training", "member 1", "5000000"), ("other training", "small", "3")}
    assert found == expected | {("other training", "0-1 fold1", "3")}


def test_nets_that_a_pack_trained_count_with_the_whole_of_its_job(tmp_path):
    """Whether the tiles are in packs now or no more."""
    fake = FakeExperiment(tilings=(("blocks", "2x2", 4, False),), global_net=False)
    results = results_of(fake, tmp_path)
    seed = "blobs/vgg-w16/blocks-2x2-overlap4/seed0"
    for tile in ("0-0", "0-1"):
        file = tmp_path / "local" / seed / tile / "metrics.json"
        write_json(file, json.loads(file.read_text()) | {"job": "0-0..0-1"})
    write_benchmarks(tmp_path, {f"train_local/{seed}/0-0..0-1": 5000})
    for tiles_per_job in (1, 2):
        experiment = experiment_of(fake, tiles_per_job=tiles_per_job)
        (study,) = studies_of(results, experiment, tmp_path)
        (step,) = [s for s in critical_path(study).steps if s.rule == "train_local"]
        assert step.seconds == 5000
        assert len(step.folders) == tiles_per_job


# Mistakes and sentences


def test_the_worst_mistake_is_the_surest_one_with_its_tiles_votes(study):
    run = study.decomposed[study.best][0]
    p, labels = run.predictions["test_cnn-dnn"], run.labels
    rows = worst_mistakes(study)
    margins = p.max(axis=1) - p[np.arange(len(labels)), labels]
    assert margins[[row.number for row in rows]] == pytest.approx(np.sort(margins)[::-1][:8])
    classes = run.evaluation["classes"]
    worst = rows[0]
    assert worst.file == f"test/{worst.number:03}, a.png"
    assert worst.file in sketch_mistakes(study).alternative
    assert worst.true == classes[labels[worst.number]]
    assert worst.decided.startswith(classes[p[worst.number].argmax()])
    for tile, local in study.local_outputs(run).items():
        said = classes[local[worst.number].argmax()]
        assert f"{tile.replace('view', 'coarse view')}: {said}" in worst.votes


def test_the_figure_of_mistakes_names_files_by_the_ends_of_their_names(tmp_path):
    study = study_of(FakeExperiment(), tmp_path)
    samples = study.data / "samples.csv"
    samples.write_text(samples.read_text().replace(", a.png", "-of-a-very-long-name-$_^1$.png"))
    figure = sketch_mistakes(study).figure
    texts = [text.get_text() for text in figure.findobj(Text)]
    assert sum(text.endswith("\n…ery-long-name-$_^1$.png") for text in texts) == 8
    figure.draw_without_rendering()  # no formula, which it would not be


def test_the_largest_errors_of_a_regression_come_first(regression):
    run = regression.decomposed[regression.best][0]
    errors = np.abs(run.predictions["test_cnn-dnn"] - run.labels) / run.labels.std(axis=0)
    assert worst_mistakes(regression)[0].number == errors.mean(axis=1).argmax()


def test_local_probabilities_that_were_removed_leave_the_page_without_votes(tmp_path):
    study = study_of(FakeExperiment(), tmp_path)
    for file in tmp_path.rglob("probabilities.npz"):
        file.unlink()
    assert sketch_agreement(study) is None
    assert sketch_mistakes(study) is not None
    assert all(row.votes == "" for row in worst_mistakes(study))
    assert "local nets" not in sketch_reliability(study).alternative


@pytest.mark.parametrize(
    "experiment",
    [
        FakeExperiment(),
        FakeExperiment(tilings=()),
        FakeExperiment(global_net=False, tilings=(("blocks", "2x2", 4, True),)),
        REGRESSION,
    ],
    ids=["quickstart", "only whole", "no global net", "regression"],
)
def test_the_summary_is_three_sentences_of_the_data(experiment, tmp_path):
    study = study_of(experiment, tmp_path)
    sentences = three_sentences(study, family_of([study], MARGIN))
    assert len(sentences) == 3
    assert all(text.endswith(".") and text[0].isupper() for text in sentences)
    assert "nan" not in " ".join(sentences)
    slug, method = (study.best, "cnn-dnn") if study.best else ("whole", "global")
    score = study.mean_of(slug, method)[f"{study.score}_test"]
    assert (f"{score:.3f}" if study.is_regression else f"{100 * score:.0f} %") in sentences[0]
    assert "400 test" in sentences[2]


def test_the_steps_say_what_validation_was_used_for(tmp_path):
    study = study_of(FakeExperiment(), tmp_path)
    alone = list(steps(study))
    for run in study.runs:
        run.evaluation["refit"] = True
    refitted = [text for text in steps(study) if text not in alone]
    assert [text[:43] for text in refitted] == ["Then these nets were trained once more, wit"]
    for run in study.runs:
        run.evaluation.update(refit=False, weights="best")
    chosen = [text for text in steps(study) if text not in alone]
    assert len(chosen) == 1
    assert "best on the validation split" in chosen[0]


# Classes


def decisions_of(counts_KK: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``1, N`` decisions and ``N`` labels that have this confusion matrix."""
    labels, decided = (np.repeat(i.ravel(), counts_KK.ravel()) for i in np.indices(counts_KK.shape))
    return decided[None], labels


def test_shares_of_a_class_by_hand():
    """Ten healthy, of whom two are taken for ill; five ill, of whom one is taken for healthy."""
    healthy, ill = shares_of(*decisions_of(np.array([[8, 2], [1, 4]])), 2)
    sensitivity, specificity, precision = ill
    assert (sensitivity.right, sensitivity.of, sensitivity.value) == (4, 5, 0.8)
    assert (specificity.right, specificity.of, specificity.value) == (8, 10, 0.8)
    assert (precision.right, precision.of) == (4, 6)
    assert healthy[0][:3] == specificity[:3]  # of two classes, one's is the other's
    for share in (*healthy, *ill):
        interval = stats.binomtest(share.right, share.of).proportion_ci(method="wilson")
        assert (share.low, share.high) == pytest.approx(interval, abs=1e-6)


def test_what_there_is_no_share_of_is_none():
    decided, labels = decisions_of(np.array([[0, 3], [0, 0]]))
    (_, _, never), (absent, specificity, precision) = shares_of(decided, labels, 2)
    assert never is None  # class 0 was never decided
    assert absent is None  # class 1 has no images
    assert (specificity.right, specificity.of) == (precision.right, precision.of) == (0, 3)


def test_shares_of_several_seeds_have_intervals_for_other_seeds_and_images():
    rng = np.random.default_rng(5)
    labels, kept = rng.integers(3, size=200), rng.random((4, 200)) < 0.8
    decided = np.where(kept, labels, (labels + 1) % 3)
    (sensitivity, specificity, precision), *_ = shares_of(decided, labels, 3)
    own = labels == 0
    assert (sensitivity.low, sensitivity.high) == mean_interval(kept[:, own])
    assert (specificity.low, specificity.high) == mean_interval(decided[:, ~own] != 0)
    assert precision.value == kept[:, own].sum() / (decided == 0).sum()
    alone = stats.binomtest(precision.right, precision.of).proportion_ci(method="wilson")
    assert precision.high - precision.low > alone.high - alone.low  # no image counts four times


def test_shares_of_a_class_count_patients():
    """Every image five times is as sure as once, if its copies are of one patient."""
    rng = np.random.default_rng(6)
    labels, decided = rng.integers(2, size=60), rng.integers(2, size=(1, 60))
    once = shares_of(decided, labels, 2, np.arange(60))
    often = shares_of(np.tile(decided, 5), np.tile(labels, 5), 2, np.tile(np.arange(60), 5))
    alone = shares_of(np.tile(decided, 5), np.tile(labels, 5), 2)
    for one, five, free in zip(once, often, alone, strict=True):
        for share, repeated, wrong in zip(one, five, free, strict=True):
            assert repeated.value == share.value
            width = repeated.high - repeated.low
            assert width == pytest.approx(share.high - share.low, rel=0.06)
            assert wrong.high - wrong.low < 0.7 * width


def test_the_table_of_classes_is_scikit_learns_report(tmp_path):
    study = study_of(FakeExperiment(), tmp_path)
    table, (whole,) = class_table(study), study.whole
    assert [title.split(" (")[0] for title in table["methods"]] == ["CNN-DNN", "Global net"]
    expected = sklearn.metrics.classification_report(
        whole.labels, whole.decisions("global"), output_dict=True
    )
    matrices = sklearn.metrics.multilabel_confusion_matrix(whole.labels, whole.decisions("global"))
    for k, row in enumerate(table["rows"]):
        sensitivity, specificity, precision = row["shares"][3:]
        assert row["name"] == whole.evaluation["classes"][k]
        assert row["images"] == sensitivity.of == expected[str(k)]["support"]
        assert sensitivity.value == pytest.approx(expected[str(k)]["recall"])
        assert precision.value == pytest.approx(expected[str(k)]["precision"])
        assert specificity.value == pytest.approx(matrices[k][0, 0] / matrices[k][0].sum())
    assert table["left_out"] == 0


@pytest.mark.parametrize(("num_classes", "most", "has_room"), [
    (2, 10_000, True), (10, 1000, True), (12, 100_000, False), (20, 99, True), (100, 1, False),
])  # fmt: skip
def test_the_confusion_matrix_shows_counts_where_they_fit(num_classes, most, has_room):
    counts = np.diag(np.full(num_classes, most))
    counts[0, 1] = 1
    figure = figures.confusion({"Global net": counts}, [f"c{k}" for k in range(num_classes)])
    axes = figure.axes[0]
    written = {text.get_position()[::-1]: text for text in axes.texts if text.get_text().isdigit()}
    expected = {place: count for place, count in np.ndenumerate(counts) if count and has_room}
    assert {place: int(text.get_text()) for place, text in written.items()} == expected
    figure.draw_without_rendering()
    width = axes.get_window_extent().width / num_classes
    assert all(text.get_window_extent().width < width for text in written.values())


def test_of_very_many_classes_the_worst_are_shown(tmp_path):
    classes = tuple(f"class {k}" for k in range(40))
    study = study_of(FakeExperiment(classes=classes, tilings=()), tmp_path)
    table, (run,) = class_table(study), study.whole
    recalls = sklearn.metrics.recall_score(run.labels, run.decisions("global"), average=None)
    shown = [classes.index(row["name"]) for row in table["rows"]]
    assert shown == sorted(shown)
    assert len(shown) == MOST_CLASSES == 40 - table["left_out"]
    assert max(recalls[shown]) <= min(np.delete(recalls, shown))


def test_a_regression_has_no_table_of_classes(regression):
    assert class_table(regression) is None


def test_the_box_holds_the_accuracy_against_the_most_frequent_class(tmp_path):
    study = study_of(FakeExperiment(classes=("healthy", "ill")), tmp_path)
    train, test = (np.load(study.data / f"y_{split}.npy") for split in ("train", "test"))
    majority = np.bincount(train).argmax()
    (sentence,) = baseline(study, family_of([study], MARGIN))
    assert f"“{('healthy', 'ill')[majority]}”" in sentence
    assert f"{100 * (test == majority).mean():.0f} % of the test images" in sentence
    assert "guessing for 50 %" in sentence
    assert "not shown" not in sentence
    assert ("Majority baseline", [sentence]) in believed(study, family_of([study], MARGIN))
    for run in study.decomposed[study.best]:
        run.predictions["test_cnn-dnn"][:] = np.eye(2)[majority]
    (sentence,) = baseline(study, family_of([study], MARGIN))
    assert "the accuracy of the CNN-DNN is not shown to be better than that" in sentence
    balanced = study.mean_of(study.best, "cnn-dnn")["balanced_accuracy_test"]
    assert sentence.endswith(f"Its balanced accuracy is {100 * balanced:.0f} %.")


def test_a_regression_has_no_most_frequent_class(regression):
    assert baseline(regression, family_of([regression], MARGIN)) == []
    assert regression.means["majority_test"].isna().all()


def test_citations_name_the_paper_and_this_version():
    paper, software = citations()
    assert "10.1137/23m1562202" in paper
    assert "version 0.1.0" in software


def test_without_the_citation_file_nothing_is_cited(tmp_path):
    assert citations(tmp_path / "CITATION.cff") == []


def test_the_control_small_is_one_net_in_the_figure_of_costs(tmp_path, monkeypatch):
    study = study_of(FakeExperiment(tilings=(("blocks", "2x2", 4, True),)), tmp_path)
    for run in study.decomposed["blocks-2x2-overlap4-view"]:
        run.predictions["test_small"] = run.predictions["test_mean"]
    rows = study.means[study.means["method"] == "mean"].assign(method="small")
    study.means = pd.concat([study.means, rows])
    drawn = []
    monkeypatch.setattr("ddcnn.report.figures.cost", lambda points, name: drawn.extend(points))
    sketch_cost(study)
    nets = {point.method: point.nets for point in drawn}
    assert (nets["global"], nets["small"]) == (1, 1)
    assert (nets["cnn-dnn"], nets["mean"]) == (5, 5)


def test_one_group_of_images_has_no_interval_of_r2(regression):
    merits = np.full((1, 8), -0.095)
    difference = paired_difference(merits, np.zeros((1, 8)), np.zeros(8))
    assert in_score(regression, difference) == (
        "\N{MINUS SIGN}0.095 in R² (no interval: all test images are of one group)"
    )
