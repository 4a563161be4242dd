"""Prepared images on their way to a file, and what is collected of them while they pass."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import numpy as np

from ddcnn.base.disk import disk_errors
from ddcnn.base.errors import InputError
from ddcnn.data.card import Looks, PixelStatistics, ValueStatistics, statistics_of
from ddcnn.data.listing import Part


@dataclass
class PartWriter:
    """Images of one split or fold, written as they come; what is known of them besides."""

    path: Path
    parts: list[Part] = field(default_factory=list)
    hash_parts: list[np.ndarray] = field(default_factory=list)
    statistics: PixelStatistics | ValueStatistics | None = None
    looks: Looks = field(default_factory=Looks)
    shape: tuple[int, ...] = ()
    dtype: np.dtype = np.dtype(np.uint8)  # noqa: RUF009, a type cannot be changed

    @classmethod
    def joined(cls, writers: Sequence["PartWriter"]) -> "PartWriter":
        """What is known of several together; their images stay where they are."""
        first = writers[0]
        found = cls(first.path, shape=first.shape, dtype=first.dtype)
        found.statistics = statistics_of(first.dtype)
        for writer in writers:
            found.parts += writer.parts
            found.hash_parts += writer.hash_parts
            found.looks.parts += writer.looks.parts
            found.statistics.join(writer.statistics)
        return found

    def append(self, images: np.ndarray, part: Part) -> None:
        """Add images ``n, *spatial, C``, uint8 or float32, and say where they are from."""
        if not self.shape:
            self.shape, self.dtype = images.shape[1:], images.dtype
            self.statistics = statistics_of(images.dtype)
            self.path.write_bytes(b"")
            self._write_header(0)
        if images.shape[1:] != self.shape:
            raise InputError(
                f"{part.samples.name(int(part.index[0]))} has the shape {images.shape[1:]}, the "
                f"images before it {self.shape}; give the data set a shape"
            )
        images = np.ascontiguousarray(images)
        with disk_errors(self.path), self.path.open("ab") as file:
            file.write(images.data)
        self.parts.append(part)
        self.hash_parts.append(np.array([_hash(image) for image in images], np.uint64))
        self.statistics.add(images)
        self.looks.add(images)

    def finish(self) -> None:
        """Put the final number of images into the header."""
        if self.shape:
            self._write_header(len(self.labels()))

    def labels(self) -> np.ndarray:
        """int64 ``N``, or targets float32 ``N, M``."""
        parts = [part.samples.labels[part.index] for part in self.parts]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def hashes(self) -> np.ndarray:
        """uint64 ``N``, of every image's pixels."""
        return np.concatenate([np.empty(0, np.uint64), *self.hash_parts])

    def name(self, position: int) -> str:
        """What messages call the image at ``position`` of this split."""
        for part in self.parts:
            if position < len(part.index):
                return part.samples.name(int(part.index[position]))
            position -= len(part.index)
        raise IndexError(position)

    def _write_header(self, num_images: int) -> None:
        # numpy pads the header so that the first axis can grow in place.
        with self.path.open("r+b") as file:
            np.lib.format.write_array_header_1_0(
                file,
                {
                    "descr": np.lib.format.dtype_to_descr(self.dtype),
                    "fortran_order": False,
                    "shape": (num_images, *self.shape),
                },
            )


def _hash(image: np.ndarray) -> int:
    return int.from_bytes(blake2b(image, digest_size=8).digest(), "little")
