"""How often a page says "better" where no method is better than another, in simulated studies.

A page compares 20 methods with one reference, all of the same true accuracy, on the same test
images; decisions are drawn as in `coverage.py`. What is counted is in how many pages at least
one verdict is "better" or "worse", by the functions that the report uses: of the 95 % intervals as
they are, and adjusted for their number.
"""

from collections.abc import Iterator

import coverage
import numpy as np
from common import options_of, parse, write_theme
from coverage import DOMINANT, Design, decisions, image_effects

from ddcnn.evaluation.intervals import paired_difference
from ddcnn.report.verdicts import Family

COMPARISONS, SEEDS, IMAGES, GROUPS = 20, (2, 3, 5), 2_000, (1, 5)
ACCURACY = 0.85  # of all methods
MARGIN = 0.005  # of the default configuration
ALONE, PAGE = Family(1, MARGIN), Family(COMPARISONS, MARGIN)
TEXT = (
    f"Per cent of simulated pages of {COMPARISONS} comparisons without any difference that say "
    '"better" or "worse" of at least one: by 95 % intervals as they are, and adjusted for their '
    "number as pages are. Dominant: where most of the variance of the mean comes from; residual is "
    "the part of seed by image. Group: images in each."
)


def methods_of_page(rng: np.random.Generator, design: Design) -> list[np.ndarray]:
    """``S, N`` decisions of the reference and of every method."""
    share = np.sqrt(np.float32(coverage.OF_METHOD))
    common = np.sqrt(np.float32(1 - coverage.OF_METHOD)) * image_effects(rng, design)
    return [
        decisions(rng, design, common + share * image_effects(rng, design), ACCURACY)[0]
        for _ in range(COMPARISONS + 1)
    ]


def claims_of_page(rng: np.random.Generator, design: Design) -> Iterator[tuple[bool, bool]]:
    """Does a page claim a difference, as it is and adjusted, by the number of seeds."""
    reference, *methods = methods_of_page(rng, design)
    groups = None if design.group == 1 else np.arange(design.num_images) // design.group
    for seeds in SEEDS:
        found = [paired_difference(each[:seeds], reference[:seeds], groups) for each in methods]
        for_each = [{family.verdict(each) for each in found} for family in (ALONE, PAGE)]
        yield tuple(bool(verdicts & {"better", "worse"}) for verdicts in for_each)


def claims(design: Design, num_pages: int, seed: int = 23) -> np.ndarray:
    """Per cent of pages that claim a difference: float ``len(SEEDS), 2``, as it is and adjusted."""
    rng = np.random.default_rng(seed)
    return 100 * np.mean([list(claims_of_page(rng, design)) for _ in range(num_pages)], axis=0)


def row_of(design: Design, dominant: str, num_pages: int) -> dict[str, object]:
    row = {"dominant": dominant, "images": design.num_images, "group": design.group}
    for seeds, (alone, adjusted) in zip(SEEDS, claims(design, num_pages), strict=True):
        row |= {f"{seeds} seeds": float(alone), f"{seeds} seeds, adjusted": float(adjusted)}
    return row


def main() -> None:
    coverage.SEEDS = SEEDS  # no more are drawn
    parser = options_of(__doc__.split("\n")[0], None)
    parser.add_argument("--pages", type=int, default=2_000, help="in each cell (%(default)s)")
    options = parse(parser)
    number, num_images = (20, 200) if options.quick else (options.pages, IMAGES)
    rows = [
        row_of(Design("accuracy", effects, num_images, group), dominant, number)
        for group in GROUPS
        for dominant, effects in DOMINANT.items()
    ]
    write_theme("pages", rows, f"{TEXT} {number:,} pages in each cell.", options.quick)


if __name__ == "__main__":
    main()
