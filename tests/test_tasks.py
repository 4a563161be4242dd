"""What differs between the tasks: losses, scores, stored predictions; training on signals."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn import metrics as reference
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from ddcnn.base.files import read_json, read_npz, write_json
from ddcnn.base.tasks import Classification, Regression, task_of
from ddcnn.evaluation import scores
from ddcnn.local.stage import train_local
from ddcnn.local.subdomain import Subdomain
from ddcnn.tiles.geometry import Tiling, resample
from ddcnn.tiles.shards import read_shard, write_shards, write_view
from ddcnn.training.device import choose_device
from ddcnn.training.loop import run, training
from ddcnn.training.prediction import evaluate
from ddcnn.training.samples import Features, Images
from ddcnn.training.settings import Settings

FAT = {"task": "regression", "classes": [], "target_mean": [20.0, -3.0], "target_std": [4.0, 0.5]}
DEVICE = choose_device(0, 1)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("num_targets", [1, 3])
def test_errors_of_a_regression_are_those_of_scikit_learn(num_targets):
    true = normal(50, num_targets) * [1, 5, 0.1][:num_targets] + 7
    predicted = true + 0.3 * normal(50, num_targets, seed=1)
    pairs = [
        (scores.rmse, reference.root_mean_squared_error),
        (scores.mae, reference.mean_absolute_error),
        (scores.r2, reference.r2_score),
    ]
    for ours, theirs in pairs:
        assert ours(predicted, true) == pytest.approx(theirs(true, predicted), rel=1e-9)
    merits = scores.r2_merits(predicted, true)
    assert merits.shape == (50,)
    assert 1 + merits.mean() == pytest.approx(reference.r2_score(true, predicted))


@pytest.mark.filterwarnings("ignore:R.2 score is not well-defined")
@pytest.mark.parametrize("num", [2, 5])
def test_r2_of_targets_that_never_change_is_that_of_scikit_learn(num):
    true, wrong = np.full((num, 1), 0.1, np.float32), normal(num, 1)
    for predicted in (wrong, true):
        expected = reference.r2_score(true, predicted)
        assert scores.r2(predicted, true) == pytest.approx(expected, abs=1e-12)
        for targets in (true, torch.from_numpy(true)):
            merit = -float(((predicted - true) ** 2).mean())
            assert Regression((0.0,), (1.0,)).score_of(merit, targets) == expected
    # One of two targets that changes still counts for its half.
    both, guessed = np.hstack([true, normal(num, 1, seed=1)]), normal(num, 2, seed=2)
    assert scores.r2(guessed, both) == pytest.approx(reference.r2_score(both, guessed))


def test_one_sample_has_a_score():
    """scikit-learn has none; a training ends with numbers, whatever it was measured on."""
    assert scores.r2(np.ones((1, 1)), np.zeros((1, 1))) == 0
    assert Regression((0.0,), (1.0,)).score_of(-1.0, torch.zeros(1, 1)) == 0


def test_a_card_without_a_task_is_one_of_classes():
    assert task_of({"classes": ["a", "b", "c"]}) == Classification(3)
    assert task_of(FAT) == Regression((20.0, -3.0), (4.0, 0.5))
    assert task_of(FAT).num_outputs == 2


UNEQUAL = {"classes": ["a", "b", "c"], "counts": {"train": {"a": 90, "c": 10}}}


def test_balanced_weights_are_those_of_scikit_learn():
    card = {"classes": ["a", "b"], "counts": {"train": {"a": 90, "b": 10}, "test": {"b": 7}}}
    labels = np.repeat([0, 1], [90, 10])
    expected = compute_class_weight("balanced", classes=np.array([0, 1]), y=labels)
    assert task_of(card, "balanced").class_weights == pytest.approx(expected)
    assert task_of(card).class_weights == task_of(card, "none").class_weights == ()
    assert task_of(UNEQUAL, "balanced").class_weights == pytest.approx((100 / 270, 1, 100 / 30))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_weighted_loss_is_the_plain_sum_over_the_images(smoothing):
    logits, labels = torch.from_numpy(normal(20, 3)).double(), torch.arange(20) % 3
    task = Classification(3, (0.5, 1.0, 4.0))
    total = weight = 0.0
    for row, label in zip(logits.log_softmax(dim=1), labels, strict=True):
        target = torch.full((3,), smoothing / 3).double()
        target[label] += 1 - smoothing
        total -= sum(w * t * r for w, t, r in zip(task.class_weights, target, row, strict=True))
        weight += task.class_weights[label]
    task_loss = task.loss(logits.float(), labels, smoothing)
    assert task_loss.item() == pytest.approx(float(total) / weight, rel=1e-5)


def test_targets_are_standardised_and_predictions_come_back_in_their_units():
    task = task_of(FAT)
    y = np.array([[24, -3], [16, -2.5], [20, -4]], np.float32)
    learned = task.load_targets(y)
    np.testing.assert_allclose(learned, [[1, 0], [-1, 1], [0, -2]])
    assert learned.dtype == np.float32
    stored = task.predictions(torch.from_numpy(learned))
    np.testing.assert_allclose(stored, y, rtol=1e-6)
    assert stored.dtype == np.float32


def test_loss_and_score_of_a_regression_are_those_of_scikit_learn():
    """In the history R² is over all standardised targets together, weighted by variance."""
    samples = Features(torch.zeros(40, 1), torch.from_numpy(normal(40, 2) * [1, 2]).float())
    net = nn.Linear(1, 2)
    nn.init.constant_(net.bias, 0.3)
    loss, score = evaluate(net, samples, Regression((0.0, 0.0), (1.0, 1.0)))
    true, predicted = samples.labels.numpy(), np.full((40, 2), 0.3)
    assert loss == pytest.approx(reference.mean_squared_error(true, predicted), rel=1e-6)
    expected = reference.r2_score(true, predicted, multioutput="variance_weighted")
    assert score == pytest.approx(expected, abs=1e-6)


def test_a_linear_regression_finds_the_least_squares_solution():
    x, slope = normal(200, 3), np.array([[1.0, -2.0, 0.5]], np.float32).T
    y = x @ slope + 0.1 * normal(200, 1, seed=1)
    samples = Features(torch.from_numpy(x), torch.from_numpy(y))
    torch.manual_seed(0)
    net = nn.Linear(3, 1)
    settings = Settings(40, 20, "adamw", 0.05, 0.0)
    progress = run(
        training(net, samples, samples, settings, 0, DEVICE, task=Regression((0.0,), (1.0,)))
    )
    design = np.c_[x, np.ones(len(x))]
    best = np.linalg.lstsq(design, y, rcond=None)[0]
    np.testing.assert_allclose(net.weight.detach().numpy().T, best[:3], atol=0.02)
    last = progress.history[-1]
    assert set(last) >= {"r2_train", "r2_val", "loss_train", "loss_val"}
    assert not {"accuracy_train", "accuracy_val"} & set(last)
    assert last["r2_val"] == pytest.approx(
        1 - ((design @ best - y) ** 2).mean() / y.var(), abs=1e-3
    )


def test_signals_are_normalised_as_they_are_and_never_rounded():
    x = normal(6, 20, 2) * 0.001 + 3
    images = Images(torch.from_numpy(x), None, x.mean((0, 1)).tolist(), x.std((0, 1)).tolist())
    found = images.inputs(torch.arange(6))
    assert found.shape == (6, 2, 20)
    expected = ((x - x.mean((0, 1))) / x.std((0, 1))).transpose(0, 2, 1)
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-3)


def test_resampled_signals_are_means_of_the_values_themselves():
    x = normal(5, 12, 2)
    found = resample(x, (4,))
    np.testing.assert_allclose(found, x.reshape(5, 4, 3, 2).mean(axis=2), rtol=1e-5, atol=1e-6)
    assert found.dtype == np.float32


@pytest.mark.parametrize(
    ("kind", "overlap", "starts", "step"),
    [("blocks", 8, [0, 23, 46, 69], 1), ("blocks", 0, [0, 25, 50, 75], 1),
     ("interleaved", 0, [0, 1, 2, 3], 4)],
)  # fmt: skip
def test_shards_of_signals_hold_their_very_values(tmp_path, kind, overlap, starts, step):
    x = normal(7, 100, 2)
    files = {s: tmp_path / f"x_{s}.npy" for s in ("train", "val", "test")}
    for path in files.values():
        np.save(path, x)
    tiling = Tiling.of(kind, "4", overlap)
    write_shards(tiling, files, tmp_path / "tiles/plan.json")
    write_view(files, tmp_path / "tiles/plan.json")
    length = 31 if overlap else 25
    for tile, start in enumerate(starts):
        shard = read_shard(tmp_path / f"tiles/{tile}/x_val.npy")
        expected = x[:, start : start + length * step : step]
        np.testing.assert_array_equal(shard, expected)
    view = read_shard(tmp_path / "tiles/view/x_test.npy")
    assert (view.dtype, view.shape) == (np.float32, (7, length, 2))


def write_signals(folder: Path, num_targets: int) -> dict[str, dict[str, Path]]:
    """Signals whose slope and level are the targets, split in three, with their card."""
    files: dict[str, dict[str, Path]] = {"x": {}, "y": {}}
    for seed, (split, count) in enumerate({"train": 160, "val": 40, "test": 40}.items()):
        y = normal(count, 2, seed=seed)
        time = np.linspace(-1, 1, 24, dtype=np.float32)
        x = y[:, :1] * time + y[:, 1:] + 0.05 * normal(count, 24, seed=seed + 9)
        for letter, array in {"x": x[..., None], "y": 100 + 30 * y[:, :num_targets]}.items():
            files[letter][split] = folder / f"{letter}_{split}.npy"
            np.save(files[letter][split], array.astype(np.float32))
    card = {
        "task": "regression",
        "classes": [],
        "target_mean": [100.0] * num_targets,
        "target_std": [30.0] * num_targets,
        "mean": [0.0],
        "std": [1.0],
        "axes": ["time"],
        "counts": {"train": {"samples": len(np.load(files["y"]["train"]))}},
        "augment": {"flip": [], "shift": 0},
        "checksums": {},
    }
    write_json(folder / "card.json", card)
    return files


@pytest.mark.parametrize("num_targets", [1, 2])
def test_a_local_net_learns_targets_of_signals(tmp_path, num_targets):
    files = write_signals(tmp_path, num_targets)
    subdomain = Subdomain("signals", "whole", "0", "vgg-w4", "vgg", 4, 0.0, 0)
    settings = Settings(25, 16, "adamw", 0.01, 0.01)
    labels = {s: files["y"][s] for s in ("train", "val")}
    tiles = tmp_path / "tiles"
    write_shards(Tiling.whole(1), files["x"], tiles / "signals/whole/plan.json")
    train_local([subdomain], tiles, labels, tmp_path / "card.json", settings, [tmp_path])
    arrays, true = read_npz(tmp_path / "probabilities.npz"), np.load(files["y"]["test"])
    assert set(arrays) == {"train", "val", "test", "seconds"}  # no logits of targets
    predicted = arrays["test"]
    assert predicted.shape == true.shape == (40, num_targets)
    assert predicted.dtype == np.float32
    assert scores.r2(predicted, true) > 0.8
    metrics = read_json(tmp_path / "metrics.json")
    with (tmp_path / "history.csv").open() as file:
        last = list(csv.DictReader(file))[-1]
    assert metrics["r2_val"] == float(last["r2_val"])
    assert "accuracy_val" not in metrics


def test_a_regression_goes_on_with_the_same_bits_after_an_interruption(tmp_path):
    """The sums of an epoch in hand are floats here, and survive a checkpoint in mid-epoch."""
    from ddcnn.training.checkpoint import Checkpoint

    x, y = torch.from_numpy(normal(64, 5)), torch.from_numpy(normal(64, 1, seed=3))
    samples, task = Features(x, y), Regression((0.0,), (1.0,))
    settings = Settings(3, 8, "adamw", 0.01, 0.01)

    def trained(stop_after: int | None, folder: Path) -> tuple[bytes, list]:
        torch.manual_seed(1)
        net, saves = nn.Linear(5, 1), 0
        checkpoint = Checkpoint(folder / "checkpoint.pt", "same", 1e-9)
        save = checkpoint.save

        def counted(state: dict) -> None:
            nonlocal saves
            save(state)
            saves += 1
            if saves == stop_after:
                raise KeyboardInterrupt

        checkpoint.save = counted
        progress = run(training(net, samples, samples, settings, 0, DEVICE, checkpoint, task))
        history = [{k: v for k, v in row.items() if k != "seconds"} for row in progress.history]
        return net.weight.detach().numpy().tobytes(), history

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    undisturbed = trained(None, tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        trained(12, tmp_path / "b")
    assert trained(None, tmp_path / "b") == undisturbed
