"""How sure a result is: standard errors of scores and of paired differences."""

from typing import NamedTuple

import numpy as np

NORMAL_95 = 1.960


class Difference(NamedTuple):
    """A difference of two accuracies (or R²) with the half-width of its 95 % interval."""

    value: float
    margin: float
    num_seeds: int
    p_value: float | None  # of a two-sided paired t-test over the seeds; None with one seed

    @property
    def is_clear(self) -> bool:
        """Zero lies outside of the interval."""
        return abs(self.value) > self.margin


def binomial_error(accuracy: float, num_images: int) -> float:
    """Standard error of an accuracy that was measured on ``num_images`` images."""
    return float(np.sqrt(accuracy * (1 - accuracy) / num_images))


def score_margin(error_by_images: float, spread: float, num_seeds: int) -> float:
    """Half-width of a score's 95 % interval: chance of the test images and of the training.

    Args:
        error_by_images: standard error that comes from the choice of the test images.
        spread: standard deviation over the seeds; not a number with one seed, whose interval knows
            nothing of the training's chance.
        num_seeds: trainings.
    """
    margin = NORMAL_95 * error_by_images
    if num_seeds < 2:
        return margin
    return float(np.hypot(margin, student_95(num_seeds - 1) * spread / np.sqrt(num_seeds)))


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
    p_value = None
    if num_seeds > 1:
        by_seed = difference.mean(axis=1)
        scatter = by_seed.std(ddof=1) / np.sqrt(num_seeds)
        margin = np.hypot(margin, student_95(num_seeds - 1) * scatter)
        p_value = _p_value(by_seed.mean(), scatter, num_seeds - 1)
    return Difference(float(difference.mean()), float(margin), num_seeds, p_value)


def _p_value(mean: float, scatter: float, degrees: int) -> float:
    if scatter == 0:
        return 1.0 if mean == 0 else 0.0
    from scipy.special import stdtr

    return float(2 * stdtr(degrees, -abs(mean) / scatter))


def student_95(degrees: int) -> float:
    """Half-width of a 95 % interval in standard errors."""
    from scipy.special import stdtrit  # here: one seed needs no Student's interval

    return float(stdtrit(degrees, 0.975))
