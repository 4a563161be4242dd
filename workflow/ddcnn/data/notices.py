"""What a person must be told of the images: those that show nothing, and odd ones out."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ddcnn.base.defaults import KINDS
from ddcnn.base.text import counted
from ddcnn.data.samples import Chunk, LabelledImages
from ddcnn.data.values import Values, defect, joined

MOST_NAMES = 3
UNITS = {True: "Hounsfield units (CT)", False: "other values"}


@dataclass
class Named:
    """How many there are, and the first names: memory does not grow with the number."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        """One more."""
        self.count += 1
        if len(self.first) < MOST_NAMES:
            self.first.append(name)

    def __str__(self) -> str:
        return ", ".join(self.first) + (", ..." if self.count > MOST_NAMES else "")


@dataclass
class Notices:
    """Looks at the prepared images as they stream by.

    Attributes:
        total: images seen.
        kind: what they are, for example ``volume``.
        trained: what the values of the training split were, see
            :func:`ddcnn.data.values.joined`; none if they are the images' own.
    """

    total: int = 0
    kind: str = "image"
    trained: dict[str, Any] = field(default_factory=dict)
    _defects: dict[str, Named] = field(default_factory=dict)
    _kinds: dict[bool, Named] = field(default_factory=dict)

    def add(self, samples: LabelledImages, chunk: Chunk, is_train: np.ndarray) -> None:
        """Look at a chunk.

        Args:
            is_train: which of its images are of the training split, bool ``n``.
        """
        self.total += len(chunk.index)
        if len(chunk.index):
            self.kind = KINDS[chunk.images.ndim - 2]
        values = list(chunk.values) or [None] * len(chunk.index)
        for index, image, value in zip(chunk.index, chunk.images, values, strict=True):
            if found := defect(image, value):
                self._defects.setdefault(found, Named()).add(samples.name(int(index)))
            if value is not None:
                self._kinds.setdefault(value.hounsfield, Named()).add(samples.name(int(index)))
        self._train(value for value, chosen in zip(values, is_train, strict=True) if chosen)

    def _train(self, values: Iterable[Values | None]) -> None:
        for value in values:
            if value is not None:
                self.trained = joined(self.trained, value)

    def warnings(self) -> list[str]:
        """One line for each thing that is probably not as it should be."""
        total = counted(self.total, self.kind)
        lines = [
            (
                f"{named.count} of {total} is {what}, so that it shows less than it should"
                if named.count == 1
                else f"{named.count} of {total} are {what}, so that they show less than they should"
            )
            + f" ({named}); check these files, and intensity and window in dataset"
            for what, named in self._defects.items()
        ]
        if len(self._kinds) > 1:
            rare, common = sorted(self._kinds, key=lambda kind: self._kinds[kind].count)
            named = self._kinds[rare]
            lines.append(
                f"{named.count} of {total} {'holds' if named.count == 1 else 'hold'} "
                f"{UNITS[rare]}, all others {UNITS[common]} ({named}): they are not comparable; "
                "convert or remove them"
            )
        return lines
