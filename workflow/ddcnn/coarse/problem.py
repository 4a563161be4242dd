"""The coarse problem: how a dense net turns all local decisions into one, and how it is solved.

Its input are the N local probability distributions over K classes, its target the true label
(arXiv 2302.06564, section 3.2). Two things are ours: the net adds to the average of the tiles, and
how much it adds is chosen on images that it was not fitted on. Where the local nets have learned
their training images by heart, those say little, and the average stays.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ddcnn.base.tasks import Task

# The search ends when so many stronger candidates in a row were no better than the best.
PATIENCE = 1
NUM_FOLDS = 5


@dataclass(frozen=True)
class Candidate:
    """One answer to: how much does the coarse net add to the average?

    Attributes:
        strength: the inverse of the penalty (linear) or the share (MLP); 0 is the average alone.
        weight, bias: of the last layer, ``K, H`` and ``K``: arrays (linear) or tensors (MLP).
    """

    strength: float
    weight: Any
    bias: Any


class CoarseRows(Protocol):
    """Rows of the coarse net and their targets, in the form that a solver works on."""

    def __len__(self) -> int: ...

    def subset(self, index: np.ndarray) -> "CoarseRows":
        """The samples ``index``."""
        ...


class Solver(Protocol):
    """One kind of coarse net: :mod:`ddcnn.coarse.linear` or :mod:`ddcnn.coarse.mlp`."""

    place: str  # where it is computed, in words

    def samples(
        self, outputs_NTK: np.ndarray, features_NTF: np.ndarray | None, targets: np.ndarray | None
    ) -> CoarseRows:
        """Rows from what the local nets say of N images, see ``coarse_input`` of ``cnn_dnn``."""
        ...

    def build(
        self, fitted: CoarseRows, val: CoarseRows
    ) -> tuple[Any, Iterator[Candidate], list[dict[str, float]]]:
        """A net whose hidden layers are final, candidates for its last, and an MLP's history."""
        ...

    def use(self, net: Any, candidate: Candidate) -> None:
        """Make a candidate the net's last layer."""
        ...

    def evaluate(self, net: Any, samples: CoarseRows) -> tuple[float, float]:
        """Mean loss and score over all samples."""
        ...

    def predict(self, net: Any, samples: CoarseRows) -> np.ndarray:
        """What is stored: probabilities, or targets in their own units, float32 ``N, K``."""
        ...

    def metrics(
        self, net: Any, last: dict[str, float], seconds: float, fitted: CoarseRows
    ) -> dict[str, Any]:
        """What every training reports in its ``metrics.json``."""
        ...

    def save(self, net: Any, path: Path) -> None:
        """Write the weights."""
        ...


@dataclass
class Solution:
    """A solved coarse problem.

    Attributes:
        net: with the chosen candidate as its last layer.
        strength: the chosen candidate's.
        seconds: of everything, the choice included.
        history: epochs of an MLP; of a linear net what was tried.
    """

    net: Any
    strength: float
    seconds: float
    history: list[dict[str, float]]


@dataclass(frozen=True)
class Problem:
    """What is to be solved, and by what.

    Attributes:
        solver: which kind of net.
        task: of the data set.
        fit_on: which local decisions the net learns from.
        seed: of the run.
    """

    solver: Solver
    task: Task
    fit_on: str
    seed: int

    def solve(self, fitted: CoarseRows, val: CoarseRows) -> Solution:
        """The coarse net that is best on images it was not fitted on.

        Those are the validation split, or, where the net is fitted on that one, the parts that
        five folds leave out in turn. Candidates are compared by their loss, beginning with the
        average of the tiles; of equal ones the first is taken.
        """
        start = time.perf_counter()
        losses = self.cross_validate(fitted) if self.fit_on == "validation" else None
        net, candidates, history = self.solver.build(fitted, val)
        if losses is None:
            tried, losses = self.search(net, candidates, val)
        else:
            tried = list(islice(candidates, int(np.argmin(losses)) + 1))
        best = int(np.argmin(losses))
        self.solver.use(net, tried[best])
        seconds = time.perf_counter() - start
        strengths = [
            {"strength": each.strength, "loss_held_out": loss, "chosen": int(i == best)}
            for i, (each, loss) in enumerate(zip(tried, losses, strict=False))
        ]
        return Solution(net, tried[best].strength, seconds, history or strengths)

    def search(
        self, net: Any, candidates: Iterable[Candidate], held_out: CoarseRows
    ) -> tuple[list[Candidate], list[float]]:
        """Candidates and their losses, until :data:`PATIENCE` were no better than the best."""
        tried, losses = [], []
        for candidate in candidates:
            self.solver.use(net, candidate)
            tried.append(candidate)
            losses.append(self.solver.evaluate(net, held_out)[0])
            if len(losses) > int(np.argmin(losses)) + PATIENCE:
                break
        return tried, losses

    def cross_validate(self, samples: CoarseRows) -> list[float]:
        """Mean loss of every candidate on images that a fold leaves out."""
        order = shuffled(len(samples), self.seed)
        parts = [order[fold::NUM_FOLDS] for fold in range(NUM_FOLDS)]
        totals = np.zeros(())
        for fold, left_out in enumerate(parts):
            rest = np.concatenate([part for other, part in enumerate(parts) if other != fold])
            held_out = samples.subset(left_out)
            net, candidates, _ = self.solver.build(samples.subset(rest), held_out)
            losses = []
            for candidate in candidates:
                self.solver.use(net, candidate)
                losses.append(self.solver.evaluate(net, held_out)[0] * len(held_out))
            totals = totals + losses
        return (totals / len(samples)).tolist()


def shuffled(num: int, seed: int) -> np.ndarray:
    """The numbers below ``num`` in the order that the seed says."""
    import torch  # here: on the training split no order is needed, and torch takes two seconds

    from ddcnn.training.loop import generator_of

    return torch.randperm(num, generator=generator_of(seed)).numpy()
