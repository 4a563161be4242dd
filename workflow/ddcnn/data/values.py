"""What the values of an image are in its file, and what in them is odd."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

TAILS = (0.5, 99.5)  # percentiles
FEW_VALUES = 2**16  # of an image that are looked at to describe it

AIR, PADDING = -900, -1100  # HU: air and less; less than any matter has
LEAST_SHARE = 0.01  # of air and of soft tissue in a CT
AIR_PEAK = 10  # times as many values near air as in a range of HU where no matter lies
EMPTY, TISSUE, LOWEST = (-1600, -1200), (-200, 300), -4000  # HU

PREPARED = (0, 254)  # window of a prepared image: 255 is white, 0 its background
SATURATED = 0.1  # share of an image
OTHER_SPREAD = 10.0  # times


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
