"""The headers of many files, read in parallel before any pixel is decoded.

They decide what the whole set has in common: one shape, the channels, what must be converted.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from math import prod
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from ddcnn.base.errors import Hindrance, InputError
from ddcnn.base.memory import require_memory
from ddcnn.data.options import ReadOptions

FEWEST_FOR_PROCESSES = 400
MOST_MEASURED = 100  # files of the training split that decide on a rule of intensity
BATCH = 4096
NAMES_SHOWN = 3
MOST_REASON = 200  # characters
AXES_TEXT = {1: "time", 2: "rows, columns", 3: "rows, columns, slices"}


Found = TypeVar("Found")


class Header(NamedTuple):
    """What the header of an image or volume says.

    Attributes:
        shape: spatial axes after orientation.
        channels: 1 or 3.
        changes: on the way to 8-bit gray or RGB, as far as they are worth a note each.
        spacing: of the voxels in mm, in the order of ``shape``.
        is_deep: whether its values have more than 8 bit, so that they need a rule of intensity.
        stored: spatial axes before anything was resampled to another spacing; empty: ``shape``.
    """

    shape: tuple[int, ...]
    channels: int = 1
    changes: tuple[str, ...] = ()
    spacing: tuple[float, ...] = ()
    is_deep: bool = False
    stored: tuple[int, ...] = ()


@dataclass
class HeaderGroup:
    """Files whose headers say the same: memory does not grow with their number."""

    header: Header
    count: int = 0
    first: list[Path] = field(default_factory=list)


@dataclass(frozen=True)
class Survey:
    """What a set of files has in common.

    Attributes:
        shape: spatial axes of every decoded image.
        channels: 1 or 3.
        notes: conversions with their counts and first files.
        facts: entries of the data card.
        is_open: whether the training split's values must say what becomes black and white.
    """

    shape: tuple[int, ...]
    channels: int
    notes: list[str] = field(default_factory=list)
    facts: dict[str, object] = field(default_factory=dict)
    is_open: bool = False


def read_headers(
    read: Callable[[Path], Header], paths: Sequence[Path], what: str, hindered: bool = False
) -> list[HeaderGroup]:
    """The different headers among the files, in order of appearance.

    A file without a readable one is no error here: decoding meets it again and names it.

    Args:
        read: gives a file's header.
        paths: the files.
        what: they are, in words.
        hindered: files that only this process cannot read are no error either.

    Raises:
        Hindrance: of a file the process cannot know what it says.
        InputError: no file has one; gives the first reason.
    """
    groups: dict[Header, HeaderGroup] = {}
    failure = None
    for path, result in zip(paths, attempts(read, paths), strict=True):
        if isinstance(result, Hindrance) and not hindered:
            raise result
        if isinstance(result, InputError):
            failure = failure or result
            continue
        group = groups.setdefault(result, HeaderGroup(result))
        group.count += 1
        if group.count <= NAMES_SHOWN:
            group.first.append(path)
    if not groups:
        raise InputError(f"none of {len(paths)} {what} can be read; the first: {failure}")
    return list(groups.values())


def attempts(
    read: Callable[[Path], Found], paths: Sequence[Path], fewest: int = FEWEST_FOR_PROCESSES
) -> Iterator[Found | InputError]:
    """What ``read`` gives for every file, or the error that it gives nothing for; by all cores.

    Args:
        fewest: of fewer files, starting processes would take longer than reading.
    """
    attempt = partial(_attempt, read)
    workers = len(os.sched_getaffinity(0))
    if len(paths) < fewest or workers == 1:
        yield from map(attempt, paths)
        return
    waiting = iter(paths)
    with ProcessPoolExecutor(workers) as pool:
        # The pool would take in all paths at once and keep an object for each.
        while batch := list(islice(waiting, BATCH)):
            yield from pool.map(attempt, batch, chunksize=BATCH // (8 * workers) + 1)


def require_decoding(
    groups: Sequence[HeaderGroup], bytes_of: Callable[[HeaderGroup], int], what: str
) -> None:
    """Refuse what the cores together cannot decode: the largest files may meet in memory.

    Args:
        groups: the files.
        bytes_of: memory that decoding one of a group takes at least.
        what: they are, in words.
    """
    workers, found = len(os.sched_getaffinity(0)), []
    for group in groups:
        found += [(bytes_of(group), group.first[0])] * min(group.count, workers)
    largest = sorted(found, reverse=True)[:workers]
    require_memory(
        f"{largest[0][1]} and the next largest {what}, {len(largest)} on as many cores: decoding",
        sum(needed for needed, _ in largest),
        f"use fewer cores (taskset), make the {what} smaller, or set a smaller shape or "
        "most_megapixels in dataset",
    )


def measured(read: Callable[[Path], Found], paths: Sequence[Path], what: str) -> list[Found]:
    """What ``read`` gives for some files, evenly spread over all; broken ones are left out.

    Raises:
        Hindrance: only this process cannot read one of them.
        InputError: it gives nothing for any; with the first reason.
    """
    places = np.linspace(0, len(paths) - 1, min(len(paths), MOST_MEASURED))
    found = list(attempts(read, [paths[int(place)] for place in places.round()], fewest=2))
    for hindrance in (each for each in found if isinstance(each, Hindrance)):
        raise hindrance
    if all(isinstance(each, InputError) for each in found):
        raise InputError(f"none of {len(found)} {what} can be read; the first: {found[0]}")
    return [each for each in found if not isinstance(each, InputError)]


def _attempt(read: Callable[[Path], Found], path: Path) -> Found | InputError:
    try:
        return read(path)
    except InputError as error:
        return error


def check_no_scans(source: object, options: ReadOptions) -> None:
    """Refuse keys that only NIfTI volumes have a meaning for."""
    for key in ("frame", "spacing"):
        if getattr(options, key) is not None:
            raise InputError(f"dataset.{key}: {source} is no NIfTI volume; remove this key")


def window_missing(source: object, values: str) -> str:
    """The message about values above 8 bit without a window."""
    return (
        f"{source} holds {values}, but no window is set; add window: [low, high] to dataset, the "
        "values that become black and white (for the lung in CT: [-1000, 400]), or intensity: "
        "percentile, which finds them in every image"
    )


def common_shape(groups: Sequence[HeaderGroup], options: ReadOptions) -> tuple[int, ...]:
    """The shape that all files will have.

    Raises:
        InputError: they differ and no shape is set, or the shape has other axes.
    """
    first, shape = groups[0].first[0], groups[0].header.shape
    if options.shape is not None:
        check_axes(first, len(shape), options)
        return tuple(options.shape)
    for group in groups:
        if group.header.shape != shape:
            raise InputError(
                f"{_different(options, len(shape))}: {first} is {size_text(shape)}, "
                f"{group.first[0]} is {size_text(group.header.shape)} ({AXES_TEXT[len(shape)]}); "
                f"give shape: [{AXES_TEXT[len(shape)]}] in dataset, and all are brought to it"
            )
    return shape


def _different(options: ReadOptions, axes: int) -> str:
    if options.spacing is None:
        return f"{'images' if axes == 2 else 'volumes'} of different sizes"
    spacing = ", ".join(f"{number:g}" for number in options.spacing)
    return f"volumes of different sizes, once spacing: [{spacing}] has resampled them"


def check_axes(source: object, axes: int, options: ReadOptions) -> None:
    """Refuse a target shape with another number of axes than the images have."""
    if options.shape is not None and len(options.shape) != axes:
        given = f"{len(options.shape)} number{'s' if len(options.shape) > 1 else ''}"
        raise InputError(
            f"shape: {list(options.shape)} has {given}, but {source} is "
            f"{axes}D; accepted: [{AXES_TEXT[axes]}]"
        )


def size_text(shape: Iterable[int]) -> str:
    """Axes as people write them: ``28 x 28``."""
    return " x ".join(str(size) for size in shape)


def change_notes(groups: Sequence[HeaderGroup], what: str) -> list[str]:
    """One note for each kind of change, with its count and the first files."""
    total = sum(group.count for group in groups)
    counts: Counter[str] = Counter()
    first: dict[str, list[Path]] = {}
    for group in groups:
        for change in group.header.changes:
            counts[change] += group.count
            first.setdefault(change, []).extend(group.first)
    return [
        f"{count} of {total} {what}: {change} ({first_names(first[change], count)})"
        for change, count in counts.items()
    ]


def size_notes(groups: Sequence[HeaderGroup], shape: tuple[int, ...], how: str) -> list[str]:
    """What sizes the files have, if they are changed, and what becomes of them."""
    stored = {group.header.stored or group.header.shape for group in groups}
    sizes = {group.header.shape for group in groups}
    if stored == sizes == {shape}:
        return []
    steps = [f"sizes in the files: {_span(stored)} ({AXES_TEXT[len(shape)]})"]
    if any(group.header.stored for group in groups):
        steps.append(f"resampled by spacing: {_span(sizes)}")
    if sizes != {shape}:
        steps.append(f"{how} {size_text(shape)}")
    return ["; ".join(steps)]


def _span(sizes: set[tuple[int, ...]]) -> str:
    smallest, largest = (choose(sizes, key=lambda s: (prod(s), s)) for choose in (min, max))
    return size_text(smallest) + (f" to {size_text(largest)}" if len(sizes) > 1 else "")


def first_names(paths: Sequence[Path], count: int) -> str:
    """The first files with the folder that holds them, and whether there are more."""
    names = ", ".join(f"{path.parent.name}/{path.name}" for path in paths[:NAMES_SHOWN])
    return names + (", ..." if count > NAMES_SHOWN else "")


def reason(error: BaseException) -> str:
    """An exception of a library in one line; some quote half the file."""
    text = " ".join(str(error)[: 4 * MOST_REASON].split()) or type(error).__name__
    return text if len(text) <= MOST_REASON else f"{text[:MOST_REASON]} ..."
