"""Figures of the diagnosis against plain counting, and its sentences on hand-made failures."""

import itertools

import numpy as np
import pytest

from ddcnn.evaluation import diagnosis

FIGURES = {
    "agreement": 0.7,
    "shared_errors": 0.4,
    "oracle": 0.97,
    "gain_over_mean": 0.02,
    "local_gap": 0.03,
    "coarse_gap": 0.04,
    "efficiency": 0.8,
}


def evaluation(score: str, cnn_dnn: float = 0.8, mean: float = 0.7) -> dict:
    """What is known of a run: two local nets, a coarse net and the mean."""
    method = {"speedup": 6.0, "flop_ratio": 12.0}
    return {
        "methods": {
            "cnn-dnn": {f"{score}_test": cnn_dnn, **method},
            "mean": {f"{score}_test": mean, **method},
        },
        "local": {
            "0-0": {f"{score}_train": 0.9, f"{score}_test": 0.6},
            "0-1": {f"{score}_train": 0.8, f"{score}_test": 0.7},
        },
        "coarse": {f"{score}_train": 0.85},
    }


def test_figures_of_a_classification_are_those_of_a_plain_loop():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 50)
    local = {tile: {"test": rng.dirichlet(np.ones(3), 50)} for tile in ("0-0", "0-1", "1-0")}
    decided = [p["test"].argmax(axis=1) for p in local.values()]
    same = both = either = 0
    for a, b in itertools.combinations(decided, 2):
        for x, y, true in zip(a, b, labels, strict=True):
            same += x == y
            both += x != true and y != true
            either += x != true or y != true
    right = sum(any(d[n] == labels[n] for d in decided) for n in range(50))
    found = diagnosis.measure(evaluation("accuracy"), local, labels, "classification")
    assert found["agreement"] == pytest.approx(same / 150)
    assert found["shared_errors"] == pytest.approx(both / either)
    assert found["oracle"] == pytest.approx(right / 50)
    assert found["gain_over_mean"] == pytest.approx(0.1)
    assert found["local_gap"] == pytest.approx((0.3 + 0.1) / 2)
    assert found["coarse_gap"] == pytest.approx(0.05)
    assert found["efficiency"] == pytest.approx(0.5)


def test_figures_of_a_regression_are_correlations():
    rng = np.random.default_rng(1)
    y = rng.normal(size=(40, 1))
    first, second = y + rng.normal(size=(40, 1)), y + rng.normal(size=(40, 1))
    local = {"0": {"test": first}, "1": {"test": second}}
    found = diagnosis.measure(evaluation("r2"), local, y, "regression")
    assert found["agreement"] == pytest.approx(np.corrcoef(first[:, 0], second[:, 0])[0, 1])
    errors = np.corrcoef((first - y)[:, 0], (second - y)[:, 0])[0, 1]
    assert found["shared_errors"] == pytest.approx(errors)
    assert found["oracle"] is None


def test_what_cannot_be_compared_is_left_open():
    run = evaluation("accuracy")
    del run["methods"]["mean"]
    run["methods"]["cnn-dnn"]["speedup"] = run["methods"]["cnn-dnn"]["flop_ratio"] = None
    perfect = np.eye(2)[[0, 1]]
    local = {"0-0": {"test": perfect}, "0-1": {"test": perfect}}
    found = diagnosis.measure(run, local, np.array([0, 1]), "classification")
    assert found["gain_over_mean"] is found["efficiency"] is found["shared_errors"] is None
    assert found["agreement"] == 1
    assert list(diagnosis.sentences(found, 4, "classification"))  # the local nets overfit
    constant = {"0": {"test": np.zeros((2, 1))}, "1": {"test": np.ones((2, 1))}}
    found = diagnosis.measure(evaluation("r2"), constant, np.ones((2, 1)), "regression")
    assert found["agreement"] is None


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({}, ["decide alike for 70 %", "gains 2.0 points"]),
        ({"gain_over_mean": -0.003}, ["loses 0.3 points"]),
        (
            {"agreement": 0.95, "gain_over_mean": -0.02},
            ["95 %", "loses 2.0 points", "fitted badly", "coarse.solver: linear"],
        ),
        (
            {"agreement": 0.4, "gain_over_mean": 0.001},
            ["40 %", "only 0.1 points", "larger overlap", "coarse_view"],
        ),
        ({"local_gap": 0.2}, ["local nets overfit", "20.0 points", "out-of-fold"]),
        ({"coarse_gap": 0.3}, ["coarse net overfits", "30.0 points", "linear"]),
        ({"efficiency": 0.3}, ["30 % of the ideal", "4 tiles", "batch_size"]),
    ],
)
def test_every_signature_of_failure_has_its_sentence(figures, words):
    text = " ".join(diagnosis.sentences(FIGURES | figures, 4, "classification"))
    assert all(word in text for word in words), text


def test_a_healthy_run_is_not_called_ill():
    text = " ".join(diagnosis.sentences(FIGURES, 4, "classification"))
    assert "overfit" not in text
    assert "Try" not in text
