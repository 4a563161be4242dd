"""What people want predicted: files, folders, tables and arrays, as batches of prepared images.

The readers are those of :mod:`ddcnn.data`.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from ddcnn.base.disk import check_outputs
from ddcnn.base.errors import DamagedResult, InputError
from ddcnn.base.files import check_prepared, read_json
from ddcnn.base.foreign import check_regular, is_folder
from ddcnn.bundle.expected import ACCEPTED, Expected, decode, read_header
from ddcnn.data import arrays, images
from ddcnn.data.folders import BESIDE_IMAGES, is_ignored
from ddcnn.data.labelled import kind_of
from ddcnn.data.notices import Named
from ddcnn.data.npy import ArrayStore, open_store
from ddcnn.data.samples import Block, Decoded, FileSamples
from ddcnn.data.scaling import fit_words
from ddcnn.data.survey import (
    change_notes,
    first_names,
    read_headers,
    size_notes,
)
from ddcnn.data.tables import table_lines
from ddcnn.data.values import Values

TABLES, ARRAYS = (".csv", ".tsv"), (".npy", ".npz")
FEW_FILES = 16  # are decoded sooner than other processes start


@dataclass
class Batch:
    """Prepared images ``n, *spatial, C``, uint8 or float32, and what outputs call them.

    With ``values`` of the files, where the preparation changed them.
    """

    names: list[str]
    images: np.ndarray
    values: Sequence[Values] = ()


@dataclass
class Inputs:
    """Everything that was asked for, in its order.

    Attributes:
        expected: what the model takes.
        sources: runs of files, and arrays.
        failures: reasons why an input is not predicted; grows while batches are read.
        strange: inputs that are probably of another kind than the training's, and why; grows, too.
        left_out: files in folders that are of no known kind.
    """

    expected: Expected
    sources: list["Files | Array"] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    strange: dict[str, Named] = field(default_factory=dict)
    left_out: list[Path] = field(default_factory=list)

    @classmethod
    def find(
        cls, paths: Iterable[Path], expected: Expected, outputs: Iterable[Path | None] = ()
    ) -> "Inputs":
        """Look into folders and tables.

        Raises:
            InputError: there is nothing to predict in the only folder or table; of several, the
                others are predicted. Or one of the files is also an output.
        """
        found, paths = cls(expected), list(paths)
        for path in paths:
            try:
                found._add(path)
            except InputError as error:
                if len(paths) == 1:
                    raise
                found.failures.append(str(error))
        check_outputs(outputs, found._files())
        return found

    def _files(self) -> Iterator[Path]:
        for source in self.sources:
            yield from source if isinstance(source, Files) else [source.file]

    def __len__(self) -> int:
        return sum(len(source) for source in self.sources)

    def batches(self, size: int) -> Iterator[Batch]:
        """Images in batches of at most ``size``."""
        for source in self.sources:
            try:
                for batch in source.chunks(self.failures):
                    self._look(batch)
                    for first in range(0, len(batch.names), size):
                        part = slice(first, first + size)
                        yield Batch(batch.names[part], batch.images[part])
            except InputError as error:
                self.failures.append(str(error))

    def _look(self, batch: Batch) -> None:
        values = list(batch.values) or [None] * len(batch.names)
        for name, image, value in zip(batch.names, batch.images, values, strict=True):
            self.look(name, Decoded(image, value))

    def look(self, name: str, decoded: Decoded) -> None:
        """Note what differs from the training in kind: the net answers all the same."""
        if why := self.expected.strangeness(decoded):
            self.strange.setdefault(why, Named()).add(name)

    def warnings(self) -> list[str]:
        """What to say after the predictions, one line for each kind of strangeness."""
        return [
            f"{named.count} of {len(self)} inputs are of another kind than those of the training "
            f"({why}): {named}; do not trust what is predicted for them"
            for why, named in self.strange.items()
        ]

    def notes(self) -> list[str]:
        """What the preparation changes and leaves out, for the user."""
        return self._kinds_left_out() + self._changes()

    def _kinds_left_out(self) -> list[str]:
        if not self.left_out:
            return []
        count, names = len(self.left_out), first_names(self.left_out, len(self.left_out))
        return [f"{count} files of other kinds left out ({names}); accepted: {ACCEPTED}"]

    def _changes(self) -> list[str]:
        files = [path for source in self.sources if isinstance(source, Files) for path in source]
        if not files:
            return []
        try:
            reads = partial(read_header, expected=self.expected)
            groups = read_headers(reads, files, "inputs", hindered=True)
        except InputError:
            return []  # none can be read: the predictions will say so of each
        what, fit = self.expected.kind, images.FIT_WORDS[self.expected.reading.fit]
        how = fit if what == "images" else fit_words(self.expected.options.spacing)
        others = sum(g.count for g in groups if g.header.channels != self.expected.channels)
        to = {1: "turned into gray", 3: "in gray, repeated in three channels"}
        return [
            *change_notes(groups, what),
            *size_notes(groups, self.expected.shape, how),
            *([f"{others} of {len(files)} {what}: {to[self.expected.channels]}"] if others else []),
            *self.expected.spacing_notes(groups),
        ]

    def _add(self, path: Path) -> None:
        if is_folder(path):
            self._add_all(self._in_folder(path), path)
        elif path.suffix.lower() in TABLES:
            column = self.expected.reading.columns.get("file", "file")
            self._add_all(_in_table(path, column), path)
        else:
            self._add_file(path)

    def _add_all(self, paths: list[Path], source: Path) -> None:
        if not paths:
            raise InputError(f"{source} names or holds nothing to predict; accepted: {ACCEPTED}")
        for path in paths:
            self._add_file(path)

    def _add_file(self, path: Path) -> None:
        if path.suffix.lower() in ARRAYS:
            try:
                self.sources += arrays_of(path, self.expected)
            except InputError as error:
                self.failures.append(str(error))
            return
        if not (self.sources and isinstance(self.sources[-1], Files)):
            self.sources.append(Files(self.expected))
        self.sources[-1].append(path)

    def _in_folder(self, folder: Path) -> list[Path]:
        """All files of known kinds, at any depth, in the order of their names."""

        def note(error: OSError) -> None:
            self.failures.append(f"{error.filename} cannot be read ({error.strerror})")

        found, before = [], len(self.failures)
        for parent, folders, names in os.walk(folder, onerror=note):
            self.failures += [
                f"{Path(parent, name)} is a link to a folder, which is not followed; name it itself"
                for name in sorted(folders)
                if Path(parent, name).is_symlink()
            ]
            folders[:] = sorted(name for name in folders if not is_ignored(name))
            for path in (Path(parent, name) for name in sorted(names) if not is_ignored(name)):
                if kind_of(path.name) or path.suffix.lower() in ARRAYS:
                    found.append(path)
                elif path.suffix.lower() not in BESIDE_IMAGES:
                    self.left_out.append(path)
        if not found and len(self.failures) > before:
            raise InputError(self.failures.pop())
        return found


def _in_table(table: Path, column: str) -> list[Path]:
    """The column of files of a CSV, or the one called ``file``; relative to its folder."""
    try:
        names, lines = table_lines(table)
        column = column if column in names else "file"
        if column not in names:
            raise InputError(f"{table}, line 1: no column 'file'; add it, with a path a line")
        place = names.index(column)
        cells = [fields[place].strip() for _, fields in lines if len(fields) > place]
    except OSError as error:
        raise InputError(f"{table} cannot be read ({error.strerror}); check it") from error
    return [table.parent / cell for cell in cells if cell]


@dataclass
class Files:
    """Image files, one after the other."""

    expected: Expected
    paths: list[Path] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[Path]:
        return iter(self.paths)

    def append(self, path: Path) -> None:
        """Add a file."""
        self.paths.append(path)

    def chunks(self, failures: list[str]) -> Iterator[Batch]:
        """Decoded images, a bounded number at a time; by all cores if there are many."""
        workers = {"workers": 1} if len(self) < FEW_FILES else {}
        nothing = np.zeros(len(self), np.int64)  # there are no labels
        decoder = partial(decode, expected=self.expected)
        for chunk in FileSamples(nothing, self.paths, decoder, Path(), **workers).chunks():
            failures += [item.reason for item in chunk.unreadable]
            if len(chunk.index):
                names = [str(self.paths[i]) for i in chunk.index]
                yield Batch(names, chunk.images, chunk.values)


@dataclass
class Array:
    """Images ``N, *spatial(, C)`` in an .npy or .npz.

    Attributes:
        prepared: whether the preparation wrote it, so that nothing is left to do.
    """

    expected: Expected
    store: ArrayStore
    key: str
    prepared: bool

    @property
    def file(self) -> Path:
        """Where it lies."""
        return self.store.file(self.key)

    def __len__(self) -> int:
        return self.store.header(self.key).shape[0]

    def chunks(self, failures: list[str]) -> Iterator[Batch]:
        """Blocks of about 4 MB."""
        first, source = 0, self.store.source(self.key)
        for block in self._blocks():
            failures += map(str, block.left_out.values())
            names = [f"{source}[{first + i}]" for i in block.places]
            first += len(block.images) + len(block.left_out)
            if names:
                yield Batch(names, block.images, block.values)

    def _blocks(self) -> Iterator[Block]:
        if self.prepared:
            check_prepared(self.file)
            return map(Block, self.store.blocks(self.key))
        return arrays.image_blocks(self.store, self.key, self.expected.reading)


def arrays_of(path: Path, expected: Expected) -> list[Array]:
    """The arrays of images in a file, their shapes checked against the model."""
    check_regular(path)
    store = open_store(path)
    keys = sorted(store.keys & arrays.IMAGE_NAMES) or sorted(store.keys)
    if path.suffix.lower() == ".npy":
        keys = [path.stem]
    elif not store.keys & arrays.IMAGE_NAMES and len(keys) != 1:
        raise InputError(
            f"{path} has the arrays {', '.join(keys) or 'none'}; accepted: one array, or names as "
            "in training: x, images, x_test"
        )
    prepared = _is_prepared(path, expected)
    for key in keys:
        _check_array(store, key, expected)
    return [Array(expected, store, key, prepared) for key in keys]


def _check_array(store: ArrayStore, key: str, expected: Expected) -> None:
    source, shape, axes = store.source(key), store.header(key).shape, len(expected.shape)
    if len(shape) not in (axes + 1, axes + 2):
        wanted = ", ".join(map(str, expected.shape))
        raise InputError(
            f"{source} has the shape {shape}; accepted: (N, {wanted}) or (N, {wanted}, "
            f"{expected.channels}), also for a single one (N = 1)"
        )
    expected.check_size(source, shape[1 : axes + 1])
    expected.check_channels(source, shape[axes + 1] if len(shape) == axes + 2 else 1)


def _is_prepared(path: Path, expected: Expected) -> bool:
    """Whether the array is one of a prepared data set of the model's kind, beside its card."""
    try:
        card = read_json(path.with_name("card.json"))
    except (FileNotFoundError, DamagedResult):
        return False
    if not isinstance(card, dict) or not isinstance(card.get("checksums"), dict):
        return False
    size = card.get("shape"), card.get("channels")
    return path.name in card["checksums"] and size == (list(expected.shape), expected.channels)
