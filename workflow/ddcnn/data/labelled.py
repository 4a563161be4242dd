"""Files with labels: what a folder per class and a table have in common."""

import os
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from types import ModuleType
from unicodedata import normalize

import numpy as np

from ddcnn.base.errors import InputError
from ddcnn.base.splits import SPLITS
from ddcnn.data import images, likely, volumes
from ddcnn.data.groups import Grouping, check_given
from ddcnn.data.labels import check_classes, check_splits, check_targets, class_order, renamed
from ddcnn.data.left_out import LeftOut
from ddcnn.data.options import ReadOptions
from ddcnn.data.samples import Collection, FileSamples
from ddcnn.data.survey import HeaderGroup, common_shape

KINDS = {"images": images, "volumes": volumes}
ACCEPTED = f"images ({', '.join(images.SUFFIXES)}) and volumes ({', '.join(volumes.SUFFIXES)})"
MOST_TRIED = 20  # files whose headers may be broken before the shape is given up


class Paths(Sequence[Path]):
    """Files below a folder, a few bytes each: a data set may have millions."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names = bytearray()
        self._ends = array("q", [0])

    def append(self, name: str) -> None:
        """Add the file ``name``, relative to the folder."""
        self._names += os.fsencode(name)
        self._ends.append(len(self._names))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> Path:
        return self._folder / self.name(index)

    def name(self, index: int) -> str:
        """The file at ``index``, relative to the folder."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        return os.fsdecode(bytes(self._names[self._ends[index] : self._ends[index + 1]]))


@dataclass
class LabelledFiles:
    """Files as a reader finds them, and in the end the :class:`Collection` they make.

    Attributes:
        folder: what the names are relative to.
        source: what messages call the whole.
        notes: what was left out.
        warnings: what may make a result wrong.
        targets: names of the targets of a regression; none for classification.
        left_out: what may be an image and is of a kind that is not read.
        groups: what the configuration asks to keep together.
        columns: further columns of a table, which may name groups; None: nobody needs to know.
        depth: folders above an image that are its split and class; a rule for groups sees the
            path below them.
    """

    folder: Path
    source: Path
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    left_out: LeftOut = field(default_factory=LeftOut)
    groups: Grouping | None = None
    columns: likely.FurtherColumns | None = None
    depth: int = 0
    _paths: dict[str, Paths] = field(default_factory=dict)
    _labels: dict[str, array] = field(default_factory=dict)
    _classes: dict[str, int] = field(default_factory=dict)
    _kinds: dict[str, str] = field(default_factory=dict)

    def add(
        self, split: str, name: str, label: str | tuple[float, ...], group: str | None = None
    ) -> None:
        """Add one file with its class or targets; it must be of the kind of those before it.

        One of another kind than is read may be added: its decoder will say so.
        """
        if kind := kind_of(name):
            self._kinds.setdefault(kind, name)
        if len(self._kinds) > 1:
            raise InputError(
                f"{self.source} mixes images ({self._kinds['images']}) and volumes "
                f"({self._kinds['volumes']}); keep one kind and move the others elsewhere"
            )
        self._paths.setdefault(split, Paths(self.folder)).append(name)
        if self.groups is not None:
            self.groups.add(split, group)
        labels = self._labels.setdefault(split, array("d" if self.targets else "q"))
        if self.targets:
            labels.extend(label)
            return
        # macOS writes an accent as a character of its own, other systems do not.
        labels.append(self._classes.setdefault(normalize("NFC", label), len(self._classes)))

    def __len__(self) -> int:
        return sum(map(len, self._paths.values()))

    def collection(self, options: ReadOptions) -> Collection:
        """Check classes, splits and headers; streams of the decoded files.

        Raises:
            InputError: what is checked is not as it should be.
        """
        check_splits(self._paths, self.source)
        if not self._kinds:
            raise InputError(f"{self.source}: no file is of a kind that is read ({ACCEPTED})")
        splits = [split for split in ("all", *SPLITS) if split in self._paths]
        classes, labels, notes = self._checked_labels(splits, options)
        groups = None if self.groups is None else self.groups.groups()
        if groups:
            check_given(groups, lambda split, index: self._paths[split].name(index), self.source)
        kind = KINDS[next(iter(self._kinds))]
        survey = kind.survey(_Joined([self._paths[split] for split in splits]), options)
        decode = kind.decoder(survey, options)
        samples = {
            split: FileSamples(labels[split], self._paths[split], decode, self.folder)
            for split in splits
        }
        notes = self.notes + notes + survey.notes
        settle = partial(self._settled, kind, options) if survey.is_open else None
        warnings = self.warnings + ([] if options.group else self._likely_groups(labels))
        return Collection(
            classes,
            samples,
            notes,
            dict(survey.facts),
            self.targets,
            groups,
            warnings,
            self.left_out,
            settle,
        )

    def _likely_groups(self, labels: dict[str, np.ndarray]) -> list[str]:
        columns = self.columns.groups() if self.columns else {}
        names = {split: partial(self._below, self._paths[split]) for split in labels}
        source = self.source.name
        splits = likely.unused_splits(columns, source) if "all" in labels else []
        return splits + likely.unnamed_groups(columns, names, labels, self._classes, source)

    def _below(self, paths: Paths, index: int) -> str:
        """An image's path as a rule for groups sees it."""
        return paths.name(index).split("/", self.depth)[-1]

    def _settled(
        self,
        kind: ModuleType,
        options: ReadOptions,
        collection: Collection,
        training: Mapping[str, np.ndarray],
    ) -> Collection:
        """The collection read by the rule of intensity that the training split's values ask for."""
        parts = collection.splits.items()
        paths = [s.paths[int(i)] for split, s in parts for i in np.flatnonzero(training[split])]
        rule = kind.choose_intensity(paths, options)
        settled = self.collection(rule.options(options))
        facts = collection.facts | {"intensity": rule._asdict()}
        return replace(collection, splits=settled.splits, notes=settled.notes, facts=facts)

    def _checked_labels(
        self, splits: Sequence[str], options: ReadOptions
    ) -> tuple[list[str], dict[str, np.ndarray], list[str]]:
        """Classes, labels (or targets) of every split, and notes on them."""
        if self.targets:
            values = {split: np.frombuffer(self._labels[split]) for split in splits}
            shape = (-1, len(self.targets))
            with np.errstate(over="ignore"):  # beyond float32 is infinite, which the check names
                targets = {s: v.reshape(shape).astype(np.float32) for s, v in values.items()}
            check_targets(targets, self.targets, self.source)
            return [], targets, []
        found = class_order(self._classes)
        classes, new = renamed(found, options.classes, self.source)
        rank = np.empty(len(found), np.int64)
        rank[[self._classes[name] for name in found]] = new
        labels = {split: rank[np.frombuffer(self._labels[split], np.int64)] for split in splits}
        return classes, labels, check_classes(classes, labels, self.source)


