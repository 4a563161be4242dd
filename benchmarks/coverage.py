"""How often the 95 % intervals of reports hold the true value, in simulated studies.

A classifier decides an image rightly if a sum of normal effects is positive: of the seed, of the
image (for the most part shared by a group of images) and of both together. A regression's error is
the sum of an effect of the image and one of both; its merit is minus the square, times an effect of
the seed. Of each study the first seeds are the studies of fewer seeds.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from common import options_of, parse, write_theme
from scipy.special import ndtr, ndtri

from ddcnn.evaluation.intervals import mean_interval, paired_difference

SEEDS, IMAGES, GROUPS = (1, 2, 3, 5, 10), (100, 2_000, 10_000), (1, 5)
SCORES = {"accuracy": (0.85, 0.8), "R²": (0.9, 0.88)}  # of the two methods of a study
OF_GROUP = 0.7  # share of the variance of image effects that a group has in common
OF_METHOD = 0.5  # share of it that two methods do not have in common
TEXT = (
    "Per cent of the simulated studies whose 95 % interval holds the true value, by the number of "
    "seeds; with one seed the true value of these nets. Dominant: where most of the variance of "
    "the mean comes from; residual is the part of seed by image. Group: images in each."
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


def main() -> None:
    parser = options_of(__doc__.split("\n")[0], None)
    parser.add_argument("--studies", type=int, default=5_000, help="in each cell (%(default)s)")
    options = parse(parser)
    number = 20 if options.quick else options.studies
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
