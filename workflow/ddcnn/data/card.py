"""The data card: what a data set holds, in a file that people read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

BLOCK_PIXELS = 2**18
MOST_NAMES = 20


@dataclass
class PixelStatistics:
    """Counts of every pixel value per channel, collected chunk by chunk."""

    counts: np.ndarray = field(default_factory=lambda: np.zeros((0, 256), np.int64))

    def add(self, images: np.ndarray) -> None:
        """Count the pixels of uint8 images ``n, *spatial, C``."""
        channels = images.shape[-1]
        if not len(self.counts):
            self.counts = np.zeros((channels, 256), np.int64)
        flat = images.reshape(-1, channels)
        for first in range(0, len(flat), BLOCK_PIXELS):
            block = flat[first : first + BLOCK_PIXELS]
            for channel in range(channels):
                self.counts[channel] += np.bincount(block[:, channel], minlength=256)

    def join(self, other: "PixelStatistics") -> None:
        """Take in what another one counted."""
        self.counts = self.counts + other.counts if len(self.counts) else other.counts

    def mean_and_std(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation per channel of pixels / 255, exact."""
        values = np.arange(256) / 255
        shares = self.counts / self.counts.sum(axis=1, keepdims=True)
        means = shares @ values
        variances = (shares * (values - means[:, None]) ** 2).sum(axis=1)
        # A channel without any contrast would be divided by zero.
        return means.tolist(), [float(v**0.5) or 1.0 for v in variances]


@dataclass
class ValueStatistics:
    """Count, mean and sum of squared deviations per channel of real values, chunk by chunk.

    Chunks are joined by the formula of Chan, Golub and LeVeque (1979), which loses no digits
    where the mean is large against the spread.
    """

    count: int = 0
    mean: np.ndarray | float = 0.0
    squares: np.ndarray | float = 0.0

    def add(self, signals: np.ndarray) -> None:
        """Take in float signals ``n, *spatial, C``."""
        values = signals.reshape(-1, signals.shape[-1]).astype(np.float64)
        mean = values.mean(axis=0)
        self.join(ValueStatistics(len(values), mean, ((values - mean) ** 2).sum(axis=0)))

    def join(self, other: "ValueStatistics") -> None:
        """Take in what another one collected."""
        total, step = self.count + other.count, other.mean - self.mean
        between = step**2 * self.count * other.count / total
        self.squares = self.squares + other.squares + between
        self.mean, self.count = self.mean + step * other.count / total, total

    def mean_and_std(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation per channel of the values as they are."""
        spread = np.sqrt(self.squares / self.count)
        return self.mean.tolist(), [float(each) or 1.0 for each in spread]


@dataclass
class Looks:
    """Mean and standard deviation within every single image, per channel: 16 bytes each."""

    parts: list[np.ndarray] = field(default_factory=list)  # 2, n, C

    def add(self, images: np.ndarray) -> None:
        """Take in images ``n, *spatial, C``."""
        values = images.reshape(len(images), -1, images.shape[-1])
        means = values.mean(axis=1, dtype=np.float64)
        # einsum converts to float64 piece by piece: nothing of the images' size comes into being.
        squares = np.einsum("npc,npc->nc", values, values, dtype=np.float64) / values.shape[1]
        self.parts.append(np.stack([means, np.sqrt(np.maximum(squares - means**2, 0))]))

    def summary(self) -> dict[str, list[float]]:
        """Mean over the images, and the standard deviation between them, of either."""
        both = np.concatenate(self.parts, axis=1)
        means, spreads = both.mean(axis=1).tolist(), both.std(axis=1).tolist()
        return {
            "mean": means[0], "mean_spread": spreads[0], "std": means[1], "std_spread": spreads[1]
        }  # fmt: skip


def statistics_of(dtype: np.dtype) -> PixelStatistics | ValueStatistics:
    """What collects mean and standard deviation of images or signals of this type."""
    return PixelStatistics() if dtype == np.uint8 else ValueStatistics()


def count_classes(labels: np.ndarray, classes: Sequence[str]) -> dict[str, int]:
    """Images per class."""
    return dict(zip(classes, np.bincount(labels, minlength=len(classes)).tolist(), strict=True))


def duplicates_across(
    hashes: Mapping[str, np.ndarray], names: Mapping[str, Callable[[int], str]]
) -> dict[str, object]:
    """Images that stand in more than one split, found by the hash of their pixels.

    Args:
        hashes: uint64 ``N`` for every split.
        names: what messages call an image, by its place in the split.

    Returns:
        ``count``, and ``examples``: pairs of names with their splits.
    """
    count, examples = 0, []
    splits = list(hashes)
    for i, first in enumerate(splits):
        for second in splits[i + 1 :]:
            common, in_first, in_second = np.intersect1d(
                hashes[first], hashes[second], return_indices=True
            )
            count += len(common)
            examples += [
                [f"{first}: {names[first](int(a))}", f"{second}: {names[second](int(b))}"]
                for a, b in zip(in_first[:MOST_NAMES], in_second[:MOST_NAMES], strict=True)
            ]
    return {"count": count, "examples": examples[:MOST_NAMES]}


def split_in_words(card: Mapping[str, Any]) -> str:
    """How the splits came about, with the seed where one was drawn."""
    seed = card.get("split_seed")
    return card["split_rule"] + ("" if seed is None else f"; seed {seed}")
