"""Results of others, of other versions and of other programs: what is wrong with which file."""

import logging
import math
from functools import cache
from pathlib import Path
from typing import Any

from ddcnn.base.errors import DamagedResult, Hindrance, InputError
from ddcnn.base.files import read_json

log = logging.getLogger(__name__)


def check_regular(path: Path) -> None:
    """Refuse what is no file: reading a pipe or a device would wait or go on for ever."""
    try:
        regular = path.is_file()
    except OSError as error:
        raise Hindrance(
            f"{path} cannot be reached ({error.strerror}); check it and its folder"
        ) from error
    if regular:
        return
    if not (path.exists() or path.is_symlink()):
        raise InputError(f"{path} does not exist; check its name and folder", "missing")
    if path.exists():
        raise InputError(f"{path} is no file; replace or remove it")
    raise InputError(f"{path} is a link to nothing; replace or remove it", "missing")


def is_folder(path: Path) -> bool:
    """Whether this is a folder; what may not be looked at, or whose name is too long, is none."""
    try:
        return path.is_dir()
    except OSError:
        return False


def read_facts(path: Path) -> dict[str, Any]:
    """A JSON file that holds keys.

    Raises:
        InputError: it is no such file.
    """
    check_regular(path)
    try:
        content = read_json(path)
    except RecursionError as error:
        raise DamagedResult(path, "its lists and keys are nested too deep") from error
    if not isinstance(content, dict):
        raise DamagedResult(path, f"it holds a {type(content).__name__} and no keys")
    return content


def entry(facts: dict[str, Any], path: Path, key: str, kind: type) -> Any:
    """What stands under a key, for example ``settings.epochs``, of the type that it must have.

    Raises:
        DamagedResult: it is missing or of another type; of a number, that it is below 0 or endless.
    """
    value: Any = facts
    for name in key.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is float and is_number and 0 <= value < math.inf:
        return value
    if kind is float or not isinstance(value, kind):
        raise DamagedResult(path, f"{key} is {str(value)[:40]!r}, no {kind.__name__}")
    return value


def leave_out(path: Path, why: str) -> None:
    """Say once of a file that a command goes on without it, and why."""
    _say_once(f"{path}: {why}; it is left out", path.absolute())


@cache
def _say_once(message: str, path: Path) -> None:
    log.warning("%s", message)
