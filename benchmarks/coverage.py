"""How often the 95 % intervals of reports hold the true value, in simulated studies.

A classifier decides an image rightly if a sum of normal effects is positive: of the seed, of the
image (for the most part shared by a group of images) and of both together. A regression's error is
the sum of an effect of the image and one of both; its merit is minus the square, times an effect of
the seed. Of each study the first seeds are the studies of fewer seeds.

With ``--folds`` the studies are cross-validations with real, cheap classifiers on two normal
classes, whose true accuracy is known: what a net of such a training has on average of all data
sets, and what the nets of this study have.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from common import options_of, parse, write_theme
from scipy.special import ndtr, ndtri

from ddcnn.base.division import deal
from ddcnn.evaluation.intervals import mean_interval, paired_difference, student

SEEDS, IMAGES, GROUPS = (1, 2, 3, 5, 10), (100, 2_000, 10_000), (1, 5)
SCORES = {"accuracy": (0.85, 0.8), "R²": (0.9, 0.88)}  # of the two methods of a study
OF_GROUP = 0.7  # share of the variance of image effects that a group has in common
OF_METHOD = 0.5  # share of it that two methods do not have in common
TEXT = (
    "Per cent of the simulated studies whose 95 % interval holds the true value, by the number of "
    "seeds; with one seed the true value of these nets. Dominant: where most of the variance of "
    "the mean comes from; residual is the part of seed by image. Group: images in each."
)
FOLDS, ON_SIDE = (5, 10), 0.35  # distance of a class from the middle along INFORMATIVE features
INFORMATIVE, RIDGE = 5, 1.0
SETS = ((60, 20, 1), (100, 20, 1), (100, 60, 1), (300, 20, 1), (200, 20, 5), (500, 20, 5))
TEXT_OF_FOLDS = (
    "Per cent of the simulated cross-validations whose 95 % interval holds the true accuracy, or "
    "difference of accuracies, of nets trained in this way (expected) and of this study's nets; "
    "width: mean length of the interval. Ridge regression against nearest means, both on three of "
    "five parts (or eight of ten); images: over images or groups alone; folds: over the folds; "
    "wider: of these two, with 1.25 times the variance, as in reports; Nadeau-Bengio: over the "
    "folds, variance times 1 + K n_test / n_train."
)


class Effects(NamedTuple):
    """How large effects are.

    Attributes:
        seed: standard deviation of a seed's effect on the score, in standard errors that ``N``
            independent images would have.
        image: standard deviation of an image's effect, where that of the rest is 1.
    """

    seed: float
    image: float


DOMINANT = {"residual": Effects(0.3, 0.2), "seed": Effects(3, 0.7), "image": Effects(0.3, 3)}


class Design(NamedTuple):
    """What studies are drawn from: ``accuracy`` or ``R²``, test images, and images of a group."""

    score: str
    effects: Effects
    num_images: int
    group: int


def image_effects(rng: np.random.Generator, design: Design) -> np.ndarray:
    """``N`` effects of variance 1."""
    own = rng.standard_normal(design.num_images, np.float32)
    if design.group == 1:
        return own
    of_groups = rng.standard_normal(design.num_images // design.group, np.float32)
    shared = np.repeat(of_groups, design.group)
    return np.sqrt(np.float32(OF_GROUP)) * shared + np.sqrt(np.float32(1 - OF_GROUP)) * own


def decisions(
    rng: np.random.Generator, design: Design, images: np.ndarray, accuracy: float
) -> tuple[np.ndarray, float]:
    """``S, N`` decisions, and the true accuracy of the first seed's net."""
    middle, spread = ndtri(accuracy), np.sqrt(1 + design.effects.image**2)
    on_score = design.effects.seed * np.sqrt(accuracy * (1 - accuracy) / design.num_images)
    share = on_score * np.sqrt(2 * np.pi) * np.exp(middle**2 / 2)
    scale = spread * share / np.sqrt(1 - share**2)  # of the seeds' effects on the sum
    seeds = middle * np.hypot(spread, scale) + scale * rng.standard_normal(max(SEEDS))
    rest = rng.standard_normal((max(SEEDS), design.num_images), np.float32)
    rest += np.float32(design.effects.image) * images
    return rest > -seeds.astype(np.float32)[:, None], float(ndtr(seeds[0] / spread))


