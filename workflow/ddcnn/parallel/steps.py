"""A training step that several workers take together, and what it cost each of them."""

import time
from dataclasses import dataclass, field
from typing import Any

import torch

from ddcnn.parallel.door import Door, Traffic
from ddcnn.training.steps import Step


@dataclass
class Spent:
    """What the steps of one worker took, all together.

    Attributes:
        steps: how many.
        seconds: of their wall clock.
        traffic: in them.
    """

    steps: int = 0
    seconds: float = 0.0
    traffic: Traffic = field(default_factory=Traffic)

    def add(self, seconds: float, traffic: Traffic) -> None:
        """One more step."""
        self.steps += 1
        self.seconds += seconds
        self.traffic.add(traffic)


class WorkersStep(Step):
    """A step on a batch of which every worker computes a share; all of them take it together.

    A kind of it sets, in ``_backward``, the gradients of the mean loss of the whole batch.

    Args:
        arguments: those of :class:`ddcnn.training.steps.Step`.
        door: to the other workers.
        spent: gets what every step costs this worker.
    """

    def __init__(self, *arguments: Any, door: Door, spent: Spent) -> None:
        super().__init__(*arguments)
        self.door, self.spent = door, spent

    def __call__(
        self, inputs: torch.Tensor, labels: torch.Tensor, learning_rate: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Change the weights; loss and merit are those of the whole batch, on every worker."""
        before, start = self.door.snapshot(), time.perf_counter()
        learned = self._step(inputs, labels, learning_rate)
        self.device.synchronize()
        self.spent.add(time.perf_counter() - start, self.door.traffic.since(before))
        return learned
