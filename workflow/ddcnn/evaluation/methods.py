"""Methods that turn local decisions into one.

Arrays are ``p_NTK``: probabilities of N images, T tiles, K classes; for regression predictions of K
targets. numpy only.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ddcnn.base.tasks import METHODS, Task
from ddcnn.coarse.inputs import SMALLEST_PROBABILITY, log_rows
from ddcnn.coarse.memory import require_for_linear
from ddcnn.coarse.solvers import fit_logistic, fit_weighted
from ddcnn.evaluation.scores import accuracy, r2

# Of a worker; seconds, bytes and messages are those of one step, but for the start.
WORKER_KEYS = (
    "step_seconds",
    "compute_seconds",
    "communication_seconds",
    "idle_seconds",
    "bytes_per_step",
    "messages_per_step",
    "start_seconds",
)


def mean(p_NTK: np.ndarray) -> np.ndarray:
    """Average of the local probabilities, ``N, K``."""
    return p_NTK.mean(axis=1)


def vote(p_NTK: np.ndarray) -> np.ndarray:
    """Majority vote of the local decisions as scores ``N, K`` that sum to one.

    The share of tiles that decide for a class. Ties are broken by the summed probability: the
    average probability is worth one vote more, which no smaller number of votes outweighs.
    """
    num_tiles, num_classes = p_NTK.shape[1:]
    votes_NK = np.eye(num_classes, dtype=p_NTK.dtype)[p_NTK.argmax(axis=2)].sum(axis=1)
    return (votes_NK + mean(p_NTK)) / (num_tiles + 1)


def weighted(p_NTK: np.ndarray, weights: np.ndarray, exponent: float) -> np.ndarray:
    """Weighted average to a power, ``N, K`` of sum one; see ``coarse.solvers.fit_weighted``."""
    average_NK = np.tensordot(p_NTK.astype(np.float64), weights, axes=(1, 0))
    return _softmax(exponent * np.log(np.clip(average_NK, SMALLEST_PROBABILITY, 1)))


def logistic(p_NTK: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Multinomial logistic regression on all log-probabilities: probabilities ``N, K``.

    Args:
        p_NTK: local probabilities.
        weights: ``T * K + 1, K``, the last row is the bias;
            see :func:`ddcnn.coarse.solvers.fit_logistic`.
    """
    return _softmax(log_rows(p_NTK) @ weights[:-1] + weights[-1])


def _softmax(logits_NK: np.ndarray) -> np.ndarray:
    p_NK = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
    return (p_NK / p_NK.sum(axis=1, keepdims=True)).astype(np.float32)


def best_tile(p_val_NTK: np.ndarray, y_val: np.ndarray, task: str = "classification") -> int:
    """Index of the tile with the best accuracy (R²) on the validation split, or the first one."""
    score = accuracy if task == "classification" else r2
    return int(np.argmax([score(p_val_NTK[:, t], y_val) for t in range(p_val_NTK.shape[1])]))


@dataclass(frozen=True)
class Combination:
    """How one method turns local decisions ``N, T, K`` into one, ``N, K``, once it is fitted.

    Attributes:
        decide: the decision.
        num_parameters: that it had to learn.
        multiply_adds: of one decision, beside those of the local nets.
        facts: what else is worth knowing; they stand in ``evaluation.json``.
        only: index of the one tile that it needs; None if it needs all.
    """

    decide: Callable[[np.ndarray], np.ndarray]
    num_parameters: int = 0
    multiply_adds: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)
    only: int | None = None


@dataclass(frozen=True)
class LocalDecisions:
    """What the methods that need no further training know of a run.

    Attributes:
        p_NTK: local decisions on the splits that are judged.
        y: truth by split.
        fitted_NTK, y_fitted: those that a method learns from: what the coarse net was fitted on;
            decisions are None where no method of :data:`LEARNING` is asked.
        tiles: names of the subdomains.
        task: with the weights of the classes that the coarse net has.
    """

    p_NTK: Mapping[str, np.ndarray]
    y: Mapping[str, np.ndarray]
    fitted_NTK: np.ndarray | None
    y_fitted: np.ndarray
    tiles: list[str]
    task: Task


def _fit_logistic(local: LocalDecisions) -> Combination:
    num_rows, num_tiles, num_classes = local.fitted_NTK.shape
    require_for_linear(
        "the method logistic", num_rows, num_tiles * num_classes, num_classes, local.task.name
    )
    weights = fit_logistic(local.fitted_NTK, local.y_fitted, local.task.class_weights)
    return Combination(
        lambda p_NTK: logistic(p_NTK, weights), weights.size, multiply_adds=weights[:-1].size
    )


def _fit_weighted(local: LocalDecisions) -> Combination:
    weights, exponent = fit_weighted(local.fitted_NTK, local.y_fitted, local.task.class_weights)
    return Combination(
        lambda p_NTK: weighted(p_NTK, weights, exponent),
        weights.size + 1,
        multiply_adds=weights.size * local.task.num_outputs,
        facts={"weights": dict(zip(local.tiles, weights.round(4).tolist(), strict=True))},
    )


def _find_best_tile(local: LocalDecisions) -> Combination:
    best = best_tile(local.p_NTK["val"], local.y["val"], local.task.name)
    return Combination(lambda p_NTK: p_NTK[:, best], facts={"tile": local.tiles[best]}, only=best)


# Methods on the trained local nets alone. A new one is a function and an entry here, and its name
# in the schema.
COMBINATIONS: dict[str, Callable[[LocalDecisions], Combination]] = {
    "logistic": _fit_logistic,
    "weighted": _fit_weighted,
    "mean": lambda _: Combination(mean),
    "vote": lambda _: Combination(vote),
    "best-tile": _find_best_tile,
}

LEARNING = frozenset({"logistic", "weighted"})  # from what the local nets said of some images


def in_order(methods: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Known methods in the order of every table, later ones after them."""
    rank = {method: place for place, method in enumerate(METHODS)}
    return sorted(methods.items(), key=lambda item: rank.get(item[0], len(rank)))
