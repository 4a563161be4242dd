"""Bring one file: from where it already lies, from a local mirror or over HTTP; else say how."""

import hashlib
import logging
import os
import re
import shutil
import socket
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import unquote, urlsplit

from ddcnn.base.disk import disk_errors
from ddcnn.base.errors import InputError
from ddcnn.base.files import write_aside
from ddcnn.data.download.check import SourceFile, Unfit, check
from ddcnn.data.download.disk import locked
from ddcnn.data.download.network import TransferFailed, shown
from ddcnn.data.download.part import Part
from ddcnn.data.download.transfer import Patience, Transfer

log = logging.getLogger(__name__)


@dataclass
class Fetch:
    """One file on its way.

    Attributes:
        target: its final path, ``raw/NAME``.
        cache: folder shared by projects, or None.
        stop: set from outside to give up.
        problems: what went wrong so far, one line each.
    """

    source: SourceFile
    target: Path
    cache: Path | None = None
    patience: Patience = field(default_factory=Patience)
    stop: Event = field(default_factory=Event)
    problems: list[str] = field(default_factory=list)

    def run(self) -> str:
        """Put the file to ``target``.

        Returns:
            Its SHA-256.

        Raises:
            InputError: why it could not be brought, and the steps that a person can take.
            Stopped: ``stop`` was set.
        """
        if sha256 := self._found():
            return sha256
        with locked(self.store, self.stop) as exclusive:
            # Another process may have brought it while this one waited.
            return self._found(set_aside=True) or self._bring(exclusive)

    @property
    def store(self) -> Path:
        """Where a download goes: into the shared folder, under its checksum, if there is one."""
        if self.cache is None or not any(map(_remote, self.source.urls)):
            return self.target
        only_read = self.cache.exists() and not os.access(self.cache, os.W_OK)
        return self.target if only_read else self._cached

    @property
    def _cached(self) -> Path:
        urls = hashlib.sha256(" ".join(self.source.urls).encode()).hexdigest()
        key = (self.source.checksum or f"urls:{urls}").replace(":", "-")
        return self.cache / key / self.source.name

    def _found(self, set_aside: bool = False) -> str | None:
        """Take the file where it already lies: from an earlier run, or placed by a person."""
        own = [self.target, *([self._cached] if self.cache else [])]
        # In the shared folder itself a file of this name may be that of another data set.
        for place in [*own, *([self.cache / self.source.name] if self.cache else [])]:
            if not (os.access(place.parent, os.X_OK) and place.is_file()):
                continue
            try:
                sha256 = check(place, self.source)
            except Unfit as error:
                if set_aside:
                    self._refuse(place, error, rename=place in own)
                continue
            self._link(place)
            return sha256
        return None

    def _refuse(self, place: Path, error: Exception, rename: bool) -> None:
        aside = place.with_name(f"{place.name}.wrong")
        try:
            if rename:
                os.replace(place, aside)
        except OSError:  # a shared folder that is only read from
            rename = False
        self._note(f"{place}: {error}" + (f"; it is now called {aside.name}" if rename else ""))

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

    def _bring(self, exclusive: bool) -> str:
        for url in self.source.urls:
            try:
                log.info("%s: getting it from %s", self.source.name, shown(url))
                return self._download(url, exclusive) if _remote(url) else self._copy(url)
            except (TransferFailed, Unfit) as error:
                self._note(f"{shown(url)}: {error}")
        raise InputError(self._advice(self._part(exclusive).arrived))

    def _copy(self, url: str) -> str:
        path = local_path(url)
        path = path / self.source.name if path.is_dir() else path
        if not path.is_file():
            raise TransferFailed("there is no such file")
        with write_aside(self.target, path.stat().st_size) as aside:
            shutil.copyfile(path, aside)
            return check(aside, self.source)

    def _part(self, exclusive: bool) -> Part:
        # Without locks every process has its own, which no other run continues.
        owner = "" if exclusive else f".{socket.gethostname()}-{os.getpid()}"
        return Part(self.store.with_name(f"{self.source.name}{owner}.part"))

    def _download(self, url: str, exclusive: bool) -> str:
        part = self._part(exclusive)
        transfer = Transfer(url, self.source.name, part, self.source.size, self.patience, self.stop)
        sha256 = self._verified(transfer, again=True) or self._verified(transfer)
        with disk_errors(self.store):
            os.replace(part.path, self.store)
        part.forget()
        self._link(self.store)
        return sha256

    def _verified(self, transfer: Transfer, again: bool = False) -> str | None:
        transfer.run()
        try:
            return check(transfer.part.path, self.source)
        except Unfit as error:
            transfer.part.forget()
            if not (again and transfer.continued):
                raise
            # Parts of different versions, whatever the server said.
            log.warning("%s, continued: %s; starting anew", self.source.name, error)
            return None

    def _advice(self, arrived: int) -> str:
        """Why it failed, and the numbered steps that help."""
        remote = [shown(url) for url in self.source.urls if _remote(url)]
        by_hand = [re.sub(r"^\s*\d+[.)]\s*", "", s) for s in self.source.instructions.splitlines()]
        where = f"the file from {remote[0]} in a browser" if remote else self.source.name
        expected = f" ({self.source.expected})" if self.source.expected else ""
        steps = [
            *([step for step in by_hand if step] or [f"Get {where}{expected}"]),
            f"Place it as {self.target.absolute()}",
            "Run the same command again",
        ]
        problems = self.problems or ["there is no address that a program could use"]
        kept = [f"{arrived:,} bytes have arrived and are kept"] if arrived else []
        return "\n".join(
            [
                f"{self.source.name} could not be fetched:",
                *(f"  {line}" for line in problems + kept),
                "What to do:",
                *(f"  {number}. {step}" for number, step in enumerate(steps, 1)),
            ]
        )


def manifest_entry(
    source: SourceFile, folder: Path, cache: Path | None, patience: Patience | None, stop: Event
) -> dict[str, Any]:
    """Bring one file; see :func:`ddcnn.data.download.fetch_all`."""
    if source.in_place:
        return _own_entry(source)
    fetch = Fetch(source, folder / source.name, cache, patience or Patience(), stop)
    sha256 = fetch.run()
    return {"path": source.name, "bytes": fetch.target.stat().st_size, "sha256": sha256}


def _own_entry(source: SourceFile) -> dict[str, Any]:
    path = local_path(source.urls[0]).absolute()
    if path.is_dir():
        return {"path": str(path), "files": sum(len(files) for _, _, files in os.walk(path))}
    if not path.is_file():
        raise InputError(f"{path} does not exist; check the path of the data set")
    try:
        sha256 = check(path, source)
    except Unfit as error:
        raise InputError(f"{path}: {error}") from error
    return {"path": str(path), "bytes": path.stat().st_size, "sha256": sha256}


def local_path(url: str) -> Path:
    """The path of a ``file://`` address, or of a path as it is.

    Raises:
        TransferFailed: another kind of address.
    """
    parts = urlsplit(url)
    if "://" not in url:
        return Path(url).expanduser()
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Path(unquote(parts.path))
    raise TransferFailed("unknown kind of address; accepted: http, https, file:///, a path")


def _remote(url: str) -> bool:
    return urlsplit(url).scheme in ("http", "https")
