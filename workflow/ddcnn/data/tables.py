"""A CSV beside its images: ``file,label[,split]``, or for regression ``file,target[,split]``.

Several targets have columns ``target_NAME`` each. Further columns may name groups.
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
from ddcnn.base.escaping import csv_text
from ddcnn.base.foreign import check_regular
from ddcnn.base.names import check_name
from ddcnn.data.columns import Layout, layout
from ddcnn.data.groups import Grouping, group_finder, wanted
from ddcnn.data.labelled import ACCEPTED, LabelledFiles, kind_of, leaves
from ddcnn.data.labels import SPLIT_WORDS, check_label, split_of
from ddcnn.data.likely import FurtherColumns
from ddcnn.data.options import ReadOptions
from ddcnn.data.samples import Collection

SEPARATORS = ",;\t"
MOST_LINE = 2**16  # characters; a longer one is no line of a table
NOT_UTF_8 = re.compile("[\udc80-\udcff]")


class Row(NamedTuple):
    """One line of a table; ``split`` is ``all`` where the table has no such column."""

    line: int
    file: str
    label: str | tuple[float, ...]  # the class, or the targets
    split: str
    group: str  # empty where no column names groups
    fields: Sequence[str]  # of all columns, as they are


def read_table(raw: list[Path], options: ReadOptions) -> Collection:
    """Images or volumes that a CSV names.

    Args:
        raw: the CSV: UTF-8, separated by comma, semicolon or tab; files relative to its folder.
        options: shape, channels, window and limits.

    Raises:
        InputError: with the line: not UTF-8, wrong columns, a duplicate, a missing label, an
            unknown split, a path that leaves the folder; and as for folders. What the table says
            must be right, while files that are missing count as those that cannot be read.
    """
    (table,) = raw
    columns = layout(table, table_lines(table)[0], options)
    _check_task(table, columns.targets, options)
    found = LabelledFiles(
        table.parent,
        table,
        targets=[_target_name(name) for name in columns.targets],
        groups=Grouping(options.group) if wanted(options.group) else None,
        columns=None if options.group else FurtherColumns(columns.further),
    )
    by_rule = found.groups is not None and columns.group is None
    find = group_finder(options.group, table) if by_rule else None
    places = _Files(table, options)
    for row in rows(table, options):
        name = places.checked(row)
        found.add(row.split, name, row.label, find(name) if find else row.group)
        if found.columns:
            found.columns.add(row.split, row.fields)
    places.finish()
    return found.collection(options)


def first_files(table: Path, options: ReadOptions) -> Iterator[Path]:
    """The files in the order of the table that may be read, without reading all of it.

    Raises:
        InputError: none is there.
    """
    places, first, found = _Files(table, options), "", False
    for row in rows(table, options):
        name = places.checked(row)
        first = first or name
        if kind_of(name) and (table.parent / name).is_file():
            found = True
            yield table.parent / name
    places.finish()
    if not found:
        raise InputError(
            f"{table}: none of its files, such as {first!r}, is in {table.parent} and of a kind "
            f"that is read ({ACCEPTED})"
        )


def used_fields(table: Path, options: ReadOptions) -> Iterator[list[str]]:
    """Of every line what is used of it, the file first; unchecked, to be fast."""
    names, lines = table_lines(table)
    columns = layout(table, names, options)
    places = [columns.places["file"], *columns.places.values()]
    places += [] if columns.group is None else [columns.group]
    for _, fields in lines:
        yield [fields[place].strip() for place in places if place < len(fields)]


def target_columns(table: Path, options: ReadOptions) -> list[str]:
    """The columns with targets, in their order; none: the table has classes."""
    return layout(table, table_lines(table)[0], options).targets


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


def rows(table: Path, options: ReadOptions) -> Iterator[Row]:
    """The lines of a table, each checked by itself."""
    names, lines = table_lines(table)
    columns = layout(table, names, options)
    for number, fields in lines:
        yield _row(table, number, columns, fields, options)


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
    columns = next(csv.reader([header], delimiter=separator), [])
    names = [check_name(csv_text(name.strip()), f"{table}, line 1: column") for name in columns]
    return names, _fields(table, csv.reader(lines, delimiter=separator, strict=True))


def _fields(table: Path, reader: Any) -> Iterator[tuple[int, list[str]]]:
    try:
        for fields in reader:
            if any(field.strip() for field in fields):
                yield reader.line_num + 1, list(map(csv_text, fields))
    except csv.Error as error:
        raise InputError(f"{table}, line {reader.line_num + 1}: no valid CSV ({error})") from error


def _lines(table: Path) -> Iterator[str]:
    """Lines that end as on any system, those of an old Mac (a carriage return) included."""
    check_regular(table)
    # What is not UTF-8 comes as surrogates, which no text in UTF-8 has.
    with table.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        number = 0
        while line := file.readline(MOST_LINE):
            number += 1
            if len(line) == MOST_LINE:
                raise InputError(
                    f"{table}, line {number} is longer than {MOST_LINE:,} characters; accepted: a "
                    "CSV with the columns file,label[,split]"
                )
            wrong = None if line.isascii() else NOT_UTF_8.search(line)
            if wrong:
                raise InputError(
                    f"{table}, line {number} is not UTF-8 (byte {ord(wrong[0]) - 0xDC00:#04x}); "
                    'save the table as "CSV UTF-8"'
                )
            yield line


def _row(table: Path, line: int, columns: Layout, fields: list[str], options: ReadOptions) -> Row:
    if len(fields) != columns.width:
        raise InputError(
            f"{table}, line {line} has {len(fields)} fields, the first line {columns.width}; "
            "put a field that holds the separator in quotes"
        )
    values = {name: fields[place].strip() for name, place in columns.places.items()}
    if columns.group is not None:
        values["group"] = fields[columns.group].strip()
    for name, value in values.items():
        if not value:
            raise InputError(f"{table}, line {line}: the {name} is missing; fill it in")
        check_name(value, f"{table}, line {line}: {name}")
    word = values.get("split")
    if word is not None and split_of(word) is None:
        raise InputError(
            f"{table}, line {line}: unknown split {word!r}; accepted: {', '.join(SPLIT_WORDS)}"
        )
    label = values.get("label")
    if label and label not in options.classes:
        check_label(label, f"{table}, line {line}")
    return Row(
        line,
        values["file"],
        label or tuple(_number(table, line, name, values[name]) for name in columns.targets),
        split_of(word) if word else "all",
        values.get("group", ""),
        fields,
    )


def _number(table: Path, line: int, column: str, text: str) -> float:
    try:
        value = math.nan if "_" in text else float(text)  # Python reads 1_5 as 15
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(
            f"{table}, line {line}: {column} is {text[:80]!r}; accepted: finite numbers, with a "
            "decimal point"
        )
    return value


class _Files:
    """Checks that every file of a table is inside the table's folder, and named once."""

    def __init__(self, table: Path, options: ReadOptions) -> None:
        self._table, self._options = table, options
        self._real = os.path.realpath(table.parent)
        self._inside: dict[str, bool] = {}
        self._hashes, self._line_numbers = array("q"), array("q")

    def checked(self, row: Row) -> str:
        """The file's name relative to the folder, normalised.

        Raises:
            InputError: a path that leaves the folder.
        """
        name = os.path.normpath(row.file)
        if Path(name).is_absolute() or ".." in Path(row.file).parts:
            raise self._error(row, "leaves the table's folder; give paths below it")
        if self._leaves(name):
            raise self._error(row, "goes through a link out of the table's folder; copy it here")
        # A hash of eight bytes instead of the name: a table may have millions of lines.
        self._hashes.append(hash(name))
        self._line_numbers.append(row.line)
        return name

    def finish(self) -> None:
        """Refuse repeated files, for which all lines had to be seen."""
        if not self._hashes:
            raise InputError(f"{self._table} has no rows below its first line; add file and label")
        order = np.argsort(hashes := np.array(self._hashes), kind="stable")
        repeated = np.flatnonzero(np.diff(hashes[order]) == 0)
        if len(repeated):
            first, second = (self._line_numbers[order[repeated[0] + i]] for i in (0, 1))
            row = next(row for row in rows(self._table, self._options) if row.line == second)
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
