"""Which values of a scan become black and white; every rule ends in a window ``low, high``.

| rule | black and white | right for |
| --- | --- | --- |
| ``window`` | two values for all images: given, or percentiles of the training split | CT |
| ``percentile`` | percentiles of the image itself | values without a unit: MRI, microscopes |
| ``z-score`` | mean -/+ :data:`REACH` standard deviations of the image itself | as above |

Hounsfield units mean the same in every scanner, so one window keeps what they say. Other values
have no unit: every scanner, even every scan, has a scale of its own, which one window would turn
into black or white pictures. This is the division that nnU-Net makes (Isensee et al., Nature
Methods 18, 203-211, 2021): CT is clipped at the 0.5 and 99.5 percentile of the training split,
everything else is normalised volume by volume. nnU-Net takes its percentiles where the training's
segmentations are; there are none here, so padding and background are left out instead.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ddcnn.data.options import ReadOptions
from ddcnn.data.values import PADDING, TAILS, is_hounsfield

RULES = ("window", "percentile", "z-score")
PER_IMAGE = ("percentile", "z-score")
REACH = 3.0  # standard deviations; 8 bits then hold steps of 0.024
BACKGROUND = 0.1  # of an image with its lowest value: no part of the body, nnU-Net crops it
MOST_VALUES = 2**24  # of an image that are looked at for its own window: 256 x 256 x 256 voxels
USED_RANGE = 0.25  # of an image's range of bits: what is left of it has 6 bits or more
OWN_WORDS = {
    "percentile": "black and white are every image's own 0.5 and 99.5 percentile",
    "z-score": f"black and white are every image's own mean -/+ {REACH:g} standard deviations",
}


def own_window(values: np.ndarray, rule: str) -> tuple[float, float]:
    """The window of one image by its own values; of a constant one the lowest becomes black.

    Args:
        values: of the image, any shape.
        rule: one of :data:`PER_IMAGE`.
    """
    body = _without_background(values.ravel())
    if rule == "z-score":
        mean, reach = body.mean(dtype=np.float64), REACH * body.std(dtype=np.float64)
        low, high = mean - reach, mean + reach
    else:
        low, high = np.percentile(body, TAILS)
    if not low < high:  # an object of less than 0.5 %, or nothing at all
        low, high = float(values.min()), float(values.max())
    return float(low), float(high) if low < high else float(low) + 1


def _without_background(values: np.ndarray) -> np.ndarray:
    lowest = values == values.min()
    is_background = BACKGROUND <= lowest.mean() < 1
    return values[~lowest] if is_background else values


def training_window(samples: Iterable[np.ndarray]) -> tuple[float, float]:
    """:data:`TAILS` percentiles of the training split, each image counted alike.

    Padding of a CT, which lies below all matter, is left out; background of others is, too.

    Args:
        samples: values of every image, one axis.
    """
    parts = []
    for sample in samples:
        body = sample[sample >= PADDING] if is_hounsfield(sample) else _without_background(sample)
        parts.append(np.sort(body)[np.linspace(0, len(body) - 1, 4096).round().astype(int)])
    low, high = np.percentile(np.concatenate(parts), TAILS)
    return float(low), float(high) if low < high else float(low) + 1


def decides(options: ReadOptions) -> bool:
    """Whether options alone, or an image alone, say what becomes black and white."""
    return options.window is not None or options.intensity in PER_IMAGE


def is_open(options: ReadOptions, is_deep: bool) -> bool:
    """Whether the values of the training split must say what becomes black and white.

    Args:
        is_deep: whether some files have values that are not gray as they are.
    """
    if decides(options):
        return False
    return is_deep or options.intensity == "window"


class IntensityRule(NamedTuple):
    """What holds for a data set; as a dictionary the entry ``intensity`` of its card.

    Attributes:
        rule: one of :data:`RULES`; None: the values are gray as they are.
        window: of the rule ``window``.
        why: the rule in words, and the reason for it.
    """

    rule: str | None
    window: tuple[float, float] | None
    why: str

    def options(self, options: ReadOptions) -> ReadOptions:
        """The options with nothing left to choose."""
        return replace(options, intensity=self.rule, window=self.window)


def choose(samples: Sequence[np.ndarray], wanted: str | None) -> IntensityRule:
    """The rule of scans from images of their training split.

    Args:
        samples: values of every measured image, one axis.
        wanted: ``window``: one for all, whatever the values look like.
    """
    found = sum(is_hounsfield(sample) for sample in samples)
    if wanted == "window" or found == len(samples):
        window = training_window(samples)
        why = "as set" if wanted else "the values are Hounsfield units (CT)"
        text = f"{_words(window)}, the 0.5 and 99.5 percentile of the training split"
        return IntensityRule("window", window, f"{text}; {why}")
    why = "the values have no common unit"
    if found:
        why = f"only {found} of {len(samples)} measured images look like Hounsfield units (CT)"
    return IntensityRule("percentile", None, f"{OWN_WORDS['percentile']}; {why}")


def choose_for_images(
    samples: Sequence[np.ndarray], tops: Sequence[float | None], wanted: str | None
) -> IntensityRule:
    """The rule of images above 8 bit from the training split; 8-bit ones stay as they are.

    A file of 16 bit may hold the 10 or 12 bits of its camera: the full range would be black.

    Args:
        samples: values of every measured image above 8 bit, one axis.
        tops: the largest value that each can have; None: none is known.
        wanted: ``window``: one for all.
    """
    if wanted == "window":
        return choose(samples, wanted)
    if None not in tops:
        used = np.median([np.percentile(s, TAILS[1]) / top for s, top in
                          zip(samples, tops, strict=True)])  # fmt: skip
        if used >= USED_RANGE:
            return IntensityRule(
                None, None, "the full range of the files' bits becomes black to white"
            )
        text = f"{OWN_WORDS['percentile']}; the files use {used:.1%} of their bits' range"
        return IntensityRule("percentile", None, text)
    return IntensityRule(
        "percentile", None, f"{OWN_WORDS['percentile']}; the values have no common unit"
    )


def given(options: ReadOptions) -> IntensityRule:
    """The rule that options without anything left to choose stand for."""
    if options.intensity in PER_IMAGE:
        return IntensityRule(options.intensity, None, f"{OWN_WORDS[options.intensity]}; as set")
    if options.window is not None:
        return IntensityRule("window", options.window, f"{_words(options.window)}; as set")
    return IntensityRule(None, None, "8-bit values as they are")


def _words(window: Sequence[float]) -> str:
    return f"{window[0]:g} becomes black and {window[1]:g} white"
