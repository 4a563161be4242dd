"""A test split unlike validation is named, and chance is not."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ddcnn.base.files import read_json, read_npz, write_json, write_npz
from ddcnn.data.card import Looks
from ddcnn.evaluation.intervals import difference_of_scores, wilson
from ddcnn.report.sentences import diagnosis_of
from ddcnn.report.study import RunResult, Study, studies_of
from ddcnn.report.unlike import unlike_splits
from fake_results import FakeExperiment, experiment_of

FAKE = FakeExperiment(tilings=(("blocks", "2x2", 4, False),), seeds=(0, 1), counts=(60, 200, 400))
LOOKS = {"mean": [100.0], "mean_spread": [10.0], "std": [50.0], "std_spread": [5.0]}


def study_of(fake: FakeExperiment, root, test_share: float | None = None) -> Study:
    """Made-up results; with a share, 80 % of val and this share of test are decided rightly."""
    fake.write(root)
    for file in root.rglob("predictions.npz"):
        if test_share is None:
            break
        arrays = read_npz(file)
        for name in arrays:
            split, _, method = name.partition("_")
            if method != "labels":
                labels = arrays[f"{split}_labels"]
                share = 0.8 if split == "val" else test_share
                right = np.arange(len(labels)) < share * len(labels)
                arrays[name] = np.eye(4, dtype=np.float32)[np.where(right, labels, 3 - labels)]
        write_npz(file, **arrays)
    runs = [RunResult.of(run, root) for run in fake.runs]
    (study,) = studies_of(runs, experiment_of(fake), root)
    return study


def change_card(study: Study, **facts) -> None:
    card = study.data / "card.json"
    write_json(card, read_json(card) | facts)


def test_the_interval_of_two_accuracies_is_newcombes():
    first, second = ((k / n, *wilson(k, n)) for k, n in ((56, 70), (48, 80)))
    assert difference_of_scores(first, second) == pytest.approx((0.0524, 0.3339), abs=5e-5)


@pytest.mark.parametrize("fake", [FAKE, replace(FAKE, targets=("a",)), replace(FAKE, tilings=())])
def test_splits_of_one_source_are_not_called_unlike(fake, tmp_path):
    study = study_of(fake, tmp_path)
    assert unlike_splits(study) == []
    assert "The splits" not in diagnosis_of(study)


def test_scores_far_apart_are_named(tmp_path):
    study = study_of(FAKE, tmp_path, 0.33)
    (sentence,) = unlike_splits(study)
    assert "80 % on validation and 33 % on test" in sentence
    assert next(iter(diagnosis_of(study).items())) == ("The splits", [sentence])


def test_other_nets_on_test_say_nothing_of_the_splits(tmp_path):
    study = study_of(FAKE, tmp_path, 0.33)
    for run in study.runs:
        run.evaluation["refit"] = True
    assert unlike_splits(study) == []


def test_few_images_explain_a_difference(tmp_path):
    fake = replace(FAKE, counts=(60, 20, 20))
    assert unlike_splits(study_of(fake, tmp_path / "few", 0.6)) == []
    assert unlike_splits(study_of(FAKE, tmp_path / "many", 0.6)) != []


def test_images_of_a_group_are_no_independent_evidence(tmp_path):
    study = study_of(FAKE, tmp_path, 0.6)
    samples = pd.read_csv(study.data / "samples.csv")
    samples["group"] = samples["split"] + (samples["index"] % 10).astype(str)
    samples.to_csv(study.data / "samples.csv", index=False)
    change_card(study, group="patient")
    assert study.num_independent("val") == study.num_independent("test") == 10
    assert unlike_splits(study) == []


def test_a_coarse_net_fitted_on_validation_does_not_judge_it(tmp_path):
    study = study_of(replace(FAKE, global_net=False), tmp_path, 0.33)
    for run in study.runs:
        run.evaluation["methods"] = {"cnn-dnn": run.evaluation["methods"]["cnn-dnn"]}
        run.evaluation["coarse"]["fit_on"] = "train"
    assert len(unlike_splits(study)) == 1
    for run in study.runs:
        run.evaluation["coarse"]["fit_on"] = "validation"
    assert unlike_splits(study) == []


def test_a_regression_is_judged_by_r2(tmp_path):
    study = study_of(replace(FAKE, targets=("a",)), tmp_path)
    for run in study.runs:
        for name in run.predictions:
            if name.startswith("test_") and name != "test_labels":
                run.predictions[name] = np.zeros_like(run.predictions[name])
    (sentence,) = unlike_splits(study)
    assert "on validation and R² \N{MINUS SIGN}" in sentence


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mean": [108.0]}, "are brighter than"),
        ({"mean": [92.0]}, "are darker than"),
        ({"std": [40.0]}, "are of less contrast than"),
        ({"mean": [108.0], "std": [56.0]}, "are brighter and of more contrast than"),
        ({"mean": [104.0]}, ""),  # less than half of what single images differ in
        ({}, ""),
    ],
)
def test_images_that_look_different_are_named(change, words, tmp_path):
    study = study_of(FAKE, tmp_path)
    change_card(study, per_image={"val": LOOKS, "test": LOOKS | change})
    found = unlike_splits(study)
    assert len(found) == bool(words)
    assert words in "".join(found)


@pytest.mark.parametrize(
    ("rule", "advised"), [(None, ()), ("window", ("percentile or z-score",)), ("z-score", ())]
)
def test_no_scaling_is_advised_that_images_have_or_cannot_have(rule, advised, tmp_path):
    study = study_of(FAKE, tmp_path)
    change_card(study, per_image={"val": LOOKS, "test": LOOKS | {"mean": [108.0]}})
    if rule:
        change_card(study, intensity={"rule": rule, "window": None, "why": "asked"})
    (sentence,) = unlike_splits(study)
    assert ("percentile" in sentence) == bool(advised)
    assert all(words in sentence for words in advised)
    assert ("already (intensity: z-score)" in sentence) == (rule == "z-score")


def test_few_images_look_different_by_chance(tmp_path):
    study = study_of(replace(FAKE, counts=(60, 20, 20)), tmp_path)
    change_card(study, per_image={"val": LOOKS, "test": LOOKS | {"mean": [108.0]}})
    assert unlike_splits(study) == []


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_looks_are_those_of_every_single_image(dtype):
    images = np.random.default_rng(0).integers(0, 255, (7, 6, 5, 3)).astype(dtype)
    looks = Looks()
    for part in (images[:3], images[3:]):
        looks.add(part)
    means = np.array([[image[..., c].mean() for c in range(3)] for image in images])
    spreads = np.array([[image[..., c].std() for c in range(3)] for image in images])
    found = looks.summary()
    np.testing.assert_allclose(found["mean"], means.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(found["mean_spread"], means.std(axis=0), rtol=1e-6)
    np.testing.assert_allclose(found["std"], spreads.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found["std_spread"], spreads.std(axis=0), rtol=1e-4)
