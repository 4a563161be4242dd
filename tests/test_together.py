"""Nets trained at once by one batched program: their numbers are those of each one alone."""

import os
import signal
import time
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from torch import nn

from ddcnn import nets
from ddcnn.base.errors import InputError
from ddcnn.base.tasks import Classification, Regression, Task
from ddcnn.training.checkpoint import Checkpoint, random_states
from ddcnn.training.device import choose_device
from ddcnn.training.interruption import noted
from ddcnn.training.loop import Progress, run, training
from ddcnn.training.samples import Images
from ddcnn.training.settings import Settings
from ddcnn.training.together import Member, Stack, fit_together

DEVICE = choose_device(gpus=0, threads=1)
SETTINGS = Settings(20, 16, "sgd", 0.005, 5e-4, label_smoothing=0.1)  # 20 epochs of one step
TASK = Classification(3)
TILES = 3


def images(tile: int, shape: tuple[int, ...] = (8, 8, 1), number: int = 16, **more) -> Images:
    draw = torch.Generator().manual_seed(tile)
    pixels = torch.randint(0, 256, (number, *shape), dtype=torch.uint8, generator=draw)
    labels = torch.randint(0, 3, (number,), generator=draw)
    channels = shape[-1]
    return Images(pixels, labels, [0.5] * channels, [0.3] * channels, **more)


class InFloat64(Images):
    """Images whose inputs are so exact that rounding is not seen."""

    def inputs(self, index: torch.Tensor) -> torch.Tensor:
        return super().inputs(index).double()


def build(tile: int, kind: str = "vgg", shape=(8, 8, 1), dtype=torch.float32) -> nn.Module:
    torch.manual_seed(tile)
    return nets.build(kind, shape, 3, 8, dropout=0.2).to(dtype)


def alone(settings=SETTINGS, task: Task = TASK, folder=None, sample=images, **net):
    """Each tile's net, and its progress, trained by itself."""
    found = []
    for tile in range(TILES):
        data, built = sample(tile), build(tile, **net)
        saved = folder and Checkpoint(folder / f"{tile}.pt", "same")
        found.append((built, run(training(built, data, data, settings, tile, DEVICE, saved, task))))
    return found


def at_once(
    settings=SETTINGS, task: Task = TASK, folder=None, sample=images, **net
) -> list[tuple[nn.Module, Progress]]:
    built, members = [], []
    for tile in range(TILES):
        data = sample(tile)
        built.append(build(tile, **net))
        saved = folder and Checkpoint(folder / f"{tile}.pt", "same")
        steps = training(built[-1], data, data, settings, tile, DEVICE, saved, task)
        members.append(Member(steps, random_states(DEVICE.torch), DEVICE))
    return list(zip(built, fit_together(members), strict=True))


@pytest.fixture(autouse=True)
def batched_steps(monkeypatch) -> list[int]:
    """Of how many nets each batched step was."""
    sizes, step = [], Stack.step

    def counted(stack: Stack, members: list[Member]):
        sizes.append(len(members))
        return step(stack, members)

    monkeypatch.setattr(Stack, "step", counted)
    return sizes


def assert_alike(found, expected, rel: float = 1e-4) -> None:
    for (net, progress), (other, wanted) in zip(found, expected, strict=True):
        for row, want in zip(progress.history, wanted.history, strict=True):
            assert row["loss_train"] == pytest.approx(want["loss_train"], rel=rel)
            assert row["loss_val"] == pytest.approx(want["loss_val"], rel=10 * rel)
        tolerances = {"rtol": 100 * rel, "atol": 10 * rel}
        torch.testing.assert_close(net.state_dict(), other.state_dict(), **tolerances)


@pytest.mark.parametrize(
    ("kind", "shape", "dtype"),
    [
        ("vgg", (16, 2), torch.float32),
        ("vgg", (8, 8, 1), torch.float32),
        ("vgg", (12, 12, 8, 1), torch.float32),
        ("resnet20", (8, 8, 3), torch.float32),
        ("ct3d-same", (16, 16, 16, 1), torch.float32),
        ("vit", (8, 8, 1), torch.float32),
        ("vgg", (16, 2), torch.float64),
        ("vgg", (8, 8, 1), torch.float64),
        ("vgg", (8, 8, 4, 1), torch.float64),
        ("resnet20", (8, 8, 3), torch.float64),
    ],
)
def test_losses_of_twenty_steps_are_those_of_each_net_alone(batched_steps, kind, shape, dtype):
    """In float64 to a billionth: what differs in float32 is rounding alone."""
    rate, rel = (0.001, 1e-4) if dtype == torch.float32 else (0.02, 1e-9)

    def sample(tile: int) -> Images:
        data = images(tile, shape)
        return data if dtype == torch.float32 else InFloat64(**vars_of(data))

    of_net = {"kind": kind, "shape": shape, "dtype": dtype, "sample": sample}
    settings = replace(SETTINGS, learning_rate=rate)
    found = at_once(settings, **of_net)
    assert batched_steps == [TILES] * 20
    assert_alike(found, alone(settings, **of_net), rel)


def vars_of(images: Images) -> dict:
    return {each.name: getattr(images, each.name) for each in fields(images)}


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "adamw", "learning_rate": 0.0005, "weight_decay": 0.01},
        {"momentum": 0.0},
        {"weights": "best"},
    ],
)
def test_every_optimizer_and_choice_of_weights(batched_steps, changes):
    settings = replace(SETTINGS, **changes)
    assert_alike(at_once(settings), alone(settings))
    assert batched_steps == [TILES] * 20


