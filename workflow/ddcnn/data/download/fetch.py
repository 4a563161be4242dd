"""Bring one file: from where it already lies, from a local mirror or over HTTP; else say how."""

import errno
import hashlib
import logging
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import unquote, urlsplit

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from ddcnn.base.disk import disk_errors
from ddcnn.base.errors import InputError
from ddcnn.base.files import write_aside
from ddcnn.data.download.network import shown
from ddcnn.data.download.source import SourceFile, Unfit, Unreadable
from ddcnn.data.download.transfer import Transfer

log = logging.getLogger(__name__)

NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP}  # answers of network disks that know none


def manifest_entry(
    source: SourceFile, folder: Path, cache: Path | None, stop: Event
) -> dict[str, Any]:
    """Bring one file; see :func:`ddcnn.data.download.fetch_all`."""
    if not source.in_place:
        path = folder / source.name
        sha256 = Fetch(source, path, cache, stop).run()
        return {"path": source.name, "bytes": path.stat().st_size, "sha256": sha256}
    path = _local_path(source.urls[0]).absolute()
    if path.is_dir():
        return {"path": str(path), "files": sum(len(files) for _, _, files in os.walk(path))}
    try:
        sha256 = source.sha256_of(path)
    except Unfit as error:
        raise InputError(f"{path}: {error}; check the path of the data set") from error
    return {"path": str(path), "bytes": path.stat().st_size, "sha256": sha256}


@dataclass
class Fetch:
    """One file on its way to ``target`` (``raw/NAME``).

    Attributes:
        cache: folder shared by projects, or None.
        stop: set from outside to give up.
        problems: what went wrong so far, one line each.
    """

    source: SourceFile
    target: Path
    cache: Path | None
    stop: Event
    problems: list[str] = field(default_factory=list)

    def run(self) -> str:
        """Put the file to ``target`` and return its SHA-256.

        Raises:
            InputError: why it could not be brought, and the steps that a person can take.
        """
        store = self._store()
        with _locked(store, self.stop):
            return self._found() or self._bring(store)

    def _store(self) -> Path:
        """Where a download goes: into the shared folder, if there is one."""
        if self.cache is None or not any(map(_is_remote, self.source.urls)):
            return self.target
        only_read = self.cache.exists() and not os.access(self.cache, os.W_OK)
        return self.target if only_read else self._shared(self.cache)

    def _shared(self, cache: Path) -> Path:
        urls = hashlib.sha256(" ".join(self.source.urls).encode()).hexdigest()
        key = (self.source.checksum or f"urls:{urls}").replace(":", "-")
        return cache / key / self.source.name

    def _found(self) -> str | None:
        """Take the file where it already lies: from an earlier run, or placed by a person."""
        shared = [self._shared(self.cache), self.cache / self.source.name] if self.cache else []
        for place in [self.target, *shared]:
            if not (os.access(place.parent, os.X_OK) and place.is_file()):
                continue
            try:
                sha256 = self.source.sha256_of(place)
                self._link(place)
                return sha256
            except Unfit as error:
                renamed, in_the_way = "", place == self.target
                if in_the_way and isinstance(error, Unreadable):
                    raise InputError(f"{place}: {error}; check its owner and rights") from error
                if in_the_way:
                    aside = place.replace(place.with_name(f"{place.name}.wrong"))
                    renamed = f"; it is now called {aside.name}"
                self._note(f"{place}: {error}{renamed}")
        return None

    def _note(self, problem: str) -> None:
        log.warning("%s", problem)
        self.problems.append(problem)

    def _link(self, place: Path) -> None:
        """Give a complete file its final path; shared files are stored once where possible."""
        if place == self.target:
            return
        with write_aside(self.target, place.stat().st_size) as aside:
            try:
                os.link(place.resolve(), aside)
            except OSError:  # another disk, or one without links
                shutil.copyfile(place, aside)

    def _bring(self, store: Path) -> str:
        transfer = Transfer(self.source, store.with_name(f"{store.name}.part"), self.stop)
        for url in self.source.urls:
            log.info("%s: getting it from %s", self.source.name, shown(url))
            try:
                return self._download(url, transfer, store) if _is_remote(url) else self._copy(url)
            except Unfit as error:
                self._note(f"{shown(url)}: {error}")
        raise InputError(self._advice(transfer.arrived))

    def _copy(self, url: str) -> str:
        path = _local_path(url)
        path = path / self.source.name if path.is_dir() else path
        self.source.sha256_of(path)
        with write_aside(self.target, path.stat().st_size) as aside:
            shutil.copyfile(path, aside)
            return self.source.sha256_of(aside)

    def _download(self, url: str, transfer: Transfer, store: Path) -> str:
        transfer.run(url)
        try:
            sha256 = self.source.sha256_of(transfer.part)
        except Unfit as error:
            transfer.forget()
            if not transfer.continued:
                raise
            # Parts of different versions, whatever the server said.
            log.warning("%s, continued: %s; starting anew", self.source.name, error)
            return self._download(url, transfer, store)
        with disk_errors(store):
            os.replace(transfer.part, store)
        transfer.forget()
        self._link(store)
        return sha256

    def _advice(self, arrived: int) -> str:
        """Why it failed, and the numbered steps that help."""
        remote = [shown(url) for url in self.source.urls if _is_remote(url)]
        where = f"the file from {remote[0]} in a browser" if remote else self.source.name
        size = "" if self.source.size is None else f"{self.source.size:,} bytes"
        expected = ", ".join(filter(None, [size, self.source.checksum]))
        by_hand = [re.sub(r"^\s*\d+[.)]\s*", "", s) for s in self.source.instructions.splitlines()]
        by_hand = by_hand or [f"Get {where} ({expected})" if expected else f"Get {where}"]
        steps = [*by_hand, f"Place it as {self.target.absolute()}", "Run the same command again"]
        problems = self.problems or ["there is no address that a program could use"]
        problems += [f"{arrived:,} bytes have arrived and are kept"] if arrived else []
        lines = [f"{self.source.name} could not be fetched:", *(f"  {line}" for line in problems)]
        lines += ["What to do:", *(f"  {number}. {step}" for number, step in enumerate(steps, 1))]
        return "\n".join(lines)


@contextmanager
def _locked(path: Path, stop: Event) -> Iterator[None]:
    """Let one thread of one process at a time work on ``path``; :class:`Timeout` on ``stop``."""
    name = path.with_name(f".{path.name}.lock")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock = _acquired(FileLock(name), stop)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            lock = _acquired(SoftFileLock(f"{name}.soft"), stop)
    try:
        yield
    finally:
        name.unlink(missing_ok=True)  # those that wait see that it is gone
        lock.release()


def _acquired(lock: BaseFileLock, stop: Event) -> BaseFileLock:
    try:
        lock.acquire(blocking=False)
    except Timeout:
        log.info("waiting for another process that has %s", lock.lock_file)
        lock.acquire(poll_interval=0.1, cancel_check=stop.is_set)
    return lock


def _is_remote(url: str) -> bool:
    return urlsplit(url).scheme in ("http", "https")


def _local_path(url: str) -> Path:
    """The path of a ``file://`` address, or of a path as it is."""
    parts = urlsplit(url)
    if "://" not in url:
        return Path(url).expanduser()
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Path(unquote(parts.path))
    raise Unfit("unknown kind of address; accepted: http, https, file:///, a path")
