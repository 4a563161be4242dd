"""How decisions are measured, against labels or targets. numpy only."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ddcnn.base.splits import JUDGED


def accuracy(p_NK: np.ndarray, labels: np.ndarray) -> float:
    """Share of images whose most probable class is the true one."""
    return float((p_NK.argmax(axis=1) == labels).mean())


def log_loss(p_NK: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log-likelihood of the true class, in nats."""
    p_true = p_NK[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.clip(p_true, 1e-12, None)).mean())


def confusion(decided: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Number of images of each true class (row) that were given each class: int64 ``K, K``."""
    cells = labels.astype(np.int64) * num_classes + decided
    return np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)


def balanced_accuracy(p_NK: np.ndarray, labels: np.ndarray) -> float:
    """Mean over the classes of the share of their images that are decided rightly.

    Chance is 1 / K, however unequal the classes are. A class without images has no share and is
    left out, as scikit-learn does.
    """
    counts = confusion(p_NK.argmax(axis=1), labels, p_NK.shape[1])
    of_class = counts.sum(axis=1)
    return float((np.diag(counts)[of_class > 0] / of_class[of_class > 0]).mean())


def macro_f1(p_NK: np.ndarray, labels: np.ndarray) -> float:
    """Mean over the classes of F1, the harmonic mean of precision and sensitivity.

    It is 0 for a class that is never decided rightly; a class that neither occurs nor is decided
    is left out, as scikit-learn does.
    """
    counts = confusion(p_NK.argmax(axis=1), labels, p_NK.shape[1])
    both = counts.sum(axis=0) + counts.sum(axis=1)
    return float((2 * np.diag(counts)[both > 0] / both[both > 0]).mean())


def auc(p_NK: np.ndarray, labels: np.ndarray) -> float | None:
    """Area under the ROC curve: of two classes that of the second, else the mean of one-vs-rest.

    It is how often an image of the class has a larger probability of it than one of another class;
    equal ones count half (Mann and Whitney 1947). A class without images, or without others, has no
    curve and is left out, where scikit-learn makes the mean not a number; None if none has one.
    """
    classes = range(p_NK.shape[1]) if p_NK.shape[1] > 2 else [1]
    areas = [_area(p_NK[:, k], labels == k) for k in classes if 0 < (labels == k).mean() < 1]
    return float(np.mean(areas)) if areas else None


def _area(scores: np.ndarray, is_class: np.ndarray) -> float:
    """From the ranks of the class among all, the middle one for equal scores."""
    ascending, own = np.sort(scores), scores[is_class]
    below, up_to = (np.searchsorted(ascending, own, side) for side in ("left", "right"))
    num_own, num_others = len(own), len(scores) - len(own)
    pairs = ((below + up_to + 1) / 2).sum() - num_own * (num_own + 1) / 2
    return pairs / (num_own * num_others)


def majority_baseline(y: Mapping[str, np.ndarray], classes: Sequence[str]) -> dict[str, Any]:
    """What nothing but counting achieves: always saying the most frequent class of the training.

    Args:
        y: labels of every split.
        classes: names of the K classes.

    Returns:
        ``majority_class`` (the first of equals), ``accuracy_val``, ``accuracy_test``, and
        ``chance``, the accuracy of guessing each class equally often: 1 / K.
    """
    majority = int(np.bincount(y["train"], minlength=len(classes)).argmax())
    right = {f"accuracy_{split}": float((y[split] == majority).mean()) for split in JUDGED}
    return {"majority_class": classes[majority], **right, "chance": 1 / len(classes)}


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
    """Coefficient of determination: 1 - mean squared error / variance of the targets.

    Of a target that is the same in every sample it is 0, or 1 where nothing is wrong, as in
    scikit-learn.
    """
    return 1.0 + float(r2_merits(predicted_NM, targets_NM).mean())


def r2_merits(predicted_NM: np.ndarray, targets_NM: np.ndarray) -> np.ndarray:
    """What R² is made of, float ``N``: their mean is R² - 1, so that differences can be paired."""
    targets = np.asarray(targets_NM, np.float64)
    squares = (predicted_NM - targets) ** 2
    scale = np.where(np.ptp(targets, axis=0) > 0, targets.var(axis=0), squares.mean(axis=0))
    return -(squares / np.where(scale > 0, scale, 1)).mean(axis=1)


# What is measured of every method, by task; the first is what methods are compared by. A score
# that the split does not define is None.
MEASURES = {
    "classification": {
        "accuracy": accuracy,
        "loss": log_loss,
        "balanced_accuracy": balanced_accuracy,
        "macro_f1": macro_f1,
        "auc": auc,
    },
    "regression": {"r2": r2, "rmse": rmse, "mae": mae},
}


def all_scores(
    predictions: Mapping[str, np.ndarray], y: Mapping[str, np.ndarray], task: str
) -> dict[str, float | None]:
    """Every score of a method on the validation and the test split, by ``{score}_{split}``.

    Args:
        predictions: probabilities ``N, K`` or targets ``N, M`` by split.
        y: labels int64 ``N`` or targets by split.
        task: ``classification`` or ``regression``.
    """
    return {
        f"{name}_{split}": measure(predictions[split], y[split])
        for name, measure in MEASURES[task].items()
        for split in JUDGED
    }
