"""What every method costs, by the trainings that a person pays for it, written from definitions.

Every training of a run takes another power of two (in units that no real solve reaches), so that a
sum tells which trainings are in it.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from ddcnn.base import tasks
from ddcnn.base.splits import SPLITS
from ddcnn.coarse.solvers import fit_logistic, fit_weighted
from ddcnn.evaluation import methods
from ddcnn.evaluation.stage import Trained, evaluate_run
from ddcnn.experiment import parameters
from ddcnn.experiment.configuration import load_experiment
from ddcnn.experiment.jobs import TRAININGS, experiment_jobs, gpus_of
from ddcnn.experiment.runs import Experiment

UNIT = 1000.0  # seconds; logistic and weighted are really solved, in far less
# What is trained for two tiles, two members of the ensemble, and two folds of each.
LOCAL, MEMBERS = ["tile0", "tile1"], ["small", "member1"]
FOLDS = [f"{tile} fold{k}" for tile in LOCAL for k in (0, 1)]
MEMBER_FOLDS = [f"{member} fold{k}" for member in MEMBERS for k in (0, 1)]
SINGLE = ["coarse", "ensemble", "coherent", "transfer", "global"]
NAMES = [*LOCAL, *FOLDS, *MEMBERS, *MEMBER_FOLDS, *SINGLE]
SECONDS = {name: UNIT * 2**place for place, name in enumerate(NAMES)}
# For every method what is trained at a time, and what follows. Folds are there where the coarse
# net learns from out-of-fold decisions; the mean, the vote and the best tile learn nothing.
STEPS = {
    "global": [["global"]],
    "small": [["small"]],
    "ensemble": [[*MEMBERS, *MEMBER_FOLDS], ["ensemble"]],
    "cnn-dnn": [[*LOCAL, *FOLDS], ["coarse"]],
    "coherent": [["coherent"]],
    "transfer": [[*LOCAL, *FOLDS], ["coarse"], ["transfer"]],
    "logistic": [[*LOCAL, *FOLDS]],
    "weighted": [[*LOCAL, *FOLDS]],
    "mean": [LOCAL],
    "vote": [LOCAL],
    "best-tile": [LOCAL],
}
FIT_ON = ("train", "validation", "out-of-fold")


class StoredRun:
    """All folders of an experiment's run, as its configuration names them, in the current one."""

    def __init__(self, fit_on: str, class_weights: str = "none"):
        self.fit_on, self.class_weights = fit_on, class_weights
        self.experiment = experiment_with(fit_on, class_weights)
        self.random = np.random.default_rng(0)
        sizes = {"train": 40, "val": 25, "test": 30}
        self.labels = {s: self.random.integers(0, 3, n) for s, n in sizes.items()}
        self.decided: dict[str, dict[str, np.ndarray]] = {}
        for run in self.experiment.runs:
            for name, folder in self.folders(run).items():
                self._write(name, Path(folder))
        counts = {name: int((self.labels["train"] == k).sum()) for k, name in enumerate("abc")}
        card = {"classes": list(counts), "counts": {"train": counts}}
        Path("card.json").write_text(json.dumps(card))
        plan = {"tiling": "x", "kind": "blocks", "grid": [1, 2], "overlap": [0, 0], "seconds": 0.5}
        Path("plan.json").write_text(json.dumps(plan))
        for split, labels in self.labels.items():
            np.save(f"y_{split}.npy", labels)

    def folders(self, run) -> dict[str, str]:
        """Of all trainings of a run, by their names here."""
        trained = parameters.trained_folders(self.experiment, run.wildcards)
        if run.is_global:
            return {"global": trained["local"]["0-0"]}
        members = dict(zip(MEMBERS, trained["members"], strict=True))
        found = dict(zip(LOCAL, trained["local"].values(), strict=True)) | members
        if self.fit_on == "out-of-fold":
            found |= {name: f"{found[name.split()[0]]}/{name.split()[1]}" for name in FOLDS}
            found |= {name: f"{found[name.split()[0]]}/{name.split()[1]}" for name in MEMBER_FOLDS}
        single = {name: trained[name] for name in ("coarse", "ensemble")} | trained["joint"]
        return found | single

    def _write(self, name: str, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        metrics = {
            "train_seconds": SECONDS[name], "start_seconds": 1.0, "load_seconds": 0.1,
            "setup_seconds": 0.2, "images_per_second": 1.0, "parameters": 10, "multiply_adds": 100,
            "peak_memory_bytes": 7, "accuracy_train": 0.9, "solver": "linear", "strength": 1.0,
            "input": "log-probabilities", "fit_on": self.fit_on,
            "settings": {"class_weights": self.class_weights},
        }  # fmt: skip
        (folder / "metrics.json").write_text(json.dumps(metrics))
        if "fold" in name:
            index = np.arange(int(name[-1]), len(self.labels["train"]), 2)
            held_out = self.random.dirichlet(np.ones(3), len(index)).astype(np.float32)
            np.savez(folder / "held_out.npz", index=index, train=held_out)
            self.decided[name] = {"index": index, "train": held_out}
            return
        p = {s: self.random.dirichlet(np.ones(3), len(y)) for s, y in self.labels.items()}
        self.decided[name] = {split: each.astype(np.float32) for split, each in p.items()}
        np.savez(folder / "probabilities.npz", **self.decided[name], seconds=0.25)

    def evaluate(self) -> tuple[dict, dict]:
        """Costs and scores of every method of both runs, and the predictions."""
        found, predictions = {}, {}
        for run in self.experiment.runs:
            out = Path("out") / run.decomposition.slug
            evaluate_run(
                parameters.evaluated_run(self.experiment, run.wildcards),
                parameters.methods(self.experiment, run.wildcards),
                Trained.of(parameters.trained_folders(self.experiment, run.wildcards)),
                "plan.json",
                {split: Path(f"y_{split}.npy") for split in SPLITS},
                "card.json",
                out,
            )
            found |= json.loads((out / "evaluation.json").read_text())["methods"]
            with np.load(out / "predictions.npz") as arrays:
                predictions |= dict(arrays)
        return found, predictions


def experiment_with(fit_on: str, class_weights: str = "none", solver: str = "linear") -> Experiment:
    chosen = [method for method in tasks.METHODS if method not in ("global", "cnn-dnn")]
    return load_experiment(
        {
            "experiment": "costs",
            "dataset": "fashion-mnist-10k",
            "grid": "1x2",
            "methods": chosen,
            "local": {"class_weights": class_weights},
            "coarse": {"fit_on": fit_on, "folds": 2, "solver": solver},
        }
    )


@pytest.fixture(params=FIT_ON)
def stored(request, tmp_path, monkeypatch) -> StoredRun:
    monkeypatch.chdir(tmp_path)
    return StoredRun(request.param)


def test_every_method_costs_the_trainings_that_are_paid_for_it(stored):
    found, _ = stored.evaluate()
    assert set(found) == set(tasks.METHODS) == set(STEPS)
    with_folds = stored.fit_on == "out-of-fold"
    for method, steps in STEPS.items():
        paid = [[n for n in step if with_folds or "fold" not in n] for step in steps]
        serial = sum(SECONDS[name] for step in paid for name in step)
        parallel = sum(max(SECONDS[name] for name in step) for step in paid)
        # The rest is the small solve of logistic and weighted.
        assert found[method]["serial_seconds"] // UNIT == serial / UNIT, method
        assert found[method]["parallel_seconds"] // UNIT == parallel / UNIT, method
        speedup = SECONDS["global"] / found[method]["parallel_seconds"]
        assert found[method]["speedup"] == pytest.approx(speedup, rel=1e-4, abs=1e-4), method


def test_whatever_the_workflow_trains_is_in_the_costs_of_a_method(stored):
    jobs = [job for job in experiment_jobs(stored.experiment) if job.rule in TRAININGS]
    made = {node.folder for job in jobs for node in job.nodes}
    paid = {path for run in stored.experiment.runs for path in stored.folders(run).values()}
    assert made == paid


@pytest.mark.parametrize("class_weights", ["none", "balanced"])
@pytest.mark.parametrize("fit_on", FIT_ON)
def test_logistic_and_weighted_learn_what_the_coarse_net_learns(
    fit_on, class_weights, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    run = StoredRun(fit_on, class_weights)
    _, predictions = run.evaluate()
    split = "val" if fit_on == "validation" else "train"
    fitted_NTK = np.stack([run.decided[tile][split] for tile in LOCAL], axis=1)
    if fit_on == "out-of-fold":
        for t, tile in enumerate(LOCAL):
            for part in (run.decided[f"{tile} fold{k}"] for k in (0, 1)):
                fitted_NTK[part["index"], t] = part["train"]
    weights = ()
    if class_weights == "balanced":
        counts = np.bincount(run.labels["train"], minlength=3)
        weights = tuple(len(run.labels["train"]) / (3 * counts))
    test_NTK = np.stack([run.decided[tile]["test"] for tile in LOCAL], axis=1)
    expected = fit_logistic(fitted_NTK, run.labels[split], weights)
    np.testing.assert_allclose(
        predictions["test_logistic"], methods.logistic(test_NTK, expected), atol=1e-3
    )
    expected = fit_weighted(fitted_NTK, run.labels[split], weights)
    np.testing.assert_allclose(
        predictions["test_weighted"], methods.weighted(test_NTK, *expected), atol=1e-3
    )


def test_the_weight_of_a_class_is_that_of_as_many_images():
    """A weight of nine is the same as to have every image of the class nine times."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 60)
    # The first tile knows one class, the second the other, the third neither.
    known_NT = np.stack([0.4 * (labels == 0), 0.4 * (labels == 1), 0 * labels], axis=1)
    p_true_NT = known_NT + rng.uniform(0.2, 0.6, (60, 3))
    p_NTK = np.where(np.eye(2)[labels][:, None], p_true_NT[..., None], 1 - p_true_NT[..., None])
    repeated = np.repeat(np.arange(60), np.where(labels == 1, 9, 1))
    weights, exponent = fit_weighted(p_NTK, labels, (1.0, 9.0))
    expected, expected_exponent = fit_weighted(p_NTK[repeated], labels[repeated])
    np.testing.assert_allclose(weights, expected, atol=2e-3)
    assert exponent == pytest.approx(expected_exponent, rel=1e-2)
    plain, _ = fit_weighted(p_NTK, labels)
    assert abs(weights - plain).max() > 0.02


@pytest.mark.parametrize(("solver", "gpus"), [("linear", 0), ("mlp", 1)])
def test_only_a_net_asks_for_a_gpu(solver, gpus):
    experiment = experiment_with("out-of-fold", solver=solver)
    assert gpus_of(experiment, "train_coarse") == gpus
    for rule in ("train_local", "train_fold", "train_coherent", "local_features"):
        assert gpus_of(experiment, rule) == 1
    for rule in ("prepare", "tile", "evaluate", "report"):
        assert gpus_of(experiment, rule) == 0
