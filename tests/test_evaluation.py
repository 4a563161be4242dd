"""Methods and metrics, against hand-made examples, plain loops and scikit-learn."""

import json
import re
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import sklearn.dummy
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from ddcnn.base import tasks
from ddcnn.evaluation import methods, scores
from ddcnn.evaluation.stage import Trained, costs, evaluate_run
from ddcnn.report.summary import mean_over_seeds, summary_table


@st.composite
def probabilities(draw) -> np.ndarray:
    """``p_NTK`` in sixteenths, whose sums are exact, so that ties are ties."""
    shape = draw(array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=6))
    return draw(arrays(np.int64, shape, elements=st.integers(0, 16))).astype(np.float32) / 16


def test_the_mean_is_the_average_over_the_tiles():
    p_NTK = np.array([[[0.8, 0.2], [0.4, 0.6]], [[0.1, 0.9], [0.3, 0.7]]])
    np.testing.assert_allclose(methods.mean(p_NTK), [[0.6, 0.4], [0.2, 0.8]])


def test_the_vote_counts_the_decisions_of_the_tiles():
    # Two hesitant tiles for class 0 outvote a certain one for class 1; the mean says 1.
    p_NTK = np.array([[[0.51, 0.49], [0.51, 0.49], [0.0, 1.0]]])
    scores = methods.vote(p_NTK)
    assert scores.argmax() == 0
    assert methods.mean(p_NTK).argmax() == 1
    np.testing.assert_allclose(scores.sum(), 1)


def test_a_tied_vote_goes_to_the_larger_summed_probability():
    # One vote for class 1, one for class 2; the sums are 0.3, 0.7 and 1.0.
    p_NTK = np.array([[[0.1, 0.5, 0.4], [0.2, 0.2, 0.6]]])
    assert methods.vote(p_NTK).argmax() == 2
    # Class 0 has the largest sum, 0.8, but no vote.
    p_NTK = np.array([[[0.4, 0.6, 0.0], [0.4, 0.0, 0.6]]])
    assert methods.vote(p_NTK).argmax() == 1


def plain_vote(p_TK: np.ndarray) -> int:
    votes = [0] * p_TK.shape[1]
    for p_K in p_TK:
        votes[int(np.argmax(p_K))] += 1
    sums = p_TK.astype(np.float64).sum(axis=0)
    return max(range(len(votes)), key=lambda k: (votes[k], sums[k]))  # the first of equals


@given(probabilities())
def test_the_vote_decides_as_a_plain_loop_does(p_NTK):
    decisions = methods.vote(p_NTK).argmax(axis=1)
    assert decisions.tolist() == [plain_vote(p_TK) for p_TK in p_NTK]


@given(probabilities())
def test_a_vote_without_ties_is_the_mode_of_the_decisions(p_NTK):
    decisions_NT = p_NTK.argmax(axis=2)
    mode = scipy.stats.mode(decisions_NT, axis=1)
    won = [sorted(np.bincount(d, minlength=2))[-2:] for d in decisions_NT]
    clear = np.array([most > second for second, most in won])
    assert (methods.vote(p_NTK).argmax(axis=1) == mode.mode)[clear].all()


def test_the_best_tile_is_the_most_accurate_one_and_the_first_of_equals():
    labels = np.array([0, 1, 1])
    right = np.eye(2)[labels]
    half = np.eye(2)[[0, 1, 0]]
    wrong = np.eye(2)[1 - labels]
    assert methods.best_tile(np.stack([wrong, right, half, right], axis=1), labels) == 1
    assert methods.best_tile(np.stack([half, half], axis=1), labels) == 0


