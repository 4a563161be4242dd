"""A look at people's own data before anything is prepared: which files cannot be used."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ddcnn.base.defaults import KINDS
from ddcnn.base.text import counted
from ddcnn.data import labelled
from ddcnn.data.left_out import Unreadable
from ddcnn.data.options import ReadOptions
from ddcnn.data.registry import Dataset
from ddcnn.data.samples import Collection, FileSamples
from ddcnn.data.state import MOST_BYTES, files_of

ONLY_HEADERS = (
    "; the data have more than 1 GiB, so that only headers were read: files that are cut short "
    "show when they are prepared (snakemake --until prepare)"
)


def look(dataset: Dataset) -> Iterator[str]:
    """The reader's warnings, and a line on what cannot be used and what is done with it.

    Every image is decoded, as the preparation does it; of more than 1 GiB only the headers of the
    files are read.

    Raises:
        InputError: the preparation would stop, with its words.
    """
    is_small = sum(file.size for file in files_of(dataset.path, dataset.options)) <= MOST_BYTES
    with tempfile.TemporaryDirectory() as scratch:
        collection = dataset.read([dataset.path], Path(scratch))
    for warning in collection.warnings:
        yield f"{dataset.name}: warning: {warning}"
    kind, left_out = KINDS[len(dataset.shape)], collection.left_out
    usable = sum(len(samples.labels) for samples in collection.splits.values())
    for item in _unusable(collection if is_small else _headers(collection, dataset.options)):
        left_out.add(item)
        usable -= 1
    verdict = left_out.judged(usable, kind, dataset.unreadable)
    words = verdict[0] if verdict else f"all of {counted(usable, kind)} can be read"
    yield f"{dataset.name}: {words}{'' if is_small else ONLY_HEADERS}"


def _unusable(collection: Collection) -> Iterator[Unreadable]:
    every = {split: np.ones(len(s.labels), bool) for split, s in collection.splits.items()}
    for samples in collection.settled(every).splits.values():
        for chunk in samples.chunks():
            yield from chunk.unreadable


def _headers(collection: Collection, options: ReadOptions) -> Collection:
    """With streams that read no more than the headers of files, and of arrays nothing again."""
    read = partial(_header, options=options)
    files = {s: f for s, f in collection.splits.items() if isinstance(f, FileSamples)}
    streams = {split: replace(samples, decode=read) for split, samples in files.items()}
    return replace(collection, splits=streams, settle=None)


def _header(path: Path, options: ReadOptions) -> np.ndarray:
    kind = labelled.KINDS[labelled.kind_of(path.name) or "images"]
    kind.read_header(path, options)
    return np.zeros(1, np.uint8)  # in place of the image
