"""How far confidence can be believed: reliability and the expected calibration error."""

import numpy as np

from ddcnn.report.figures import ReliabilityCurve

BINS = 15  # of equal width, as in C. Guo et al., On Calibration of Modern Neural Networks, 2017


def reliability_curve(name: str, confidence: np.ndarray, is_right: np.ndarray) -> ReliabilityCurve:
    """Decisions in bins of their confidence, without the empty bins.

    Args:
        name: of the curve.
        confidence: probability of every decision, float ``N``.
        is_right: whether it is the true class, bool ``N``.
    """
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    filled = counts > 0
    means = [
        np.bincount(bins, weights=values, minlength=BINS)[filled] / counts[filled]
        for values in (confidence, is_right)
    ]
    gaps = np.abs(means[0] - means[1])
    error = float((gaps * counts[filled]).sum() / len(confidence))
    return ReliabilityCurve(name, *means, counts[filled], error)


def of_probabilities(name: str, p_NK: np.ndarray, labels: np.ndarray) -> ReliabilityCurve:
    """The curve of class probabilities ``N, K`` against true classes ``N``."""
    return reliability_curve(name, p_NK.max(axis=1), p_NK.argmax(axis=1) == labels)


def calibration_error(p_NK: np.ndarray, labels: np.ndarray) -> float:
    """Expected calibration error: mean gap between confidence and accuracy, over the decisions."""
    return of_probabilities("", p_NK, labels).error