def test_augmentation_and_weights_of_classes(batched_steps):
    def sample(tile: int) -> Images:
        return images(tile, flip=[0, 1], shift=2)

    task = Classification(3, (0.5, 1.0, 2.0))
    settings = replace(SETTINGS, learning_rate=0.001)
    found = at_once(settings, task, sample=sample)
    assert_alike(found, alone(settings, task, sample=sample))
    assert batched_steps == [TILES] * 20


def test_regression(batched_steps):
    def sample(tile: int) -> Images:
        data = images(tile)
        targets = torch.randn(16, 3, generator=torch.Generator().manual_seed(tile))
        return replace(data, labels=targets)

    task = Regression((0.0,) * 3, (1.0,) * 3)
    assert_alike(at_once(task=task, sample=sample), alone(task=task, sample=sample))
    assert batched_steps == [TILES] * 20


def test_a_training_that_ends_early_leaves_the_others_together(batched_steps):
    settings = replace(SETTINGS, patience=2, epochs=30, learning_rate=0.1)
    expected = alone(settings)
    assert len({len(progress.history) for _, progress in expected}) > 1
    found = at_once(settings)
    lengths = [len(progress.history) for _, progress in found]
    assert lengths == [len(progress.history) for _, progress in expected]
    assert_alike(found, expected)
    assert batched_steps == [sum(n > step for n in lengths) for step in range(len(batched_steps))]


def test_stopped_together_they_go_on_together_with_the_same_bits(
    tmp_path, monkeypatch, batched_steps
):
    settings = replace(SETTINGS, epochs=5, batch_size=4)

    def sample(tile: int) -> Images:
        return images(tile, flip=[1], shift=1)

    undisturbed = at_once(settings, sample=sample)
    step = Stack.step

    def hit(stack: Stack, members: list[Member]):
        if len(batched_steps) == 29:  # 20 steps before; in the middle of the third epoch
            os.kill(os.getpid(), signal.SIGTERM)
        return step(stack, members)

    monkeypatch.setattr(Stack, "step", hit)
    with pytest.raises(SystemExit) as left:
        at_once(settings, folder=tmp_path, sample=sample)
    assert left.value.code == 128 + signal.SIGTERM
    assert noted() == signal.SIGTERM
    monkeypatch.setattr(Stack, "step", step)
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    # What a tile saves is its own: no more than another training saves alone.
    assert len(sizes) == TILES
    assert max(sizes) < 1.5 * size_of_checkpoint_alone(tmp_path, settings)
    found = at_once(settings, folder=tmp_path, sample=sample)
    for (net, progress), (other, wanted) in zip(found, undisturbed, strict=True):
        assert progress.resumed == [{"epoch": 2, "step": 2}]
        for name, value in net.state_dict().items():
            assert torch.equal(value, other.state_dict()[name])
        assert [row["loss_val"] for row in progress.history] == [
            row["loss_val"] for row in wanted.history
        ]
    assert_alike(found, alone(settings, sample=sample))


def size_of_checkpoint_alone(folder: Path, settings: Settings) -> int:
    path = folder / "alone.pt"
    run(training(build(0), images(0), images(0), settings, 0, DEVICE, Checkpoint(path, "alone")))
    return path.stat().st_size


def test_trainings_interrupted_at_different_steps_go_on_one_after_the_other(
    tmp_path, batched_steps
):
    saved = Checkpoint(tmp_path / "1.pt", "same", every_seconds=0.0)
    settings = replace(SETTINGS, epochs=5)
    ahead = training(build(1), images(1), images(1), settings, 1, DEVICE, saved)
    ahead.send(ahead.send(None).learn())  # one epoch of one step
    ahead.close()
    found = at_once(settings, folder=tmp_path)
    assert [progress.resumed for _, progress in found] == [[], [{"epoch": 1, "step": 0}], []]
    assert_alike(found, alone(settings))


def test_one_that_diverges_does_not_stop_the_others():
    def sample(tile: int) -> Images:
        data = images(tile)
        return replace(data, std=[0.0]) if tile == 1 else data

    found = [end for _, end in at_once(sample=sample)]
    assert isinstance(found[1], InputError)
    assert "diverged in epoch 1" in str(found[1])
    for tile in (0, 2):
        _, wanted = alone()[tile]
        assert found[tile].history[-1]["loss_train"] == pytest.approx(
            wanted.history[-1]["loss_train"], rel=1e-3
        )


def test_nets_that_cannot_be_computed_at_once_are_trained_in_turn(batched_steps):
    of_net = {"kind": "gru", "shape": (16, 2), "sample": lambda tile: images(tile, (16, 2))}
    settings = replace(SETTINGS, epochs=3)
    assert_alike(at_once(settings, **of_net), alone(settings, **of_net))
    assert not batched_steps


class Secret(nn.Module):
    """A net with a number that is no weight of it, another one in each."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self.number, self.layer = number, nn.Linear(64, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.number * self.layer(x.flatten(1))


def test_nets_with_numbers_of_their_own_are_not_taken_for_each_other(monkeypatch, batched_steps):
    def one(tile: int, **_) -> nn.Module:
        torch.manual_seed(tile)
        return Secret(1.0 + tile)

    monkeypatch.setitem(globals(), "build", one)
    settings = replace(SETTINGS, epochs=3)
    assert_alike(at_once(settings), alone(settings))
    assert not batched_steps


def test_a_batched_step_takes_as_long_for_each_net_as_for_all(monkeypatch):
    step = Stack.step

    def slow(stack: Stack, members: list[Member]):
        time.sleep(0.2)
        return step(stack, members)

    monkeypatch.setattr(Stack, "step", slow)
    for _, progress in at_once(replace(SETTINGS, epochs=3)):
        assert progress.at_once == TILES
        assert progress.seconds >= 0.6
