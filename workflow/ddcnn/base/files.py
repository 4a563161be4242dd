"""Write files so that a final name never holds a partial content."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ddcnn.base.disk import disk_errors, output_place
from ddcnn.base.errors import DamagedResult
from ddcnn.base.reading import reading


@contextmanager
def write_aside(path: str | Path, needed: int | None = None) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it takes the final name at once.

    On an error the temporary file is removed and an earlier ``path`` stays as it was. The error
    of a full disk names the bytes ``needed``, if they are known. Where ``path`` is a link, it stays
    one, and the file that it leads to is replaced.

    Raises:
        InputError: the disk is full or must not be written, or ``path`` is no file.
    """
    path = output_place(Path(path))
    with disk_errors(path, needed):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        # The suffix stays last, because np.save and others choose the format by it.
        aside = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
        try:
            yield aside
            _flush_to_disk(aside)
            os.replace(aside, path)
        finally:
            aside.unlink(missing_ok=True)


def _remove_leftovers(path: Path) -> None:
    """Remove temporary files of writers that were killed."""
    begin, end = f".{path.stem}.", f".partial{path.suffix}"
    for file in path.parent.iterdir():
        writer = file.name.removeprefix(begin).removesuffix(end)
        if file.name == f"{begin}{writer}{end}" and writer.isdecimal() and not _lives(int(writer)):
            file.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


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
    """Read a JSON file; a broken one is a :class:`DamagedResult`."""
    with reading(path):
        text = Path(path).read_bytes()
        try:
            return json.loads(text.decode())
        except (ValueError, RecursionError) as error:
            raise DamagedResult(path, f"not valid JSON: {error}") from error


def write_npz(path: str | Path, **arrays: np.ndarray) -> None:
    """Write arrays uncompressed: the same arrays always give the same bytes."""
    with write_aside(path) as aside:
        np.savez(aside, **arrays)


def read_npz(path: str | Path, *names: str) -> dict[str, np.ndarray]:
    """Read all arrays of an ``.npz``, or those of some names.

    Pickled objects are refused, a broken file is named.
    """
    with reading(path), np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in names or archive.files}


def write_npy(path: str | Path, array: np.ndarray) -> None:
    """Write one array; ``np.save`` would not say why a disk takes no more."""
    with write_aside(path) as aside, aside.open("wb") as file:
        header = np.lib.format.header_data_from_array_1_0(array)
        np.lib.format.write_array_header_1_0(file, header)
        file.write(np.ascontiguousarray(array).data)


def read_joined(
    paths: Sequence[str | Path], read: Callable[[str | Path], np.ndarray]
) -> np.ndarray:
    """The arrays of several files, one after the other along the first axis."""
    arrays = [read(path) for path in paths]
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def read_prepared(path: str | Path) -> np.ndarray:
    """An array that ``prepare`` wrote, compared with the checksum in ``card.json`` beside it."""
    path = Path(path)
    check_prepared(path)
    with reading(path):
        return np.load(path, allow_pickle=False)


def map_prepared(path: str | Path) -> np.ndarray:
    """A prepared array, neither read nor verified as a whole: for a look at a few images."""
    with reading(path):
        return np.load(path, mmap_mode="r", allow_pickle=False)


def check_prepared(path: Path) -> None:
    """Compare a file with its checksum in ``card.json`` beside it, if that has one.

    Raises:
        DamagedResult: they differ.
    """
    card = path.with_name("card.json")
    expected = read_json(card).get("checksums", {}).get(path.name) if card.is_file() else None
    if expected is not None:
        with reading(path), path.open("rb") as file:
            found = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
        if found != expected:
            raise DamagedResult(path, "its checksum is not the one in card.json")
