"""Bring one file over HTTP into a ``.part`` file that later tries and runs continue.

Own code on requests: pooch neither resumes nor knows mirrors, and pypdl neither limits sizes nor
makes sure (If-Range) that it continues the same version of a file.
"""

import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from threading import Event

import requests
import urllib3

from ddcnn import __version__
from ddcnn.base.disk import disk_errors, require_space
from ddcnn.data.download.check import HEAD_BYTES, Unfit, refuse_page
from ddcnn.data.download.disk import Stopped
from ddcnn.data.download.network import TransferFailed, is_final, reason_of, shown
from ddcnn.data.download.part import Part, Version
from ddcnn.data.download.progress import Progress

log = logging.getLogger(__name__)

PIECE_BYTES = 2**16  # what a broken connection loses at most
WORTHWHILE_BYTES = 2**20  # a try that adds as many bytes is no failed one
MOST_BYTES = 16 * 2**30  # of a file whose size nobody says
PASSING = {408, 425, 429, 500, 502, 503, 504}  # answers that another try may change
PACKED = (".gz", ".tgz", ".xz", ".bz2")
SPACE = (
    "free some space or set DDCNN_DATA to a folder on a larger disk, then run the same command "
    "again; what has arrived is kept"
)
# identity: a file is wanted byte by byte as it was published.
HEADERS = {"Accept-Encoding": "identity", "User-Agent": f"ddcnn/{__version__}"}


@dataclass(frozen=True)
class Patience:
    """How long to try one address.

    Attributes:
        tries: without worthwhile progress between them.
        first_wait, longest_wait: seconds before the second try, doubled for each further one.
        connect_timeout, read_timeout: seconds without any answer.
    """

    tries: int = 5
    first_wait: float = 1.0
    longest_wait: float = 60.0
    connect_timeout: float = 20.0
    read_timeout: float = 60.0

    def wait(self, failures: int) -> float:
        """Seconds to wait after so many failures."""
        return min(self.first_wait * 2 ** (failures - 1), self.longest_wait)


