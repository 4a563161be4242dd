"""The coarse problem: how a dense net turns all local decisions into one, and how it is solved.

Its input are the N local probability distributions over K classes, its target the true label
(arXiv 2302.06564, section 3.2). Two things are ours: the net adds to the average of the tiles, and
how much it adds is chosen on images that it was not fitted on. Where the local nets have learned
their training images by heart, those say little, and the average stays.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
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


@dataclass(frozen=True)
class Built:
    """A coarse net whose hidden layers are final.

    Attributes:
        net: its last layer is to be chosen.
        candidates: for that layer.
        history: epochs of an MLP.
        setup_seconds: in which its training set up libraries and device.
    """

    net: Any
    candidates: Iterator[Candidate]
    history: list[dict[str, float]] = field(default_factory=list)
    setup_seconds: float = 0.0


class CoarseRows(Protocol):
    """Rows of the coarse net and their targets, in the form that a solver works on."""

    def __len__(self) -> int: ...

    def subset(self, index: np.ndarray) -> "CoarseRows":
        """The samples ``index``."""
        ...


class Solver(Protocol):
    """One kind of coarse net: :mod:`ddcnn.coarse.linear` or :mod:`ddcnn.coarse.mlp`."""

    place: str  # where it is computed, in words
    waited: float  # seconds, for that place

    def samples(
        self, outputs_NTK: np.ndarray, features_NTF: np.ndarray | None, targets: np.ndarray | None
    ) -> CoarseRows:
        """Rows from what the local nets say of N images, see ``coarse_input`` of ``cnn_dnn``."""
        ...

    def build(self, fitted: CoarseRows, val: CoarseRows) -> Built:
        """Train the hidden layers."""
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
        self, solution: "Solution", last: dict[str, float], fitted: CoarseRows
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
        seconds: of everything, the choice included, but for the set-up.
        setup_seconds: in which libraries and device were set up.
        history: epochs of an MLP; of a linear net what was tried.
    """

    net: Any
    strength: float
    seconds: float
    setup_seconds: float
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
        # No clock runs while it imports torch.
        order = shuffled(len(fitted), self.seed) if self.fit_on == "validation" else None
        start = time.perf_counter()
        losses, before = ([], 0.0) if order is None else self.cross_validate(fitted, order)
        built = self.solver.build(fitted, val)
        if order is None:
            tried, losses = self.search(built.net, built.candidates, val)
        else:
            tried = list(islice(built.candidates, int(np.argmin(losses)) + 1))
        best = int(np.argmin(losses))
        self.solver.use(built.net, tried[best])
        setup = before + built.setup_seconds
        seconds = time.perf_counter() - start - setup
        strengths = [
            {"strength": each.strength, "loss_held_out": loss, "chosen": int(i == best)}
            for i, (each, loss) in enumerate(zip(tried, losses, strict=False))
        ]
        history = built.history or strengths
        return Solution(built.net, tried[best].strength, seconds, setup, history)

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

    def cross_validate(self, samples: CoarseRows, order: np.ndarray) -> tuple[list[float], float]:
        """Mean loss of every candidate on images that a fold leaves out, and seconds of set-up.

        Args:
            samples: what the net is fitted on.
            order: in which they are dealt into folds.
        """
        parts = [order[fold::NUM_FOLDS] for fold in range(NUM_FOLDS)]
        totals, setup = np.zeros(()), 0.0
        for fold, left_out in enumerate(parts):
            rest = np.concatenate([part for other, part in enumerate(parts) if other != fold])
            held_out = samples.subset(left_out)
            built = self.solver.build(samples.subset(rest), held_out)
            setup += built.setup_seconds
            losses = []
            for candidate in built.candidates:
                self.solver.use(built.net, candidate)
                losses.append(self.solver.evaluate(built.net, held_out)[0] * len(held_out))
            totals = totals + losses
        return (totals / len(samples)).tolist(), setup


def shuffled(num: int, seed: int) -> np.ndarray:
    """The numbers below ``num`` in the order that the seed says."""
    import torch  # here: on the training split no order is needed, and torch takes two seconds

    from ddcnn.training.samples import generator_of

    return torch.randperm(num, generator=generator_of(seed)).numpy()
