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

import numpy as np
import torch

from ddcnn.device import Device
from ddcnn.models.cnn_dnn import CoarseNet, CoarseSettings
from ddcnn.solvers import fit_ridge, fit_softmax
from ddcnn.tasks import Task
from ddcnn.training import Features, Settings, evaluate, fit, generator_of

# Inverse penalties of the linear net, from hardly more than the average to hardly a penalty.
INVERSE_RIDGES = (30.0, 300.0, 3e3, 3e4)
# Of L-BFGS for one penalty; the next one goes on from there.
STEPS, TOLERANCE = 20, 1e-3
# Shares of what a trained MLP adds to the average.
SHARES = (0.25, 0.5, 0.75, 1.0)
# The search ends when so many stronger candidates in a row were no better than the best.
PATIENCE = 1
NUM_FOLDS = 5


@dataclass(frozen=True)
class Candidate:
    """One answer to: how much does the coarse net add to the average?

    Attributes:
        strength: the inverse of the penalty (linear) or the share (MLP); 0 is the average alone.
        weight, bias: of the last layer, ``K, H`` and ``K``.
    """

    strength: float
    weight: torch.Tensor
    bias: torch.Tensor


@dataclass
class Solution:
    """A solved coarse problem.

    Attributes:
        net: with the chosen candidate as its last layer.
        strength: the chosen candidate's.
        seconds: of everything, the choice included.
        history: epochs of an MLP; of a linear net what was tried.
    """

    net: CoarseNet
    strength: float
    seconds: float
    history: list[dict[str, float]]


@dataclass(frozen=True)
class Problem:
    """What is to be solved, and by what.

    Attributes:
        coarse: the net and what it is fitted on.
        settings: how an MLP is trained.
        task: of the data set.
        num_outputs: classes, or targets.
        seed: of the run.
        device: where everything lives.
    """

    coarse: CoarseSettings
    settings: Settings
    task: Task
    num_outputs: int
    seed: int
    device: Device

    def solve(self, fitted: Features, val: Features) -> Solution:
        """The coarse net that is best on images it was not fitted on.

        Those are the validation split, or, where the net is fitted on that one, the parts that
        five folds leave out in turn. Candidates are compared by their loss, beginning with the
        average of the tiles; of equal ones the first is taken.
        """
        start = time.perf_counter()
        losses = self.cross_validate(fitted) if self.coarse.fit_on == "validation" else None
        net, candidates, history = self.build(fitted, val)
        if losses is None:
            tried, losses = self.search(net, candidates, val)
        else:
            tried = list(islice(candidates, int(np.argmin(losses)) + 1))
        best = int(np.argmin(losses))
        use(net, tried[best])
        seconds = time.perf_counter() - start
        strengths = [
            {"strength": each.strength, "loss_held_out": loss, "chosen": int(i == best)}
            for i, (each, loss) in enumerate(zip(tried, losses, strict=False))
        ]
        return Solution(net, tried[best].strength, seconds, history or strengths)

    def build(
        self, fitted: Features, val: Features
    ) -> tuple[CoarseNet, Iterator[Candidate], list[dict[str, float]]]:
        """A net whose hidden layers are final, candidates for its last, and an MLP's history."""
        torch.manual_seed(self.seed)
        num_inputs = fitted.values.shape[1] - self.num_outputs
        net = self.coarse.build(num_inputs, self.num_outputs).to(self.device.torch)
        net.standardise(fitted.values)
        if self.coarse.solver == "linear":
            return net, linear_candidates(net, fitted, self.task), []
        fitting = fit(net, fitted, val, self.settings, self.seed, self.device, task=self.task)
        return net, mlp_candidates(net), fitting.history

    def search(
        self, net: CoarseNet, candidates: Iterable[Candidate], held_out: Features
    ) -> tuple[list[Candidate], list[float]]:
        """Candidates and their losses, until :data:`PATIENCE` were no better than the best."""
        tried, losses = [], []
        for candidate in candidates:
            use(net, candidate)
            tried.append(candidate)
            losses.append(evaluate(net, held_out, self.task)[0])
            if len(losses) > int(np.argmin(losses)) + PATIENCE:
                break
        return tried, losses

    def cross_validate(self, samples: Features) -> list[float]:
        """Mean loss of every candidate on images that a fold leaves out."""
        order = torch.randperm(len(samples), generator=generator_of(self.seed))
        parts = [order[fold::NUM_FOLDS] for fold in range(NUM_FOLDS)]
        totals = np.zeros(())
        for fold, left_out in enumerate(parts):
            rest = torch.cat([part for other, part in enumerate(parts) if other != fold])
            held_out = samples.subset(left_out.to(self.device.torch))
            net, candidates, _ = self.build(samples.subset(rest.to(self.device.torch)), held_out)
            losses = []
            for candidate in candidates:
                use(net, candidate)
                losses.append(evaluate(net, held_out, self.task)[0] * len(held_out))
            totals = totals + losses
        return (totals / len(samples)).tolist()


def linear_candidates(net: CoarseNet, samples: Features, task: Task) -> Iterator[Candidate]:
    """The average, then linear nets with ever weaker penalties, each started at the one before."""
    yield average_alone(net)
    inputs, average = (part.cpu().numpy() for part in net.split(samples.values))
    targets = samples.labels.cpu().numpy()
    weights = None
    for inverse in INVERSE_RIDGES:
        if task.name == "regression":
            weights = fit_ridge(inputs, targets - average, 1 / inverse)
        else:
            weights = fit_softmax(
                *(inputs, targets, average.shape[1], 1 / inverse, average, weights),
                *(STEPS, TOLERANCE),
            )
        layer = torch.from_numpy(weights.T.astype(np.float32)).to(samples.values.device)
        yield Candidate(inverse, layer[:, :-1], layer[:, -1])


def mlp_candidates(net: CoarseNet) -> Iterator[Candidate]:
    """The average, then growing shares of what the trained net adds to it."""
    weight, bias = (parameter.detach().clone() for parameter in net.layers[-1].parameters())
    yield average_alone(net)
    for share in SHARES:
        yield Candidate(share, share * weight, share * bias)


def average_alone(net: CoarseNet) -> Candidate:
    """What adds nothing to the average of the tiles."""
    return Candidate(0.0, *(torch.zeros_like(p) for p in net.layers[-1].parameters()))


@torch.no_grad()
def use(net: CoarseNet, candidate: Candidate) -> None:
    """Make a candidate the net's last layer."""
    net.layers[-1].weight.copy_(candidate.weight)
    net.layers[-1].bias.copy_(candidate.bias)
