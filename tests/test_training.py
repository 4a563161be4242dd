"""The training loop: against a plain loop, and interrupted in every way."""

import contextlib
import csv
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn
from torch.nn import functional as F

from ddcnn import nets
from ddcnn.base.errors import InputError
from ddcnn.base.process import JobClock, own_seconds
from ddcnn.base.tasks import Classification
from ddcnn.local.stage import train_local
from ddcnn.local.subdomain import Subdomain
from ddcnn.nets.layers import Layers
from ddcnn.training.checkpoint import Checkpoint
from ddcnn.training.device import Device, choose_device
from ddcnn.training.loop import Progress, make_optimizer, run, training, training_metrics
from ddcnn.training.prediction import evaluate, predict_logits
from ddcnn.training.samples import Features, Images, Random, generator_of
from ddcnn.training.schedule import one_cycle
from ddcnn.training.settings import Settings
from ddcnn.training.steps import Step, lay_channels_last
from ddcnn.training.together import Member, Stack

DEVICE = choose_device(gpus=0, threads=1)
SETTINGS = Settings(
    epochs=3, batch_size=8, optimizer="sgd", learning_rate=0.1, weight_decay=1e-3, momentum=0.9
)
STEPS = 4  # of an epoch of the 35 images below: the three left over wait for the next epoch


def make_images(num_images: int = 35, augment: bool = False, seed: int = 0) -> Images:
    """Three classes of noise, each with a bright row of its own."""
    rng = np.random.default_rng(seed)
    labels = np.arange(num_images) % 3
    pixels = rng.integers(0, 100, (num_images, 8, 8, 1), dtype=np.uint8)
    pixels[np.arange(num_images), 1 + 2 * labels] += 100
    return Images(
        torch.from_numpy(pixels),
        torch.from_numpy(labels),
        mean=[0.25],
        std=[0.2],
        flip=[1] if augment else [],
        shift=1 if augment else 0,
    )


def make_net(dropout: float = 0.0, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nets.build("vgg", (8, 8, 1), classes=3, width=4, dropout=dropout)


def train(samples, settings=SETTINGS, *, net=None, seed=0, checkpoint=None):
    """The trained net and its progress."""
    net = net or make_net()
    return net, run(
        training(net, samples, make_images(12, seed=1), settings, seed, DEVICE, checkpoint)
    )


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def without_seconds(progress: Progress) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in progress.history]


class Recorded:
    """Samples that note which ones were asked for, and can break off like a killed process."""

    def __init__(self, samples: Images, steps_until_killed: int | None = None):
        self.samples, self.labels = samples, samples.labels
        self.batches: list[torch.Tensor] = []
        self.steps_until_killed = steps_until_killed

    def __len__(self):
        return len(self.samples)

    def inputs(self, index: torch.Tensor) -> torch.Tensor:
        return self.samples.inputs(index)

    def training_inputs(self, index: torch.Tensor, random: Random) -> torch.Tensor:
        if len(self.batches) == self.steps_until_killed:
            raise KeyboardInterrupt
        self.batches.append(index)
        return self.samples.training_inputs(index, random)


# The loop against a plain one


def plain_loop(net: nn.Module, samples: Images, batches: list, settings: Settings) -> list[float]:
    """Losses of all steps with torch's own optimizer and schedule."""
    if settings.optimizer == "sgd":
        optimizer = torch.optim.SGD(
            net.parameters(),
            lr=settings.learning_rate,
            momentum=settings.momentum,
            nesterov=True,
            weight_decay=settings.weight_decay,
        )
    else:
        optimizer = torch.optim.AdamW(
            net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=len(batches), cycle_momentum=False
    )
    criterion = nn.CrossEntropyLoss(label_smoothing=settings.label_smoothing)
    losses = []
    for batch in batches:
        x = (samples.pixels[batch].float() / 255 - 0.25) / 0.2
        loss = criterion(net(x.permute(0, 3, 1, 2)), samples.labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"label_smoothing": 0.1},
        {"optimizer": "adamw", "learning_rate": 0.01, "weight_decay": 0.1},
    ],
    ids=["sgd", "label smoothing", "adamw"],
)
def test_training_has_the_losses_of_a_plain_loop(changes, monkeypatch):
    # The same layers in both loops: AdamW makes much of a rounding error in a small gradient.
    monkeypatch.setattr("ddcnn.nets.kernels.suitable.kernels", lambda: None)
    settings = replace(SETTINGS, **changes)
    plain_net = make_net()
    samples = Recorded(make_images())
    net, progress = train(samples, settings)
    losses = plain_loop(plain_net, make_images(), samples.batches, settings)
    assert len(losses) == 3 * STEPS
    epochs = np.reshape(losses, (3, STEPS)).mean(axis=1)
    measured = [row["loss_train"] for row in progress.history]
    np.testing.assert_allclose(measured, epochs, rtol=1e-5)
    for name, value in plain_net.state_dict().items():
        torch.testing.assert_close(net.state_dict()[name], value, rtol=1e-4, atol=1e-5)


