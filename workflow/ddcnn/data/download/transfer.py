"""Bring a file over HTTP; a later try or run continues where this one broke off.

No library at hand does: pooch begins anew each time, and pypdl does not make sure (If-Range) that
it continues the same version of a file.
"""

import hashlib
import io
import logging
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from queue import Empty, Queue
from shutil import disk_usage
from threading import Event, Thread
from typing import Any

import requests
from tqdm import tqdm

from ddcnn import __version__
from ddcnn.base.disk import disk_errors, require_space
from ddcnn.base.errors import InputError
from ddcnn.base.files import read_json, write_json
from ddcnn.data.download.network import Passing, ask, network_errors, shown
from ddcnn.data.download.source import HEAD_BYTES, SourceFile, Unfit, refuse_page

log = logging.getLogger(__name__)

TRIES = 5  # of one address, without worthwhile progress between them
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # seconds before the second try, doubled for each further one
TIMEOUTS = (20.0, 60.0)  # seconds to connect, and without any answer
ANSWER_SECONDS = 120.0  # until the content begins, redirects included
STOP_SECONDS = 0.1  # between two looks at whether the work was given up
PIECE_BYTES = 2**16  # that are read at once, at most
SLOW_SECONDS, SLOW_BYTES = 60.0, 2**14  # a server that sends less in this time is left
WORTHWHILE_BYTES = 2**20  # a try that adds as many bytes is no failed one
MOST_BYTES = 16 * 2**30  # of a file whose size nobody says
LINE_SECONDS = 10.0  # between two lines of the log
PASSING = {408, 425, 429, 500, 502, 503, 504}  # answers that another try may change
PACKED = (".gz", ".tgz", ".xz", ".bz2")
SPACE = "free some space or set DDCNN_DATA to a folder on a larger disk, then run the same "
SPACE += "command again; what has arrived is kept"
# identity: a file is wanted byte by byte as it was published.
HEADERS = {"Accept-Encoding": "identity", "User-Agent": f"ddcnn/{__version__}"}


class Stopped(Exception):
    """The work was given up from outside, for example by Ctrl-C."""