def merits(
    rng: np.random.Generator, design: Design, images: np.ndarray, score: float
) -> tuple[np.ndarray, float]:
    """``S, N`` merits of a regression, and the true R² - 1 of the first seed's net."""
    rest = rng.standard_normal((max(SEEDS), design.num_images), np.float32)
    rest += np.float32(design.effects.image) * images
    scale = design.effects.seed * np.sqrt(2 / design.num_images)
    seeds = (score - 1) * rng.lognormal(-(scale**2) / 2, scale, max(SEEDS))
    by_seed = seeds / (1 + design.effects.image**2)
    return np.square(rest) * by_seed.astype(np.float32)[:, None], float(seeds[0])


def hits(rng: np.random.Generator, design: Design) -> Iterator[tuple[bool, bool]]:
    """Does the interval of a score, and that of a difference, hold the truth, by seeds."""
    common, *own = (image_effects(rng, design) for _ in range(3))
    shared, apart = np.sqrt(np.float32(1 - OF_METHOD)), np.sqrt(np.float32(OF_METHOD))
    draw = decisions if design.score == "accuracy" else merits
    (one, net), (two, other) = (
        draw(rng, design, shared * common + apart * each, score)
        for each, score in zip(own, SCORES[design.score], strict=True)
    )
    first, second = np.subtract(SCORES[design.score], 0 if design.score == "accuracy" else 1)
    groups = None if design.group == 1 else np.arange(design.num_images) // design.group
    for seeds in SEEDS:
        truth, less = (net, other) if seeds == 1 else (first, second)
        low, high = mean_interval(one[:seeds], groups)
        found = paired_difference(one[:seeds], two[:seeds], groups)
        yield low <= truth <= high, found.low <= truth - less <= found.high


def coverage(design: Design, num_studies: int, seed: int = 17) -> np.ndarray:
    """Per cent of the studies whose intervals hold the truth: of scores and differences.

    Returns:
        float ``2, len(SEEDS)``.
    """
    rng = np.random.default_rng(seed)
    found = [list(hits(rng, design)) for _ in range(num_studies)]
    return 100 * np.mean(found, axis=0).T


def rows_of(design: Design, dominant: str, num_studies: int) -> Iterator[dict[str, object]]:
    """Two rows of the table."""
    names = (design.score, f"difference of {design.score}")
    for name, found in zip(names, coverage(design, num_studies), strict=True):
        row = {"interval": name, "dominant": dominant, "images": design.num_images}
        heads = ("1 seed", *(f"{seeds} seeds" for seeds in SEEDS[1:]))
        yield row | {"group": design.group} | dict(zip(heads, map(float, found), strict=True))