def test_an_epoch_takes_whole_batches_of_different_samples_in_another_order_each_time():
    samples = Recorded(make_images())
    train(samples)
    epochs = torch.stack(samples.batches).reshape(3, -1)
    assert epochs.shape == (3, STEPS * 8)
    assert all(len(set(epoch.tolist())) == STEPS * 8 for epoch in epochs)
    assert len({tuple(epoch.tolist()) for epoch in epochs}) == 3


def test_a_batch_larger_than_the_data_is_all_the_data():
    samples = Recorded(make_images())
    train(samples, replace(SETTINGS, batch_size=1000, epochs=2))
    assert [sorted(batch.tolist()) for batch in samples.batches] == [list(range(35))] * 2


def test_the_nets_learn_what_is_easy():
    net, progress = train(make_images(120), replace(SETTINGS, epochs=6))
    assert progress.history[-1]["accuracy_val"] > 0.9
    assert evaluate(net, make_images(60, seed=2))[1] > 0.9


@pytest.mark.parametrize("num_steps", [1, 2, 3, 4, 7, 10, 100, 333])
def test_the_learning_rate_is_that_of_torch_s_one_cycle(num_steps):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.3, total_steps=num_steps)
    expected = []
    for step in range(num_steps):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step + 1 < num_steps:
            schedule.step()
    rates = [one_cycle(step, num_steps, 0.3) for step in range(num_steps)]
    np.testing.assert_allclose(rates, expected, rtol=1e-9)


def test_the_history_describes_every_epoch():
    net, progress = train(make_images())
    assert [row["epoch"] for row in progress.history] == [1, 2, 3]
    assert [row["step"] for row in progress.history] == [STEPS, 2 * STEPS, 3 * STEPS]
    val = make_images(12, seed=1)
    logits = predict_logits(net, val, batch_size=5)
    last = progress.history[-1]
    assert last["loss_val"] == pytest.approx(F.cross_entropy(logits, val.labels).item(), rel=1e-5)
    assert last["accuracy_val"] == (logits.argmax(1) == val.labels).double().mean().item()
    seconds = [row["seconds"] for row in progress.history]
    assert seconds == sorted(seconds)
    assert progress.seconds == seconds[-1] > 0


# Determinism


def test_the_same_seed_gives_the_same_bits_and_another_seed_others():
    settings = replace(SETTINGS, epochs=2)
    runs = [
        train(make_images(augment=True), settings, net=make_net(dropout=0.5), seed=seed)
        for seed in (3, 3, 4)
    ]
    (net, progress), (same, same_progress), (other, _) = runs
    assert same_weights(net, same)
    assert without_seconds(progress) == without_seconds(same_progress)
    assert not same_weights(net, other)


def test_order_and_augmentation_depend_on_the_seed_alone():
    settings = replace(SETTINGS, epochs=2)
    nets = []
    for drawn_before in (0, 7):
        net = make_net()
        torch.rand(drawn_before)
        nets.append(train(make_images(augment=True), settings, net=net)[0])
    assert same_weights(*nets)


# An interrupted training


@pytest.fixture(scope="module")
def undisturbed():
    return train(make_images(augment=True), net=make_net(dropout=0.5))