class _Temporary(Exception):
    """A try failed, another one may succeed; ``wait``: seconds that the server asks for."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass
class Transfer:
    """One file from one address.

    Attributes:
        url: where it is.
        name: what the file is called in messages.
        part: takes the bytes.
        size: bytes it must have, if known.
        stop: set from outside to give up.
        continued: whether the last try went on from bytes of an earlier one.
    """

    url: str
    name: str
    part: Part
    size: int | None = None
    patience: Patience = field(default_factory=Patience)
    stop: Event = field(default_factory=Event)
    continued: bool = False

    def run(self) -> None:
        """Complete ``part``.

        Raises:
            TransferFailed: the address does not give the file; what has arrived is kept.
            InputError: the disk is full or forbidden.
            Stopped: ``stop`` was set.
        """
        failures, furthest = 0, self.part.arrived
        with requests.Session() as session:
            while True:
                try:
                    return self._try(session)
                except _Temporary as error:
                    worthwhile = self.part.arrived - furthest >= WORTHWHILE_BYTES
                    failures = 1 if worthwhile else failures + 1
                    furthest = max(furthest, self.part.arrived)
                    if failures >= self.patience.tries:
                        raise TransferFailed(f"{error} ({failures} tries)") from error
                    self._pause(error, failures)

    def _pause(self, error: _Temporary, failures: int) -> None:
        seconds = max(self.patience.wait(failures), min(error.wait, self.patience.longest_wait))
        log.warning(
            "%s from %s: %s; trying again in %.1f s (try %d of %d)",
            *(self.name, shown(self.url), error, seconds, failures + 1, self.patience.tries),
        )
        if self.stop.wait(seconds):
            raise Stopped

    def _try(self, session: requests.Session) -> None:
        version = self.part.version(self.url)
        start = self.part.arrived if version else 0
        self.continued = start > 0
        if version and start == version.total:
            return  # an earlier run ended just before the file got its name
        headers = dict(HEADERS)
        if start:
            headers |= {"Range": f"bytes={start}-", "If-Range": version.validator}
        with self._answer(session, headers) as response:
            self._check_answer(response)
            self.continued = response.status_code == 206
            if self.continued:
                self._check_range(response, start, version)
                self._receive(response, start, version.total)
            else:
                length = response.headers.get("Content-Length", "")
                self._receive(response, 0, int(length) if length.isdecimal() else self.size)

    def _answer(self, session: requests.Session, headers: dict[str, str]) -> requests.Response:
        timeout = (self.patience.connect_timeout, self.patience.read_timeout)
        try:
            return session.get(self.url, headers=headers, stream=True, timeout=timeout)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            kind = TransferFailed if is_final(error) else _Temporary
            raise kind(reason_of(error)) from error

    def _check_answer(self, response: requests.Response) -> None:
        status, headers = response.status_code, response.headers
        reason = f"the server answers {status} {response.reason or ''}".rstrip()
        if status == 416:
            self.part.forget()
            raise _Temporary(f"{reason}: the file there has become shorter")
        if status in PASSING:
            wait = headers.get("Retry-After", "")
            raise _Temporary(reason, float(wait) if wait.isdecimal() else 0.0)
        if status not in (200, 206):
            raise TransferFailed(reason)
        encoding = headers.get("Content-Encoding", "identity").lower()
        # Servers call a .tar.gz encoded too; what they send is then the file as it is.
        if encoding != "identity" and not self.name.lower().endswith(PACKED):
            raise TransferFailed(f"the server sends the file changed (encoding {encoding})")

    def _check_range(
        self, response: requests.Response, start: int, version: Version | None
    ) -> None:
        """Make sure that the bytes follow those that are there."""
        said = response.headers.get("Content-Range", "nothing")
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", said)
        if not (
            version and match and int(match[1]) == start and match[2] in ("*", str(version.total))
        ):
            self.part.forget()
            raise _Temporary(f"the server sends other bytes than asked for ({said})")

    def _receive(self, response: requests.Response, start: int, total: int | None) -> None:
        with Progress(self.name, total, start) as progress:
            try:
                self._write(response, progress)
            except _Temporary as error:
                raise _Temporary(f"{error} after {_bytes(progress.done, total)}") from error
            if total is not None and progress.done < total:
                raise _Temporary(f"the server sent only {_bytes(progress.done, total)}")

    def _write(self, response: requests.Response, progress: Progress) -> None:
        start, total = progress.start, progress.total
        pieces = self._pieces(response)
        first = next(pieces, b"")
        self._check_beginning(response, start, total, first)
        needed = None if total is None else total - start
        with disk_errors(self.part.path, needed, SPACE):
            if not start:
                self.part.begin(self.url, _version(response, total))
            with self.part.path.open("ab") as file:
                for piece in chain([first], pieces):
                    self._check_amount(progress.done + len(piece), total)
                    file.write(piece)
                    progress.add(len(piece))
                file.flush()
                os.fsync(file.fileno())

    def _pieces(self, response: requests.Response) -> Iterator[bytes]:
        try:
            # raw: requests itself would unpack what a server calls encoded.
            yield from response.raw.stream(PIECE_BYTES, decode_content=False)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _Temporary(reason_of(error)) from error

    def _check_beginning(
        self, response: requests.Response, start: int, total: int | None, first: bytes
    ) -> None:
        if not start:
            try:
                said = response.headers.get("Content-Type", "")
                refuse_page(first[:HEAD_BYTES], self.name, said)
            except Unfit as error:
                raise TransferFailed(str(error)) from error
        if total is not None and self.size not in (None, total):
            raise TransferFailed(f"the server offers {total:,} bytes, expected {self.size:,}")
        if total is not None:
            require_space(self.part.path, total - start, SPACE)

    def _check_amount(self, done: int, total: int | None) -> None:
        if self.stop.is_set():
            raise Stopped
        most = MOST_BYTES if total is None else total
        if done > most:
            self.part.forget()
            raise TransferFailed(f"the server sends more than {most:,} bytes; stopped")


def _version(response: requests.Response, total: int | None) -> Version | None:
    etag = response.headers.get("ETag", "")
    # A weak ETag (W/) does not promise the same bytes.
    validator = etag if etag.startswith('"') else response.headers.get("Last-Modified")
    return Version(validator, total) if validator and total is not None else None


def _bytes(done: int, total: int | None) -> str:
    return f"{done:,} bytes" if total is None else f"{done:,} of {total:,} bytes"
