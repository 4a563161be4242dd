"""The coarse net with hidden layers, trained on mini-batches as every net is."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ddcnn.base.tasks import Task
from ddcnn.coarse.net import CoarseNet, coarse_input
from ddcnn.coarse.problem import Built, Candidate, Solution
from ddcnn.coarse.settings import CoarseSettings
from ddcnn.training.device import Device
from ddcnn.training.loop import Progress, run, training, training_metrics
from ddcnn.training.prediction import evaluate, predict_logits
from ddcnn.training.samples import Features
from ddcnn.training.settings import Settings
from ddcnn.training.weights import save_weights

# Shares of what a trained MLP adds to the average.
SHARES = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class MlpSolver:
    """See :class:`ddcnn.coarse.problem.Solver`.

    Attributes:
        coarse: the net and what it is fitted on.
        settings: how it is trained.
        task: of the data set.
        seed: of the run.
        device: where everything lives.
    """

    coarse: CoarseSettings
    settings: Settings
    task: Task
    seed: int
    device: Device

    @property
    def waited(self) -> float:
        """Seconds for the device."""
        return self.device.waited

    @property
    def place(self) -> str:
        """Where it is computed."""
        return self.device.name

    def samples(
        self, outputs_NTK: np.ndarray, features_NTF: np.ndarray | None, targets: np.ndarray | None
    ) -> Features:
        features = None if features_NTF is None else torch.from_numpy(features_NTF)
        outputs = torch.from_numpy(outputs_NTK)
        rows = coarse_input(outputs, self.coarse.input, self.task, features).float()
        device = self.device.torch
        labels = None if targets is None else torch.from_numpy(targets).to(device)
        return Features(rows.to(device), labels)

    def build(self, fitted: Features, val: Features) -> Built:
        torch.manual_seed(self.seed)
        num_inputs = fitted.values.shape[1] - self.task.num_outputs
        net = CoarseNet.of(self.coarse, num_inputs, self.task.num_outputs).to(self.device.torch)
        net.standardise(fitted.values)
        fitting = run(
            training(net, fitted, val, self.settings, self.seed, self.device, task=self.task)
        )
        return Built(net, _candidates(net), fitting.history, fitting.setup_seconds)

    @torch.no_grad()
    def use(self, net: CoarseNet, candidate: Candidate) -> None:
        net.layers[-1].weight.copy_(candidate.weight)
        net.layers[-1].bias.copy_(candidate.bias)

    def evaluate(self, net: CoarseNet, samples: Features) -> tuple[float, float]:
        return evaluate(net, samples, self.task)

    def predict(self, net: CoarseNet, samples: Features) -> np.ndarray:
        return self.task.predictions(predict_logits(net, samples))

    def metrics(
        self, solution: Solution, last: dict[str, float], fitted: Features
    ) -> dict[str, Any]:
        setup = solution.setup_seconds
        end = Progress(seconds=solution.seconds + setup, first_seconds=setup, history=[last])
        shape = (fitted.values.shape[1],)
        return training_metrics(solution.net, shape, end, self.settings, len(fitted), self.device)

    def save(self, net: CoarseNet, path: Path) -> None:
        save_weights(net, path)


def _candidates(net: CoarseNet) -> Iterator[Candidate]:
    """The average, then growing shares of what the trained net adds to it."""
    weight, bias = (parameter.detach().clone() for parameter in net.layers[-1].parameters())
    yield Candidate(0.0, torch.zeros_like(weight), torch.zeros_like(bias))
    for share in SHARES:
        yield Candidate(share, share * weight, share * bias)
