"""Whether people's own data are still what was prepared.

Of every file that is read its size and time of change count; of tables and small arrays the
content, since labels are corrected in place (of a table the columns that are used). What has a new
time but the content that was prepared does not count as changed; that is looked up where the data
are small enough to be read again.
"""

import json
import os
from collections.abc import Iterable, Iterator
from hashlib import blake2b, file_digest
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from ddcnn.base.errors import InputError
from ddcnn.base.files import write_aside
from ddcnn.data import own, tables
from ddcnn.data.folders import is_ignored
from ddcnn.data.options import ReadOptions

MOST_READ_BYTES = 64 * 2**20  # of arrays whose content counts whatever its time
MOST_BYTES = 2**30  # of all files, if their contents are to be remembered
MOST_FILES = 200_000


class FileState(NamedTuple):
    """What is known of a file without preparing it; ``content`` where it was read."""

    name: str
    size: int
    time: int
    content: str = ""


def state_of(path: Path, options: ReadOptions, record: Path | None = None) -> str:
    """Another text when the data at ``path`` have changed.

    Args:
        path: a folder, a table or arrays.
        options: how they are read.
        record: what :func:`remember` wrote when they were prepared.
    """
    known = _read(record)
    if known is None or known["files"] is None:
        return _digest(files_of(path, options))
    now = list(files_of(path, options))
    found = _digest(now)
    return known["state"] if found == known["state"] or _same(path, now, known["files"]) else found


def _read(record: Path | None) -> dict[str, Any] | None:
    """What was remembered; a damaged record is as good as none."""
    try:
        known = json.loads(record.read_text(encoding="utf-8")) if record else None
    except (OSError, ValueError):
        return None
    return known if isinstance(known, dict) and {"state", "files"} <= set(known) else None


def remember(path: Path, options: ReadOptions, record: Path) -> None:
    """Write what :func:`state_of` is now, and if they are small, the contents of all files."""
    files = list(islice(files_of(path, options), MOST_FILES + 1))
    small = len(files) <= MOST_FILES and sum(file.size for file in files) <= MOST_BYTES
    content = {
        "state": _digest(files if len(files) <= MOST_FILES else files_of(path, options)),
        "files": [_with_content(path, file) for file in files] if small else None,
    }
    with write_aside(record) as aside:
        aside.write_text(json.dumps(content), encoding="utf-8")


def files_of(path: Path, options: ReadOptions) -> Iterator[FileState]:
    """All files that are read, in an order that depends on nothing else; names from ``path``."""
    kind = own.recognise(path)
    if kind == "folder":
        yield from _below(path, "")
        return
    if kind == "table":
        yield from _named_by(path, options)
        return
    arrays = sorted((path if path.is_dir() else path.parent).glob("*.npy"))
    for file in [path] if path.suffix.lower() == ".npz" else arrays:
        known = FileState(os.path.relpath(file, path), *_size_and_time(file))
        if known.size <= MOST_READ_BYTES:
            known = known._replace(time=0, content=_content(path, known))
        yield known


def _below(folder: Path, place: str) -> Iterator[FileState]:
    with os.scandir(folder / place) as entries:
        inside = sorted((e for e in entries if not is_ignored(e.name)), key=lambda e: e.name)
    for entry in inside:
        name = f"{place}{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            yield from _below(folder, f"{name}/")
        elif entry.is_file():  # not a link to nothing, of which the reader speaks
            facts = entry.stat()
            yield FileState(name, facts.st_size, facts.st_mtime_ns)


def _named_by(table: Path, options: ReadOptions) -> Iterator[FileState]:
    """The files of a table, and what it says of them: columns that are not used do not count."""
    digest = blake2b(digest_size=16)
    try:
        for fields in tables.used_fields(table, options):
            name = fields[0] if fields else ""
            yield FileState(f"../{name}", *_size_and_time(f"{table.parent}/{name}"))
            digest.update(repr(fields).encode("utf-8", "surrogateescape"))
    except InputError as error:  # the reader says so, too
        digest.update(f"{error} {_content(table, FileState('.', 0, 0))}".encode())
    yield FileState(".", 0, 0, digest.hexdigest())


def _size_and_time(file: str | Path) -> tuple[int, int]:
    try:
        facts = os.stat(file)  # noqa: PTH116, a third of the time of Path
    except OSError:
        return 0, 0
    return facts.st_size, facts.st_mtime_ns


def _digest(files: Iterable[FileState]) -> str:
    digest = blake2b(digest_size=8)
    for name, size, time, content in files:
        digest.update(os.fsencode(f"{name}\0{size}\0{time}\0{content}\n"))
    return digest.hexdigest()


def _content(path: Path, file: FileState) -> str:
    """Digest of a file's content; empty where there is none to be read."""
    try:
        with open(os.path.normpath(path / file.name), "rb") as content:  # noqa: PTH123
            return file_digest(content, lambda: blake2b(digest_size=16)).hexdigest()
    except OSError:
        return ""


def _with_content(path: Path, file: FileState) -> FileState:
    return file if file.content else file._replace(content=_content(path, file))


def _same(path: Path, now: list[FileState], remembered: list[list[Any]]) -> bool:
    """Whether all files have the contents that were remembered."""
    before = [FileState(*facts) for facts in remembered]
    if [file[:2] for file in now] != [file[:2] for file in before]:
        return False
    return all(_is_same(path, *pair) for pair in zip(now, before, strict=True))


def _is_same(path: Path, now: FileState, before: FileState) -> bool:
    if not now.content and now.time == before.time:
        return True
    return (now.content or _content(path, now)) == before.content
