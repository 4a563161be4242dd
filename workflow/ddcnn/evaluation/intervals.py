"""How sure a result is: 95 % intervals of scores and of paired differences.

S trainings (seeds) and N test images are two crossed random factors. The merit of seed s on image
i is ``y_si = mean + a_s + b_i + e_si``, where e holds what is left, the part of seed by image
included. The mean of all has the variance

    var(a) / S + var(b) / N + var(e) / (S N) = A + B,
    A = MS_seeds / (S N),   B = max(0, MS_images - MS_residual) / (S N)

by the mean squares of the two-way analysis of variance (Searle, Casella and McCulloch 1992,
chapter 4): A holds all of var(e), so it is counted once. The variance V is A + B, at least an
eighth of what independent merits have, MS_residual / (S N): two seeds may agree by luck. The
half-width is ``c sqrt(V)``. Its factor c lies between Student's t of the images (t_B, N - 1
degrees) and that of the seeds (t_A, S - 1 degrees):

    c = t_B + (t_A - t_B) w^1.5,   w = A / V.

Cochran's approximation has w there (Cochran and Cox 1950) and is too wide for three seeds, where
Satterthwaite's degrees of freedom are too narrow. The power 1.5 and the eighth were chosen by
simulation; `benchmarks/coverage.py` measures what they cover.

At another level than 95 %, which many comparisons need, nothing was chosen by simulation, and this
factor is too narrow for few seeds. There the half-width is ``sqrt(t_A² A + t_B² B)``, which is
never too narrow (Banerjee 1960). Counts are whole numbers: two seeds with as many right may differ
by half a decision each, which is added to A, or they would be taken for equal too often.

With one seed A is unknown and 0: the interval speaks of these nets, for other images.

Images of a group (a patient) are no independent draws: their merits, less the mean, are summed by
group, and the groups are the second factor (ratio estimator; Cochran 1977, section 9A).

Near 0 or 1 the interval of an accuracy is not symmetrical. V is written as the number n of
independent decisions that would have it (Korn and Graubard 1998; Dean and Pagano 2015), and n
decisions have Wilson's interval (1927), or of a difference that of Agresti and Min (2005). With one
seed and no groups n is N and t_B the normal 1.96: the plain ones.

In a cross-validation the images of a fold are decided on by the same nets, and the nets of two
folds have learned from mostly the same images: the chance of the images alone is too little
(Bengio and Grandvalet 2004; Bates, Hastie and Tibshirani 2023), it holds 88 to 93 % of the
accuracies in the simulation of `benchmarks/coverage.py --folds`. The interval is the wider one of
two, over the images (or groups) and over the K folds as groups (Student's t, K - 1 degrees), either
of 1.25 V: it holds 94 to 98 %, and of differences 98 to 99 %. That of Nadeau and Bengio (2003),
V (1 + K n_test / n_train) over the folds, holds 95 to 99 % and is up to 1.5 times as wide.

Squared errors are positive: the interval of 1 - R² is that of its logarithm (delta method). A few
groups whose squared errors are very unequal still have too narrow a one.
"""

from statistics import NormalDist
from typing import NamedTuple

import numpy as np

LEVEL = 0.95
FOLD_INFLATION = 1.25  # of the variance in a cross-validation


class Error(NamedTuple):
    """Error of a mean; V and w are those of the module."""

    variance: float  # V
    num_independent: float  # decisions that would have this variance
    of_images: float  # degrees of freedom of images or groups; infinite: a normal distribution
    of_seeds: int = 0  # degrees of freedom of the seeds
    by_seeds: float = 0.0  # w, the share of the variance that is estimated from the seeds
    rounding: float = 0.0  # variance of a mean of counts that may be half a one wrong, by seed

    def factor(self) -> float:
        """Half-width of a 95 % interval in standard errors: c of the module."""
        t_b = student(self.of_images)
        t_a = student(self.of_seeds) if self.of_seeds else t_b
        return t_b + (t_a - t_b) * self.by_seeds**1.5

    def margin(self, level: float = LEVEL) -> float:
        """Half-width of an interval."""
        if level == LEVEL:
            return self.factor() * float(np.sqrt(self.variance))
        t_a = student(self.of_seeds, level) if self.of_seeds else 0.0
        t_b = student(self.of_images, level)
        shares = t_a**2 * self.by_seeds + t_b**2 * (1 - self.by_seeds)
        return float(np.sqrt(shares * self.variance + t_a**2 * self.rounding))

    def inflated(self, times: float) -> "Error":
        """With a multiple of the variance."""
        return self._replace(
            variance=self.variance * times,
            num_independent=self.num_independent / times,
            rounding=self.rounding * times,
        )


