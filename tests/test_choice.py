"""Which epoch a training keeps, when it ends early, and nets that learn from validation, too."""

import copy
import csv
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

from ddcnn.training.checkpoint import Checkpoint
from ddcnn.training.choice import best_epoch
from ddcnn.training.loop import Progress, run, training, training_metrics
from ddcnn.training.samples import Images
from ddcnn.training.settings import Settings
from test_training import (
    DEVICE,
    SETTINGS,
    STEPS,
    Job,
    KillAt,
    Recorded,
    make_images,
    make_net,
    metrics,
    same_weights,
    train,
    without_seconds,
)

LONG = replace(SETTINGS, epochs=8, learning_rate=0.4)
BEST = replace(LONG, weights="best")


def hard_images(num_images: int, seed: int) -> Images:
    """A third of the labels is wrong: who learns these by heart becomes worse elsewhere."""
    images = make_images(num_images, seed=seed)
    images.labels[::3] = (images.labels[::3] + 1) % 3
    return images


def train_hard(settings: Settings, **more) -> tuple[nn.Module, Progress]:
    net, val = more.pop("net", None) or make_net(dropout=0.3), hard_images(30, seed=1)
    samples = more.pop("samples", None) or hard_images(35, seed=0)
    return net, run(training(net, samples, val, settings, 0, DEVICE, **more))


def plain_validation_loss(net: nn.Module, val: Images) -> float:
    net.eval()
    with torch.no_grad():
        x = (val.pixels.float() / 255 - 0.25) / 0.2
        return nn.functional.cross_entropy(net(x.permute(0, 3, 1, 2)), val.labels).item()


