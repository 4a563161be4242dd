"""Images on their way from a data set's files to arrays: streams of bounded size.

A reader turns a data set's files into a :class:`Collection`; the preparation streams through it.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from ddcnn.base.errors import Hindrance, InputError
from ddcnn.data.groups import Groups
from ddcnn.data.left_out import LeftOut, Unreadable
from ddcnn.data.values import Values

CHUNK_BYTES = 4 * 2**20
FILES_PER_TASK = 8


class Decoded(NamedTuple):
    """An image, and what its file's values were; None where they are the image's own.

    A decoder that knows nothing of them may give the image alone.
    """

    image: np.ndarray
    values: Values | None = None

    @classmethod
    def of(cls, found: "np.ndarray | Decoded") -> "Decoded":
        """What a decoder gave."""
        return found if isinstance(found, Decoded) else cls(found)


class Block(NamedTuple):
    """Several images ``n, *spatial, C``, and what the array's values were, ``n`` or none.

    ``left_out`` has the others of the same part of the array, by their places in it, with why.
    """

    images: np.ndarray
    values: Sequence[Values] = ()
    left_out: Mapping[int, InputError] = {}

    @classmethod
    def of(cls, found: "np.ndarray | Block") -> "Block":
        """What a reader gave."""
        return found if isinstance(found, Block) else cls(found)

    @property
    def places(self) -> np.ndarray:
        """Of the images in the part of the array, int64 ``n``."""
        return np.delete(np.arange(len(self.images) + len(self.left_out)), list(self.left_out))


@dataclass(frozen=True)
class Chunk:
    """Some images that follow each other in a stream.

    Attributes:
        index: int64 ``n``, places of the images in the stream; unreadable ones are missing.
        images: uint8 ``n, *spatial, C``, or float32 (signals).
        unreadable: what was left out between them.
        values: what the files' values were, ``n``; empty where they are the images' own.
    """

    index: np.ndarray
    images: np.ndarray
    unreadable: Sequence[Unreadable] = ()
    values: Sequence[Values] = ()


class LabelledImages(Protocol):
    """A stream of labelled images.

    Attributes:
        labels: classes, int64 ``N``, or targets of a regression, float32 ``N, M``.
    """

    labels: np.ndarray

    def name(self, index: int) -> str:
        """What messages call an image: its file, or its place."""
        ...

    def chunks(self) -> Iterator[Chunk]:
        """All images in order, a bounded number at a time."""
        ...


@dataclass(frozen=True)
class ArraySamples:
    """Images that come as blocks of an array.

    Attributes:
        labels: int64 ``N``, or float32 ``N, M``.
        blocks: gives blocks ``n, *spatial, C``, uint8 or float32, of bounded size, N in all; or
            :class:`Block` where their values were changed.
        source: the file, for messages.
    """

    labels: np.ndarray
    blocks: Callable[[], Iterator[np.ndarray | Block]]
    source: str

    def name(self, index: int) -> str:
        return f"{self.source}[{index}]"

    def chunks(self) -> Iterator[Chunk]:
        first = 0
        for block in map(Block.of, self.blocks()):
            unreadable = [
                Unreadable(self.name(first + place), str(error), error.kind)
                for place, error in block.left_out.items()
            ]
            yield Chunk(first + block.places, block.images, unreadable, block.values)
            first += len(block.images) + len(unreadable)
        if first != len(self.labels):
            raise InputError(f"{self.source} has {len(self.labels)} labels, but {first} images")


@dataclass(frozen=True)
class FileSamples:
    """Images that are a file each, decoded by all cores.

    Attributes:
        labels: int64 ``N``, or float32 ``N, M``.
        paths: the files.
        decode: a module-level function or a ``partial`` of one (it travels to other processes)
            that gives uint8 ``*spatial, C`` or :class:`Decoded`, the same shape for every file,
            or raises :class:`InputError` with a reason that names the file.
        folder: what names in messages are relative to.
        workers: processes; by default one per core.
    """

    labels: np.ndarray
    paths: Sequence[Path]
    decode: Callable[[Path], np.ndarray | Decoded]
    folder: Path
    workers: int = field(default_factory=lambda: len(os.sched_getaffinity(0)))

    def name(self, index: int) -> str:
        path = self.paths[index]
        return str(path.relative_to(self.folder) if path.is_relative_to(self.folder) else path)

    def chunks(self) -> Iterator[Chunk]:
        pool = ProcessPoolExecutor(self.workers) if self.workers > 1 else None
        try:
            results = self._decoded(pool)
            size = 1
            while part := list(islice(results, size)):
                yield self._chunk(part)
                images = [found.image for _, found in part if isinstance(found, Decoded)]
                size = max(1, CHUNK_BYTES // images[0].nbytes) if images else size
        except BrokenProcessPool as error:
            raise InputError(
                f"a process that decodes the images of {self.folder} was killed, probably because "
                "memory ran out; use fewer cores or a smaller most_megapixels"
            ) from error
        finally:
            if pool:
                pool.shutdown(cancel_futures=True)

    def _decoded(
        self, pool: ProcessPoolExecutor | None
    ) -> Iterator[tuple[int, Decoded | Unreadable]]:
        """Results in order, with a bounded number of files in work."""
        if pool is None:
            for first in self._tasks():
                yield from _decode_files(self.decode, self._group(first))
            return
        waiting = iter(self._tasks())
        in_work = deque(self._submit(pool, first) for first in islice(waiting, 2 * self.workers))
        while in_work:
            yield from in_work.popleft().result()
            in_work.extend(self._submit(pool, first) for first in islice(waiting, 1))

    def _tasks(self) -> range:
        """First indices of the groups of files that one task decodes: a task has its price."""
        return range(0, len(self.paths), FILES_PER_TASK)

    def _submit(self, pool: ProcessPoolExecutor, first: int) -> Future:
        return pool.submit(_decode_files, self.decode, self._group(first))

    def _group(self, first: int) -> list[tuple[int, Path, str]]:
        last = min(first + FILES_PER_TASK, len(self.paths))
        return [(index, self.paths[index], self.name(index)) for index in range(first, last)]

    @staticmethod
    def _chunk(part: list[tuple[int, Decoded | Unreadable]]) -> Chunk:
        good = [(index, found) for index, found in part if isinstance(found, Decoded)]
        return Chunk(
            np.array([index for index, _ in good], dtype=np.int64),
            np.stack([found.image for _, found in good]) if good else np.empty(0, np.uint8),
            [item for _, item in part if isinstance(item, Unreadable)],
            [found.values for _, found in good if found.values is not None],
        )


def _decode_files(
    decode: Callable[[Path], np.ndarray | Decoded], files: list[tuple[int, Path, str]]
) -> list[tuple[int, Decoded | Unreadable]]:
    results: list[tuple[int, Decoded | Unreadable]] = []
    for index, path, name in files:
        try:
            results.append((index, Decoded.of(decode(path))))
        except InputError as error:
            is_hindered = isinstance(error, Hindrance)
            results.append((index, Unreadable(name, str(error), error.kind, is_hindered)))
    return results


@dataclass(frozen=True)
class Collection:
    """What a reader found.

    Attributes:
        classes: names, in the order of the labels; none for regression.
        splits: ``train``, ``val`` and ``test``; or ``train`` and ``test``, of which ``val`` is
            split off; or ``all``.
        notes: what a person should know (conversions, spacings), for the log and the card.
        facts: further entries of the card, for example the spacings of scans.
        targets: names of the M targets of a regression; none for classification.
        groups: which images belong together; None: every image stands for itself.
        warnings: what may make a result wrong, for the terminal, the report and the model card.
        left_out: what was seen to be of no use before any image was decoded.
        settle: given which images of every split are for training (bool ``N``), the collection
            with what their values decide; None: nothing is open.
    """

    classes: list[str]
    splits: dict[str, LabelledImages]
    notes: list[str] = field(default_factory=list)
    facts: dict[str, object] = field(default_factory=dict)
    targets: list[str] = field(default_factory=list)
    groups: Groups | None = None
    warnings: list[str] = field(default_factory=list)
    left_out: LeftOut = field(default_factory=LeftOut)
    settle: "Callable[[Collection, Mapping[str, np.ndarray]], Collection] | None" = None

    def settled(self, training: Mapping[str, np.ndarray]) -> "Collection":
        """With nothing left open.

        Args:
            training: which images of every split are for training, bool ``N``.
        """
        return self.settle(self, training) if self.settle else self

    @property
    def task(self) -> str:
        """``regression`` where there are targets, else ``classification``."""
        return "regression" if self.targets else "classification"
