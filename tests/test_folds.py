"""Cross-validation: the folds, the data of each, their scores together, and the whole workflow."""

import csv
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from ddcnn.base.division import deal
from ddcnn.base.errors import InputError
from ddcnn.base.files import read_json, write_json
from ddcnn.base.splits import SPLITS, parts_of, parts_of_fold, stored_parts
from ddcnn.base.text import fraction
from ddcnn.data.preparation import prepare
from ddcnn.evaluation.intervals import error_of_mean, mean_interval, paired_difference
from ddcnn.evaluation.methods import WORKER_KEYS
from ddcnn.evaluation.pooling import pooled_evaluation
from ddcnn.experiment.configuration import load_experiment
from ddcnn.experiment.jobs import experiment_jobs
from ddcnn.experiment.needs import inputs_of
from own_data import pixels, save, save_volume
from workflow_runs import make_project, planned_jobs, snakemake, write_config

# --- who is in which fold --------------------------------------------------------------------


@pytest.mark.parametrize("folds", [3, 5, 10])
@pytest.mark.parametrize("sizes", [(50, 50), (31, 12), (10, 17, 23, 104)])
def test_folds_are_as_even_as_those_of_scikit_learn(folds, sizes):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    ours, theirs = deal(labels, folds, 3), np.empty(len(labels), int)
    chosen = StratifiedKFold(folds, shuffle=True, random_state=3)
    for fold, (_, test) in enumerate(chosen.split(labels, labels)):
        theirs[test] = fold
    for label in range(len(sizes)):
        counts = [np.bincount(f[labels == label], minlength=folds) for f in (ours, theirs)]
        assert np.ptp(counts[0]) <= 1
        assert sorted(counts[0]) == sorted(counts[1])
    assert np.ptp(np.bincount(ours)) <= 1
    np.testing.assert_array_equal(ours, deal(labels, folds, 3))
    assert (ours != deal(labels, folds, 4)).any()


@pytest.mark.parametrize("seed", range(5))
def test_groups_stay_in_one_fold_as_evenly_as_those_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat(np.arange(60), rng.integers(1, 8, 60)))
    labels = rng.integers(0, 2, 60)[groups]
    ours, theirs = deal(labels, 5, seed, groups), np.empty(len(labels), int)
    chosen = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
    for fold, (_, test) in enumerate(chosen.split(labels, labels, groups)):
        theirs[test] = fold
    for found in (ours, theirs):
        assert set(found) == set(range(5))
        assert all(len(set(found[groups == group])) == 1 for group in range(60))
    worst = [
        max(np.ptp(np.bincount(found[labels == k], minlength=5)) for k in range(2))
        for found in (ours, theirs)
    ]
    assert worst[0] <= worst[1] + 2


def test_every_fold_is_tested_once_and_validated_once():
    views = [parts_of_fold(fold, 5) for fold in range(5)]
    for split in ("test", "val"):
        assert sorted(part for view in views for part in view[split]) == list(stored_parts(5))
    for view in views:
        assert sorted(part for split in SPLITS for part in view[split]) == list(stored_parts(5))
        assert parts_of({"parts": view}, "train") == view["train"]
    assert views[3] == {"train": ["fold0", "fold1", "fold2"], "val": ["fold4"], "test": ["fold3"]}
    assert stored_parts(0) == SPLITS
    assert parts_of({}, "val") == ["val"]


# --- prepared data ---------------------------------------------------------------------------