def two_classes(
    rng: np.random.Generator, num_samples: int, num_features: int, group: int
) -> tuple[np.ndarray, np.ndarray]:
    """Features ``N, F`` and labels of two normal classes; a group has one label and looks alike."""
    y = np.repeat(rng.integers(0, 2, num_samples // group), group)
    x = rng.standard_normal((num_samples, num_features))
    if group > 1:
        shared = np.repeat(rng.standard_normal((len(y) // group, num_features)), group, axis=0)
        x = np.sqrt(OF_GROUP) * shared + np.sqrt(1 - OF_GROUP) * x
    x[:, :INFORMATIVE] += ON_SIDE * (2 * y[:, None] - 1)
    return x, y


def ridge(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights and bias of a linear classifier."""
    middle, target = x.mean(axis=0), 2.0 * y - 1
    rest = x - middle
    gram = rest.T @ rest + RIDGE * np.eye(x.shape[1])
    weights = np.linalg.solve(gram, rest.T @ (target - target.mean()))
    return weights, float(target.mean() - middle @ weights)


def nearest_mean(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights and bias of the classifier by the nearer mean of a class."""
    one, other = x[y == 1].mean(axis=0), x[y == 0].mean(axis=0)
    return one - other, float(other @ other - one @ one) / 2


def true_accuracy(weights: np.ndarray, bias: float) -> float:
    """On all images of :func:`two_classes`."""
    length, reach = np.linalg.norm(weights), ON_SIDE * weights[:INFORMATIVE].sum()
    return float(ndtr((reach + bias) / length) + ndtr((reach - bias) / length)) / 2


def cross_validation(
    rng: np.random.Generator, num_samples: int, num_features: int, group: int, folds: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One study.

    Returns:
        decisions of the two classifiers, bool ``2, N``; the true accuracy of its nets, mean over
        the folds, ``2``; the group and the fold of every sample, ``2, N``.
    """
    x, y = two_classes(rng, num_samples, num_features, group)
    groups = np.arange(num_samples) // group
    parts = deal(y, folds, int(rng.integers(2**31)), groups if group > 1 else None)
    right, truth = np.empty((2, num_samples), bool), np.zeros(2)
    for fold in range(folds):
        test, train = parts == fold, (parts != fold) & (parts != (fold + 1) % folds)
        for k, fit in enumerate((ridge, nearest_mean)):
            weights, bias = fit(x[train], y[train])
            right[k, test] = (x[test] @ weights + bias > 0) == y[test]
            truth[k] += true_accuracy(weights, bias) / folds
    return right, truth, np.stack([groups, parts])


def intervals_of(
    right: np.ndarray, dependence: np.ndarray, group: int, folds: int
) -> Iterator[tuple[str, str, float, float]]:
    """What is estimated, by which interval, and its ends."""
    images, parts = dependence[0] if group > 1 else None, dependence[1]
    ways = {"images": images, "folds": parts, "wider": dependence}
    for way, groups in ways.items():
        yield "accuracy", way, *mean_interval(right[:1], groups)
        _, low, high, _ = paired_difference(right[:1], right[1:], groups)
        yield "difference", way, low, high
    for what, merits in (("accuracy", right[0] * 1.0), ("difference", right[0] * 1.0 - right[1])):
        means = np.array([merits[parts == fold].mean() for fold in range(folds)])
        times = 1 / folds + 1 / (folds - 2)
        reach = student(folds - 1) * np.sqrt(means.var(ddof=1) * times)
        yield what, "Nadeau-Bengio", means.mean() - reach, means.mean() + reach


def rows_of_folds(
    design: tuple[int, int, int], folds: int, num_studies: int, seed: int = 23
) -> Iterator[dict[str, object]]:
    """A row for each quantity and interval."""
    rng = np.random.default_rng(seed)
    studies = [cross_validation(rng, *design, folds) for _ in range(num_studies)]
    expected = np.mean([truth for _, truth, _ in studies], axis=0)
    found: dict[tuple[str, str], list[tuple[bool, bool, float]]] = {}
    for right, truth, dependence in studies:
        for what, way, low, high in intervals_of(right, dependence, design[2], folds):
            less = 1 if what == "difference" else 0
            held = [low <= one - less * other <= high for one, other in (expected, truth)]
            found.setdefault((what, way), []).append((*held, high - low))
    names = dict(zip(("samples", "features", "group"), design, strict=True))
    for (what, way), values in found.items():
        held, of_nets, width = np.mean(values, axis=0)
        row = {"interval": what, **names, "folds": folds, "way": way}
        yield row | {"expected": 100 * held, "of its nets": 100 * of_nets, "width": width}


def measure_folds(num_studies: int, quick: bool) -> None:
    rows = [
        row
        for design in SETS
        for folds in FOLDS
        for row in rows_of_folds(design, folds, num_studies)
    ]
    text = f"{TEXT_OF_FOLDS} {num_studies:,} studies in each cell."
    write_theme("coverage-of-folds", rows, text, quick)


def main() -> None:
    parser = options_of(__doc__.split("\n")[0], None)
    parser.add_argument("--studies", type=int, default=5_000, help="in each cell (%(default)s)")
    parser.add_argument("--folds", action="store_true", help="of cross-validations instead")
    options = parse(parser)
    number = 20 if options.quick else options.studies
    if options.folds:
        measure_folds(number, options.quick)
        return
    rows = [
        row
        for score in SCORES
        for num_images in IMAGES
        for group in GROUPS
        for dominant, effects in DOMINANT.items()
        for row in rows_of(Design(score, effects, num_images, group), dominant, number)
    ]
    write_theme("coverage", rows, f"{TEXT} {number:,} studies in each cell.", options.quick)


if __name__ == "__main__":
    main()
