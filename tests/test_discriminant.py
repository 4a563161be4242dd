"""Linear discriminant analysis against scikit-learn, and as the local nets of a run."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from ddcnn import load, nets
from ddcnn.base.errors import InputError
from ddcnn.base.files import read_json, read_npz, read_prepared
from ddcnn.base.tasks import task_of
from ddcnn.coarse.inputs import join_folds
from ddcnn.local import closed_form, stage
from ddcnn.local.subdomain import Subdomain, deal_training, trainer_of
from ddcnn.tiles.geometry import Tiling
from ddcnn.training import discriminant as module
from ddcnn.training.discriminant import Values, discriminant
from ddcnn.training.settings import ClosedFormSettings
from ddcnn.training.weights import load_weights
from stage_runs import StageRun
from workflow_runs import EMBEDDED, small_fashion, synthetic_volumes

PLAIN = ClosedFormSettings()


def blobs(num_images: int, num_values: int, num_classes: int = 4) -> tuple[Values, np.ndarray]:
    """Bytes of correlated values; the classes are of unequal size and differ in a few values."""
    rng = np.random.default_rng(num_images)
    labels = np.minimum(rng.integers(0, 2 * num_classes, num_images), num_classes - 1)
    x = rng.normal(size=(num_images, num_values)).cumsum(axis=1) * 3 + 120
    x[np.arange(num_images), labels % num_values] += 25
    stored = np.clip(x, 0, 255).astype(np.uint8)
    return Values(stored, np.full(num_values, 1 / 60), np.full(num_values, -2.0)), labels


def probabilities(solved: module.Discriminant, x: np.ndarray) -> np.ndarray:
    logits = x @ solved.weight.T + solved.bias
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def of_scikit_learn(x: np.ndarray, labels: np.ndarray, priors: np.ndarray | None = None):
    """Its analysis, with the shrinkage that it finds for what classes leave unexplained."""
    means = np.stack([x[labels == k].mean(axis=0) for k in range(labels.max() + 1)])
    deviations = x - means[labels]
    if priors is not None:
        weights = (priors / np.bincount(labels))[labels]
        deviations = deviations * np.sqrt(weights * len(x))[:, None]
    shrinkage = ledoit_wolf_shrinkage(deviations, assume_centered=True)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage, priors=priors)
    return theirs.fit(x, labels), shrinkage


@pytest.mark.parametrize("weights", ["none", "balanced"])
@pytest.mark.parametrize("blocks", ["one", "many"])
@pytest.mark.parametrize(("num_images", "num_values"), [(300, 40), (60, 60), (50, 200), (40, 3)])
def test_probabilities_are_those_of_scikit_learn(
    num_images, num_values, blocks, weights, monkeypatch
):
    if blocks == "many":
        monkeypatch.setattr(module, "BLOCK_VALUES", 7 * num_values)
    values, labels = blobs(num_images, num_values)
    x = values.normalised(slice(None))
    counts = np.bincount(labels)
    class_weights = tuple(num_images / counts / 4) if weights == "balanced" else ()
    solved = discriminant(values, labels, 4, class_weights)
    theirs, shrinkage = of_scikit_learn(x, labels, np.full(4, 0.25) if class_weights else None)
    assert solved.shrinkage == pytest.approx(shrinkage, abs=1e-9)
    assert 0 < shrinkage < 1
    np.testing.assert_allclose(probabilities(solved, x), theirs.predict_proba(x), atol=1e-6)


def test_on_real_images_it_is_scikit_learn_s():
    with np.load(EMBEDDED) as data:
        x, labels = data["x_train"][:1500], data["y_train"][:1500]
    stored = x.reshape(len(x), -1)
    values = Values(stored, np.full(784, 1 / (255 * 0.35)), np.full(784, -0.28 / 0.35))
    train, rest = values.normalised(slice(1000)), values.normalised(slice(1000, None))
    known = Values(stored[:1000], values.scale, values.offset)
    solved = discriminant(known, labels[:1000], 10)
    theirs, _ = of_scikit_learn(train, labels[:1000])
    np.testing.assert_allclose(probabilities(solved, rest), theirs.predict_proba(rest), atol=1e-6)
    assert (probabilities(solved, rest).argmax(axis=1) == labels[1000:]).mean() > 0.7


def test_a_tile_that_is_always_the_same_says_how_frequent_the_classes_are():
    labels = np.array([0, 0, 0, 1])
    values = Values(np.full((4, 9), 7, np.uint8), np.full(9, 0.1), np.zeros(9))
    solved = discriminant(values, labels, 2)
    p = probabilities(solved, values.normalised(slice(None)))
    np.testing.assert_allclose(p, np.tile([0.75, 0.25], (4, 1)))


def test_a_class_without_training_images_is_hardly_ever_said():
    values, labels = blobs(200, 12, num_classes=3)
    solved = discriminant(values, labels, 5)
    p = probabilities(solved, values.normalised(slice(None)))
    assert np.isfinite(p).all()
    assert p[:, 3:].max() < 1e-3
    np.testing.assert_allclose(
        p[:, :3] / p[:, :3].sum(axis=1, keepdims=True),
        probabilities(discriminant(values, labels, 3), values.normalised(slice(None))),
        atol=1e-9,
    )


# --- as local nets --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> StageRun:
    """2 x 2 tiles and the coarse view of 480 real images, solved, decided and bundled."""
    results = tmp_path_factory.mktemp("lda")
    entry = {"name": "fashion", "path": str(small_fashion(results / "fashion.npz"))}
    tiling = Tiling.of("blocks", "2x2", 4)
    made = StageRun(results, entry, tiling, view=True, architecture="lda")
    return made.write()


def test_the_net_says_what_its_file_of_probabilities_does(run):
    """The torch module with the saved weights, against the arrays of the stage."""
    folder = run.results / "local/fashion/net-w8" / run.tiling.slug / "seed0/0-1"
    metrics = read_json(folder / "metrics.json")
    net = nets.build("lda", metrics["input_shape"], 10, 1)
    load_weights(net, folder / "model.safetensors").eval()
    card = read_json(run.data / "card.json")
    shard = run.results / "tiles/fashion" / run.tiling.slug / "0-1/x_test.npy"
    images = stage.load_images([shard], None, card, stage.choose_device(0, 1))
    arrays = read_npz(folder / "probabilities.npz")
    found = stage.local_outputs(net, images, task_of(card), "logits", "test")
    assert set(arrays) == {f"{s}{k}" for s in ("train", "val", "test") for k in ("", "_logits")} | {
        "seconds"
    }
    for name, values in found.items():
        np.testing.assert_allclose(arrays[name], values, atol=2e-4 if "logits" in name else 1e-5)


def test_metrics_and_history_are_those_of_the_decisions(run):
    folder = run.results / "local/fashion/net-w8" / run.tiling.slug / "seed0/view"
    metrics, arrays = read_json(folder / "metrics.json"), read_npz(folder / "probabilities.npz")
    for split in ("train", "val"):
        y = read_prepared(run.data / f"y_{split}.npy")
        p_true = arrays[split][np.arange(len(y)), y]
        assert metrics[f"accuracy_{split}"] == (arrays[split].argmax(axis=1) == y).mean()
        assert metrics[f"loss_{split}"] == pytest.approx(-np.log(p_true).mean(), rel=1e-4)
    assert metrics["parameters"] == metrics["multiply_adds"] + 10 == 16 * 16 * 10 + 10
    assert metrics["epochs"] == 1
    assert 0 < metrics["settings"]["shrinkage"] < 1
    header = (folder / "history.csv").read_text().partition("\n")[0].split(",")
    assert "epoch" not in header  # it has no curve
    assert {"shrinkage", "loss_val", "accuracy_val"} <= set(header)


def test_the_bundle_predicts_as_the_run_does(run):
    model = load(run.model)
    pixels = np.load(run.data / "x_test.npy")
    with torch.no_grad():
        p = model(torch.from_numpy(pixels).float().movedim(-1, 1))
    np.testing.assert_allclose(p.numpy(), run.predictions(), atol=2e-5)
    assert "in closed form, shrinkage 0." in run.model.with_suffix(".md").read_text()


def test_volumes_have_more_values_than_there_are_images(tmp_path):
    entry = {"name": "made", "path": str(synthetic_volumes(tmp_path / "made.npz"))}
    run = StageRun(tmp_path, entry, Tiling.of("blocks", "2x1x1", 0), architecture="lda").write()
    metrics = read_json(
        tmp_path / "local/made/net-w8" / run.tiling.slug / "seed0/0-0-0/metrics.json"
    )
    assert metrics["input_shape"] == [6, 16, 8, 1]
    assert metrics["images"] < 6 * 16 * 8
    y = read_prepared(run.data / "y_test.npy")
    assert (run.predictions().argmax(axis=1) == y).mean() > 0.8


def test_folds_are_judged_by_nets_that_have_not_seen_them(run, tmp_path):
    card, slug = run.data / "card.json", run.tiling.slug
    labels = {s: run.data / f"y_{s}.npy" for s in ("train", "val")}
    subdomain = Subdomain("fashion", slug, "0-0", "lda-w1", "lda", 1, 0.0, seed=3)
    tiles, listing = run.results / "tiles", run.data / "samples.csv"
    (shard,) = subdomain.shards(tiles, {})["train"]
    for k in range(3):
        out = tmp_path / f"fold{k}"
        closed_form.train_fold(subdomain, k, 3, tiles, labels, card, listing, PLAIN, "logits", out)
    joined = join_folds(tmp_path, 3, ["train", "train_logits"])
    y, stored = read_prepared(labels["train"]), np.load(shard)
    facts = read_json(card)
    everything = closed_form.TileImages(stored, facts["mean"], facts["std"], y)
    for k in range(3):
        index, others = deal_training(y, 3, 3, k, None)
        part = everything.subset(others)
        solved = discriminant(part.values, part.labels, 10)
        expected = probabilities(solved, everything.subset(index).values.normalised(slice(None)))
        np.testing.assert_allclose(joined["train"][index], expected, atol=1e-5)
    assert joined["train_logits"].shape == (len(y), 10)


def test_several_tiles_in_one_job_are_solved_as_alone(run, tmp_path):
    labels = {s: run.data / f"y_{s}.npy" for s in ("train", "val")}
    tiles = [
        Subdomain("fashion", run.tiling.slug, t, "m", "lda", 1, 0.0, 0) for t in ("0-0", "1-1")
    ]
    out = [tmp_path / each.tile for each in tiles]
    where = run.results / "tiles", labels, run.data / "card.json"
    closed_form.train_local(tiles, *where, PLAIN, out)
    for each, folder in zip(tiles, out, strict=True):
        alone = run.results / "local/fashion/net-w8" / run.tiling.slug / "seed0" / each.tile
        weights = [f.joinpath("model.safetensors").read_bytes() for f in (folder, alone)]
        assert weights[0] == weights[1]
        assert read_json(folder / "metrics.json")["job"] == "0-0..1-1"


def test_a_matrix_that_does_not_fit_is_refused_before_it_is_made(run, tmp_path, monkeypatch):
    monkeypatch.setattr(closed_form, "memory_left", lambda: 100_000)
    labels = {s: run.data / f"y_{s}.npy" for s in ("train", "val")}
    subdomain = Subdomain("fashion", run.tiling.slug, "0-0", "m", "lda", 1, 0.0, 0)
    where = run.results / "tiles", labels, run.data / "card.json"
    with pytest.raises(InputError, match=r"lda of 337 images of 256 values takes 524\.3 kB"):
        closed_form.train_local([subdomain], *where, PLAIN, [tmp_path])
    assert not list(tmp_path.iterdir())


def test_each_net_has_its_trainer():
    assert trainer_of("lda") is closed_form
    assert trainer_of("vgg") is stage
    assert trainer_of("my_nets:small") is stage


JOB = """
import sys
from pathlib import Path
from ddcnn.local.subdomain import Subdomain, trainer_of
results, tiling, out = map(Path, sys.argv[1:])
data, trainer = results / "data/fashion", trainer_of("lda")
labels = {split: data / f"y_{split}.npy" for split in ("train", "val")}
tile = Subdomain("fashion", tiling.name, "0-0", "lda-w1", "lda", 1, 0.0, 0)
where = results / "tiles", labels, data / "card.json"
trainer.train_local([tile], *where, trainer.SETTINGS("balanced"), [out])
sys.exit("torch" in sys.modules)
"""


def test_the_job_does_without_torch(run, tmp_path):
    arguments = [str(run.results), run.tiling.slug, str(tmp_path)]
    subprocess.run([sys.executable, "-c", JOB, *arguments], check=True, timeout=120)
    assert read_json(tmp_path / "metrics.json")["settings"]["class_weights"] == "balanced"
    files = {"model.safetensors", "history.csv", "metrics.json", "probabilities.npz"}
    assert {file.name for file in tmp_path.iterdir()} == files