class Difference(NamedTuple):
    """A difference of two accuracies (or R²) with its 95 % interval and what that is made of."""

    value: float
    low: float
    high: float
    num_seeds: int
    error: Error
    limit: float  # no difference is larger

    def at(self, level: float) -> "Difference":
        """The difference with the interval of another level."""
        margin = self.error.margin(level)
        low, high = max(self.value - margin, -self.limit), min(self.value + margin, self.limit)
        return self._replace(low=low, high=high)

    @property
    def is_clear(self) -> bool:
        """Zero lies outside of the interval."""
        return self.low > 0 or self.high < 0


NORMAL_95 = NormalDist().inv_cdf((1 + LEVEL) / 2)


def wilson(successes: float, trials: float, factor: float = NORMAL_95) -> tuple[float, float]:
    """Interval of a share (Wilson 1927), of 95 % if ``factor`` says no other.

    Unlike p ± z s it never leaves 0 to 1, and is not of width 0 where all or none succeed.
    """
    share, square = successes / trials, factor**2 / trials
    middle = (share + square / 2) / (1 + square)
    reach = factor / (1 + square) * np.sqrt((share * (1 - share) + square / 4) / trials)
    return max(float(middle - reach), 0.0), min(float(middle + reach), 1.0)


def mean_interval(
    merits: np.ndarray, groups: np.ndarray | None = None, among: np.ndarray | None = None
) -> tuple[float, float]:
    """95 % interval of an accuracy, of a share, or of R² - 1 given the variance of the targets.

    Args:
        merits: ``S, N``: for each seed and image, is the decision right (bool); or of a regression
            the merits whose mean is R² - 1 (float, never above 0).
        groups: ``N``, the group of each image; None where every image is one of its own.
        among: bool ``S, N``, what the share is of, which may be other images for every seed, such
            as those that are given a class; ``merits`` are true nowhere else. None: of all.
    """
    if among is None:
        error, mean = error_of_mean(merits, groups), float(merits.mean())
    else:
        mean, some = float(merits.sum() / among.sum()), among.any(axis=0)
        rest = (merits - mean * among)[:, some]
        error = _error(
            rest, among.sum() / len(among), groups if groups is None else groups[..., some]
        )
    if merits.dtype == bool:
        if np.isinf(error.variance):
            return 0.0, 1.0
        return wilson(mean * error.num_independent, error.num_independent, error.factor())
    if mean == 0 or np.isinf(error.variance):
        return -error.margin(), 0.0
    ratio = float(np.exp(error.margin() / abs(mean)))
    return mean * ratio, mean / ratio


def standard_error(merits: np.ndarray, groups: np.ndarray | None = None) -> float:
    """One standard error of a mean: the half-width of :func:`mean_interval` over its factor."""
    error = error_of_mean(merits, groups)
    if merits.dtype != bool:
        return float(np.sqrt(error.variance))
    low, high = mean_interval(merits, groups)
    return (high - low) / (2 * error.factor())


