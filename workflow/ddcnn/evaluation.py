"""Methods that turn local probabilities into one decision, and how decisions are measured.

Arrays are ``p_NTK``: N images, T tiles, K classes. numpy only.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ddcnn.files import read_npz

METHODS = ("global", "cnn-dnn", "mean", "vote", "best-tile")


def stack_probabilities(paths: Iterable[str | Path], split: str) -> np.ndarray:
    """``p_NTK`` of a split from the ``probabilities.npz`` of all tiles."""
    return np.stack([read_npz(path)[split] for path in paths], axis=1)


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


def best_tile(p_val_NTK: np.ndarray, labels_val: np.ndarray) -> int:
    """Index of the tile with the best accuracy on the validation split, the first of equals."""
    return int(np.argmax((p_val_NTK.argmax(axis=2) == labels_val[:, None]).mean(axis=0)))


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
