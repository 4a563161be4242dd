"""What the workers of tests/test_parallel.py do; they are processes that import it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ddcnn import nets
from ddcnn.base.tasks import Classification
from ddcnn.parallel.door import Door
from ddcnn.parallel.stage import among_workers
from ddcnn.parallel.steps import Spent
from ddcnn.training.device import Device
from ddcnn.training.optimizers import Sgd

CPU = Device(torch.device("cpu"), "test", 1)
CLASSES = 3
RATE, MOMENTUM, DECAY = 0.005, 0.9, 1e-3  # a rate at which rounding stays rounding


@dataclass(frozen=True)
class Case:
    """A net and batches to train it with.

    Attributes:
        net: of the project, or the name of a function of this module.
        shape: pixels along every axis, and channels.
        way: of training in parallel.
        batch: images of every batch.
        weights: of the classes in the loss.
        steps: how many.
        ends: of the sections of a pipeline, in pieces; none where they are to be balanced.
    """

    net: str
    shape: tuple[int, ...]
    way: str
    batch: int = 6
    weights: tuple[float, ...] = ()
    steps: int = 20
    ends: tuple[int, ...] = ()

    def build(self) -> nn.Module:
        torch.manual_seed(3)
        if self.net in globals():
            return globals()[self.net](self.shape)
        return nets.build(self.net, self.shape, CLASSES, 4)

    def batches(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Noise whose mean depends on the class; channels last in memory, as in trainings."""
        random = torch.Generator().manual_seed(5)
        labels = torch.randint(CLASSES, (self.steps, self.batch), generator=random)
        images = torch.randn((self.steps, self.batch, *self.shape), generator=random)
        images = images.movedim(-1, 2)
        images += labels.view(self.steps, self.batch, *(1 for _ in self.shape)) / 2
        return list(zip(images, labels, strict=True))

    @property
    def task(self) -> Classification:
        return Classification(CLASSES, self.weights)


def unpadded(shape: Sequence[int]) -> nn.Module:
    """Strides, dilation, groups, both kinds of pooling, no padding or much, no batch norm."""
    axes = len(shape) - 1
    convolution = [nn.Conv1d, nn.Conv2d, nn.Conv3d][axes - 1]
    max_pool = [nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d][axes - 1]
    mean_pool = [nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d][axes - 1]
    average = [nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d][axes - 1]
    return nn.Sequential(
        convolution(shape[-1], 4, 3),
        nn.ReLU(inplace=True),
        max_pool(3, stride=2, padding=1),
        convolution(4, 6, 5, padding=2, dilation=1, groups=2),
        nn.Tanh(),
        convolution(6, 6, 3, padding=2, dilation=2),
        mean_pool(2, stride=1),
        nn.ReLU(),
        convolution(6, 4, 2, stride=2, padding=1),
        average(1),
        nn.Flatten(),
        nn.Linear(4, 8),
        nn.ReLU(),
        nn.Linear(8, CLASSES),
    )


def flattened(shape: Sequence[int]) -> nn.Module:
    """A dense head over all pixels, behind batch norm and pooling."""
    return nn.Sequential(
        nn.Conv2d(shape[-1], 4, 3, stride=2, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(4 * ((shape[0] + 1) // 2) * ((shape[1] + 1) // 2), CLASSES),
    )


def train_cases(cases: Sequence[Case], door: Door) -> list[dict[str, Any]]:
    """What every case gives on this worker."""
    return [train_case(case, door) for case in cases]


def train_case(case: Case, door: Door) -> dict[str, Any]:
    """Losses of all steps, gradients and state of the first, state at the end, and traffic."""
    net, spent, batches = case.build(), Spent(), case.batches()
    facts = {"section_ends": list(case.ends)} if case.ends else None
    divided = among_workers(net, case.shape, case.way, 3, case.batch, door, spent, facts)
    weights = [weight for weight in divided.net.parameters() if weight.requires_grad]
    optimizer = Sgd(weights, MOMENTUM, DECAY)
    step = divided.make_step(divided.net, optimizer, case.task, 0.1, "float32", CPU)
    losses, gradients, first_state, traffic = [], {}, {}, []
    divided.net.train()
    for images, labels in batches:
        before = door.snapshot()
        loss, _ = step(images, labels, RATE)
        traffic.append(door.traffic.since(before))
        losses.append(loss.item())
        if len(losses) == 1:
            gradients = {n: w.grad.clone() for n, w in divided.inner.named_parameters()}
            first_state = {n: value.clone() for n, value in divided.inner.state_dict().items()}
    with torch.no_grad():
        outputs = divided.net.eval()(batches[0][0])
    state = divided.inner.state_dict()
    return {
        "losses": losses,
        "gradients": gradients,
        "first_state": first_state,
        "state": state,
        "outputs": outputs,
        "traffic": traffic[-1],
        "facts": divided.facts,
    }


def die(rank: int, door: Door) -> None:
    """One worker is killed while the others wait for it."""
    import os
    import signal

    if door.rank == rank:
        os.kill(os.getpid(), signal.SIGKILL)
    door.sum(torch.ones(1))


def fail(rank: int, kind: Callable[[str], Exception], door: Door) -> None:
    """One worker raises while the others wait for it."""
    if door.rank == rank:
        raise kind("too many cooks")
    door.sum(torch.ones(1))


def sums(sizes: Sequence[int], door: Door) -> list[torch.Tensor]:
    """Sums of numbers that are others on every worker."""
    random = torch.Generator().manual_seed(door.rank)
    return [door.sum(torch.randn(size, generator=random)) for size in sizes]
