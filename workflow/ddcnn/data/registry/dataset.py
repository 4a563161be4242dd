"""What is known of a data set before it is read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ddcnn.base.errors import InputError
from ddcnn.data.download import SourceFile
from ddcnn.data.options import NO_GROUPS, ReadOptions
from ddcnn.data.phantom import Phantoms
from ddcnn.data.samples import Collection

CONTENTS = "contents.json"
AXES = {1: ("time",), 2: ("row", "column"), 3: ("row", "column", "slice")}


@dataclass(frozen=True)
class Dataset:
    """One data set: where its files are, what reads them, what they must hold.

    Attributes:
        name: its folder under ``results/data``.
        title, source, licence, citation: for the card and the report.
        public_files: the published files, which the stage download brings; those without an
            address lie in an installed package.
        nearby: from ``public_files`` to files on this machine that stand for them, if any do.
        reader: turns the files into images; the name of a function of
            :mod:`ddcnn.data.published`, which is imported when something is read.
        reader_options: further arguments of the reader.
        path: where a user's own data lie; None for registered ones.
        prepared_shape: spatial axes and channels after preparation; None: found in the files.
        task: ``classification`` or ``regression``.
        classes: names, in the order of the labels; empty: the reader's.
        counts: images that each split must have as the reader gives it; a tuple counts by class.
        options: how files become images of one shape.
        accepts: keys of a configuration's mapping that change something here.
        unreadable: what happens to a few images that cannot be used: ``skip`` or ``error``.
        flip: axes along which a tile may be mirrored without changing its class.
        shift: pixels by which an image may be moved without changing its class.
        synthetic: True if the images were computed, not recorded.
        phantoms: what ``ct-phantom`` computes instead of downloading.
        split_rule: how train, val and test come about, in words; empty: the files say.
    """

    name: str
    title: str
    source: str
    public_files: tuple[SourceFile, ...]
    reader: str
    nearby: Callable[[Sequence[SourceFile]], Sequence[SourceFile]] | None = None
    reader_options: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = None
    prepared_shape: tuple[int, ...] | None = None
    licence: str = "not stated"
    citation: str = ""
    task: str = "classification"
    classes: tuple[str, ...] = ()
    counts: Mapping[str, int | tuple[int, ...]] = field(default_factory=dict)
    options: ReadOptions = field(default_factory=ReadOptions)
    accepts: tuple[str, ...] = ()
    unreadable: str = "error"
    flip: tuple[str, ...] = ()
    shift: int = 0
    synthetic: bool = False
    phantoms: Phantoms | None = None
    split_rule: str = "as published"

    @property
    def files(self) -> tuple[SourceFile, ...]:
        """What the stage download brings.

        Raises:
            InputError: they lie in something that is not installed; says how to install it.
        """
        found = self.nearby(self.public_files) if self.nearby else ()
        return tuple(found) or self.public_files

    @property
    def own(self) -> bool:
        """Whether these are a user's own data, read where they lie."""
        return self.path is not None

    def state(self, raw: Path | None = None) -> str:
        """Another text when a user's own data have changed; empty for published ones.

        Args:
            raw: the folder into which the stage download wrote.
        """
        if self.path is None:
            return ""
        from ddcnn.data.state import state_of

        return state_of(self.path, self.options, raw and raw / CONTENTS)

    def remember_state(self, raw: Path) -> None:
        """Write down the state of a user's own data, with what is read from now on."""
        if self.path is not None:
            from ddcnn.data.state import remember

            remember(self.path, self.options, raw / CONTENTS)

    @cached_property
    def image_shape(self) -> tuple[int, ...]:
        """Spatial axes and channels of one prepared image."""
        if self.prepared_shape is None:
            from ddcnn.data import own

            return own.image_shape(self.path, self.options)
        shape = self.options.shape or self.prepared_shape[:-1]
        return (*shape, self.options.channels or self.prepared_shape[-1])

    @property
    def shape(self) -> tuple[int, ...]:
        """Spatial axes of one prepared image."""
        return self.image_shape[:-1]

    def read(self, raw: list[Path], scratch: Path) -> Collection:
        """The images in the files ``raw``; ``scratch`` is an empty folder for what is unpacked.

        Raises:
            InputError: the files do not hold what is published.
        """
        from ddcnn.data import published

        read = getattr(published, self.reader)
        # Nobody needs a warning about groups of a published data set: its splits are known.
        options = self.options if self.own else replace(self.options, group=NO_GROUPS)
        collection = read(raw, options, scratch, **self.reader_options)
        self._check(collection)
        facts = {"split_rule": self.split_rule or self._own_rule(collection)} | collection.facts
        if "split_seed" in self.accepts:
            facts["split_seed"] = self.options.split_seed
        return replace(collection, classes=list(self.classes or collection.classes), facts=facts)

    def _own_rule(self, collection: Collection) -> str:
        from ddcnn.data import own, splitting

        giver = own.GIVERS[own.recognise(self.path)]
        return splitting.rule_in_words(collection, self.options, giver)

    def _check(self, collection: Collection) -> None:
        """Compare classes and counts with what is published."""
        found, numbers = collection.classes, [str(k) for k in range(len(self.classes))]
        if self.classes and found not in (numbers, list(self.classes)):
            others = sorted(set(found) ^ set(self.classes))
            self._refuse(f"{len(found)} classes", f"{len(self.classes)} ({', '.join(others[:5])})")
        for split, expected in self.counts.items():
            labels = collection.splits[split].labels if split in collection.splits else []
            if isinstance(expected, int):
                if len(labels) != expected:
                    self._refuse(f"{len(labels)} images in {split}", str(expected))
                continue
            by_class = np.bincount(np.asarray(labels, np.int64), minlength=len(found)).tolist()
            if by_class != list(expected):
                self._refuse(f"{by_class} images of the classes in {split}", str(expected))

    def _refuse(self, found: str, expected: str) -> None:
        names = ", ".join(file.name for file in self.public_files) or self.source
        raise InputError(
            f"dataset {self.name}: {found}, expected {expected}; {names} is another version or "
            "incomplete, delete it and get it again"
        )

    def description(self) -> dict[str, Any]:
        """What a person wants to know, for ``ddcnn data info``."""
        counts = {s: n if isinstance(n, int) else sum(n) for s, n in self.counts.items()}
        return {
            "name": self.name,
            "title": self.title,
            "source": self.source,
            "licence": self.licence,
            "citation": self.citation,
            "synthetic": self.synthetic,
            "task": self.task,
            "shape": list(self.image_shape),
            "classes": []
            if self.task == "regression"
            else list(self.classes) or "named in the files",
            "images": counts or "as many as asked for",
            "split": self.split_rule,
            "augmentation": {"flip": list(self.flip), "shift": self.shift},
            "options": ["name", "flip", "shift", *self.accepts],
            "download": self._download_text(),
            "files": [file.urls[0] for file in self._downloads],
        }

    @property
    def _downloads(self) -> list[SourceFile]:
        return [file for file in self.public_files if file.urls]

    def _download_text(self) -> str:
        sizes = [file.size for file in self._downloads]
        if not sizes:
            return "none"
        return f"{sum(sizes) / 1e6:,.0f} MB" if all(sizes) else "of unpublished size"
