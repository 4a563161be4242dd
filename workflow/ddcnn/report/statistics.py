"""How sure a result is: standard errors of scores and of paired differences."""

from typing import NamedTuple

import numpy as np

NORMAL_95 = 1.960
# Student's 97.5 % quantiles for 1, 2, ... degrees of freedom; beyond them the normal one is near.
STUDENT_95 = (
    12.71,
    4.303,
    3.182,
    2.776,
    2.571,
    2.447,
    2.365,
    2.306,
    2.262,
    2.228,
    2.201,
    2.179,
    2.160,
    2.145,
    2.131,
    2.120,
    2.110,
    2.101,
    2.093,
    2.086,
)


class Difference(NamedTuple):
    """A difference of two accuracies (or R²) with the half-width of its 95 % interval."""

    value: float
    margin: float
    num_seeds: int

    @property
    def is_clear(self) -> bool:
        """Zero lies outside of the interval."""
        return abs(self.value) > self.margin


def binomial_error(accuracy: float, num_images: int) -> float:
    """Standard error of an accuracy that was measured on ``num_images`` images."""
    return float(np.sqrt(accuracy * (1 - accuracy) / num_images))


def mean_error(merits: np.ndarray) -> float:
    """Standard error of a mean of ``N`` merits, one for each sample; of R²: given the variance."""
    return float(merits.std() / np.sqrt(len(merits)))


def paired_difference(first: np.ndarray, second: np.ndarray) -> Difference:
    """Accuracy of ``first`` minus that of ``second``, on the same images, seed by seed.

    Two sources of chance are added as squares: which images are in the test split (images that
    both decide alike cancel), and, with two or more seeds, the training (Student's interval over
    the seeds). With one seed the second one is unknown and missing from the margin.

    Args:
        first: ``S, N``: for each seed and image, is the decision right (bool); or of a regression
            the merits whose mean is R² - 1 (float).
        second: the same of what it is compared with.
    """
    difference = first.astype(float) - second.astype(float)
    num_seeds, num_images = difference.shape
    margin = NORMAL_95 * difference.mean(axis=0).std() / np.sqrt(num_images)
    if num_seeds > 1:
        scatter = difference.mean(axis=1).std(ddof=1) / np.sqrt(num_seeds)
        margin = np.hypot(margin, student_95(num_seeds - 1) * scatter)
    return Difference(float(difference.mean()), float(margin), num_seeds)


def student_95(degrees: int) -> float:
    """Half-width of a 95 % interval in standard errors."""
    return (
        STUDENT_95[degrees - 1] if degrees <= len(STUDENT_95) else NORMAL_95 * (1 + 1.24 / degrees)
    )