@pytest.mark.parametrize("every_seconds", [0.0, 1e-9], ids=["every epoch", "every step"])
@pytest.mark.parametrize("steps", [1, STEPS - 1, STEPS, STEPS + 2, 3 * STEPS - 1])
def test_a_killed_training_ends_with_the_bits_of_an_undisturbed_one(
    steps, every_seconds, tmp_path, undisturbed
):
    def checkpoint() -> Checkpoint:
        return Checkpoint(tmp_path / "checkpoint.pt", "the same", every_seconds)

    killed = Recorded(make_images(augment=True), steps_until_killed=steps)
    with pytest.raises(KeyboardInterrupt):
        train(killed, net=make_net(dropout=0.5), checkpoint=checkpoint())
    # The new process has other weights and another random state, until it reads the checkpoint.
    again = Recorded(make_images(augment=True))
    net, progress = train(again, net=make_net(dropout=0.5, seed=9), checkpoint=checkpoint())
    saved = steps if every_seconds else steps // STEPS * STEPS
    if saved:
        assert progress.resumed == [{"epoch": saved // STEPS, "step": saved % STEPS}]
        assert len(again.batches) == 3 * STEPS - saved
        assert same_weights(net, undisturbed[0])
        assert without_seconds(progress) == without_seconds(undisturbed[1])
    else:
        assert progress.resumed == []
        assert len(again.batches) == 3 * STEPS


def test_a_training_killed_many_times_still_ends_with_the_same_bits(tmp_path, undisturbed):
    for killed in range(3 * STEPS // 2):
        samples = Recorded(make_images(augment=True), steps_until_killed=2)
        net = make_net(dropout=0.5, seed=killed)
        checkpoint = Checkpoint(tmp_path / "checkpoint.pt", "the same", 1e-9)
        with contextlib.suppress(KeyboardInterrupt):
            _, progress = train(samples, net=net, checkpoint=checkpoint)
    assert len(progress.resumed) == 3 * STEPS // 2 - 1
    assert same_weights(net, undisturbed[0])
    assert without_seconds(progress) == without_seconds(undisturbed[1])


def test_a_training_killed_after_its_last_epoch_is_not_repeated(tmp_path, undisturbed):
    def checkpoint() -> Checkpoint:
        return Checkpoint(tmp_path / "checkpoint.pt", "the same")

    train(make_images(augment=True), net=make_net(dropout=0.5), checkpoint=checkpoint())
    again = Recorded(make_images(augment=True))
    net, progress = train(again, net=make_net(seed=9), checkpoint=checkpoint())
    assert again.batches == []
    assert same_weights(net, undisturbed[0])
    assert without_seconds(progress) == without_seconds(undisturbed[1])


def test_the_log_says_where_a_training_goes_on(tmp_path, caplog):
    caplog.set_level(logging.INFO, "ddcnn")
    for steps_until_killed in (2 * STEPS, None):
        samples = Recorded(make_images(), steps_until_killed)
        caplog.clear()
        with contextlib.suppress(KeyboardInterrupt):
            train(samples, checkpoint=Checkpoint(tmp_path / "checkpoint.pt", "the same"))
    # Before it, the first training of a process says which kernels it computes with.
    resumed, epoch = caplog.messages[-2:]
    assert "resumed after epoch 2" in resumed
    assert epoch.startswith("epoch 3/3: loss ")


def test_a_checkpoint_of_another_training_is_not_used(tmp_path, caplog):
    caplog.set_level(logging.INFO, "ddcnn")
    with pytest.raises(KeyboardInterrupt):
        train(
            Recorded(make_images(), steps_until_killed=STEPS + 1),
            checkpoint=Checkpoint(tmp_path / "checkpoint.pt", "settings, data and code"),
        )
    net, progress = train(
        make_images(), checkpoint=Checkpoint(tmp_path / "checkpoint.pt", "other settings")
    )
    assert progress.resumed == []
    assert "starting from the beginning" in caplog.text
    assert same_weights(net, train(make_images())[0])


def test_a_damaged_checkpoint_is_said_and_not_used(tmp_path, caplog):
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(KeyboardInterrupt):
        train(Recorded(make_images(), STEPS + 1), checkpoint=Checkpoint(path, "the same"))
    path.write_bytes(path.read_bytes()[:-1000])
    net, progress = train(make_images(), checkpoint=Checkpoint(path, "the same"))
    assert progress.resumed == []
    assert "is damaged" in caplog.text
    assert same_weights(net, train(make_images())[0])


# Images


@pytest.mark.parametrize("shape", [(5, 4, 3), (4, 3, 5, 1)], ids=str)
def test_images_are_normalised_per_channel_and_channels_come_first(shape):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (6, *shape), dtype=np.uint8)
    mean, std = [0.1, 0.2, 0.3][: shape[-1]], [0.5, 0.6, 0.7][: shape[-1]]
    images = Images(torch.from_numpy(pixels), torch.arange(6), mean, std)
    x = images.inputs(torch.tensor([4, 0]))
    expected = np.moveaxis((pixels[[4, 0]] / 255 - mean) / std, -1, 1)
    assert x.dtype == torch.float32
    np.testing.assert_allclose(x.numpy(), expected, atol=1e-5)


def raw_images(pixels: np.ndarray, **augment) -> Images:
    """Images whose inputs are the pixels' own values, and the labels their index."""
    channels = pixels.shape[-1]
    return Images(
        torch.from_numpy(pixels),
        torch.arange(len(pixels)),
        mean=[0.0] * channels,
        std=[1 / 255] * channels,
        **augment,
    )


def augmented(images: Images, seed: int = 0) -> np.ndarray:
    index = torch.arange(len(images.labels))
    x = images.training_inputs(index, lambda: torch.Generator().manual_seed(seed))
    return x.movedim(1, -1).round().numpy().astype(np.uint8)


def shifted(image: np.ndarray, moves: tuple[int, ...]) -> np.ndarray:
    """Plain loop: every pixel from ``moves`` further on, edges repeated."""
    out = np.empty_like(image)
    for target in np.ndindex(*image.shape[:-1]):
        source = [
            min(max(t + m, 0), n - 1)
            for t, m, n in zip(target, moves, image.shape[:-1], strict=True)
        ]
        out[target] = image[tuple(source)]
    return out


@pytest.mark.parametrize("shape", [(4, 5, 2), (3, 4, 5, 1)], ids=str)
def test_a_flip_mirrors_about_half_of_the_images_along_its_axis_and_no_other(shape):
    pixels = np.random.default_rng(0).integers(0, 256, (200, *shape), dtype=np.uint8)
    for axis in range(len(shape) - 1):
        results = augmented(raw_images(pixels, flip=[axis]))
        mirrored = 0
        for image, result in zip(pixels, results, strict=True):
            turned = np.array_equal(result, np.flip(image, axis))
            assert turned or np.array_equal(result, image)
            mirrored += turned
        assert 60 < mirrored < 140


@pytest.mark.parametrize("shape", [(4, 5, 2), (3, 4, 5, 1)], ids=str)
def test_shifts_move_every_image_by_its_own_whole_pixels_with_repeated_edges(shape):
    pixels = np.random.default_rng(0).integers(0, 256, (150, *shape), dtype=np.uint8)
    seen = set()
    for image, result in zip(pixels, augmented(raw_images(pixels, shift=1)), strict=True):
        moves = [
            each for each in np.ndindex(*[3] * (len(shape) - 1))
            if np.array_equal(shifted(image, tuple(m - 1 for m in each)), result)
        ]  # fmt: skip
        assert len(moves) == 1
        seen.add(moves[0])
    assert len(seen) == 3 ** (len(shape) - 1)  # all of -1, 0, +1 on every axis


def test_augmentation_depends_on_the_generator_alone_and_leaves_the_data_as_they_are():
    pixels = np.random.default_rng(0).integers(0, 256, (30, 6, 6, 1), dtype=np.uint8)
    images = raw_images(pixels.copy(), flip=[0, 1], shift=2)
    np.testing.assert_array_equal(augmented(images, seed=1), augmented(images, seed=1))
    assert not np.array_equal(augmented(images, seed=1), augmented(images, seed=2))
    np.testing.assert_array_equal(images.pixels.numpy(), pixels)


def test_without_augmentation_training_inputs_are_the_inputs():
    images, index = make_images(), torch.tensor([2, 0, 1])
    assert torch.equal(images.training_inputs(index, torch.Generator), images.inputs(index))
    features = Features(torch.randn(3, 4), torch.arange(3))
    assert torch.equal(features.training_inputs(index, torch.Generator), features.values[index])


# The jobs train_local and train_coarse


class Job:
    """The files of one tile, and what its job makes of them."""

    def __init__(self, folder: Path, net: str = "vgg"):
        self.folder = folder
        self.subdomain = Subdomain("d", "blocks-2x2-overlap0", "0-0", f"{net}-w8", net, 4, 0.2, 0)
        samples = {"train": make_images(), "val": make_images(12, seed=1), "test": make_images(9)}
        for tile in ("0-0", "0-1"):
            shards = replace(self.subdomain, tile=tile).shards(folder / "tiles", {})
            for split, (shard,) in shards.items():
                shard.parent.mkdir(parents=True, exist_ok=True)
                np.save(shard, samples[split].pixels.numpy() + (tile == "0-1"))
                np.save(folder / f"y_{split}.npy", samples[split].labels.numpy())
        card = {"classes": ["a", "b", "c"], "mean": [0.25], "std": [0.2], "checksums": {}}
        card |= {"axes": ["row", "column"], "augment": {"flip": ["column"], "shift": 1}}
        card |= {"counts": {"train": {"all": len(samples["train"])}}}
        (folder / "card.json").write_text(json.dumps(card))

    def train(self, name: str, settings: Settings = SETTINGS, code: str = "") -> Path:
        out = self.folder / name
        self.train_all([self.subdomain], [out], settings, code)
        return out

    def train_all(
        self,
        subdomains: list[Subdomain],
        out: list[Path],
        settings: Settings,
        code: str = "",
        every: float = 0.0,
        refit: bool = False,
    ) -> None:
        labels = {split: self.folder / f"y_{split}.npy" for split in ("train", "val")}
        card = self.folder / "card.json"
        train_local(
            *(subdomains, self.folder / "tiles", labels, card, settings, out),
            code=code,
            checkpoint_seconds=every,
            refit=refit,
        )


class KillAt(logging.Handler):
    """Break off when the log says so."""

    def __init__(self, words: str):
        super().__init__()
        self.words = words

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith(self.words):
            raise KeyboardInterrupt


def kill_after_first_epoch(job: Job, name: str, **arguments) -> None:
    logger, handler = logging.getLogger("ddcnn.training.loop"), KillAt("epoch 1/3")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            job.train(name, **arguments)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def metrics(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


def test_a_local_job_writes_weights_history_and_metrics(tmp_path):
    job = Job(tmp_path)
    out = job.train("out")
    assert {file.name for file in out.iterdir()} == {
        "model.safetensors",
        "history.csv",
        "metrics.json",
        "probabilities.npz",
    }
    rows = list(csv.DictReader((out / "history.csv").open()))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3]
    found = metrics(out)
    assert found["input_shape"] == [8, 8, 1]
    assert (found["epochs"], found["steps"], found["images"]) == (3, 3 * STEPS, 35)
    assert found["accuracy_val"] == float(rows[-1]["accuracy_val"])
    assert found["resumed"] == []
    assert load_file(out / "model.safetensors")["classifier.weight"].shape == (3, 16)


@pytest.mark.parametrize("net", ["vgg", "gru"])
def test_a_killed_local_job_goes_on_and_writes_the_same_weights(tmp_path, net):
    job = Job(tmp_path, net)
    weights = (job.train("undisturbed") / "model.safetensors").read_bytes()
    kill_after_first_epoch(job, "killed")
    out = job.train("killed")
    assert metrics(out)["resumed"] == [{"epoch": 1, "step": 0}]
    assert (out / "model.safetensors").read_bytes() == weights
    assert not (out / "checkpoint.pt").exists()


def test_another_time_between_checkpoints_drops_no_checkpoint(tmp_path):
    job = Job(tmp_path)
    kill_after_first_epoch(job, "killed")
    job.train_all([job.subdomain], [tmp_path / "killed"], SETTINGS, every=3600.0)
    assert metrics(tmp_path / "killed")["resumed"] == [{"epoch": 1, "step": 0}]


@pytest.mark.parametrize(
    "arguments",
    [{"code": "edited"}, {"settings": replace(SETTINGS, learning_rate=0.2)}],
    ids=["code", "settings"],
)
def test_after_a_change_a_killed_local_job_starts_from_the_beginning(tmp_path, arguments):
    job = Job(tmp_path)
    kill_after_first_epoch(job, "killed")
    out = job.train("killed", **arguments)
    assert metrics(out)["resumed"] == []
    expected = job.train("undisturbed", **arguments) / "model.safetensors"
    assert (out / "model.safetensors").read_bytes() == expected.read_bytes()


def test_augmentation_acts_only_where_it_is_asked_for(tmp_path):
    job = Job(tmp_path)
    plain, augmented_ = (job.train(str(on), replace(SETTINGS, augment=on)) for on in (False, True))
    assert (plain / "model.safetensors").read_bytes() != (
        augmented_ / "model.safetensors"
    ).read_bytes()
    card = json.loads((tmp_path / "card.json").read_text())
    card["augment"] = {"flip": [], "shift": 0}
    (tmp_path / "card.json").write_text(json.dumps(card))
    forbidden = job.train("forbidden", replace(SETTINGS, augment=True))
    assert (plain / "model.safetensors").read_bytes() == (
        forbidden / "model.safetensors"
    ).read_bytes()


def test_local_probabilities_are_the_softmax_of_the_trained_net(tmp_path):
    out = Job(tmp_path).train("out")
    net = make_net(seed=5)
    weights = load_file(out / "model.safetensors")
    net.load_state_dict({k: torch.from_numpy(v) for k, v in weights.items()})
    with np.load(out / "probabilities.npz") as p:
        assert p["train"].dtype == np.float32
        assert p["test"].shape == (9, 3)
        for split, samples in (("train", make_images()), ("val", make_images(12, seed=1))):
            x = (samples.pixels.float() / 255 - 0.25).permute(0, 3, 1, 2) / 0.2
            with torch.no_grad():
                logits = net.eval()(x)
            np.testing.assert_allclose(p[split], logits.softmax(1).numpy(), atol=1e-5)
            np.testing.assert_allclose(p[f"{split}_logits"], logits.numpy(), atol=1e-5)
        accuracy = (p["val"].argmax(1) == np.arange(12) % 3).mean()
    assert metrics(out)["accuracy_val"] == pytest.approx(accuracy)


# Precision and memory


def test_bfloat16_trains_other_numbers_to_the_same_end_and_weights_stay_float32():
    exact, rounded = make_net(seed=5), make_net(seed=5)
    settings = replace(SETTINGS, epochs=12)
    losses = []
    for net, precision in ((exact, "auto"), (rounded, "bfloat16")):
        _, progress = train(make_images(), replace(settings, precision=precision), net=net)
        losses.append([row["loss_train"] for row in progress.history])
    assert {weight.dtype for weight in rounded.parameters()} == {torch.float32}
    assert losses[0] != losses[1]
    # Later epochs are those of another path to the end.
    np.testing.assert_allclose(losses[0][:4], losses[1][:4], rtol=0.1)
    assert losses[1][-1] < 0.1 * losses[1][0]


@pytest.mark.parametrize("shape", [(24, 1), (12, 10, 1), (8, 8, 6, 1)])
def test_on_a_gpu_weights_of_any_number_of_axes_lie_channels_last(shape):
    """The weights stay on the CPU here; how they are laid out does not depend on that."""
    net = nets.build("vgg", shape, 3, 8)
    before = [weight.clone() for weight in net.parameters()]
    gpu = Device(torch.device("cuda", 0), "no such GPU", 1)
    lay_channels_last(net, gpu)
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for weight, same in zip(net.parameters(), before, strict=True):
        assert torch.equal(weight, same)
        if weight.ndim in formats:
            assert weight.is_contiguous(memory_format=formats[weight.ndim])
    net(torch.randn(2, *shape).movedim(-1, 1)).sum().backward()


def test_memory_that_is_given_back_is_not_mapped_anew():
    """Page faults where the same tensors are made again and again, in processes of their own."""
    program = """if True:
        import resource, sys, torch
        from ddcnn.training.device import choose_device
        if sys.argv[1] == "kept":
            choose_device(gpus=0, threads=1)
        faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        def use():
            tensors = [torch.zeros(2**22) for _ in range(8)]  # 16 MiB each, as in a step
        for _ in range(5):
            use()
        before = faults()
        for _ in range(5):
            use()
        print(faults() - before)
    """
    # glibc's own first threshold, which it moves in the course of a process, mostly.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(2**17)}
    found = {}
    for how in ("kept", "given back"):
        command = [sys.executable, "-c", program, how]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        found[how] = int(done.stdout)
    assert found["kept"] < 0.2 * found["given back"]


def test_a_job_knows_how_long_its_process_lives():
    """Between what the process has slept and what its parent has waited, to a hundredth."""
    program = """if True:
        import time
        from ddcnn.base.process import JobClock, own_seconds
        time.sleep(1.5)
        clock = JobClock()
        clock.ready()
        print(clock.metrics()["start_seconds"])
    """
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    waited = time.perf_counter() - begin
    assert 1.5 <= float(done.stdout) <= waited + 0.01


def test_what_the_first_step_sets_up_is_no_training_time():
    class Slow(nn.Linear):
        """Half a second for what a library does once."""

        is_new = True

        def forward(self, x):
            if self.is_new and self.training:
                time.sleep(0.5)
                self.is_new = False
            return super().forward(x)

    samples = Features(torch.randn(32, 2), torch.arange(32) % 2)
    progress = run(training(Slow(2, 2), samples, samples, SETTINGS, 0, DEVICE))
    assert progress.first_steps == 1
    assert progress.first_seconds >= 0.5
    shape, place = (2,), (SETTINGS, 32, DEVICE)
    found = training_metrics(nn.Linear(2, 2), shape, progress, *place)
    # 12 steps: the first one counts as the mean of the others.
    usual = (progress.seconds - progress.first_seconds) / 11
    assert found["train_seconds"] == pytest.approx(12 * usual, abs=1e-4)
    assert found["setup_seconds"] == pytest.approx(progress.first_seconds - usual, abs=1e-4)
    total = progress.history[-1]["seconds"]
    assert found["train_seconds"] + found["setup_seconds"] == pytest.approx(total, abs=2e-4)


def test_a_training_of_one_step_is_that_step():
    progress = Progress(seconds=2.0, first_steps=1, first_seconds=2.0, history=[{"step": 1}])
    assert progress.setup_seconds == 0
    # A first step faster than the others set nothing up.
    progress = Progress(seconds=9.0, first_steps=1, first_seconds=1.0, history=[{"step": 3}])
    assert progress.setup_seconds == 0
    # Three processes, each with a first step of three seconds; the others take one.
    progress = Progress(seconds=16.0, first_steps=3, first_seconds=9.0, history=[{"step": 10}])
    assert progress.setup_seconds == 6


def test_waiting_for_compiled_kernels_is_in_no_time_of_a_training(monkeypatch):
    monkeypatch.setattr("ddcnn.training.device.kernels", lambda: time.sleep(0.3))
    device = choose_device(gpus=0, threads=1)
    assert device.waited >= 0.3
    monkeypatch.setattr("ddcnn.base.process._process_seconds", lambda: 1000.0)
    clock = JobClock(waited=600.0)
    clock.ready()
    found = clock.metrics()
    assert found["wait_seconds"] == 600
    assert 400 <= found["start_seconds"] < 1000
    assert JobClock(first=False).metrics()["wait_seconds"] == 0


# Packs of tiles

PACK_FILES = ("model.safetensors", "probabilities.npz", "history.csv")


def same_results(one: Path, other: Path) -> bool:
    """Whether two trainings ended with the same bits; times are free to differ."""
    drop = ("seconds",)
    for file in PACK_FILES[:1]:
        if (one / file).read_bytes() != (other / file).read_bytes():
            return False
    with np.load(one / PACK_FILES[1]) as a, np.load(other / PACK_FILES[1]) as b:
        return all(np.array_equal(a[key], b[key]) for key in a if key not in drop)


def test_a_pack_of_tiles_gives_what_the_tiles_give_alone(tmp_path):
    job = Job(tmp_path)
    tiles = [replace(job.subdomain, tile=tile) for tile in ("0-0", "0-1")]
    for tile in tiles:
        job.train_all([tile], [tmp_path / "alone" / tile.tile], SETTINGS)
    together = [tmp_path / "together" / tile.tile for tile in tiles]
    job.train_all(tiles, together, SETTINGS)
    assert not same_results(*together)
    for folder in together:
        assert sorted(path.name for path in folder.iterdir()) == sorted(
            path.name for path in (tmp_path / "alone" / folder.name).iterdir()
        )
        assert same_results(folder, tmp_path / "alone" / folder.name)


@pytest.mark.parametrize("refit", [False, True])
def test_a_pack_trained_at_once_gives_what_the_tiles_give_alone(tmp_path, monkeypatch, refit):
    """As on a GPU, here on the CPU: up to rounding."""
    job, settings = Job(tmp_path), replace(SETTINGS, learning_rate=0.01)
    tiles = [replace(job.subdomain, tile=tile) for tile in ("0-0", "0-1")]
    for tile in tiles:
        job.train_all([tile], [tmp_path / "alone" / tile.tile], settings, refit=refit)
    monkeypatch.setattr("ddcnn.local.stage.takes_at_once", lambda device: True)
    out = [tmp_path / "together" / tile.tile for tile in tiles]
    job.train_all(tiles, out, settings, refit=refit)
    for folder in out:
        other = tmp_path / "alone" / folder.name
        assert {path.name for path in folder.iterdir()} == {path.name for path in other.iterdir()}
        found, wanted = metrics(folder), metrics(other)
        assert (found["at_once"], wanted["at_once"]) == (2, 1)
        if refit:
            assert (found["refit"]["at_once"], wanted["refit"]["at_once"]) == (2, 1)
            assert found["refit"]["loss_train"] == pytest.approx(wanted["refit"]["loss_train"])
        assert found["loss_val"] == pytest.approx(wanted["loss_val"], rel=1e-4)
        for name, value in load_file(folder / "model.safetensors").items():
            same = load_file(other / "model.safetensors")[name]
            np.testing.assert_allclose(value, same, rtol=1e-3, atol=1e-4)


def test_a_pack_stopped_while_it_is_refitted_at_once_goes_on_with_the_same_bits(
    tmp_path, monkeypatch
):
    job, settings = Job(tmp_path), replace(SETTINGS, learning_rate=0.01)
    tiles = [replace(job.subdomain, tile=tile) for tile in ("0-0", "0-1")]
    monkeypatch.setattr("ddcnn.local.stage.takes_at_once", lambda device: True)
    whole, out = ([tmp_path / name / tile.tile for tile in tiles] for name in ("whole", "out"))
    job.train_all(tiles, whole, settings, refit=True)
    step, steps = Stack.step, []

    def hit(stack: Stack, members: list[Member]):
        steps.append(len(members))
        if len(steps) == metrics(whole[0])["steps"] + 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(stack, members)

    monkeypatch.setattr(Stack, "step", hit)
    with pytest.raises(SystemExit):
        job.train_all(tiles, out, settings, refit=True)
    for folder in out:
        assert {path.name for path in folder.iterdir()} == {"checkpoint.pt", "refit.checkpoint.pt"}
    job.train_all(tiles, out, settings, refit=True)
    assert steps == [2] * (metrics(whole[0])["steps"] + metrics(whole[0])["refit"]["step"])
    for folder, other in zip(out, whole, strict=True):
        assert same_results(folder, other)
        # What was finished before it was stopped had been trained at once, too.
        assert metrics(folder)["at_once"] == metrics(folder)["refit"]["at_once"] == 2
        assert {path.name for path in folder.iterdir()} == {path.name for path in other.iterdir()}


def test_of_nets_trained_at_once_each_has_its_share_of_the_time():
    assert own_seconds({"train_seconds": 6.0}) == 6
    assert own_seconds({"train_seconds": 6.0, "at_once": 3}) == 2
    assert own_seconds({"train_seconds": 6.0, "parallel": {"workers": 4}}) == 24
    refit = {"train_seconds": 6.0, "at_once": 2, "refit": {"train_seconds": 2.0}}
    assert own_seconds(refit) == 4
    refit["refit"]["at_once"] = 2
    assert own_seconds(refit) == 3


def test_the_peak_memory_of_a_pack_s_tile_is_its_own(tmp_path, monkeypatch):
    """The CPU stands for a GPU whose memory was largest before any of them."""
    peak = [10**15]
    monkeypatch.setattr(Device, "forget_peak_memory", lambda self: peak.append(len(peak)))
    monkeypatch.setattr(Device, "peak_memory_bytes", lambda self: peak[-1])
    job = Job(tmp_path)
    tiles = [replace(job.subdomain, tile=tile) for tile in ("0-0", "0-1")]
    out = [tmp_path / tile.tile for tile in tiles]
    job.train_all(tiles, out, SETTINGS)
    assert [metrics(folder)["peak_memory_bytes"] for folder in out] == [1, 2]


def test_a_pack_that_is_killed_does_not_train_its_finished_tiles_again(tmp_path, caplog):
    caplog.set_level(logging.INFO, "ddcnn")
    job = Job(tmp_path)
    tiles = [replace(job.subdomain, tile=tile) for tile in ("0-0", "0-1")]
    out = [tmp_path / "out" / tile.tile for tile in tiles]
    # A long time between checkpoints: the finished tile's is written all the same.
    handler = KillAt("training blocks-2x2-overlap0, tile 0-1")
    logging.getLogger("ddcnn").addHandler(handler)
    with pytest.raises(KeyboardInterrupt):
        job.train_all(tiles, out, SETTINGS, every=3600.0)
    logging.getLogger("ddcnn").removeHandler(handler)
    for name in (*PACK_FILES, "metrics.json"):  # as Snakemake removes what a failed job has written
        (out[0] / name).unlink()
    caplog.clear()
    job.train_all(tiles, out, SETTINGS, every=3600.0)
    epochs = [record.getMessage() for record in caplog.records if "/" in record.getMessage()]
    assert len([line for line in epochs if line.startswith("epoch")]) == SETTINGS.epochs
    for tile, folder in zip(tiles, out, strict=True):
        assert not (folder / "checkpoint.pt").exists()
        job.train_all([tile], [tmp_path / "alone" / tile.tile], SETTINGS)
        assert same_results(folder, tmp_path / "alone" / tile.tile)


def test_steps_in_one_call_train_as_steps_of_torch_s_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def trained() -> tuple[Progress, torch.Tensor]:
        net = make_net(dropout=0.1)
        settings = replace(SETTINGS, label_smoothing=0.1)
        _, progress = train(make_images(augment=True), settings, net=net)
        return progress, nn.utils.parameters_to_vector(net.parameters())

    learn = Layers.learn_in_one_call
    learned = []
    monkeypatch.setattr(
        Layers,
        "learn_in_one_call",
        lambda *arguments: learned.append(learn(*arguments)) or learned[-1],
    )
    progress, weights = trained()
    assert learned
    assert None not in learned
    monkeypatch.setattr(Layers, "learn_in_one_call", lambda *_: None)
    expected, expected_weights = trained()
    torch.testing.assert_close(weights, expected_weights, rtol=1e-3, atol=1e-4)
    for row, other in zip(progress.history, expected.history, strict=True):
        assert row["accuracy_train"] == other["accuracy_train"]
        assert row["loss_train"] == pytest.approx(other["loss_train"], rel=1e-4)


def test_a_training_with_weights_of_classes_minimises_torch_s_weighted_loss():
    """The kernels' loss knows no weights: steps with weights are torch's own."""
    weights, samples = (0.2, 1.0, 3.0), make_images()
    settings = replace(SETTINGS, epochs=1)
    net, twin = make_net(), make_net()
    progress = run(
        training(net, samples, samples, settings, 0, DEVICE, task=Classification(3, weights))
    )
    criterion = nn.CrossEntropyLoss(torch.tensor(weights))
    optimizer = make_optimizer(twin, settings)
    order = torch.randperm(len(samples), generator=generator_of(0, 0))
    losses = []
    for step in range(STEPS):
        index = order[8 * step : 8 * (step + 1)]
        loss = criterion(twin(samples.inputs(index)), samples.labels[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step(one_cycle(step, STEPS, settings.learning_rate))
        losses.append(loss.item())
    assert progress.history[0]["loss_train"] == pytest.approx(np.mean(losses), rel=1e-4)
    torch.testing.assert_close(
        *(nn.utils.parameters_to_vector(each.parameters()) for each in (net, twin)),
        rtol=1e-3,
        atol=1e-4,
    )
    assert progress.history[0]["loss_val"] == pytest.approx(
        criterion(predict_logits(net, samples), samples.labels).item(), rel=1e-5
    )
    plain, _ = train(samples, settings)
    assert not same_weights(net, plain)


def test_a_pack_stops_at_a_signal_in_the_last_epoch_of_a_tile(tmp_path, caplog):
    """The step in hand, the tile's last, is finished and saved; the next tile is not begun."""
    caplog.set_level(logging.INFO, "ddcnn")
    job = Job(tmp_path)
    tiles = [replace(job.subdomain, tile=tile) for tile in ("0-0", "0-1")]
    out = [tmp_path / "out" / tile.tile for tile in tiles]
    steps = iter(range(10**6))

    take_step = Step.__call__

    def terminate_late(self: Step, *batch: torch.Tensor | float) -> tuple[torch.Tensor, ...]:
        if next(steps) == SETTINGS.epochs * 2 - 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return take_step(self, *batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Step, "__call__", terminate_late)
        with pytest.raises(SystemExit, match="143"):
            job.train_all(tiles, out, SETTINGS)
    assert (out[0] / "checkpoint.pt").is_file()
    assert not out[1].exists()


@pytest.mark.parametrize("refit", [False, True])
@pytest.mark.parametrize("at_once", [False, True])
def test_a_tile_that_fails_is_named_and_the_rest_of_its_pack_is_trained(
    tmp_path, monkeypatch, at_once, refit
):
    monkeypatch.setattr("ddcnn.local.stage.takes_at_once", lambda device: at_once)
    job = Job(tmp_path)
    card = json.loads((tmp_path / "card.json").read_text())
    tiles = [replace(job.subdomain, tile=tile) for tile in ("0-0", "0-1")]
    (shard,) = tiles[0].shards(tmp_path / "tiles", {})["train"]
    np.save(shard, np.full((30, 6, 6, 1), np.nan, np.float32))
    (tmp_path / "card.json").write_text(json.dumps(card))
    out = [tmp_path / "out" / tile.tile for tile in tiles]
    with pytest.raises(InputError, match=r"^tile 0-0: the training diverged"):
        job.train_all(tiles, out, SETTINGS, refit=refit)
    assert (out[1] / "model.safetensors").is_file()
    assert (out[1] / "checkpoint.pt").is_file()
    assert not (out[0] / "model.safetensors").exists()


def test_a_training_that_diverges_names_the_step_and_keeps_the_last_good_checkpoint(tmp_path):
    settings = replace(SETTINGS, epochs=20, learning_rate=10.0, weight_decay=1.0, momentum=0.99)
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", "mine")
    words = r"diverged in epoch (\d+).* in step (\d+) of \d+, at a learning rate of .*smaller"
    with pytest.raises(InputError, match=words) as caught:
        train(make_images(), settings, checkpoint=checkpoint)
    epoch, step = map(int, re.search(words, str(caught.value)).groups())
    state = checkpoint.load()
    assert state["progress"]["epoch"] == epoch - 1
    # Statistics of batch norm may have run away already; weights have not.
    weights = {name: value for name, value in state["net"].items() if "running" not in name}
    assert all(value.isfinite().all() for value in weights.values())
    assert step >= 1


def test_a_loss_that_is_no_number_in_mid_epoch_is_not_saved(tmp_path):
    images = make_images()
    images.mean = [float("nan")]  # as broken data would make them
    images.__post_init__()
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", "mine", every_seconds=1e-9)
    with pytest.raises(InputError, match="epoch 1: its loss is nan in step 1 of"):
        train(images, SETTINGS, checkpoint=checkpoint)
    assert checkpoint.load() is None