@given(st.integers(2, 8), st.integers(1, 50), st.integers(0, 1000))
def test_accuracy_and_loss_are_those_of_scikit_learn(num_classes, num_images, seed):
    rng = np.random.default_rng(seed)
    p_NK = rng.dirichlet(np.ones(num_classes), num_images)
    labels = rng.integers(0, num_classes, num_images)
    expected = sklearn.metrics.log_loss(labels, p_NK, labels=np.arange(num_classes))
    assert scores.log_loss(p_NK, labels) == pytest.approx(expected, rel=1e-9)
    expected = sklearn.metrics.accuracy_score(labels, p_NK.argmax(axis=1))
    assert scores.accuracy(p_NK, labels) == pytest.approx(expected)


@st.composite
def decided_images(draw) -> tuple[np.ndarray, np.ndarray]:
    """``p_NK`` with many ties whose rows sum to 1, and labels; classes may be without images."""
    num_images, num_classes = draw(st.integers(1, 60)), draw(st.integers(2, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    parts = rng.multinomial(
        draw(st.integers(1, 16)), np.ones(num_classes) / num_classes, num_images
    )
    labels = rng.integers(0, draw(st.integers(1, num_classes)), num_images)
    return parts / parts.sum(axis=1, keepdims=True), labels


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.filterwarnings("ignore:A single label was found")
@given(decided_images())
def test_scores_of_unequal_classes_are_those_of_scikit_learn(images):
    p_NK, labels = images
    decided = p_NK.argmax(axis=1)
    expected = sklearn.metrics.balanced_accuracy_score(labels, decided)
    assert scores.balanced_accuracy(p_NK, labels) == pytest.approx(expected)
    expected = sklearn.metrics.f1_score(labels, decided, average="macro", zero_division=0)
    assert scores.macro_f1(p_NK, labels) == pytest.approx(expected)
    expected = sklearn.metrics.confusion_matrix(labels, decided, labels=range(p_NK.shape[1]))
    np.testing.assert_array_equal(scores.confusion(decided, labels, p_NK.shape[1]), expected)


@given(decided_images())
def test_the_auc_is_the_mean_of_scikit_learns_over_the_classes_that_have_one(images):
    p_NK, labels = images
    classes = [1] if p_NK.shape[1] == 2 else range(p_NK.shape[1])
    expected = [
        sklearn.metrics.roc_auc_score(labels == k, p_NK[:, k])
        for k in classes
        if 0 < (labels == k).sum() < len(labels)
    ]
    found = scores.auc(p_NK, labels)
    assert found == (pytest.approx(np.mean(expected)) if expected else None)


@pytest.mark.parametrize("num_classes", [2, 3, 100])
def test_the_auc_of_all_classes_is_scikit_learns(num_classes):
    rng = np.random.default_rng(num_classes)
    labels = rng.permutation(np.arange(10 * num_classes) % num_classes)
    p_NK = rng.dirichlet(np.ones(num_classes), len(labels)) + np.eye(num_classes)[labels] / 9
    p_NK /= p_NK.sum(axis=1, keepdims=True)
    given = p_NK[:, 1] if num_classes == 2 else p_NK
    expected = sklearn.metrics.roc_auc_score(labels, given, multi_class="ovr")
    assert scores.auc(p_NK, labels) == pytest.approx(expected, rel=1e-12)


def test_scores_of_unequal_classes_by_hand():
    """Always the first of two classes, for nine images of it and one of the other."""
    p_NK, labels = np.array([[0.9, 0.1]] * 10), np.array([0] * 9 + [1])
    assert scores.accuracy(p_NK, labels) == pytest.approx(0.9)
    assert scores.balanced_accuracy(p_NK, labels) == pytest.approx(0.5)
    assert scores.macro_f1(p_NK, labels) == pytest.approx((18 / 19 + 0) / 2)
    assert scores.auc(p_NK, labels) == pytest.approx(0.5)


@given(st.integers(2, 5), st.integers(1, 40), st.integers(0, 1000))
def test_the_majority_baseline_is_scikit_learns_dummy(num_classes, num_images, seed):
    rng = np.random.default_rng(seed)
    y = {s: rng.integers(0, num_classes, num_images) for s in ("train", "val", "test")}
    dummy = sklearn.dummy.DummyClassifier(strategy="most_frequent").fit(y["train"], y["train"])
    names = [f"class {k}" for k in range(num_classes)]
    assert scores.majority_baseline(y, names) == {
        "majority_class": names[dummy.predict([[0]])[0]],
        "accuracy_val": pytest.approx(dummy.score(y["val"], y["val"])),
        "accuracy_test": pytest.approx(dummy.score(y["test"], y["test"])),
        "chance": pytest.approx(1 / num_classes),
    }


def test_the_loss_of_a_probability_zero_is_finite():
    loss = scores.log_loss(np.array([[1.0, 0.0]], dtype=np.float32), np.array([1]))
    assert 10 < loss < 100


def test_a_weighted_average_is_the_plain_sum_to_a_power():
    p_NTK = np.array([[[0.8, 0.2], [0.4, 0.6]]])
    # 3/4 of (0.8, 0.2) and 1/4 of (0.4, 0.6) are (0.7, 0.3); squared and divided by their sum.
    expected = np.array([[0.49, 0.09]]) / 0.58
    np.testing.assert_allclose(
        methods.weighted(p_NTK, np.array([0.75, 0.25]), exponent=2.0), expected, rtol=1e-6
    )


def test_a_weighted_average_of_a_large_exponent_stays_a_probability():
    p_NTK = np.array([[[0.6, 0.4], [0.6, 0.4]], [[1e-30, 1.0], [0.0, 1.0]]])
    found = methods.weighted(p_NTK, np.array([0.5, 0.5]), exponent=100.0)
    np.testing.assert_allclose(found, [[1, 0], [0, 1]], atol=1e-6)


def test_logistic_regression_by_hand():
    p_NTK = np.array([[[0.5, 0.5], [0.9, 0.1]]])
    # It looks at the second tile alone, with the logarithms as logits: its own probabilities.
    weights = np.zeros((5, 2))
    weights[2, 0] = weights[3, 1] = 1
    np.testing.assert_allclose(methods.logistic(p_NTK, weights), [[0.9, 0.1]], rtol=1e-6)
    weights[4, 1] = np.log(9)  # a bias makes up for it
    np.testing.assert_allclose(methods.logistic(p_NTK, weights), [[0.5, 0.5]], rtol=1e-6)


def test_regression_has_no_methods_that_need_classes():
    assert set(tasks.METHODS) - set(tasks.methods_of("regression")) == {
        *("logistic", "weighted", "vote")
    }
    assert tasks.methods_of("classification") == tasks.METHODS


def net(seconds: float, parameters: int, work: int, memory: int) -> dict:
    return {
        "train_seconds": seconds,
        "parameters": parameters,
        "multiply_adds": work,
        "peak_memory_bytes": memory,
    }


def test_times_in_parallel_are_the_slowest_net_of_every_step():
    local, coarse = [net(3.0, 10, 100, 7), net(4.0, 10, 100, 8)], net(1.0, 30, 25, 9)
    reference = net(20.0, 50, 2000, 5)
    assert costs([local, [coarse]], [*local, coarse], reference) == {
        "parallel_seconds": 5.0,
        "serial_seconds": 8.0,
        "speedup": 4.0,
        "flop_ratio": 16.0,
        "parameters_largest": 30,
        "parameters_total": 50,
        "peak_memory_bytes": 9,
    }
    # The mean and the vote need no coarse net.
    assert costs([local], local, reference) == {
        "parallel_seconds": 4.0,
        "serial_seconds": 7.0,
        "speedup": 5.0,
        "flop_ratio": 20.0,
        "parameters_largest": 10,
        "parameters_total": 20,
        "peak_memory_bytes": 8,
    }


def test_without_a_global_net_there_is_no_speedup():
    only = [net(3.0, 10, 100, 7)]
    found = costs([only], only, None)
    assert found["speedup"] is None
    assert found["flop_ratio"] is None


class Stored:
    """A finished run of two tiles on disk: what evaluate reads."""

    CLASSES = ("cat", "dog", "owl")

    def __init__(self, folder: Path):
        self.folder, rng = folder, np.random.default_rng(0)
        self.labels = {split: rng.integers(0, 3, 20) for split in ("train", "val", "test")}
        self.local = {tile: self._net(folder / tile, rng) for tile in ("0-0", "0-1")}
        self.coarse = self._net(folder / "coarse", rng)
        plan = {"tiling": "blocks-1x2-overlap0", "kind": "blocks", "grid": [1, 2]}
        self._json("plan.json", plan | {"overlap": [0, 0], "seconds": 0.5})
        self._json("card.json", {"classes": list(self.CLASSES)})
        for split, labels in self.labels.items():
            np.save(folder / f"y_{split}.npy", labels)

    def _net(self, folder: Path, rng: np.random.Generator) -> Path:
        folder.mkdir()
        metrics = net(2.0, 10, 100, 7) | {"start_seconds": 1.0, "load_seconds": 0.1}
        metrics |= {"accuracy_train": 0.9, "images_per_second": 50.0, "fit_on": "train"}
        metrics |= {"setup_seconds": 0.2, "settings": {"class_weights": "none"}}
        metrics |= {"solver": "linear", "input": "log-probabilities", "strength": 10.0}
        (folder / "metrics.json").write_text(json.dumps(metrics))
        p = {s: rng.dirichlet(np.ones(3), 20).astype(np.float32) for s in ("train", "val", "test")}
        if folder.name == "0-1":  # the best tile
            p["val"] = np.eye(3, dtype=np.float32)[self.labels["val"]]
        np.savez(folder / "probabilities.npz", **p, seconds=0.25)
        return folder

    def _json(self, name: str, content: dict) -> None:
        (self.folder / name).write_text(json.dumps(content))

    def evaluate(self, trained: Trained, methods: list[str]) -> tuple[dict, dict]:
        out = self.folder / "out"
        evaluate_run(
            {"dataset": "pets", "seed": 0},
            methods,
            trained,
            plan=self.folder / "plan.json",
            labels={split: self.folder / f"y_{split}.npy" for split in self.labels},
            card=self.folder / "card.json",
            out=out,
        )
        with np.load(out / "predictions.npz") as predictions:
            return json.loads((out / "evaluation.json").read_text()), dict(predictions)


def test_an_evaluation_holds_every_method_with_what_the_predictions_give(tmp_path):
    stored = Stored(tmp_path)
    rng = np.random.default_rng(1)
    others = {
        name: stored._net(tmp_path / name, rng)
        for name in ("small", "ensemble", "member-1", "coherent", "transfer")
    }
    trained = Trained(
        local=stored.local,
        coarse=stored.coarse,
        global_net=others["small"],
        small=others["small"],
        members=[others["small"], others["member-1"]],
        ensemble=others["ensemble"],
        joint={name: others[name] for name in ("coherent", "transfer")},
    )
    cheap = ["mean", "vote", "best-tile", "weighted", "logistic"]
    report, predictions = stored.evaluate(trained, cheap)
    assert list(report["methods"]) == list(tasks.METHODS[1:])
    for method, split in [(m, s) for m in report["methods"] for s in ("val", "test")]:
        p_NK, labels = predictions[f"{split}_{method}"], stored.labels[split]
        np.testing.assert_array_equal(predictions[f"{split}_labels"], labels)
        np.testing.assert_allclose(p_NK.sum(axis=1), 1, rtol=1e-5)
        expected = sklearn.metrics.accuracy_score(labels, p_NK.argmax(axis=1))
        assert report["methods"][method][f"accuracy_{split}"] == pytest.approx(expected)
    by_tile = {tile: local["accuracy_val"] for tile, local in report["local"].items()}
    best = report["methods"]["best-tile"]
    assert best["tile"] == "0-1"
    assert best["accuracy_val"] == by_tile[best["tile"]] == max(by_tile.values())
    assert report["overhead"]["probabilities_seconds"] == 0.25
    assert report["overhead"]["setup_seconds"] == 0.2
    # Every net took two seconds: which of them follow each other?
    parallel = {name: round(m["parallel_seconds"]) for name, m in report["methods"].items()}
    assert parallel["small"] == parallel["coherent"] == parallel["mean"] == 2
    assert parallel["cnn-dnn"] == parallel["ensemble"] == 4
    assert parallel["transfer"] == 6
    assert report["methods"]["transfer"]["serial_seconds"] == 8


def test_only_the_methods_that_were_asked_for_are_computed(tmp_path):
    stored = Stored(tmp_path)
    report, _ = stored.evaluate(Trained(stored.local, coarse=stored.coarse), ["mean"])
    assert list(report["methods"]) == ["cnn-dnn", "mean"]


def test_the_run_of_one_tile_is_the_global_net(tmp_path):
    stored = Stored(tmp_path)
    report, predictions = stored.evaluate(Trained({"0-0": stored.local["0-0"]}), ["mean"])
    assert list(report["methods"]) == ["global"]
    assert report["coarse"] is None
    assert "diagnosis" not in report
    assert report["baseline"] == scores.majority_baseline(stored.labels, Stored.CLASSES)
    with np.load(stored.local["0-0"] / "probabilities.npz") as p:
        np.testing.assert_array_equal(predictions["test_global"], p["test"])


def test_a_score_that_a_split_does_not_define_is_null_and_an_empty_cell(tmp_path):
    stored = Stored(tmp_path)
    np.save(tmp_path / "y_test.npy", np.ones(20, dtype=np.int64))
    report, _ = stored.evaluate(Trained(stored.local, coarse=stored.coarse), ["mean"])
    assert report["methods"]["mean"]["auc_test"] is None
    named = {"model": "vgg-w16", "decomposition": "blocks-1x2-overlap0", "coarse_view": False}
    table = summary_table([report | named])
    written = pd.read_csv(StringIO(table.to_csv(index=False)), keep_default_na=False, dtype=str)
    assert set(written["auc_test"]) == {""}
    assert float(written["auc_val"][0]) == report["methods"]["cnn-dnn"]["auc_val"]
    assert mean_over_seeds(table)["auc_test"].isna().all()


def test_permuted_test_labels_change_scores_of_the_test_split_and_nothing_else(tmp_path):
    """Decisions, what was chosen and fitted, and costs know nothing of them."""
    stored = Stored(tmp_path)
    trained = Trained(stored.local, coarse=stored.coarse)
    cheap = ["mean", "vote", "best-tile", "weighted", "logistic"]
    first, decided = stored.evaluate(trained, cheap)
    nets = {file: file.read_bytes() for file in tmp_path.glob("*/probabilities.npz")}
    order = np.random.default_rng(9).permutation(20)
    np.save(tmp_path / "y_test.npy", stored.labels["test"][order])
    second, again = stored.evaluate(trained, cheap)
    for name, array in decided.items():
        expected = array[order] if name == "test_labels" else array
        np.testing.assert_array_equal(again[name], expected)
    assert {file: file.read_bytes() for file in nets} == nets
    changed = differences(first, second)
    assert any(key.endswith(".accuracy_test") for key in changed)
    measured = {key for key in changed if not re.search("seconds|speedup|efficiency", key)}
    assert all(re.search(r"_test$|^diagnosis\.", key) for key in measured), measured


def differences(first: dict, second: dict, prefix: str = "") -> set[str]:
    """Keys whose values differ."""
    assert first.keys() == second.keys()
    found = set()
    for key, value in first.items():
        if isinstance(value, dict):
            found |= differences(value, second[key], f"{prefix}{key}.")
        elif value != second[key]:
            found.add(prefix + key)
    return found
