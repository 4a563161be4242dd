"""A CSV beside its images: ``file,label[,split]``, or for regression ``file,target[,split]``.

Several targets have columns ``target_NAME`` each.
"""

import csv
import math
import os
import re
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ddcnn.base.errors import InputError
from ddcnn.data.labelled import ACCEPTED, UNPRINTABLE, LabelledFiles, kind_of, leaves
from ddcnn.data.labels import SPLIT_WORDS
from ddcnn.data.options import ReadOptions
from ddcnn.data.samples import Collection
from ddcnn.data.survey import check_regular

COLUMNS = ("file", "label", "split")
TARGET = re.compile(r"target(_.+)?")
COLUMNS_TEXT = (
    "file, label and optionally split (for regression target, or several target_NAME, in place of "
    "label)"
)
SEPARATORS = ",;\t"
MOST_LINE = 2**16  # bytes; a longer one is no line of a table
MISSING_SHOWN = 3


class Row(NamedTuple):
    """One line of a table; ``split`` is ``all`` where the table has no such column."""

    line: int
    file: str
    label: str | tuple[float, ...]  # the class, or the targets
    split: str


def read_table(raw: list[Path], options: ReadOptions) -> Collection:
    """Images or volumes that a CSV names.

    Args:
        raw: the CSV: UTF-8, separated by comma, semicolon or tab; files relative to its folder.
        options: shape, channels, window and limits.

    Raises:
        InputError: with the line: not UTF-8, wrong columns, a missing file, a duplicate, a missing
            label, an unknown split, a path that leaves the folder; and as for folders.
    """
    (table,) = raw
    targets = target_columns(table)
    _check_task(table, targets, options)
    found = LabelledFiles(table.parent, table, targets=[_target_name(name) for name in targets])
    places = _Columns(table)
    for row in rows(table):
        name = places.checked(row)
        found.add(row.split, name, row.label)
    places.finish()
    return found.collection(options)


def first_files(table: Path) -> Iterator[Path]:
    """The files in the order of the table, without reading all of it."""
    places = _Columns(table)
    for row in rows(table):
        yield table.parent / places.checked(row)
    places.finish()


def target_columns(table: Path) -> list[str]:
    """The columns with targets, in their order; none: the table has classes."""
    names, _ = table_lines(table)
    return [name for name in _columns(table, names) if TARGET.fullmatch(name)]


def _target_name(column: str) -> str:
    return column.removeprefix("target_")


def _check_task(table: Path, targets: Sequence[str], options: ReadOptions) -> None:
    if targets and options.task == "classification":
        raise InputError(
            f"{table} has the column {targets[0]!r}, but task: classification; remove task from "
            "dataset to predict numbers, or name the column label"
        )
    if not targets and options.task == "regression":
        raise InputError(
            f"{table} has classes (the column 'label'), but task: regression; name the column with "
            "the numbers target"
        )


def rows(table: Path) -> Iterator[Row]:
    """The lines of a table, each checked by itself."""
    names, lines = table_lines(table)
    columns = _columns(table, names)
    for number, fields in lines:
        yield _row(table, number, columns, fields)


def table_lines(table: Path) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """Names of the columns, and number and fields of every line that holds something.

    Raises:
        InputError: an empty file, one that is no CSV in UTF-8, or an endless line.
    """
    lines = _lines(table)
    header = next(lines, None)
    if header is None:
        raise InputError(f"{table} is empty; accepted: a CSV that begins with file,label[,split]")
    separator = max(SEPARATORS, key=header.count)
    names = [name.strip() for name in next(csv.reader([header], delimiter=separator), [])]
    return names, _fields(table, csv.reader(lines, delimiter=separator, strict=True))


def _fields(table: Path, reader: Any) -> Iterator[tuple[int, list[str]]]:
    try:
        for fields in reader:
            if any(field.strip() for field in fields):
                yield reader.line_num + 1, fields
    except csv.Error as error:
        raise InputError(f"{table}, line {reader.line_num + 1}: no valid CSV ({error})") from error


def _lines(table: Path) -> Iterator[str]:
    check_regular(table)
    with table.open("rb") as file:
        number = 0
        while line := file.readline(MOST_LINE):
            number += 1
            if len(line) == MOST_LINE:
                raise InputError(
                    f"{table}, line {number} is longer than {MOST_LINE:,} bytes; accepted: a CSV "
                    "with the columns file,label[,split]"
                )
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise InputError(
                    f"{table}, line {number} is not UTF-8 (byte {line[error.start]:#04x}); save "
                    'the table as "CSV UTF-8"'
                ) from error