def test_the_best_weights_are_those_of_a_plain_loop(monkeypatch):
    monkeypatch.setattr("ddcnn.nets.kernels.suitable.kernels", lambda: None)
    samples = Recorded(hard_images(35, seed=0))
    net, progress = train_hard(BEST, net=make_net(), samples=samples)

    plain, val, states, losses = make_net(), hard_images(30, seed=1), [], []
    optimizer = torch.optim.SGD(
        plain.parameters(), lr=0.4, momentum=0.9, nesterov=True, weight_decay=1e-3
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.4, total_steps=8 * STEPS, cycle_momentum=False
    )
    for epoch in range(8):
        plain.train()
        for batch in samples.batches[epoch * STEPS : (epoch + 1) * STEPS]:
            x = (samples.samples.pixels[batch].float() / 255 - 0.25) / 0.2
            loss = nn.functional.cross_entropy(plain(x.permute(0, 3, 1, 2)), samples.labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        losses.append(plain_validation_loss(plain, val))
        states.append(copy.deepcopy(plain.state_dict()))
    best = int(np.argmin(losses))
    assert 0 < best < 7  # neither the first nor the last, which mistakes would take as well
    assert best_epoch(progress.history) == best + 1
    for name, value in states[best].items():
        torch.testing.assert_close(net.state_dict()[name], value, rtol=1e-3, atol=1e-4)


def test_a_kept_epoch_has_the_loss_that_its_row_says():
    net, progress = train_hard(BEST)
    losses = [row["loss_val"] for row in progress.history]
    assert losses.index(min(losses)) < 7
    assert plain_validation_loss(net, hard_images(30, seed=1)) == pytest.approx(min(losses))
    last, _ = train_hard(LONG)
    assert plain_validation_loss(last, hard_images(30, seed=1)) == pytest.approx(losses[-1])
    found = training_metrics(net, (8, 8, 1), progress, BEST, 35, DEVICE)
    assert (found["epochs"], found["steps"]) == (8, 8 * STEPS)
    assert found["kept_epoch"] == losses.index(min(losses)) + 1
    assert found["loss_val"] == min(losses)


def epochs_with_patience(losses: list[float], patience: int) -> int:
    """Counted as a person would."""
    best, waited = float("inf"), 0
    for epoch, loss in enumerate(losses, start=1):
        if loss < best:
            best, waited = loss, 0
        else:
            waited += 1
        if waited == patience:
            return epoch
    return len(losses)


@pytest.mark.parametrize("weights", ["last", "best"])
@pytest.mark.parametrize("patience", [1, 2, 3])
def test_a_training_ends_when_patience_does_and_is_the_same_until_then(patience, weights):
    _, whole = train_hard(LONG)
    expected = epochs_with_patience([row["loss_val"] for row in whole.history], patience)
    net, short = train_hard(replace(LONG, patience=patience, weights=weights))
    assert len(short.history) == expected
    assert without_seconds(short) == without_seconds(whole)[:expected]
    kept = best_epoch(short.history) if weights == "best" else expected
    loss = short.history[kept - 1]["loss_val"]
    assert plain_validation_loss(net, hard_images(30, seed=1)) == pytest.approx(loss)


def test_patience_ends_some_of_these_trainings_early():
    _, whole = train_hard(LONG)
    losses = [row["loss_val"] for row in whole.history]
    assert epochs_with_patience(losses, 1) < epochs_with_patience(losses, 3) <= 8


@pytest.mark.parametrize("settings", [BEST, replace(BEST, patience=3), replace(LONG, patience=2)])
def test_killed_after_any_epoch_it_ends_with_the_same_bits(settings, tmp_path):
    undisturbed, history = train_hard(settings)
    num_steps = len(history.history) * STEPS
    for steps in range(STEPS, num_steps + STEPS, STEPS):
        path = tmp_path / f"{steps}.pt"
        killed = Recorded(hard_images(35, seed=0), steps_until_killed=steps)
        if steps < num_steps:
            with pytest.raises(KeyboardInterrupt):
                train_hard(settings, samples=killed, checkpoint=Checkpoint(path, "same"))
        else:  # after the last epoch
            train_hard(settings, samples=killed, checkpoint=Checkpoint(path, "same"))
        again = Recorded(hard_images(35, seed=0))
        net, progress = train_hard(settings, samples=again, checkpoint=Checkpoint(path, "same"))
        assert len(again.batches) == num_steps - steps
        assert same_weights(net, undisturbed)
        assert without_seconds(progress) == without_seconds(history)


def test_by_default_nothing_is_kept_beside_the_last_epoch():
    _, progress = train(make_images())
    assert progress.kept == {}


# Nets that learn from the validation split, too


class JoinedJob(Job):
    """A job whose training split is training and validation split of another one's."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        shards = self.subdomain.shards(folder / "tiles", {})
        for train_file, val in (
            (shards["train"][0], shards["val"][0]),
            (folder / "y_train.npy", folder / "y_val.npy"),
        ):
            np.save(train_file, np.concatenate([np.load(train_file), np.load(val)]))


def arrays(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "probabilities.npz") as found:
        return {name: found[name] for name in found.files if name != "seconds"}


def test_a_refitted_net_is_one_of_both_splits_and_decides_on_test_alone(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    job, joined = Job(tmp_path / "a"), JoinedJob(tmp_path / "b")
    first, second, out = job.train("first"), joined.train("second"), tmp_path / "a" / "refitted"
    job.train_all([job.subdomain], [out], SETTINGS, refit=True)
    weights = (out / "model.safetensors").read_bytes()
    assert weights == (second / "model.safetensors").read_bytes()
    assert weights != (first / "model.safetensors").read_bytes()
    found, of_first, of_second = arrays(out), arrays(first), arrays(second)
    for name in found:
        reference = of_second if name.startswith("test") else of_first
        np.testing.assert_array_equal(found[name], reference[name])
    assert (out / "history.csv").read_text().count("\n") == 1 + SETTINGS.epochs
    rows = [list(csv.DictReader((each / "history.csv").open())) for each in (out, first)]
    assert [row["loss_val"] for row in rows[0]] == [row["loss_val"] for row in rows[1]]
    said, alone = metrics(out), metrics(second)
    assert said["images"] == 35
    refit = said["refit"]
    assert (refit["images"], refit["epoch"], refit["step"]) == (47, 3, alone["steps"])
    assert refit["loss_train"] == alone["loss_train"]
    assert said["train_seconds"] > refit["train_seconds"] > 0
    assert sorted(file.name for file in out.iterdir()) == sorted(f.name for f in first.iterdir())


def test_a_job_killed_in_the_second_training_goes_on_there(tmp_path, caplog):
    job, out, whole = Job(tmp_path), tmp_path / "killed", tmp_path / "whole"
    settings = replace(SETTINGS, epochs=2)
    job.train_all([job.subdomain], [whole], settings, refit=True)

    class KillAtSecond(KillAt):
        """At the first epoch of the second training."""

        seen = 0

        def emit(self, record):
            self.seen += record.getMessage().startswith(self.words)
            if self.seen == 2:
                raise KeyboardInterrupt

    logger, handler = logging.getLogger("ddcnn.training.loop"), KillAtSecond("epoch 1/2")
    caplog.set_level(logging.INFO)
    logger.addHandler(handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            job.train_all([job.subdomain], [out], settings, refit=True)
    finally:
        logger.removeHandler(handler)
    assert {file.name for file in out.iterdir()} == {"checkpoint.pt", "refit.checkpoint.pt"}
    caplog.clear()
    job.train_all([job.subdomain], [out], settings, refit=True)
    epochs = [r.getMessage()[:9] for r in caplog.records if r.getMessage().startswith("epoch ")]
    assert epochs == ["epoch 2/2"]
    for name in ("model.safetensors", "probabilities.npz"):
        one, other = (load(folder / name) for folder in (out, whole))
        assert all(np.array_equal(one[key], other[key]) for key in one if key != "seconds")
    assert not list(out.glob("*checkpoint*"))


def load(path: Path) -> dict[str, np.ndarray]:
    return arrays(path.parent) if path.suffix == ".npz" else load_file(path)


def test_tiles_of_a_pack_are_refitted_as_alone(tmp_path):
    job = Job(tmp_path)
    tiles = [job.subdomain, replace(job.subdomain, tile="0-1")]
    alone = [tmp_path / f"alone{i}" for i in range(2)]
    packed = [tmp_path / f"packed{i}" for i in range(2)]
    for tile, out in zip(tiles, alone, strict=True):
        job.train_all([tile], [out], SETTINGS, refit=True)
    job.train_all(tiles, packed, SETTINGS, refit=True)
    for one, other in zip(alone, packed, strict=True):
        assert (one / "model.safetensors").read_bytes() == (
            other / "model.safetensors"
        ).read_bytes()
        assert not list(other.glob("*checkpoint*"))