@dataclass
class Transfer:
    """Brings ``source`` from an address to ``part`` (``NAME.part``).

    ``NAME.part.json`` says what its bytes belong to: ``url``, as a digest because it may hold a
    key, ``validator`` (strong ETag or date) and ``total`` bytes.

    Attributes:
        stop: set from outside to give up.
        continued: whether the last try went on from bytes of an earlier one.
    """

    source: SourceFile
    part: Path
    stop: Event
    continued: bool = False

    def run(self, url: str) -> None:
        """Complete ``part``, or raise :class:`Unfit`; what has arrived is kept then."""
        failures, furthest = 0, self.arrived
        while True:
            try:
                return self._try(url)
            except Passing as error:
                failures = 1 if self.arrived - furthest >= WORTHWHILE_BYTES else failures + 1
                furthest = max(furthest, self.arrived)
                if failures == TRIES:
                    raise Unfit(f"{error} ({failures} tries)") from error
                wait = min(max(FIRST_WAIT * 2 ** (failures - 1), error.wait), LONGEST_WAIT)
                again = f"trying again in {wait:.1f} s (try {failures + 1} of {TRIES})"
                log.warning("%s from %s: %s; %s", self.source.name, shown(url), error, again)
                self.stop.wait(wait)

    @property
    def arrived(self) -> int:
        """Bytes that are there."""
        return self.part.stat().st_size if self.part.exists() else 0

    @property
    def _note(self) -> Path:
        return self.part.with_name(f"{self.part.name}.json")

    def forget(self) -> None:
        """Remove what has arrived."""
        self.part.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def _try(self, url: str) -> None:
        self._check_stop()
        known = self._known(url)
        start = self.arrived if known else 0
        self.continued = start > 0
        if known and start == known["total"]:
            return  # an earlier run ended just before the file got its name
        condition = {"Range": f"bytes={start}-", "If-Range": known["validator"]} if start else {}
        with self._answer(url, HEADERS | condition) as response:
            self._check(response, rf"bytes {start}-\d+/({known.get('total')}|\*)")
            self.continued = response.status_code == 206
            if not self.continued:
                start, known = 0, self._described(url, response)
            try:
                self._receive(response, start, known)
            except Passing as error:
                of = f" of {known['total']:,}" if known["total"] else ""
                raise Passing(f"{error} after {self.arrived:,}{of} bytes") from error

    def _answer(self, url: str, headers: dict[str, str]) -> requests.Response:
        """What a server says before its content, in bounded time."""
        found: Queue[requests.Response | Exception] = Queue()
        # The library waits for ever where one byte after the other comes in time; a thread can be
        # left.
        Thread(target=ask, args=(url, headers, TIMEOUTS, found), daemon=True).start()
        end = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < end:
            self._check_stop()
            with suppress(Empty):
                answer = found.get(timeout=STOP_SECONDS)
                if isinstance(answer, Exception):
                    raise answer
                return answer
        raise Passing(f"the server did not say in {ANSWER_SECONDS:.0f} s what it sends")

    def _known(self, url: str) -> dict[str, Any]:
        """The note on what has arrived; empty where that cannot be continued."""
        try:
            note = read_json(self._note)
        except (FileNotFoundError, InputError):
            return {}
        return note if note["url"] == _digest(url) and self.part.exists() else {}

    def _described(self, url: str, response: requests.Response) -> dict[str, Any]:
        """The note on what a server begins to send."""
        length, etag = (response.headers.get(key, "") for key in ("Content-Length", "ETag"))
        total = int(length) if re.fullmatch("[0-9]{1,18}", length) else self.source.size
        # A weak ETag (W/) does not promise the same bytes.
        validator = etag if etag.startswith('"') else response.headers.get("Last-Modified")
        return {"url": _digest(url), "validator": validator, "total": total}

    def _check(self, response: requests.Response, expected_range: str) -> None:
        status, headers = response.status_code, response.headers
        reason = f"the server answers {status} {response.reason or ''}".rstrip()
        other = status == 206 and not re.fullmatch(expected_range, headers.get("Content-Range", ""))
        if status == 416 or other:
            self.forget()
            raise Passing(f"{reason}, with other bytes than asked for")
        if status in PASSING:
            wait = headers.get("Retry-After", "")
            raise Passing(reason, float(wait) if wait.isdecimal() else 0.0)
        if status not in (200, 206):
            raise Unfit(reason)
        encoding = headers.get("Content-Encoding", "identity").lower()
        # Servers call a .tar.gz encoded too; what they send is then the file as it is.
        if encoding != "identity" and not self.source.name.lower().endswith(PACKED):
            raise Unfit(f"the server sends the file changed (encoding {encoding})")

    def _receive(self, response: requests.Response, start: int, known: dict[str, Any]) -> None:
        total, pieces = known["total"], _pieces(response)
        needed = None if total is None else total - start
        first = b""
        while not start and len(first) < HEAD_BYTES and (piece := next(pieces, b"")):
            first += piece
        if not start:
            said = response.headers.get("Content-Type", "")
            refuse_page(first[:HEAD_BYTES], self.source.name, said)
        if total is not None and self.source.size not in (None, total):
            raise Unfit(f"the server offers {total:,} bytes, expected {self.source.size:,}")
        if self.source.size is None and (free := disk_usage(self.part.parent).free) < (needed or 0):
            raise Unfit(
                f"the server offers {total:,} bytes, of which {needed:,} are missing, and "
                f"{free:,} are free on the disk"
            )
        require_space(self.part, needed or 0, SPACE)
        with disk_errors(self.part, needed, SPACE):
            if not start:
                self.forget()
                if known["validator"] and total:
                    write_json(self._note, known)
            with self.part.open("ab") as file, _meter(self.source.name, start, total) as meter:
                for piece in chain([first], pieces):
                    file.write(piece)
                    meter.update(len(piece))
                    self._check_amount(file.tell(), total)
                file.flush()
                os.fsync(file.fileno())
            if self.arrived < (total or 0):
                raise Passing("the connection broke")

    def _check_stop(self) -> None:
        if self.stop.is_set():
            raise Stopped

    def _check_amount(self, done: int, total: int | None) -> None:
        self._check_stop()
        most = MOST_BYTES if total is None else total
        if done > most:
            self.forget()
            raise Unfit(f"the server sends more than {most:,} bytes; stopped")


def _pieces(response: requests.Response) -> Iterator[bytes]:
    """What arrives, as it arrives: to wait for a full piece may take for ever."""
    begin, count = time.monotonic(), 0
    with network_errors():
        # raw: requests itself would unpack what a server calls encoded.
        while piece := response.raw.read1(PIECE_BYTES, decode_content=False):
            count += len(piece)
            if (seconds := time.monotonic() - begin) > SLOW_SECONDS:
                if count < SLOW_BYTES:
                    raise Passing(
                        f"the server sends too slowly: {count:,} bytes in {seconds:.0f} s"
                    )
                begin, count = time.monotonic(), 0
            yield piece


class _LogLines(io.TextIOBase):
    """Where tqdm writes if nobody watches a terminal."""

    def write(self, text: str) -> int:
        if line := text.strip():
            log.info("%s", line)
        return len(text)


def _meter(name: str, done: int, total: int | None) -> tqdm:
    """A bar on a terminal; else a line of the log now and then."""
    counted = {"desc": name, "initial": done, "total": total, "unit": "B", "unit_scale": True}
    if sys.stderr.isatty():
        return tqdm(**counted)
    form = "{desc}: {n_fmt}B of {total_fmt}B, {rate_fmt}"
    return tqdm(**counted, file=_LogLines(), mininterval=LINE_SECONDS, bar_format=form)


def _digest(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()
