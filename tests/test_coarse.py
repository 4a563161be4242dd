"""The coarse net, the stage train_coarse, and the two-level net as one model."""

import copy
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ddcnn.base.errors import InputError
from ddcnn.base.files import write_json
from ddcnn.base.tasks import Classification, Regression
from ddcnn.coarse.inputs import join_folds
from ddcnn.coarse.joint import build_cnn_dnn, load_parts, train_coherent
from ddcnn.coarse.linear import LinearSolver
from ddcnn.coarse.memory import bytes_of_linear
from ddcnn.coarse.net import CnnDnn, CoarseNet, coarse_input
from ddcnn.coarse.problem import Problem, Solution
from ddcnn.coarse.settings import CoarseSettings
from ddcnn.coarse.solvers import fit_ridge, fit_softmax
from ddcnn.coarse.stage import read_outputs, train_coarse
from ddcnn.evaluation import methods, scores
from ddcnn.local.stage import train_fold, train_local, write_features
from ddcnn.local.subdomain import Subdomain
from ddcnn.nets.cost import multiply_adds, num_parameters
from ddcnn.tiles.geometry import Decomposition, Tiling
from ddcnn.tiles.shards import write_shards, write_view
from ddcnn.training.prediction import evaluate, predict_logits
from ddcnn.training.samples import Features
from ddcnn.training.settings import Settings
from ddcnn.training.weights import load_weights, save_weights

SETTINGS = Settings(
    epochs=4, batch_size=10, optimizer="adamw", learning_rate=0.01, weight_decay=0.0
)
LINEAR = CoarseSettings("linear", [], 0.0, "log-probabilities")
MLP = replace(LINEAR, solver="mlp", hidden=[16], dropout=0.1)
CLASSES = Classification(3)
TARGETS = Regression((1.0,) * 3, (2.0,) * 3)


# The net


def test_the_coarse_net_sees_tile_after_tile_and_the_average():
    p_NTK = torch.tensor([[[0.5, 0.5], [1.0, 0.0]]])
    x = coarse_input(p_NTK.log(), "log-probabilities", Classification(2))
    torch.testing.assert_close(x[0, :3], torch.tensor([0.5, 0.5, 1.0]).log())
    assert -20 < x[0, 3] < -10
    torch.testing.assert_close(x[0, 4:].exp(), torch.tensor([0.75, 0.25]), atol=1e-5, rtol=0)
    x = coarse_input(p_NTK.log(), "probabilities", Classification(2))
    torch.testing.assert_close(x[0, :4], torch.tensor([0.5, 0.5, 1.0, 0.0]), atol=2e-6, rtol=0)


def test_logits_and_features_reach_the_coarse_net_as_they_are():
    logits, features = torch.randn(5, 2, 3), torch.randn(5, 2, 7)
    x = coarse_input(logits, "logits", CLASSES)
    assert torch.equal(x[:, :6], logits.flatten(1))
    x = coarse_input(logits, "features", CLASSES, features)
    assert torch.equal(x[:, :14], features.flatten(1))
    torch.testing.assert_close(x[:, 14:].exp(), logits.softmax(2).mean(1))


def test_an_unfitted_coarse_net_is_the_average_of_the_tiles():
    logits = torch.randn(20, 4, 3)
    net = CoarseNet(num_inputs=12, classes=3, hidden=[8], dropout=0.5).eval()
    p_NK = net(coarse_input(logits, "log-probabilities", CLASSES)).softmax(1).detach()
    expected = methods.mean(logits.softmax(2).numpy())
    np.testing.assert_allclose(p_NK, expected, atol=1e-6)
    predictions = torch.randn(20, 4, 1)
    net = CoarseNet(num_inputs=4, classes=1)
    rows = coarse_input(predictions, "log-probabilities", Regression((0.0,), (1.0,)))
    torch.testing.assert_close(net(rows).detach(), predictions.mean(1))


