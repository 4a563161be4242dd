"""Intervals: what they cover, against plain loops and published formulas."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from ddcnn.evaluation.intervals import (
    mean_interval,
    paired_difference,
    standard_error,
    student,
    wilson,
)

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def simulation():
    """The script benchmarks/coverage.py as a module."""
    spec = importlib.util.spec_from_file_location("coverage_script", BENCHMARKS / "coverage.py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(BENCHMARKS))  # for what the benchmarks share
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(BENCHMARKS))
    return module


@pytest.mark.parametrize(
    ("score", "dominant", "group"),
    [("accuracy", "residual", 1), ("accuracy", "seed", 1), ("R²", "image", 1),
     ("accuracy", "image", 5)],
)  # fmt: skip
def test_intervals_cover_what_they_name(simulation, score, dominant, group):
    """The table of benchmarks/coverage.py with fewer studies: 3, 5 and 10 seeds."""
    num_studies, error = 800, 100 * np.sqrt(0.95 * 0.05 / 800)
    design = simulation.Design(score, simulation.DOMINANT[dominant], 400, group)
    found = simulation.coverage(design, num_studies)[:, 2:]
    assert found.min() > 93.5 - 2 * error
    assert found.max() < 96.5 + 2 * error


def mean_squares(merits: np.ndarray) -> tuple[float, float, float]:
    """Of seeds, images and the rest, as a textbook writes them."""
    num_seeds, num_images = merits.shape
    mean = merits.mean()
    seeds = num_images * sum((row.mean() - mean) ** 2 for row in merits) / (num_seeds - 1)
    images = num_seeds * sum((column.mean() - mean) ** 2 for column in merits.T) / (num_images - 1)
    rest = sum(
        (merits[s, i] - merits[s].mean() - merits[:, i].mean() + mean) ** 2
        for s in range(num_seeds)
        for i in range(num_images)
    )
    return seeds, images, rest / (num_seeds - 1) / (num_images - 1)


def drawn(seed: int, of_seeds: float, of_images: float, shape=(4, 30)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    seeds = of_seeds * rng.normal(size=(shape[0], 1))
    return -1 + seeds + of_images * rng.normal(size=shape[1]) + rng.normal(size=shape)


@pytest.mark.parametrize(("of_seeds", "of_images"), [(0.5, 2), (1, 1), (3, 0.5)])
def test_the_variance_is_that_of_two_crossed_factors(of_seeds, of_images):
    merits = drawn(3, of_seeds, of_images)
    seeds, images, rest = mean_squares(merits)
    variance = (seeds + images - rest) / merits.size
    assert standard_error(merits) == pytest.approx(np.sqrt(variance))
    by_images, by_seeds = stats.t.ppf(0.975, [29, 3])
    factor = by_images + (by_seeds - by_images) * (seeds / merits.size / variance) ** 1.5
    difference = paired_difference(merits, np.zeros_like(merits))
    assert difference.value == pytest.approx(merits.mean())
    assert difference.high - merits.mean() == pytest.approx(factor * np.sqrt(variance))
    assert merits.mean() - difference.low == pytest.approx(factor * np.sqrt(variance))


def test_seeds_alone_have_students_interval():
    """Images without any effect: only the means of the seeds matter."""
    by_seed = np.array([0.1, 0.3, -0.2, 0.4, 0.05])
    difference = paired_difference(np.repeat(by_seed[:, None], 50, axis=1), np.zeros((5, 50)))
    student = stats.ttest_1samp(by_seed, 0).confidence_interval(0.95)
    assert (difference.low, difference.high) == pytest.approx(student)


def test_seeds_that_agree_by_luck_leave_a_width():
    """Two seeds with as many right, each on other images."""
    first = np.tile([[True, False], [False, True]], 50)
    low, high = mean_interval(first)
    assert 0.05 < high - low < 0.2


def test_one_seed_of_decisions_has_wilsons_interval():
    right = np.random.default_rng(0).random((1, 300)) < 0.9
    assert mean_interval(right) == pytest.approx(wilson(right.sum(), 300))
    assert mean_interval(np.ones((1, 9), dtype=bool)) == pytest.approx(wilson(9, 9))


@pytest.mark.parametrize("num_seeds", [1, 2, 3])
@pytest.mark.parametrize("num_images", [1, 2, 9])
def test_no_interval_leaves_what_is_possible(num_seeds, num_images):
    rng = np.random.default_rng(num_images)
    for _ in range(50):
        first, second = rng.random((2, num_seeds, num_images)) < rng.random((2, num_seeds, 1))
        low, high = mean_interval(first)
        assert 0 <= low <= first.mean() <= high <= 1
        difference = paired_difference(first, second)
        assert -1 <= difference.low <= difference.value <= difference.high <= 1


def test_a_perfect_regression_and_one_sample_are_possible():
    assert mean_interval(np.zeros((3, 8))) == (0, 0)
    low, high = mean_interval(-np.ones((1, 1)))
    assert (low, high) == (-np.inf, 0)
    assert mean_interval(drawn(0, 1, 1) ** 2 * -1)[1] < 0


def test_the_number_of_images_of_a_group_does_not_make_an_interval_surer():
    """Every image five times is as sure as once, if its copies are one group."""
    rng = np.random.default_rng(1)
    first, second = rng.random((2, 4, 60)) + rng.normal(size=(2, 1, 60)) < 1.5
    once = paired_difference(first, second, np.arange(60))
    groups = np.tile(np.arange(60), 5)
    often = paired_difference(np.tile(first, 5), np.tile(second, 5), groups)
    assert often.high - often.low == pytest.approx(once.high - once.low, rel=0.02)
    alone = paired_difference(np.tile(first, 5), np.tile(second, 5))
    assert alone.high - alone.low < 0.8 * (once.high - once.low)


def test_groups_may_have_any_size_order_and_name():
    """Against the ratio estimator of a mean of clusters, written out (Cochran 1977)."""
    rng = np.random.default_rng(2)
    names = rng.permutation(np.repeat(["a", "b", "c", "d", "e", "f"], [1, 2, 3, 4, 9, 6]))
    merits = rng.normal(size=(1, 25))
    sums = {name: (merits[0, names == name] - merits.mean()).sum() for name in "abcdef"}
    variance = 6 / 5 * sum(each**2 for each in sums.values()) / 25**2
    assert standard_error(merits, names) == pytest.approx(np.sqrt(variance))
    found = paired_difference(merits, np.zeros_like(merits), names)
    assert found.high - found.value == pytest.approx(student(5) * np.sqrt(variance))