def paired_difference(
    first: np.ndarray, second: np.ndarray, groups: np.ndarray | None = None
) -> Difference:
    """Mean of ``first`` minus that of ``second``, on the same images, seed by seed.

    Images that both decide alike cancel. Of n independent decisions the discordant ones have half a
    count more in either cell of the table "right or wrong by either" (Agresti and Min 2005): that
    two agree on a few images does not mean that they always will.

    Args:
        first: ``S, N``, as for :func:`mean_interval`.
        second: the same of what it is compared with.
        groups: ``N``, the group of each image; None where every image is one of its own.
    """
    difference = first.astype(float) - second
    of_decisions = first.dtype == bool
    error, value = error_of_mean(difference, groups, of_decisions), float(difference.mean())
    limit = 1.0 if of_decisions else np.inf
    if of_decisions and np.isfinite(error.variance):
        trials = error.num_independent
        squares = float(np.square(difference).mean()) * trials + 1
        variance = (squares - (value * trials) ** 2 / (trials + 2)) / (trials + 2) ** 2
        error = error._replace(variance=variance)
    return Difference(value, value, value, len(difference), error, limit).at(LEVEL)


def error_of_mean(
    merits: np.ndarray, groups: np.ndarray | None = None, of_decisions: bool | None = None
) -> Error:
    """Error of the mean of ``S, N`` merits over seeds and images, both random.

    Args:
        merits: one for each seed and image.
        groups: ``N``, the group of each image; None where every image is one of its own. Of a
            cross-validation ``2, N``: these groups, and the fold of each image.
        of_decisions: they are decisions or differences of such; by default if they are bool.
    """
    of_decisions = merits.dtype == bool if of_decisions is None else of_decisions
    return _error(merits - merits.mean(), merits.shape[1], groups, of_decisions)


def _error(
    rest: np.ndarray, count: float, groups: np.ndarray | None, of_decisions: bool = True
) -> Error:
    """Error of a mean or share, from ``S, N`` merits less it and the images that it is of."""
    if groups is not None and groups.ndim == 2:
        errors = [_error(rest, count, each, of_decisions) for each in groups]
        return max(errors, key=Error.margin).inflated(FOLD_INFLATION)
    by_cell, num_cells, is_count = rest, count, of_decisions and groups is None
    if groups is not None:
        by_cell = _summed(rest, groups)
        num_cells = by_cell.shape[1]
    if num_cells == 1 and not is_count:
        return Error(np.inf, 0.0, np.inf)  # one draw says nothing of other ones
    # In units of the mean number of images of a cell.
    by_seeds, variance = _variances(by_cell * (by_cell.shape[1] / count))
    each = float(np.vdot(rest, rest)) / (len(rest) * max(count - 1, 1))
    return Error(
        variance,
        each / variance if variance > 0 else num_cells,
        np.inf if is_count else num_cells - 1,
        len(rest) - 1,
        by_seeds / variance if variance > 0 else 0.0,
        0.25 / count**2 / len(rest) if of_decisions else 0.0,
    )


def _variances(rest: np.ndarray) -> tuple[float, float]:
    """A and V of the module, from ``S, N`` merits less their mean."""
    num_seeds, num_images = rest.shape
    by_images = rest.mean(axis=0)
    degrees = max(num_images - 1, 1)
    of_images = num_seeds * float(np.vdot(by_images, by_images))
    if num_seeds == 1:
        return 0.0, of_images / degrees / num_images
    by_seeds = rest.mean(axis=1)
    of_seeds = num_images * float(np.vdot(by_seeds, by_seeds))
    of_rest = max(float(np.vdot(rest, rest)) - of_seeds - of_images, 0.0)
    seeds, images = of_seeds / (num_seeds - 1), of_images / degrees
    residual = of_rest / degrees / (num_seeds - 1)
    return seeds / rest.size, max(seeds + max(images - residual, 0.0), residual / 8) / rest.size


def _summed(rest: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """``S, G``: sums over the groups."""
    _, codes = np.unique(groups, return_inverse=True)
    return np.stack([np.bincount(codes, weights=of_seed) for of_seed in rest])


def student(degrees: float, level: float = LEVEL) -> float:
    """Half-width of an interval in standard errors; with infinite degrees the normal one."""
    if np.isinf(degrees):
        return NormalDist().inv_cdf((1 + level) / 2)
    from scipy.special import stdtrit  # here: one seed needs no Student's interval

    return float(stdtrit(degrees, (1 + level) / 2)) if degrees else float("inf")


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