def test_standardised_inputs_have_mean_zero_and_spread_one():
    x = torch.randn(200, 7) * 3 + 5
    x[:, 2] = 4.0  # says nothing
    net = CoarseNet(num_inputs=4, classes=3)
    net.standardise(x)
    inputs, average = net.split(x)
    torch.testing.assert_close(inputs.mean(0), torch.zeros(4), atol=1e-4, rtol=0)
    expected = torch.tensor([1.0, 1.0, 0.0, 1.0])  # what never changes stays without a spread
    torch.testing.assert_close(inputs.std(0, unbiased=False), expected, atol=1e-4, rtol=0)
    assert torch.equal(average, x[:, 4:])


@pytest.mark.parametrize("kind", ["probabilities", "log-probabilities", "logits", "features"])
@pytest.mark.parametrize(
    "task",
    [CLASSES, Classification(3, (0.2, 1.0, 3.0)), Regression((1.0,) * 3, (2.0,) * 3)],
    ids=["classes", "weighted classes", "regression"],
)
def test_the_linear_solver_computes_in_arrays_what_the_net_does_in_tensors(tmp_path, kind, task):
    rng = np.random.default_rng(0)
    outputs, features = (3 * rng.normal(size=(50, 4, n)).astype(np.float32) for n in (3, 7))
    labels = rng.integers(0, 3, 50)
    targets = outputs[:, 0] if task.name == "regression" else labels
    solver = LinearSolver(replace(LINEAR, input=kind), SETTINGS, task, threads=1)
    samples = solver.samples(outputs, features, targets)
    rows = coarse_input(*(torch.from_numpy(outputs), kind, task, torch.from_numpy(features)))
    found = np.concatenate([samples.inputs, samples.average], axis=1)
    np.testing.assert_allclose(found, rows, rtol=1e-5, atol=1e-5)

    built = solver.build(samples, samples)
    net, candidates = built.net, built.candidates
    solver.use(net, list(candidates)[-1])
    solver.save(net, tmp_path / "model.safetensors")
    of_torch = CoarseNet(samples.inputs.shape[1], 3)
    of_torch.standardise(rows)
    np.testing.assert_allclose(net.shift, of_torch.shift, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(net.scale, of_torch.scale, rtol=1e-4)
    load_weights(of_torch, tmp_path / "model.safetensors")
    expected = Features(rows, torch.from_numpy(targets))
    np.testing.assert_allclose(
        solver.evaluate(net, samples), evaluate(of_torch, expected, task), rtol=1e-3, atol=1e-5
    )
    predictions = task.predictions(predict_logits(of_torch, expected))
    np.testing.assert_allclose(solver.predict(net, samples), predictions, rtol=1e-3, atol=1e-4)
    size = solver.metrics(Solution(net, 0.0, 1.0, 0.0, []), {"epoch": 1, "step": 1}, samples)
    assert size["parameters"] == num_parameters(of_torch)
    assert size["multiply_adds"] == multiply_adds(of_torch, (rows.shape[1],))

    save_weights(of_torch, tmp_path / "torch.safetensors")
    written, by_torch = (tmp_path / f"{name}.safetensors" for name in ("model", "torch"))
    assert written.read_bytes() == by_torch.read_bytes()


def test_with_balanced_weights_a_rare_class_is_not_sacrificed():
    """Local nets that know little of a class of one image in twenty."""
    rng = np.random.default_rng(0)
    labels = (rng.random(2000) < 0.05).astype(int)
    outputs = rng.normal(size=(2000, 4, 2)).astype(np.float32)
    outputs[:, :, 1] += 1.0 * labels[:, None] - 0.5
    found = {}
    for weights in ((), (1 / 1.9, 10.0)):
        task = Classification(2, weights)
        solver = LinearSolver(LINEAR, SETTINGS, task, threads=1)
        fitted, val, test = (
            solver.samples(outputs[part], None, labels[part])
            for part in (slice(800), slice(800, 1200), slice(1200, None))
        )
        solution = Problem(solver, task, "train", 0).solve(fitted, val)
        decided = solver.predict(solution.net, test).argmax(axis=1)
        found[weights] = [(decided[test.targets == k] == k).mean() for k in (0, 1)]
    (plain_0, plain_1), (balanced_0, balanced_1) = found.values()
    assert balanced_1 > plain_1 + 0.2
    assert plain_0 > balanced_0
    assert balanced_0 + balanced_1 > plain_0 + plain_1 + 0.1


def test_solving_the_linear_net_imports_no_torch(tmp_path):
    """The import takes twenty times as long as the solution."""
    nets, labels = two_tiles(tmp_path)
    command = f"""
import sys
from ddcnn.coarse.stage import train_coarse
from ddcnn.coarse.settings import CoarseSettings
from ddcnn.training.settings import Settings
nets = { ({tile: str(path) for tile, path in nets.items()}) }
labels = { ({split: str(path) for split, path in labels.items()}) }
coarse = CoarseSettings("linear", [], 0.0, "log-probabilities")
settings = Settings(1, 1, "sgd", 0.1, 0.0)
card = {str(write_card(tmp_path))!r}
train_coarse(nets, labels, card, coarse, 0, settings, 0, {str(tmp_path / "out")!r})
sys.exit("torch" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", command], check=True)
    assert (tmp_path / "out/model.safetensors").is_file()


def test_multiply_adds_and_parameters_of_the_coarse_net_are_its_weights():
    net = CoarseNet(num_inputs=12, classes=3, hidden=[8], dropout=0.5)
    assert multiply_adds(net, (15,)) == 12 * 8 + 8 * 3
    assert num_parameters(net) == 12 * 8 + 8 + 8 * 3 + 3


# The stage


def write_card(folder: Path, **content) -> Path:
    card = {"classes": ["a", "b", "c", "d"], "checksums": {}, "task": "classification"} | content
    (folder / "card.json").write_text(json.dumps(card))
    return folder / "card.json"


def two_tiles(folder: Path, informative: bool = True) -> tuple[dict[str, Path], dict[str, Path]]:
    """Local probabilities that only together name the class, and the labels.

    Uninformative ones name it on the training split, learned by heart, and guess elsewhere.
    """
    rng = np.random.default_rng(0)
    labels = {split: rng.integers(0, 4, 400) for split in ("train", "val", "test")}
    nets = {}
    decisions = [lambda y: y // 2, lambda y: y % 2] if informative else [lambda y: y] * 2
    for tile, decides in zip(("0-0", "0-1"), decisions, strict=True):
        seen = {
            s: y if informative or s == "train" else rng.integers(0, 4, 400)
            for s, y in labels.items()
        }
        one_hot = {s: np.eye(4, dtype=np.float32)[decides(y)] for s, y in seen.items()}
        (folder / tile).mkdir(parents=True)
        nets[tile] = folder / tile / "probabilities.npz"
        np.savez(nets[tile], **{s: 0.96 * p + 0.01 for s, p in one_hot.items()})
    files = {split: folder / f"y_{split}.npy" for split in labels}
    for split, file in files.items():
        np.save(file, labels[split])
    return nets, files


def solve(nets: dict, labels: dict, coarse: CoarseSettings, out: Path, num_folds: int = 0) -> dict:
    card = write_card(out.parent)
    settings = replace(SETTINGS, epochs=20)
    train_coarse(nets, labels, card, coarse, num_folds, settings, seed=0, out=out)
    return json.loads((out / "metrics.json").read_text())


@pytest.mark.parametrize("fit_on", ["train", "validation"])
@pytest.mark.parametrize("coarse", [LINEAR, MLP], ids=["linear", "mlp"])
def test_the_coarse_net_decides_what_no_tile_can_alone(tmp_path, coarse, fit_on):
    nets, labels = two_tiles(tmp_path)
    coarse = replace(coarse, fit_on=fit_on)
    facts = [solve(nets, labels, coarse, tmp_path / out) for out in ("one", "two")]
    with np.load(tmp_path / "one/probabilities.npz") as p:
        np.testing.assert_allclose(p["test"].sum(axis=1), 1, rtol=1e-5)
        assert (p["test"].argmax(axis=1) == np.load(labels["test"])).mean() > 0.95
    assert facts[0]["fit_on"] == fit_on
    assert facts[0]["strength"] > 0
    one, two = (tmp_path / out / "probabilities.npz" for out in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_the_memory_that_a_linear_net_needs_is_not_overestimated_by_far_and_never_small(task):
    rng = np.random.default_rng(0)
    rows, num_classes = rng.random((40, 800), np.float32), 200
    tracemalloc.start()
    if task == "classification":
        fit_softmax(rows, rng.integers(0, num_classes, 40), num_classes, 0.01, steps=3)
    else:
        num_classes = 2
        fit_ridge(rows, rng.random((40, 2)), 0.01)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.7 * peak < bytes_of_linear(40, 800, num_classes, task) < 1.1 * peak


def test_a_coarse_net_that_no_memory_takes_is_refused_before_it_is_solved(tmp_path, monkeypatch):
    nets, labels = two_tiles(tmp_path)
    needed = bytes_of_linear(400, 8, 4, "classification")
    monkeypatch.setattr("ddcnn.base.memory.memory_left", lambda: needed - 1)
    with pytest.raises(InputError, match=r"coarse net, 8 inputs and 4 classes, needs .* kB"):
        solve(nets, labels, LINEAR, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert solve(nets, labels, MLP, tmp_path / "out")["fit_on"] == "train"
    monkeypatch.setattr("ddcnn.base.memory.memory_left", lambda: needed)
    assert solve(nets, labels, LINEAR, tmp_path / "linear")["fit_on"] == "train"


@pytest.mark.parametrize("coarse", [LINEAR, MLP], ids=["linear", "mlp"])
def test_where_the_local_nets_learned_by_heart_the_average_stays(tmp_path, coarse):
    nets, labels = two_tiles(tmp_path, informative=False)
    facts = solve(nets, labels, coarse, tmp_path / "out")
    assert facts["strength"] == 0
    expected = methods.mean(np.stack([np.load(f)["test"] for f in nets.values()], axis=1))
    with np.load(tmp_path / "out/probabilities.npz") as p:
        np.testing.assert_allclose(p["test"], expected, atol=1e-5)


def test_the_coarse_net_is_fitted_on_the_split_it_is_told(tmp_path):
    nets, labels = two_tiles(tmp_path)
    weights = {}
    for fit_on in ("train", "validation"):
        others = copy.copy(labels)
        unseen = "val" if fit_on == "train" else "train"
        coarse = replace(LINEAR, fit_on=fit_on)
        for shuffled in (False, True):
            if shuffled:  # both halves keep what the strength is chosen by
                others[unseen] = tmp_path / "shuffled.npy"
                np.save(others[unseen], np.load(labels[unseen])[::-1])
            if fit_on == "train" and shuffled:
                continue
            solve(nets, others, coarse, tmp_path / f"{fit_on}-{shuffled}")
            weights[fit_on, shuffled] = (
                tmp_path / f"{fit_on}-{shuffled}/model.safetensors"
            ).read_bytes()
    assert weights["validation", False] == weights["validation", True]
    assert weights["train", False] != weights["validation", False]


def test_a_linear_coarse_net_of_regression_undoes_what_the_tiles_do_wrong(tmp_path):
    rng = np.random.default_rng(0)
    y = {s: rng.normal(10, 2, (300, 1)).astype(np.float32) for s in ("train", "val", "test")}
    labels = {s: tmp_path / f"y_{s}.npy" for s in y}
    nets = {}
    # One tile is off by a factor, the other only guesses: the mean is wrong, a line is not.
    for tile, wrong in (("0", lambda t: 0.5 * t), ("1", lambda t: rng.normal(10, 1, t.shape))):
        (tmp_path / tile).mkdir()
        nets[tile] = tmp_path / tile / "probabilities.npz"
        np.savez(nets[tile], **{s: wrong(t).astype(np.float32) for s, t in y.items()})
    for split, file in labels.items():
        np.save(file, y[split])
    card = write_card(tmp_path, task="regression", classes=[], target_mean=[10.0], target_std=[2.0])
    train_coarse(nets, labels, card, LINEAR, 0, SETTINGS, 0, tmp_path / "out")
    with np.load(tmp_path / "out/probabilities.npz") as p:
        assert scores.r2(p["test"], y["test"]) > 0.99
    mean = methods.mean(np.stack([np.load(f)["test"] for f in nets.values()], axis=1))
    assert scores.r2(mean, y["test"]) < 0.5


# Local nets, out-of-fold decisions, and the model as a whole, on real nets


class Trained:
    """Two tiles and the view of small images, trained; what the later stages read."""

    SHAPE, CLASSES, COUNTS = (8, 10), 3, {"train": 60, "val": 30, "test": 30}

    def __init__(self, folder: Path, kind: str = "log-probabilities") -> None:
        self.folder, self.kind = folder, kind
        rng = np.random.default_rng(0)
        self.images = {s: folder / f"x_{s}.npy" for s in self.COUNTS}
        self.labels = {s: folder / f"y_{s}.npy" for s in self.COUNTS}
        for split, number in self.COUNTS.items():
            y = np.arange(number) % self.CLASSES
            x = rng.integers(0, 120, (number, *self.SHAPE, 1)) + 40 * y.reshape(-1, 1, 1, 1)
            np.save(self.images[split], x.astype(np.uint8))
            np.save(self.labels[split], y)
        self.card = write_card(
            folder,
            classes=["a", "b", "c"],
            shape=list(self.SHAPE),
            channels=1,
            dtype="uint8",
            mean=[0.4],
            std=[0.2],
            axes=["row", "column"],
            counts={"train": dict.fromkeys("abc", self.COUNTS["train"] // self.CLASSES)},
            augment={"flip": ["column"], "shift": 1},
        )
        self.decomposition = Decomposition(Tiling.of("blocks", "1x2", "0x2"), coarse_view=True)
        self.tiling = self.decomposition.tiling
        tiles = folder / "tiles" / "made" / self.tiling.slug
        write_shards(self.tiling, self.images, tiles / "plan.json")
        write_view(self.images, tiles / "plan.json")
        self.subdomains = [
            Subdomain("made", self.tiling.slug, tile, "vgg-w8", "vgg", 4, 0.0, seed=0)
            for tile in self.decomposition.subdomains
        ]

    def train(self) -> list[Path]:
        """The local nets and the coarse net, one after the other: their weights."""
        folders = [self.folder / subdomain.tile for subdomain in self.subdomains]
        tiles = self.folder / "tiles"
        train_local(self.subdomains, tiles, self.labels, self.card, SETTINGS, folders)
        for subdomain, folder in zip(self.subdomains, folders, strict=True):
            if self.kind == "features":
                weights = folder / "model.safetensors"
                write_features(subdomain, tiles, self.card, weights, folder / "features.npz")
        nets = {s.tile: self.folder / s.tile / "probabilities.npz" for s in self.subdomains}
        labels = {split: self.labels[split] for split in ("train", "val")}
        coarse = replace(LINEAR, input=self.kind)
        train_coarse(nets, labels, self.card, coarse, 0, SETTINGS, 0, self.folder / "coarse")
        folders = [*(s.tile for s in self.subdomains), "coarse"]
        return [self.folder / folder / "model.safetensors" for folder in folders]

    def model(self) -> CnnDnn:
        facts = json.loads(self.card.read_text())
        return build_cnn_dnn(self.subdomains, self.tiling, replace(LINEAR, input=self.kind), facts)


@pytest.mark.parametrize("kind", ["log-probabilities", "probabilities", "logits", "features"])
def test_the_parts_together_decide_as_they_do_one_after_the_other(tmp_path, kind):
    trained = Trained(tmp_path, kind)
    weights = trained.train()
    net = trained.model()
    load_parts(net, weights)
    images = torch.from_numpy(np.load(trained.images["test"])).float().movedim(-1, 1)
    with torch.no_grad():
        found = net.eval()(images).softmax(1).numpy()
    with np.load(tmp_path / "coarse/probabilities.npz") as p:
        np.testing.assert_allclose(found, p["test"], atol=1e-5)
        assert np.ptp(p["test"]) > 0.1  # it does decide


def test_the_subdomains_of_the_model_are_the_shards(tmp_path):
    trained = Trained(tmp_path)
    images = torch.from_numpy(np.load(trained.images["val"])).float().movedim(-1, 1)
    for subdomain, found in zip(
        trained.subdomains, trained.model().subdomains(images), strict=True
    ):
        (file,) = subdomain.shards(tmp_path / "tiles", {})["val"]
        shard = np.load(file)
        expected = (np.moveaxis(shard, -1, 1) / 255 - 0.4) / 0.2
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_transfer_starts_where_the_cnn_dnn_ended_and_coherent_from_scratch(tmp_path):
    trained = Trained(tmp_path)
    weights = trained.train()
    facts = (trained.images, trained.labels, trained.card, LINEAR, SETTINGS)
    metrics = {}
    for out, start in (("transfer", weights), ("coherent", [])):
        train_coherent(trained.subdomains, trained.tiling, *facts, start, tmp_path / out)
        metrics[out] = json.loads((tmp_path / out / "metrics.json").read_text())
    before = json.loads((tmp_path / "coarse/metrics.json").read_text())
    assert metrics["transfer"]["accuracy_val_at_start"] == before["accuracy_val"]
    assert metrics["transfer"]["loss_val_at_start"] == pytest.approx(before["loss_val"], abs=1e-5)
    assert abs(metrics["coherent"]["loss_val_at_start"] - before["loss_val"]) > 0.01


def test_all_nets_of_a_coherent_model_learn(tmp_path):
    trained = Trained(tmp_path)
    facts = (trained.images, trained.labels, trained.card, MLP, SETTINGS, [])
    train_coherent(trained.subdomains, trained.tiling, *facts, tmp_path / "one")
    train_coherent(trained.subdomains, trained.tiling, *facts, tmp_path / "two")
    one, two = (tmp_path / n / "probabilities.npz" for n in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    metrics = json.loads((tmp_path / "one/metrics.json").read_text())
    assert metrics["accuracy_val"] > 0.6
    assert not (tmp_path / "one/checkpoint.pt").exists()
    net = build_cnn_dnn(
        trained.subdomains, trained.tiling, MLP, json.loads(trained.card.read_text())
    )
    before = copy.deepcopy(net.state_dict())
    from safetensors.torch import load_file

    after = load_file(tmp_path / "one/model.safetensors")
    assert set(after) == set(before)
    moved = {name.split(".")[1] for name in after if not torch.equal(after[name], before[name])}
    assert {"0", "1", "2"} <= moved  # every local net


def write_listing(folder: Path, groups: Sequence[object] = ("",) * 60) -> Path:
    """``samples.csv`` of the training split."""
    rows = [f"train,{index},{index}.png,a,{group}" for index, group in enumerate(groups)]
    path = folder / "samples.csv"
    path.write_text("\n".join(["split,index,file,label,group", *rows]) + "\n")
    return path


def test_parts_of_the_training_images_keep_groups_together(tmp_path):
    trained = Trained(tmp_path)
    write_json(trained.card, json.loads(trained.card.read_text()) | {"group": "patient"})
    groups = np.random.default_rng(1).permutation(np.arange(60) % 12)
    listing, left_out = write_listing(tmp_path, groups), []
    for fold in range(3):
        out = tmp_path / f"fold{fold}"
        train_fold(
            *(trained.subdomains[0], fold, 3, tmp_path / "tiles", trained.labels, trained.card),
            *(listing, SETTINGS, "log-probabilities", out),
        )
        left_out.append(np.load(out / "held_out.npz")["index"])
    assert sorted(np.concatenate(left_out)) == list(range(60))
    assert sorted(group for index in left_out for group in set(groups[index])) == list(range(12))
    with pytest.raises(InputError, match=r"coarse\.folds: 13 parts of 12 groups"):
        train_fold(
            *(trained.subdomains[0], 0, 13, tmp_path / "tiles", trained.labels, trained.card),
            *(listing, SETTINGS, "log-probabilities", tmp_path / "fold"),
        )


def test_every_image_is_judged_by_a_net_that_has_not_seen_it(tmp_path):
    trained = Trained(tmp_path)
    subdomain = trained.subdomains[0]
    listing = write_listing(tmp_path)
    folder = tmp_path / subdomain.tile
    for fold in range(3):
        train_fold(
            *(subdomain, fold, 3, tmp_path / "tiles", trained.labels, trained.card, listing),
            *(SETTINGS, "logits", folder / f"fold{fold}"),
        )
    parts = [np.load(folder / f"fold{fold}/held_out.npz") for fold in range(3)]
    seen = np.concatenate([part["index"] for part in parts])
    assert sorted(seen) == list(range(60))
    joined = join_folds(folder, 3, ["train", "train_logits"])
    assert joined["train"].shape == (60, 3)
    for part in parts:
        np.testing.assert_array_equal(joined["train"][part["index"]], part["train"])
        np.testing.assert_array_equal(joined["train_logits"][part["index"]], part["train_logits"])
    logits, features = read_outputs([joined, joined], "train", "logits", CLASSES)
    assert logits.shape == (60, 2, 3)
    assert features is None


def test_more_folds_than_images_are_refused(tmp_path):
    trained = Trained(tmp_path)
    subdomain, tiles = trained.subdomains[0], tmp_path / "tiles"
    with pytest.raises(InputError, match=r"coarse\.folds: 31 parts of 60 .* at most 30"):
        train_fold(
            *(subdomain, 0, 31, tiles, trained.labels, trained.card, write_listing(tmp_path)),
            *(SETTINGS, "log-probabilities", tmp_path / "fold0"),
        )


def test_out_of_fold_decisions_are_what_the_coarse_net_learns_from(tmp_path):
    nets, labels = two_tiles(tmp_path)
    rng = np.random.default_rng(3)
    for file in nets.values():
        with np.load(file) as arrays:
            known = dict(arrays)
        order = rng.permutation(400)
        for fold in range(2):
            out = file.parent / f"fold{fold}"
            out.mkdir()
            index = np.sort(order[fold::2])
            np.savez(out / "held_out.npz", index=index, train=known["train"][index])
        # What the nets say of images they have learned is worth nothing here.
        known["train"] = rng.dirichlet(np.ones(4), 400).astype(np.float32)
        np.savez(file, **known)
    out_of_fold = replace(LINEAR, fit_on="out-of-fold")
    solve(nets, labels, out_of_fold, tmp_path / "held-out", num_folds=2)
    solve(nets, labels, LINEAR, tmp_path / "learned")
    y = np.load(labels["test"])
    accuracy = {
        name: (np.load(tmp_path / name / "probabilities.npz")["test"].argmax(1) == y).mean()
        for name in ("held-out", "learned")
    }
    assert accuracy["held-out"] > 0.95
    assert accuracy["learned"] < 0.8