class _Joined(Sequence[Path]):
    """Several sequences of paths as one."""

    def __init__(self, parts: list[Paths]) -> None:
        self._parts = parts

    def __len__(self) -> int:
        return sum(len(part) for part in self._parts)

    def __getitem__(self, index: int) -> Path:
        for part in self._parts:
            if index < len(part):
                return part[index]
            index -= len(part)
        raise IndexError(index)


def kind_of(name: str) -> str | None:
    """``images`` or ``volumes`` by the suffix; None for other files."""
    lower = name.lower()
    return next((kind for kind, room in KINDS.items() if lower.endswith(room.SUFFIXES)), None)


def image_shape(files: Iterable[Path], options: ReadOptions) -> tuple[int, ...]:
    """Spatial axes and channels, from the first readable header: fast, and right if all agree.

    Where ``spacing`` decides the size, a few are compared: another spacing makes another size.

    Args:
        files: images or volumes; a few are looked at.
        options: a shape or channels set there count more than the file's.

    Raises:
        InputError: none of the first files has a readable header, or those that are compared
            differ.
    """
    failure, found = None, []
    enough = MOST_TRIED if options.spacing and not options.shape else 1
    for path in islice(files, MOST_TRIED):
        try:
            header = KINDS[kind_of(path.name)].read_header(path, options)
        except InputError as error:
            failure = failure or error
            continue
        found.append(HeaderGroup(header, 1, [path]))
        if len(found) == enough:
            break
    if not found:
        raise failure or InputError("no file to read a shape from")
    return (*common_shape(found, options), options.channels or found[0].header.channels)


def leaves(path: str | Path, folder: str | Path) -> bool:
    """Whether ``path``, all links followed, lies outside of ``folder`` (itself resolved)."""
    real = os.path.realpath(path)
    return os.path.commonpath([real, folder]) != str(folder)
