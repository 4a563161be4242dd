"""A figure of the report before it is saved."""

from typing import NamedTuple

from matplotlib.figure import Figure

MOST_TILINGS = 9  # that one figure shows


class Sketch(NamedTuple):
    """A figure with the words that go with it."""

    title: str
    caption: str
    alternative: str  # what a person who does not see the figure is told
    figure: Figure


def left_out(tilings: list[str]) -> str:
    """A sentence for the caption where not all tilings are shown."""
    return (
        f" The first {MOST_TILINGS} of {len(tilings)} tilings."
        if len(tilings) > MOST_TILINGS
        else ""
    )
