"""Which column of a table holds what: the first line, and the configuration's ``columns``."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ddcnn.base.errors import InputError
from ddcnn.base.names import check_name
from ddcnn.data.groups import is_rule, wanted
from ddcnn.data.options import ReadOptions

COLUMNS = ("file", "label", "split")
TARGET = re.compile(r"target(_.+)?")
COLUMNS_TEXT = (
    "file, label and optionally split (for regression target, or several target_NAME, in place of "
    "label), separated by comma, semicolon or tab; other names by columns: {label: NAME} in dataset"
)


@dataclass(frozen=True)
class Layout:
    """The places of a table's columns.

    Attributes:
        width: number of columns.
        places: of ``file``, ``label`` or targets, and ``split``, by these names.
        group: place of the column that names groups; None: none does.
        further: places of all other columns that have a name, by it.
    """

    width: int
    places: dict[str, int]
    group: int | None
    further: dict[str, int]

    @property
    def targets(self) -> list[str]:
        """The columns with targets, in their order; none: the table has classes."""
        found = [name for name in self.places if TARGET.fullmatch(name)]
        return sorted(found, key=self.places.__getitem__)


def layout(table: Path, names: Sequence[str], options: ReadOptions) -> Layout:
    """What the columns ``names`` of a table are.

    Raises:
        InputError: one is missing, twice there, or not what the configuration says of it.
    """
    places = _places(table, names, options)
    group = None
    if wanted(options.group) and not (is_rule(options.group) and options.group not in names):
        group = _place(table, names, options.group, "group")
    used = {*places.values(), group}
    further = {name: i for i, name in enumerate(names) if name and i not in used}
    return Layout(len(names), places, group, further)


def _places(table: Path, names: Sequence[str], options: ReadOptions) -> dict[str, int]:
    for role in options.columns:
        if role not in COLUMNS and not TARGET.fullmatch(role):
            raise InputError(
                f"dataset.columns: {role!r} is not one of {', '.join(COLUMNS)}, target, target_NAME"
            )
        check_name(role, "dataset.columns:")
    given = {
        role: _place(table, names, column, f"columns.{role}")
        for role, column in options.columns.items()
    }
    plain = [n for n in names if n in COLUMNS or TARGET.fullmatch(n)]
    if any(role == "label" or TARGET.fullmatch(role) for role in given):
        plain = [name for name in plain if name in ("file", "split")]  # what to learn is said
    plain = [n for n in plain if n not in given and names.index(n) not in given.values()]
    _check(table, names, plain, {*plain, *given})
    return {name: names.index(name) for name in plain} | given


def _check(table: Path, names: Sequence[str], plain: Sequence[str], roles: set[str]) -> None:
    targets = [role for role in roles if TARGET.fullmatch(role)]
    if targets and "label" in roles:
        target = next(name for name in (*names, *targets) if name in targets)
        raise InputError(
            f"{table}, line 1: both label and {target}; keep label for classes, or {target} for "
            "numbers to be predicted"
        )
    if len(set(plain)) < len(plain):
        raise InputError(f"{table}, line 1: a column twice; accepted: {COLUMNS_TEXT}")
    needed = ("file",) if targets else ("file", "label")
    missing = [name for name in needed if name not in roles]
    if missing:
        raise InputError(
            f"{table}, line 1: no column {missing[0]!r} among {listed(names)}; accepted: "
            f"{COLUMNS_TEXT}"
        )


def _place(table: Path, names: Sequence[str], column: str, key: str) -> int:
    if names.count(column) != 1:
        problem = "is there twice" if column in names else "is not there"
        raise InputError(
            f"dataset.{key}: the column {column!r} of {table} {problem}; its columns: "
            f"{listed(names)}"
        )
    return names.index(column)


def listed(names: Sequence[str]) -> str:
    """Names in a message: not longer than one reads."""
    shown = [repr(name[:80]) for name in names[:12]]
    return ", ".join(shown) + (", ..." if len(names) > 12 else "")
