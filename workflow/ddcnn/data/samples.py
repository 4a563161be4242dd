"""Images on their way from a data set's files to arrays: streams of bounded size.

A reader turns a data set's files into a :class:`Collection`; the preparation streams through it.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np

from ddcnn.base.errors import InputError
from ddcnn.data.groups import Groups

CHUNK_BYTES = 4 * 2**20
FILES_PER_TASK = 8
# More files than this without a usable image are no accident: the data are not what they seem.
MOST_UNREADABLE = 0.1


@dataclass(frozen=True)
class Unreadable:
    """A file that holds no usable image, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Chunk:
    """Some images that follow each other in a stream.

    Attributes:
        index: int64 ``n``, places of the images in the stream; unreadable ones are missing.
        images: uint8 ``n, *spatial, C``, or float32 (signals).
        unreadable: what was left out between them.
    """

    index: np.ndarray
    images: np.ndarray
    unreadable: Sequence[Unreadable] = ()


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
        blocks: gives blocks ``n, *spatial, C``, uint8 or float32, of bounded size, N in all.
        source: the file, for messages.
    """

    labels: np.ndarray
    blocks: Callable[[], Iterator[np.ndarray]]
    source: str

    def name(self, index: int) -> str:
        return f"{self.source}[{index}]"

    def chunks(self) -> Iterator[Chunk]:
        first = 0
        for block in self.blocks():
            yield Chunk(np.arange(first, first + len(block)), block)
            first += len(block)
        if first != len(self.labels):
            raise InputError(f"{self.source} has {len(self.labels)} labels, but {first} images")


@dataclass(frozen=True)
class FileSamples:
    """Images that are a file each, decoded by all cores.

    Attributes:
        labels: int64 ``N``, or float32 ``N, M``.
        paths: the files.
        decode: a module-level function or a ``partial`` of one (it travels to other processes)
            that gives uint8 ``*spatial, C``, the same shape for every file, or raises
            :class:`InputError` with a reason that names the file.
        folder: what names in messages are relative to.
        workers: processes; by default one per core.
    """

    labels: np.ndarray
    paths: Sequence[Path]
    decode: Callable[[Path], np.ndarray]
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
                images = [image for _, image in part if isinstance(image, np.ndarray)]
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
    ) -> Iterator[tuple[int, np.ndarray | Unreadable]]:
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
    def _chunk(part: list[tuple[int, np.ndarray | Unreadable]]) -> Chunk:
        good = [(index, image) for index, image in part if isinstance(image, np.ndarray)]
        return Chunk(
            np.array([index for index, _ in good], dtype=np.int64),
            np.stack([image for _, image in good]) if good else np.empty(0, np.uint8),
            [item for _, item in part if isinstance(item, Unreadable)],
        )


def _decode_files(
    decode: Callable[[Path], np.ndarray], files: list[tuple[int, Path, str]]
) -> list[tuple[int, np.ndarray | Unreadable]]:
    results: list[tuple[int, np.ndarray | Unreadable]] = []
    for index, path, name in files:
        try:
            results.append((index, decode(path)))
        except InputError as error:
            results.append((index, Unreadable(name, str(error))))
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
    """

    classes: list[str]
    splits: dict[str, LabelledImages]
    notes: list[str] = field(default_factory=list)
    facts: dict[str, object] = field(default_factory=dict)
    targets: list[str] = field(default_factory=list)
    groups: Groups | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def task(self) -> str:
        """``regression`` where there are targets, else ``classification``."""
        return "regression" if self.targets else "classification"
