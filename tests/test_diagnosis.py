"""Figures of the diagnosis against plain counting, and its sentences on hand-made failures."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from ddcnn.evaluation import diagnosis
from ddcnn.experiment.schema import complete

FIGURES = {
    "agreement": 0.7,
    "shared_errors": 0.4,
    "oracle": 0.97,
    "gain_over_mean": 0.02,
    "local_gap": 0.03,
    "coarse_gap": 0.04,
    "efficiency": 0.8,
}


KNOWN = diagnosis.Known(
    task="classification",
    num_tiles=4,
    kind="blocks",
    coarse_view=False,
    coarse={"solver": "mlp", "input": "features", "fit_on": "train"},
    local={"epochs": 8, "batch_size": 32, "label_smoothing": 0.0, "augment": False},
    num_images=1000,
    can_augment=True,
)
# Figures of a run that has the fault and, in FIGURES, of one that does not.
FAULTS = {
    "fitted badly": {"agreement": 0.95, "gain_over_mean": -0.02},
    "see too little": {"agreement": 0.4, "gain_over_mean": 0.001},
    "The local nets overfit": {"local_gap": 0.2},
    "The coarse net overfits": {"coarse_gap": 0.3},
    "The time falls less": {"efficiency": 0.3},
}
# Every advice: of which fault, and the settings with which there is nothing left of it to do.
ADVICE = [
    ("fitted badly", "coarse.solver: linear", {"solver": "linear"}),
    ("fitted badly", "coarse.fit_on: validation", {"fit_on": "validation"}),
    ("fitted badly", "coarse.fit_on: out-of-fold", {"fit_on": "out-of-fold"}),
    ("see too little", "a larger overlap", {"kind": "interleaved"}),
    ("see too little", "fewer tiles", {"num_tiles": 2}),
    ("see too little", "coarse_view: true", {"coarse_view": True}),
    ("The local nets overfit", "teaches the coarse net little", {"fit_on": "out-of-fold"}),
    ("The local nets overfit", "teaches the coarse net little", {"fit_on": "validation"}),
    ("The local nets overfit", "coarse.fit_on: out-of-fold", {"fit_on": "out-of-fold"}),
    ("The local nets overfit", "fewer local.epochs", {"epochs": 1}),
    ("The local nets overfit", "local.label_smoothing", {"label_smoothing": 0.1}),
    ("The local nets overfit", "local.label_smoothing", {"task": "regression"}),
    ("The local nets overfit", "local.augment: true", {"augment": True}),
    ("The local nets overfit", "local.augment: true", {"can_augment": False}),
    ("The coarse net overfits", "coarse.solver: linear", {"solver": "linear"}),
    ("The coarse net overfits", "fewer neurons", {"solver": "linear"}),
    ("The coarse net overfits", "coarse.input: log-prob", {"input": "log-probabilities"}),
    ("The coarse net overfits", "coarse.fit_on: out-of-fold", {"fit_on": "out-of-fold"}),
    ("The coarse net overfits", "fewer tiles", {"num_tiles": 2}),
    ("The time falls less", "larger local.batch_size", {"batch_size": 512}),
    ("The time falls less", "fewer tiles", {"num_tiles": 2}),
]


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
    assert list(diagnosis.sentences(found, KNOWN))  # the local nets overfit
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
    text = said(figures)
    assert all(word in text for word in words), text


def test_a_healthy_run_is_not_called_ill():
    text = said({})
    assert "overfit" not in text
    assert "Try" not in text


def known_with(**changes) -> diagnosis.Known:
    parts = {key: getattr(KNOWN, key) for key in ("coarse", "local")}
    for key, value in changes.items():
        part = next((name for name, settings in parts.items() if key in settings), None)
        if part:
            parts[part] = parts[part] | {key: value}
    own = {key: value for key, value in changes.items() if hasattr(KNOWN, key)}
    return replace(KNOWN, **parts, **own)


def said(figures: dict, known: diagnosis.Known = KNOWN) -> str:
    return " ".join(diagnosis.sentences(FIGURES | figures, known))


@pytest.mark.parametrize(("fault", "advice", "done"), ADVICE)
def test_nothing_is_advised_that_is_done_already(fault, advice, done):
    assert advice not in said({}), "a run without the fault"
    assert advice in said(FAULTS[fault]), "a run that has it"
    after = said(FAULTS[fault], known_with(**done))
    assert fault in after, "the fault is named whatever was tried"
    assert advice not in after


def test_more_weight_decay_and_larger_local_nets_are_always_left():
    everything = known_with(
        solver="linear", input="log-probabilities", fit_on="out-of-fold", epochs=1,
        batch_size=512, label_smoothing=0.1, augment=True, num_tiles=2, coarse_view=True,
        kind="interleaved",
    )  # fmt: skip
    found = {fault: said(figures, everything) for fault, figures in FAULTS.items()}
    assert found["The local nets overfit"].endswith(" Try more local.weight_decay.")
    assert found["The time falls less"].endswith(" Try a larger local_width.")
    assert found["fitted badly"].endswith(" Try coarse.fit_on: validation.")
    for fault in ("see too little", "The coarse net overfits"):
        assert "Try" not in found[fault], "nothing is left"


def test_what_is_known_of_a_run_is_read_from_its_files():
    settings = complete(
        {
            "experiment": "mine",
            "dataset": "fashion-mnist-10k",
            "local": {"augment": True},
            "coarse": {"fit_on": "out-of-fold"},
        }
    )
    card = {
        "classes": ["a", "b"],
        "counts": {"train": {"a": 30, "b": 30}},
        "axes": ["row", "column"],
        "augment": {"flip": [], "shift": 2},
    }
    run = {"grid": [2, 3], "kind": "blocks", "coarse_view": True}
    found = diagnosis.Known.of(run, settings, card)
    assert (found.num_tiles, found.num_images, found.coarse_view) == (6, 60, True)
    assert (found.task, found.can_augment) == ("classification", True)
    assert found.coarse["fit_on"] == "out-of-fold"
    # What the configuration leaves to the data is a number.
    assert found.local["augment"]
    assert found.local["epochs"] > 8
    assert found.local["label_smoothing"] == 0.1


@pytest.mark.parametrize(
    ("augment", "allowed", "idle"),
    [
        (True, {"flip": [], "shift": 0}, True),
        (True, {"flip": ["column"], "shift": 0}, False),
        (True, {"flip": [], "shift": 2}, False),
        (False, {"flip": [], "shift": 0}, False),
    ],
)
def test_augmentation_that_does_nothing_is_named(augment, allowed, idle):
    found = diagnosis.idle_augmentation({"local": {"augment": augment}}, {"augment": allowed})
    assert ("local.augment is on" in found) == idle
    assert bool(found) == idle