def pictures(folder: Path, sizes: dict[str, int], has_splits: bool = False) -> Path:
    rows = ["file,label,split" if has_splits else "file,label"]
    for number, (label, size) in enumerate(sizes.items()):
        for k in range(size):
            save(folder / f"{label}{k}.png", pixels(8, 8, seed=100 * number + k))
            split = f",{['train', 'test'][k % 2]}" if has_splits else ""
            rows.append(f"{label}{k}.png,{label}{split}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder / "labels.csv"


def prepared(path: Path, out: Path, folds: int, **options: object) -> dict:
    write_json(out / "raw/manifest.json", {"files": [{"path": str(path)}]})
    entry = {"name": "mine", "path": str(path), **options}
    prepare(entry, out / "raw/manifest.json", out / "card.json", folds)
    return read_json(out / "card.json")


def test_images_are_stored_once_and_every_fold_has_its_own_labels_and_statistics(tmp_path):
    card = prepared(pictures(tmp_path, {"a": 12, "b": 11}), tmp_path / "out", 4)
    parts = {part: np.load(tmp_path / f"out/x_{part}.npy") for part in stored_parts(4)}
    assert sum(map(len, parts.values())) == 23
    assert {part: sum(card["counts"][part].values()) for part in parts} == {
        part: len(images) for part, images in parts.items()
    }
    rows = list(csv.DictReader((tmp_path / "out/samples.csv").open()))
    assert Counter(row["split"] for row in rows) == {p: len(x) for p, x in parts.items()}
    assert len({row["file"] for row in rows}) == 23
    for fold in range(4):
        folder = tmp_path / f"out/fold{fold}"
        own, train = read_json(folder / "card.json"), parts_of_fold(fold, 4)["train"]
        values = np.concatenate([parts[part] for part in train]) / 255
        assert own["mean"] == pytest.approx([values.mean()])
        assert own["std"] == pytest.approx([values.std()])
        assert own["parts"]["test"] == [f"fold{fold}"]
        listed = list(csv.DictReader((folder / "samples.csv").open()))
        for split in SPLITS:
            labels = np.load(folder / f"y_{split}.npy")
            names = [row["label"] for row in listed if row["split"] == split]
            assert ["ab"[label] for label in labels] == names
            whole = [r for part in own["parts"][split] for r in rows if r["split"] == part]
            assert [row["label"] for row in whole] == names
            assert own["counts"][split] == {k: names.count(k) for k in "ab"}


def test_targets_are_standardised_by_those_of_the_folds_own_training(tmp_path):
    rng = np.random.default_rng(2)
    x, y = rng.integers(0, 256, (40, 6, 6), dtype=np.uint8), rng.normal(5, 2, 40)
    np.savez(tmp_path / "a.npz", x=x, y=y)
    prepared(tmp_path / "a.npz", tmp_path / "out", 5, task="regression")
    for fold in range(5):
        folder = tmp_path / f"out/fold{fold}"
        train = np.load(folder / "y_train.npy")
        assert len(train) == 24
        assert read_json(folder / "card.json")["target_mean"] == pytest.approx([train.mean()])


def test_another_division_leaves_nothing_of_the_earlier_one(tmp_path):
    path, out = pictures(tmp_path, {"a": 12, "b": 12}), tmp_path / "out"
    for folds in (0, 5, 3, 0):
        prepared(path, out, folds)
        images = sorted(file.stem for file in out.glob("x_*.npy"))
        assert images == sorted(f"x_{part}" for part in stored_parts(folds))
        assert len(list(out.glob("fold*"))) == folds
        assert (out / "y_train.npy").exists() == (not folds)


def test_what_black_and_white_are_is_chosen_once_and_said(tmp_path):
    rows = ["file,label"]
    for k in range(12):
        save_volume(tmp_path / f"{k}.nii.gz", pixels(6, 6, 4, seed=k).astype(np.int16) * (k + 1))
        rows.append(f"{k}.nii.gz,{'ab'[k % 2]}")
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    card = prepared(tmp_path / "t.csv", tmp_path / "out", 3, intensity="window")
    cards = [card, *(read_json(tmp_path / f"out/fold{k}/card.json") for k in range(3))]
    assert len({tuple(each["intensity"]["window"]) for each in cards}) == 1
    for each in cards:
        assert "percentile of all samples" in each["intensity"]["why"]
        assert any("once for all folds, from all samples without" in n for n in each["notes"])


@pytest.mark.parametrize(
    ("sizes", "options", "words"),
    [
        ({"a": 12, "b": 4}, {}, ["folds: 5", "'b'", "has 4 samples", "fewer folds"]),
        ({"a": 9, "b": 9}, {}, ["folds: 5", "splits of its own", "train, test"]),
        ({"a": 9, "b": 9}, {"group": "([ab])"}, ["has 1 groups only", "5 folds need one each"]),
    ],
)
def test_what_cannot_be_dealt_is_one_clear_error(tmp_path, sizes, options, words):
    path = pictures(tmp_path, sizes, has_splits="splits of its own" in words)
    with pytest.raises(InputError) as error:
        prepared(path, tmp_path / "out", 5, **options)
    assert all(word in str(error.value) for word in words), error.value


# --- an experiment ---------------------------------------------------------------------------


def test_a_data_set_with_published_splits_is_refused_before_anything_runs():
    with pytest.raises(InputError, match=r"folds: 5, but fashion-mnist-10k has splits of its own"):
        load_experiment({"experiment": "e", "dataset": "fashion-mnist-10k", "folds": 5})
    with pytest.raises(InputError, match=r"folds: 2 is not accepted"):
        load_experiment({"experiment": "e", "dataset": "orl-faces", "folds": 2})


def test_a_fold_is_a_coordinate_of_a_run_and_everything_before_it_is_shared():
    config = {"experiment": "e", "dataset": "orl-faces", "folds": 4, "seed": [0, 7]}
    experiment = load_experiment(config | {"methods": ["mean", "ensemble"]})
    assert len(experiment.runs) == 2 * 4 * 2
    jobs = Counter(job.rule for job in experiment_jobs(experiment))
    assert jobs["prepare"] == jobs["download"] == jobs["report"] == 1
    assert jobs["tile"] == 2
    assert jobs["evaluate"] == jobs["bundle"] == 16
    run = next(r for r in experiment.runs if (r.seed, r.fold, r.is_global) == (7, 2, False))
    assert run.folder.endswith("/seed7-fold2")
    needed = inputs_of(experiment, "train_local", run.wildcards | {"tile": "0-1"})
    data = "results/data/orl-faces"
    assert needed["labels"] == [f"{data}/fold2/y_train.npy", f"{data}/fold2/y_val.npy"]
    assert needed["card"] == f"{data}/fold2/card.json"
    images = inputs_of(experiment, "tile", {"dataset": "orl-faces", "tiling": "whole"})["images"]
    assert images == [f"{data}/x_fold{fold}.npy" for fold in range(4)]
    members = [each.folder for each in run.ensemble_runs()]
    assert all(member.endswith("-fold2") for member in members)


# --- scores of all folds together ------------------------------------------------------------


def fold_results(task: str, seed: int) -> tuple[list[dict], list[dict[str, np.ndarray]]]:
    """Made-up evaluations and predictions of three folds of 7, 8 and 9 samples."""
    rng = np.random.default_rng(seed)
    evaluations, arrays = [], []
    for size in (7, 8, 9):
        width = 3 if task == "classification" else 1
        labels = rng.integers(0, 3, size) if width == 3 else rng.normal(size=(size, 1))
        p = rng.dirichlet(np.ones(3), size) if width == 3 else rng.normal(size=(size, 1))
        arrays.append({"test_labels": labels, "val_labels": labels[:5]})
        arrays[-1] |= {"test_mean": p, "val_mean": p[:5]}
        cost = {"parallel_seconds": float(size), "serial_seconds": 2.0 * size, "speedup": 2.0}
        cost |= {"flop_ratio": 4.0, "parameters_largest": 10, "parameters_total": 20}
        evaluations.append(
            {"task": task, "seed": 0, "fold": 0, "classes": ["a", "b", "c"] if width == 3 else []}
            | {"methods": {"mean": cost | {"peak_memory_bytes": size}}, "local": {}}
            | {"coarse": None, "baseline": {} if width == 1 else {"chance": 1 / 3}}
            | {"overhead": {"tile_seconds": 1.5, "start_seconds": float(size)}}
        )
        evaluations[-1]["baseline"] = evaluations[-1]["baseline"] or None
    return evaluations, arrays


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_pooled_scores_are_those_of_a_plain_loop_over_all_samples(task):
    evaluations, arrays = fold_results(task, 1)
    pooled = pooled_evaluation(evaluations, arrays)
    method, pairs = pooled["methods"]["mean"], []
    for fold in arrays:
        pairs += list(zip(fold["test_mean"], fold["test_labels"], strict=True))
    if task == "classification":
        right = sum(int(np.argmax(p)) == label for p, label in pairs)
        assert method["accuracy_test"] == right / 24
        loss = -sum(np.log(p[label]) for p, label in pairs) / 24
        assert method["loss_test"] == pytest.approx(loss)
        labels = [int(label) for _, label in pairs]
        most = Counter(labels).most_common(1)[0][1]
        assert pooled["baseline"]["accuracy_test"] == most / 24
    else:
        truth = np.array([y[0] for _, y in pairs])
        error = sum((p[0] - y[0]) ** 2 for p, y in pairs)
        assert method["r2_test"] == pytest.approx(1 - error / ((truth - truth.mean()) ** 2).sum())
        assert pooled["baseline"] is None
    assert method["parallel_seconds"] == 9  # all folds at once
    assert method["serial_seconds"] == 2 * 24
    assert method["speedup"] == 2
    assert pooled["overhead"] == {"tile_seconds": 1.5, "start_seconds": 9}
    assert "fold" not in pooled
    assert "workers" not in method


def test_of_workers_the_fold_counts_whose_step_took_longest():
    evaluations, arrays = fold_results("classification", 2)
    for fold, (evaluation, of_fold) in enumerate(zip(evaluations, arrays, strict=True)):
        costs = dict.fromkeys(WORKER_KEYS, 1.0) | {"step_seconds": 2.0 - fold}
        costs |= {"workers": 2, "kernels": "torch"}
        evaluation["methods"]["data-2"] = evaluation["methods"]["mean"] | costs
        of_fold |= {f"{part}_data-2": of_fold[f"{part}_mean"] for part in ("test", "val")}
    pooled = pooled_evaluation(evaluations, arrays)["methods"]["data-2"]
    assert (pooled["workers"], pooled["kernels"]) == (2, "torch")
    assert pooled["step_seconds"] == 2.0
    assert pooled["idle_seconds"] == 1.0


def test_the_interval_is_the_wider_one_of_images_and_folds():
    folds = np.repeat(np.arange(5), 20)
    images = np.arange(100)
    alike = (images % 5 > 0)[None]  # as many right in every fold
    apart = np.repeat([True, True, True, True, False], 20)[None]  # one fold all wrong
    for merits, wider in ((alike, images), (apart, folds)):
        both = error_of_mean(merits, np.stack([images, folds]))
        one = error_of_mean(merits, wider)
        assert both.variance == pytest.approx(1.25 * one.variance)
        assert both.factor() == one.factor()
        assert both.margin() >= max(error_of_mean(merits, g).margin() for g in (images, folds))
        low, high = mean_interval(merits, np.stack([images, folds]))
        alone = mean_interval(merits, images)
        assert low < alone[0]
        assert high > alone[1]
    both = paired_difference(apart, alike, np.stack([images, folds]))
    one = paired_difference(apart, alike, images)
    assert both.value == one.value
    assert both.high - both.low > one.high - one.low


# --- the whole workflow ----------------------------------------------------------------------


def scans_of_patients(folder: Path) -> Path:
    """A table of 32 small scans of 16 patients; a bright half says the class."""
    rng, rows = np.random.default_rng(0), ["file,label,patient"]
    for patient in range(16):
        for k in range(1 + patient % 3):
            scan = rng.normal(60, 20, (12, 12, 6))
            scan[3:9, 6 * (patient % 2) : 6 * (patient % 2) + 6, 1:5] += 60
            save_volume(folder / f"p{patient}_{k}.nii.gz", scan.astype(np.int16))
            rows.append(f"p{patient}_{k}.nii.gz,{'ab'[patient % 2]},P{patient}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder / "labels.csv"


def test_five_folds_of_a_grouped_table_of_scans_are_one_report(tmp_path):
    project = make_project(tmp_path / "project")
    table = scans_of_patients(tmp_path / "scans")
    entry = {"name": "scans", "path": str(table), "group": "patient"}
    config = write_config(
        project / "scans.yaml",
        experiment="scans",
        dataset=entry,
        grid="1x2x1",
        overlap=2,
        coarse_view=False,
        global_net=False,
        methods=["mean"],
        folds=5,
        tiles_per_job=2,
        local={"epochs": 3, "batch_size": 4},
    )
    snakemake(project, config)
    run = "vgg-w8/blocks-1x2x1-overlap2"
    assert [path.name for path in (project / "results/reports").iterdir()] == ["scans"]
    samples = list(csv.DictReader((project / "results/data/scans/samples.csv").open()))
    folds_of = {(row["group"], row["split"]) for row in samples}
    assert len(folds_of) == len({group for group, _ in folds_of}) == 16
    decided = pd.read_csv(project / "results/reports/scans/predictions.csv")
    assert sorted(decided["file"]) == sorted(row["file"] for row in samples)
    assert list(decided["split"]) == [row["split"] for row in samples]

    summary = pd.read_csv(project / "results/reports/scans/summary.csv").set_index("method")
    right = Counter()
    for fold in range(5):
        arrays = np.load(project / f"results/runs/scans/{run}/seed0-fold{fold}/predictions.npz")
        for method in ("cnn-dnn", "mean"):
            for p, label in zip(arrays[f"test_{method}"], arrays["test_labels"], strict=True):
                right[method] += int(p.argmax() == label)
    for method, count in right.items():
        assert summary.loc[method, "accuracy_test"] == count / len(samples)
        assert (decided[method] == decided["label"]).sum() == count
    card = (project / f"results/runs/scans/{run}/seed0-fold2/ddcnn.md").read_text()
    assert "one of 5 models of a cross-validation: it was tested on fold 2" in card
    pooled = fraction(right["cnn-dnn"] / len(samples), len(samples))
    assert f"{pooled}: that is the estimate" in card
    for k in range(5):
        net = project / f"results/local/scans/{run}/seed0-fold{k}/0-0-0/metrics.json"
        apart = (f"fold{k}", f"fold{(k + 1) % 5}")
        assert read_json(net)["images"] == sum(row["split"] not in apart for row in samples)

    # What is lost is made again, and nothing else; other folds are other data.
    assert planned_jobs(project, config) == {}
    shutil.rmtree(project / f"results/runs/scans/{run}/seed0-fold1")
    again = planned_jobs(project, config)
    assert again == {"train_coarse": 1, "evaluate": 1, "bundle": 5, "report": 1}
    other = planned_jobs(project, config, "--config", "folds=3")
    assert other["prepare"] == other["tile"] == other["report"] == 1
    assert other["evaluate"] == other["train_coarse"] == 3
