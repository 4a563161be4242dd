"""What may be said of differences that stand side by side.

Of twenty 95 % intervals one misses the true value by chance. So a verdict asks more: with m
differences on a page each is judged by its interval of the level 1 - 0.05 / m (Bonferroni), and of
pages without any difference at most one in twenty says "better" anywhere, however the differences
depend on each other. Holm's procedure would reject a little more; but these intervals hold all true
values at once, so that the same ones say what is equal, and what could have been shown.
"""

from typing import NamedTuple

from ddcnn.evaluation.intervals import LEVEL, Difference

NO_DIFFERENCE = "no difference shown"


class Family(NamedTuple):
    """The differences of one page.

    Attributes:
        size: number of them.
        margin: a difference that is smaller, either way, does not matter; in units of the score.
    """

    size: int
    margin: float

    @property
    def level(self) -> float:
        """Of the interval by which each is judged."""
        return 1 - (1 - LEVEL) / max(self.size, 1)

    @property
    def within(self) -> str:
        """``within 0.5 points``, of R² hundredths."""
        return f"within {100 * self.margin:g} points"

    def judged(self, difference: Difference) -> Difference:
        """The difference with the interval by which it is judged."""
        return difference.at(self.level)

    def smallest(self, difference: Difference) -> float:
        """The smallest difference that could have been shown: half of that interval's width.

        At the limit of what is possible none could: there are too few seeds or images.
        """
        return min(difference.error.margin(self.level), difference.limit)

    def is_small(self, difference: Difference) -> bool:
        """It is shown to be smaller than the margin, either way."""
        judged = self.judged(difference)
        return -self.margin < judged.low and judged.high < self.margin

    def verdict(self, difference: Difference) -> str:
        """``better``, ``worse``, ``equal within 0.5 points``, or that no difference is shown.

        One seed shows nothing of methods: these nets are ``ahead``, ``behind`` or ``equal``.
        """
        judged, is_positive = self.judged(difference), difference.value > 0
        words = ("better", "worse")
        if difference.num_seeds == 1:
            words = ("these nets: ahead", "these nets: behind")
        if judged.is_clear:
            return words[not is_positive]
        if self.is_small(difference):
            return f"{'these nets: ' * (difference.num_seeds == 1)}equal {self.within}"
        return NO_DIFFERENCE

    def note(self) -> str:
        """How verdicts beside 95 % intervals are to be read."""
        return (
            "Intervals are of 95 % each; the verdict beside them is adjusted for the "
            f"{self.size} comparisons that stand here, each by its interval of "
            f"{100 * self.level:.4g} %: of pages without any difference at most one in twenty says "
            f"better, worse or ahead anywhere. Equal: that interval lies {self.within}. In "
            "brackets: the smallest difference that could have been shown, half the width of that "
            "interval."
        )

    def adjusted(self) -> str:
        """How a sentence with a verdict begins."""
        return f"After adjustment for the {self.size} comparisons of this page"


def in_cell(verdict: str, smallest: float, digits: int) -> str:
    """A verdict for a table; in brackets the smallest difference that could have been shown."""
    return f"{verdict} ({smallest:.{digits}f})" if verdict == NO_DIFFERENCE else verdict
