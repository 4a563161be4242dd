"""Methods that turn local decisions into one, and how decisions are measured.

Arrays are ``p_NTK``: probabilities of N images, T tiles, K classes; for regression predictions of K
targets. numpy only.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# Below it a probability says no more than "never", and its logarithm would drown the others.
SMALLEST_PROBABILITY = 1e-6
# Members of an ensemble take seeds that nobody writes into a configuration.
ENSEMBLE_SEED_STEP = 1_000_000


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
    """Weighted average to a power, ``N, K`` of sum one; see :func:`ddcnn.solvers.fit_weighted`."""
    average_NK = np.tensordot(p_NTK.astype(np.float64), weights, axes=(1, 0))
    return _softmax(exponent * np.log(np.clip(average_NK, SMALLEST_PROBABILITY, 1)))


def logistic(p_NTK: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Multinomial logistic regression on all log-probabilities: probabilities ``N, K``.

    Args:
        p_NTK: local probabilities.
        weights: ``T * K + 1, K`` from :func:`ddcnn.solvers.fit_logistic`; the last row is the bias.
    """
    return _softmax(log_rows(p_NTK) @ weights[:-1] + weights[-1])


def _softmax(logits_NK: np.ndarray) -> np.ndarray:
    p_NK = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
    return (p_NK / p_NK.sum(axis=1, keepdims=True)).astype(np.float32)


def log_rows(p_NTK: np.ndarray) -> np.ndarray:
    """Log-probabilities of all tiles side by side, ``N, T * K``."""
    return np.log(np.clip(p_NTK, SMALLEST_PROBABILITY, 1)).reshape(len(p_NTK), -1)


def best_tile(p_val_NTK: np.ndarray, y_val: np.ndarray, task: str = "classification") -> int:
    """Index of the tile with the best accuracy (R²) on the validation split, or the first one."""
    score = accuracy if task == "classification" else r2
    return int(np.argmax([score(p_val_NTK[:, t], y_val) for t in range(p_val_NTK.shape[1])]))


def accuracy(p_NK: np.ndarray, labels: np.ndarray) -> float:
    """Share of images whose most probable class is the true one."""
    return float((p_NK.argmax(axis=1) == labels).mean())


def log_loss(p_NK: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log-likelihood of the true class, in nats."""
    p_true = p_NK[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.clip(p_true, 1e-12, None)).mean())


# Regression: predictions and targets are float ``N, M`` in their own units. With several targets
# the mean over them, as scikit-learn does by default.


def rmse(predicted_NM: np.ndarray, targets_NM: np.ndarray) -> float:
    """Root of the mean squared error, in the units of the target."""
    error = np.asarray(predicted_NM, np.float64) - targets_NM
    return float(np.sqrt((error**2).mean(axis=0)).mean())


def mae(predicted_NM: np.ndarray, targets_NM: np.ndarray) -> float:
    """Mean absolute error, in the units of the target."""
    return float(np.abs(np.asarray(predicted_NM, np.float64) - targets_NM).mean())


def r2(predicted_NM: np.ndarray, targets_NM: np.ndarray) -> float:
    """Coefficient of determination: 1 - mean squared error / variance of the targets."""
    return 1.0 + float(r2_merits(predicted_NM, targets_NM).mean())


def r2_merits(predicted_NM: np.ndarray, targets_NM: np.ndarray) -> np.ndarray:
    """What R² is made of, float ``N``: their mean is R² - 1, so that differences can be paired."""
    targets = np.asarray(targets_NM, np.float64)
    return -((predicted_NM - targets) ** 2 / targets.var(axis=0)).mean(axis=1)


# What is measured of every method, by task; the first is what methods are compared by.
MEASURES = {
    "classification": {"accuracy": accuracy, "loss": log_loss},
    "regression": {"r2": r2, "rmse": rmse, "mae": mae},
}


@dataclass(frozen=True)
class Combination:
    """How one method turns local decisions ``N, T, K`` into one, ``N, K``, once it is fitted.

    Attributes:
        decide: the decision.
        num_parameters: that it had to learn.
        facts: what else is worth knowing; they stand in ``evaluation.json``.
        only: index of the one tile that it needs; None if it needs all.
    """

    decide: Callable[[np.ndarray], np.ndarray]
    num_parameters: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)
    only: int | None = None


@dataclass(frozen=True)
class LocalDecisions:
    """What the methods that need no further training know of a run.

    Attributes:
        p_NTK, y: local decisions and truth by split.
        fitted: split that a method learns from.
        tiles: names of the subdomains.
        task: ``classification`` or ``regression``.
    """

    p_NTK: Mapping[str, np.ndarray]
    y: Mapping[str, np.ndarray]
    fitted: str
    tiles: list[str]
    task: str


def _fit_logistic(local: LocalDecisions) -> Combination:
    from ddcnn.solvers import fit_logistic

    weights = fit_logistic(local.p_NTK[local.fitted], local.y[local.fitted])
    return Combination(lambda p_NTK: logistic(p_NTK, weights), weights.size)


def _fit_weighted(local: LocalDecisions) -> Combination:
    from ddcnn.solvers import fit_weighted

    weights, exponent = fit_weighted(local.p_NTK[local.fitted], local.y[local.fitted])
    facts = {"weights": dict(zip(local.tiles, weights.round(4).tolist(), strict=True))}
    return Combination(lambda p_NTK: weighted(p_NTK, weights, exponent), weights.size + 1, facts)


def _find_best_tile(local: LocalDecisions) -> Combination:
    best = best_tile(local.p_NTK["val"], local.y["val"], local.task)
    return Combination(lambda p_NTK: p_NTK[:, best], 0, {"tile": local.tiles[best]}, best)


# Methods on the trained local nets alone. A new one is a function and an entry here, and its name
# in the schema.
COMBINATIONS: dict[str, Callable[[LocalDecisions], Combination]] = {
    "logistic": _fit_logistic,
    "weighted": _fit_weighted,
    "mean": lambda _: Combination(mean),
    "vote": lambda _: Combination(vote),
    "best-tile": _find_best_tile,
}
NEED_CLASSES = ("logistic", "weighted", "vote")
# In the order of every table.
METHODS = ("global", "small", "ensemble", "cnn-dnn", "coherent", "transfer", *COMBINATIONS)


def methods_of(task: str) -> tuple[str, ...]:
    """Methods that a task knows: regression has no classes to vote on."""
    without = () if task == "classification" else NEED_CLASSES
    return tuple(method for method in METHODS if method not in without)
