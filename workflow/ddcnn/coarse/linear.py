"""The linear coarse net: a convex problem without hidden layers.

numpy alone: importing torch would take longer than everything else that its job does. What it
computes is what :class:`ddcnn.coarse.net.CoarseNet` does with the weights it saves.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ddcnn.base.provenance import hardware
from ddcnn.base.tasks import Task
from ddcnn.coarse.inputs import SMALLEST_SPREAD, Rows, rows_of
from ddcnn.coarse.problem import Built, Candidate, Solution
from ddcnn.coarse.settings import CoarseSettings
from ddcnn.coarse.solvers import fit_ridge, fit_softmax
from ddcnn.training.settings import Settings, metrics_of, place_on_cpu
from ddcnn.training.weights import save_arrays

# Inverse penalties, from hardly more than the average to hardly a penalty.
INVERSE_RIDGES = (30.0, 300.0, 3e3, 3e4)
# L-BFGS takes so many steps for one penalty; the next penalty goes on from there.
STEPS, TOLERANCE = 20, 1e-3


@dataclass
class LinearNet:
    """Weights by the names that :class:`ddcnn.coarse.net.CoarseNet` has for them.

    Attributes:
        shift, scale: that standardise the inputs, ``F``.
        weight, bias: of its only layer, ``K, F`` and ``K``.
    """

    shift: np.ndarray
    scale: np.ndarray
    weight: np.ndarray = field(init=False)
    bias: np.ndarray = field(init=False)

    @classmethod
    def standardising(cls, inputs_NF: np.ndarray) -> "LinearNet":
        """Shift and scale for the inputs that the net will be fitted on."""
        mean = inputs_NF.mean(axis=0, dtype=np.float64)
        # In double precision, but without a copy of all inputs that has it.
        squares = np.einsum("nf,nf->f", inputs_NF, inputs_NF, dtype=np.float64) / len(inputs_NF)
        spread = np.sqrt(np.maximum(squares - mean**2, 0))
        # Dividing an input that hardly changes by its spread would make noise large.
        scale = 1 / np.maximum(spread, SMALLEST_SPREAD)
        return cls(mean.astype(np.float32), scale.astype(np.float32))

    def standardised(self, rows: Rows) -> np.ndarray:
        """Inputs ``N, F`` of the layer."""
        return (rows.inputs - self.shift) * self.scale

    def outputs(self, rows: Rows) -> np.ndarray:
        """Logits or standardised targets ``N, K``."""
        return rows.average + (self.standardised(rows) @ self.weight.T + self.bias)


@dataclass(frozen=True)
class LinearSolver:
    """See :class:`ddcnn.coarse.problem.Solver`.

    Attributes:
        coarse: the net and what it is fitted on.
        settings: of an MLP; its metrics name them.
        task: of the data set.
        threads: CPU threads.
    """

    coarse: CoarseSettings
    settings: Settings
    task: Task
    threads: int

    waited = 0.0  # it needs no device

    @property
    def place(self) -> str:
        """Where it is computed."""
        return str(hardware()["processor"])

    def samples(
        self, outputs_NTK: np.ndarray, features_NTF: np.ndarray | None, targets: np.ndarray | None
    ) -> Rows:
        return rows_of(outputs_NTK, self.coarse.input, self.task, features_NTF, targets)

    def build(self, fitted: Rows, val: Rows) -> Built:
        net = LinearNet.standardising(fitted.inputs)
        return Built(net, self.candidates(net, fitted))

    def candidates(self, net: LinearNet, samples: Rows) -> Iterator[Candidate]:
        """The average, then ever weaker penalties, each started at the one before."""
        num_outputs = samples.average.shape[1]
        nothing = np.zeros((num_outputs, samples.inputs.shape[1] + 1), np.float32)
        yield Candidate(0.0, nothing[:, :-1], nothing[:, -1])
        inputs, average, targets = net.standardised(samples), samples.average, samples.targets
        weights = None
        for inverse in INVERSE_RIDGES:
            if self.task.name == "regression":
                weights = fit_ridge(inputs, targets - average, 1 / inverse)
            else:
                weights = fit_softmax(
                    inputs,
                    targets,
                    num_outputs,
                    1 / inverse,
                    average,
                    weights,
                    STEPS,
                    TOLERANCE,
                    self.task.class_weights,
                )
            layer = weights.T.astype(np.float32)
            yield Candidate(inverse, layer[:, :-1], layer[:, -1])

    def use(self, net: LinearNet, candidate: Candidate) -> None:
        net.weight, net.bias = candidate.weight, candidate.bias

    def evaluate(self, net: LinearNet, samples: Rows) -> tuple[float, float]:
        return self.task.loss_and_score(net.outputs(samples), samples.targets)

    def predict(self, net: LinearNet, samples: Rows) -> np.ndarray:
        return self.task.predictions_of(net.outputs(samples))

    def metrics(self, solution: Solution, last: dict[str, float], fitted: Rows) -> dict[str, Any]:
        place = place_on_cpu(self.threads) | {"precision": "float32"}
        net, settings = solution.net, asdict(self.settings)
        size = {"parameters": net.weight.size + net.bias.size, "multiply_adds": net.weight.size}
        return metrics_of(size, last, solution.seconds, 0.0, settings, len(fitted), place)

    def save(self, net: LinearNet, path: Path) -> None:
        layer = {"layers.0.bias": net.bias, "layers.0.weight": net.weight}
        save_arrays(layer | {"scale": net.scale, "shift": net.shift}, path)
