"""Write files so that a final name never holds a partial content."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ddcnn.errors import InputError


@contextmanager
def write_aside(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it takes the final name at once.

    On an error the temporary file is removed and an earlier ``path`` stays as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last, because np.save and others choose the format by it.
    aside = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        yield aside
        _flush_to_disk(aside)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def _flush_to_disk(path: Path) -> None:
    """Without it a power cut can leave the new name with an empty content."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_json(path: str | Path, content: Any) -> None:
    """Write ``content`` as indented JSON, short lists of numbers on one line."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    with write_aside(path) as aside:
        aside.write_text(_join_number_lists(text) + "\n", encoding="utf-8")


def _join_number_lists(text: str) -> str:
    # Only lists are broken into lines: inside of a text a line break is written as \n.
    return re.sub(
        r"\[\n\s*((?:-?[\d.eE+-]+,\n\s*)*-?[\d.eE+-]+)\n\s*\]",
        lambda match: "[" + re.sub(r",\s+", ", ", match.group(1)) + "]",
        text,
    )


def read_json(path: str | Path) -> Any:
    """Read a JSON file; a broken one is an :class:`InputError` that names it."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid JSON ({error}); delete it and run again") from error


def write_npz(path: str | Path, **arrays: np.ndarray) -> None:
    """Write arrays uncompressed: the same arrays always give the same bytes."""
    with write_aside(path) as aside:
        np.savez(aside, **arrays)


def read_npz(path: str | Path) -> dict[str, np.ndarray]:
    """Read all arrays of an ``.npz``; pickled objects are refused, a broken file is named."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise
    # zipfile, zlib and NumPy raise a dozen kinds of exceptions for damaged files.
    except Exception as error:
        raise InputError(
            f"{path} is not a readable .npz ({error}); delete it and run again"
        ) from error