def _columns(table: Path, names: list[str]) -> dict[str, int]:
    """The place of every column."""
    targets = [name for name in names if TARGET.fullmatch(name)]
    unknown = [name for name in names if name not in (*COLUMNS, *targets)]
    needed = ("file",) if targets else ("file", "label")
    missing = [name for name in needed if name not in names]
    if targets and "label" in names:
        raise InputError(
            f"{table}, line 1: both label and {targets[0]}; keep label for classes, or "
            f"{targets[0]} for numbers to be predicted"
        )
    if unknown or missing or len(set(names)) < len(names):
        problem = f"unknown column {unknown[0][:80]!r}" if unknown else "a column twice"
        problem = f"no column {missing[0]!r}" if missing and not unknown else problem
        raise InputError(
            f"{table}, line 1: {problem}; accepted: {COLUMNS_TEXT}, separated by comma, "
            "semicolon or tab"
        )
    return {name: place for place, name in enumerate(names)}


def _row(table: Path, line: int, columns: dict[str, int], fields: list[str]) -> Row:
    if len(fields) != len(columns):
        raise InputError(
            f"{table}, line {line} has {len(fields)} fields, the first line {len(columns)}; "
            "put a field that holds the separator in quotes"
        )
    values = {name: fields[place].strip() for name, place in columns.items()}
    empty = [name for name, value in values.items() if not value]
    if empty:
        raise InputError(f"{table}, line {line}: the {empty[0]} is missing; fill it in")
    for name, value in values.items():
        if UNPRINTABLE.search(value):
            raise InputError(f"{table}, line {line}: {name} {value!r} has control characters")
    word = values.get("split")
    if word is not None and word not in SPLIT_WORDS:
        raise InputError(
            f"{table}, line {line}: unknown split {word!r}; accepted: {', '.join(SPLIT_WORDS)}"
        )
    targets = {name: value for name, value in values.items() if TARGET.fullmatch(name)}
    label = values.get("label") or tuple(_number(table, line, *item) for item in targets.items())
    return Row(line, values["file"], label, SPLIT_WORDS[word] if word else "all")


def _number(table: Path, line: int, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(
            f"{table}, line {line}: {column} is {text[:80]!r}; accepted: finite numbers, with a "
            "decimal point"
        )
    return value


class _Columns:
    """Checks that every file of a table is there, inside the table's folder, and named once."""

    def __init__(self, table: Path) -> None:
        self._table = table
        self._real = os.path.realpath(table.parent)
        self._inside: dict[str, bool] = {}
        self._missing: list[Row] = []
        self._num_missing = 0
        self._hashes, self._line_numbers = array("q"), array("q")

    def checked(self, row: Row) -> str:
        """The file's name relative to the folder, normalised.

        Raises:
            InputError: a path that leaves the folder, or a file of another kind.
        """
        name = os.path.normpath(row.file)
        if Path(name).is_absolute() or ".." in Path(row.file).parts:
            raise self._error(row, "leaves the table's folder; give paths below it")
        if self._leaves(name):
            raise self._error(row, "goes through a link out of the table's folder; copy it here")
        if kind_of(name) is None:
            raise self._error(row, f"is of no known kind; accepted: {ACCEPTED}; convert it")
        if not (self._table.parent / name).is_file():
            self._num_missing += 1
            self._missing += [row] if self._num_missing <= MISSING_SHOWN else []
        # A hash of eight bytes instead of the name: a table may have millions of lines.
        self._hashes.append(hash(name))
        self._line_numbers.append(row.line)
        return name

    def finish(self) -> None:
        """Refuse missing and repeated files, of which all lines had to be seen."""
        if self._missing:
            names = ", ".join(f"{row.file!r} (line {row.line})" for row in self._missing)
            more = ", ..." if self._num_missing > len(self._missing) else ""
            raise InputError(
                f"{self._table}: {self._num_missing} of {len(self._hashes)} files do not exist in "
                f"{self._table.parent}: {names}{more}; add them or remove the lines"
            )
        if not self._hashes:
            raise InputError(f"{self._table} has no rows below its first line; add file and label")
        order = np.argsort(hashes := np.array(self._hashes), kind="stable")
        repeated = np.flatnonzero(np.diff(hashes[order]) == 0)
        if len(repeated):
            first, second = (self._line_numbers[order[repeated[0] + i]] for i in (0, 1))
            row = next(row for row in rows(self._table) if row.line == second)
            raise self._error(row, f"stands in line {first} already; remove one of them")

    def _leaves(self, name: str) -> bool:
        """Whether links lead out of the folder; the folders on the way are looked at once."""
        parent = os.path.dirname(name)  # noqa: PTH120, half the time of Path
        if parent not in self._inside:
            self._inside[parent] = not leaves(self._table.parent / parent, self._real)
        path = self._table.parent / name
        return not self._inside[parent] or (path.is_symlink() and leaves(path, self._real))

    def _error(self, row: Row, problem: str) -> InputError:
        return InputError(f"{self._table}, line {row.line}: {row.file!r} {problem}")
