"""How sure a result is: intervals of scores and of paired differences."""

from typing import NamedTuple

import numpy as np

NORMAL_95 = 1.959964


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


def wilson(successes: float, trials: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927).

    Unlike p ± z s it never leaves 0 to 1, and is not of width 0 where all or none succeed.
    """
    share, square = successes / trials, NORMAL_95**2 / trials
    middle = (share + square / 2) / (1 + square)
    reach = NORMAL_95 / (1 + square) * np.sqrt((share * (1 - share) + square / 4) / trials)
    return float(middle - reach), float(middle + reach)


def score_interval(
    score: float, by_images: tuple[float, float], spread: float, num_seeds: int
) -> tuple[float, float]:
    """95 % interval of a score: chance of the test images and of the training.

    On either side the two distances are added as squares (Zou and Donner 2008).

    Args:
        score: mean over the seeds, at most 1.
        by_images: its interval by the choice of the test images.
        spread: standard deviation over the seeds; not a number with one seed, whose interval knows
            nothing of the training's chance.
        num_seeds: trainings.
    """
    if num_seeds < 2:
        return by_images
    by_seeds = student_95(num_seeds - 1) * spread / np.sqrt(num_seeds)
    low, high = (np.hypot(end - score, by_seeds) for end in by_images)
    return float(score - low), float(min(score + high, 1.0))


def mean_error(merits: np.ndarray) -> float:
    """Standard error of a mean of ``N`` merits, one for each sample; of R²: given the variance."""
    return float(merits.std() / np.sqrt(len(merits)))


def paired_difference(first: np.ndarray, second: np.ndarray) -> Difference:
    """Accuracy of ``first`` minus that of ``second``, on the same images, seed by seed.

    Two sources of chance are added as squares: which images are in the test split (images that
    both decide alike cancel), and, with two or more seeds, the training (Student's interval over
    the seeds). With one seed the second one is unknown and missing from the margin. Of decisions
    the first one has half a count more in each cell of the table "right or wrong by either"
    (Agresti and Min 2005): that two agree on a few images does not mean that they always will.

    Args:
        first: ``S, N``: for each seed and image, is the decision right (bool); or of a regression
            the merits whose mean is R² - 1 (float).
        second: the same of what it is compared with.
    """
    difference = first.astype(float) - second.astype(float)
    num_seeds = len(difference)
    margin = NORMAL_95 * _error_by_images(difference.mean(axis=0), first.dtype == bool)
    p_value = None
    if num_seeds > 1:
        by_seed = difference.mean(axis=1)
        scatter = by_seed.std(ddof=1) / np.sqrt(num_seeds)
        margin = np.hypot(margin, student_95(num_seeds - 1) * scatter)
        p_value = _p_value(by_seed.mean(), scatter, num_seeds - 1)
    return Difference(float(difference.mean()), float(margin), num_seeds, p_value)


def _error_by_images(differences: np.ndarray, of_decisions: bool) -> float:
    """Standard error of the mean of ``N`` differences."""
    more = 0.5 * of_decisions
    count = len(differences) + 4 * more
    squares = np.square(differences).sum() + 2 * more
    return float(np.sqrt(squares - differences.sum() ** 2 / count) / count)


def _p_value(mean: float, scatter: float, degrees: int) -> float:
    if scatter == 0:
        return 1.0 if mean == 0 else 0.0
    from scipy.special import stdtr

    return float(2 * stdtr(degrees, -abs(mean) / scatter))


def student_95(degrees: int) -> float:
    """Half-width of a 95 % interval in standard errors."""
    from scipy.special import stdtrit  # here: one seed needs no Student's interval

    return float(stdtrit(degrees, 0.975))


def difference_of_scores(
    first: tuple[float, float, float], second: tuple[float, float, float]
) -> tuple[float, float]:
    """95 % interval of one score minus another one of other images.

    On either side the distances of the two intervals are added as squares (Newcombe 1998, method
    10, for accuracies; Zou and Donner 2008).

    Args:
        first, second: a score with the two ends of its own 95 % interval.
    """
    (a, low_a, high_a), (b, low_b, high_b) = first, second
    below, above = np.hypot(a - low_a, high_b - b), np.hypot(high_a - a, b - low_b)
    return float(a - b - below), float(a - b + above)
