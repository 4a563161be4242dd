"""How decisions are measured, against labels or targets. numpy only."""

import numpy as np


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
