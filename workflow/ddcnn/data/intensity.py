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
from typing import Any, NamedTuple

import numpy as np

from ddcnn.data.options import ReadOptions

RULES = ("window", "percentile", "z-score")
PER_IMAGE = ("percentile", "z-score")
TAILS = (0.5, 99.5)  # percentiles
REACH = 3.0  # standard deviations; 8 bits then hold steps of 0.024
BACKGROUND = 0.1  # of an image with its lowest value: no part of the body, nnU-Net crops it
MOST_VALUES = 2**24  # of an image that are looked at for its own window: 256 x 256 x 256 voxels
FEW_VALUES = 2**16  # of an image that are looked at to describe it

AIR, PADDING = -900, -1100  # HU: air and less; less than any matter has
LEAST_SHARE = 0.01  # of air and of soft tissue in a CT
AIR_PEAK = 10  # times as many values near air as in a range of HU where no matter lies
EMPTY, TISSUE, LOWEST = (-1600, -1200), (-200, 300), -4000  # HU

PREPARED = (0, 254)  # window of a prepared image: 255 is white, 0 its background
SATURATED = 0.1  # share of an image
USED_RANGE = 0.25  # of an image's range of bits: what is left of it has 6 bits or more
OTHER_SPREAD = 10.0  # times
OWN_WORDS = {
    "percentile": "black and white are every image's own 0.5 and 99.5 percentile",
    "z-score": f"black and white are every image's own mean -/+ {REACH:g} standard deviations",
}


class Values(NamedTuple):
    """The values of one image as its file has them, and what its window made of them.

    Attributes:
        dtype: in the file.
        low, bottom, top, high: minimum, :data:`TAILS` percentiles, maximum.
        hounsfield: whether they look like those of a CT.
        black, white: shares cut off below and above the window; background does not count.
    """

    dtype: str
    low: float
    bottom: float
    top: float
    high: float
    hounsfield: bool
    black: float = 0.0
    white: float = 0.0

    @property
    def spread(self) -> float:
        """What lies between the percentiles, or all if these are one."""
        return self.top - self.bottom or self.high - self.low


class Sampler:
    """Every k-th value of an image that comes in parts, at most ``most`` in all.

    Args:
        size: values of the image.
        most: values to keep.
    """

    def __init__(self, size: int, most: int = FEW_VALUES) -> None:
        self._step, self._next = max(1, -(-size // most)), 0
        self._parts: list[np.ndarray] = []

    def add(self, part: np.ndarray) -> None:
        """Take in the next part, of any shape."""
        flat = part.ravel(order="K")
        self._parts.append(flat[self._next :: self._step].copy())
        self._next = (self._next - flat.size) % self._step

    def values(self) -> np.ndarray:
        """What was kept, one axis."""
        return np.concatenate(self._parts)


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


def is_hounsfield(values: np.ndarray) -> bool:
    """Whether values look like those of a CT: whole numbers with a peak of air and soft tissue.

    Someone who knows better sets ``intensity``: a CT without any air, or one resampled to
    fractions, is not recognised, which the card says.
    """
    low = values.min()
    if not LOWEST <= low <= AIR or (values.dtype.kind == "f" and (values % 1).any()):
        return False
    air, tissue = _share(values, PADDING, AIR), _share(values, *TISSUE)
    has_peak = air >= AIR_PEAK * _share(values, *EMPTY)
    return bool(min(air, tissue) >= LEAST_SHARE and has_peak)


def _share(values: np.ndarray, low: float, high: float) -> float:
    return float(np.mean((values >= low) & (values <= high)))


def measure(values: np.ndarray, dtype: np.dtype, window: Sequence[float] | None) -> Values:
    """Describe an image.

    Args:
        values: a sample of its values, one axis, as in the file after slope and intercept.
        dtype: in the file.
        window: which values became black and white; None: none was needed.
    """
    bottom, top = np.percentile(values, TAILS)
    low, high, hounsfield = values.min(), values.max(), is_hounsfield(values)
    black = white = 0.0
    if window is not None:
        background = max(low, AIR) if hounsfield else low
        black = float(np.mean((values < window[0]) & (values > background)))
        white = float(np.mean(values > window[1]))
    ends = float(low), float(bottom), float(top), float(high)
    return Values(dtype.name, *ends, hounsfield, black, white)


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


def joined(trained: dict[str, Any], values: Values) -> dict[str, Any]:
    """What is known of a training split, with one more image.

    Args:
        trained: of the images before; empty for the first.
    """
    before = trained or {
        **values._asdict(), "dtypes": [], "spread_min": values.spread, "spread_max": values.spread
    }  # fmt: skip
    smallest = {name: min(before[name], getattr(values, name)) for name in ("low", "bottom")}
    largest = ("top", "high", "black", "white")
    return {
        "dtypes": sorted({*before["dtypes"], values.dtype}),
        **smallest,
        **{name: max(before[name], getattr(values, name)) for name in largest},
        "hounsfield": before["hounsfield"] and values.hounsfield,
        "spread_min": min(before["spread_min"], values.spread),
        "spread_max": max(before["spread_max"], values.spread),
    }


def defect(image: np.ndarray, values: Values | None) -> str:
    """Why a prepared image cannot show what its file does; empty if nothing is wrong."""
    if values is not None and values.white > SATURATED:
        return f"white for more than {SATURATED:.0%}"
    if values is not None and values.black > SATURATED:
        return f"black for more than {SATURATED:.0%}"
    return "of one value only" if (image == image.flat[0]).all() else ""


def strange(values: Values, trained: dict[str, Any], has_window: bool) -> str:
    """How an image's values differ in kind from those of the training; empty if they do not.

    Args:
        values: of the image.
        trained: of the training split, see :func:`joined`.
        has_window: whether all images have one window, so that their scale counts.
    """
    if values.hounsfield != trained["hounsfield"]:
        return "no Hounsfield units" if trained["hounsfield"] else "Hounsfield units (CT)"
    for name in ("white", "black"):
        if getattr(values, name) > trained[name] + SATURATED:
            return f"more values {name} than in any training image"
    least, most = trained["spread_min"] / OTHER_SPREAD, trained["spread_max"] * OTHER_SPREAD
    if has_window and not least <= values.spread <= most:
        return f"values that spread {OTHER_SPREAD:g} times more or less than in training"
    return ""
