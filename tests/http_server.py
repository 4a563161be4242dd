"""A real HTTP server on 127.0.0.1 with switchable faults, for tests of downloads.

    with serve({"/a.zip": content}, {"/a.zip": Fault(die_after=1000, times=1)}) as server:
        ...  # server.url("/a.zip")
        assert server.count("/a.zip") == 2
        server.requests[1].headers["Range"]

Content and faults may be changed while it runs: ``server.content``, ``server.faults``.
"""

import hashlib
import os
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PAGE = b"<!DOCTYPE html>\n<html><head><title>Please log in</title></head><body>...</body></html>"
LAST_MODIFIED = "Mon, 01 Jan 2024 00:00:00 GMT"


@dataclass
class Fault:
    """What the server does wrong on a path; faults of one path may be combined.

    Attributes:
        times: how many requests it spoils; None: all.
        status: answers with this status and a page.
        phrase: says this beside the status.
        page: answers 200 with this page instead of the file.
        redirect: answers 302 to this address.
        headers: further or other headers; None leaves a header out.
        die_after: resets the connection after so many bytes of an answer.
        missing: sends so many bytes fewer than its Content-Length says, then ends properly.
        content_length: says this one, wrong or not; "none": says nothing and ends by closing.
        extra: sends these bytes after the file (seen with ``content_length="none"``).
        delay: seconds before the answer.
        together: answers when as many requests wait as the barrier has parties.
        slow: seconds between pieces of ``piece`` bytes.
        no_range: ignores Range, as simple servers do.
        wrong_range: continues this many bytes before the place that was asked for.
    """

    times: int | None = None
    status: int | None = None
    phrase: str | None = None
    page: bytes | None = None
    redirect: str | None = None
    headers: Mapping[str, str | None] = field(default_factory=dict)
    die_after: int | None = None
    missing: int = 0
    content_length: int | str | None = None
    extra: bytes = b""
    delay: float = 0.0
    together: threading.Barrier | None = None
    slow: float = 0.0
    piece: int = 2**16
    no_range: bool = False
    wrong_range: int = 0


@dataclass(frozen=True)
class Request:
    """What a client asked for, and the status of the answer."""

    path: str
    headers: Mapping[str, str]
    status: int


class Server(ThreadingHTTPServer):
    """Serves ``content`` (bytes by path); see :func:`serve`."""

    daemon_threads = True

    def __init__(
        self,
        content: Mapping[str, bytes],
        faults: Mapping[str, Fault] | None = None,
        tls: tuple[Path, Path] | None = None,
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = dict(content)
        self.faults = dict(faults or {})
        self.requests: list[Request] = []
        self.waiting = 0
        self.most_at_a_time = 0
        self.counting = threading.Lock()
        self.scheme = "http"
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.socket = context.wrap_socket(self.socket, server_side=True)
            self.scheme = "https"

    def url(self, path: str) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_port}{path}"

    def count(self, path: str) -> int:
        """How many requests of ``path`` there were."""
        return sum(request.path == path for request in self.requests)

    def take_fault(self, path: str) -> Fault:
        """The fault of the next answer; a used-up one no longer counts."""
        fault = self.faults.get(path)
        if fault is None or fault.times == 0:
            return Fault()
        if fault.times is not None:
            fault.times -= 1
        return fault

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away, as those of these tests do, are no news."""


@contextmanager
def serve(
    content: Mapping[str, bytes],
    faults: Mapping[str, Fault] | None = None,
    tls: tuple[Path, Path] | None = None,
) -> Iterator[Server]:
    """Serve ``content`` while the block runs; ``tls``: files of a certificate and its key."""
    server = Server(content, faults, tls)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    before = os.environ.get("NO_PROXY")
    os.environ["NO_PROXY"] = "127.0.0.1"
    try:
        yield server
    finally:
        os.environ.pop("NO_PROXY")
        os.environ.update({} if before is None else {"NO_PROXY": before})
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        fault = self.server.take_fault(path)
        self._wait_for_others(fault)
        time.sleep(fault.delay)
        if fault.redirect:
            self._answer(fault, path, 302, b"", {"Location": fault.redirect})
        elif fault.status:
            page = f"<html><title>{fault.status}</title></html>".encode()
            self._answer(fault, path, fault.status, page, {"Content-Type": "text/html"})
        elif fault.page is not None:
            self._answer(fault, path, 200, fault.page, {"Content-Type": "text/html"})
        elif path not in self.server.content:
            self._answer(fault, path, 404, PAGE, {"Content-Type": "text/html"})
        else:
            self._send_file(fault, path, self.server.content[path])

    def _wait_for_others(self, fault: Fault) -> None:
        """Counts who waits. A client that has its answer is counted no more when it asks again."""
        server = self.server
        with server.counting:
            server.waiting += 1
            server.most_at_a_time = max(server.waiting, server.most_at_a_time)
        if fault.together:
            fault.together.wait(timeout=60)
        with server.counting:
            server.waiting -= 1

    def _send_file(self, fault: Fault, path: str, content: bytes) -> None:
        headers = {
            "Content-Type": "application/octet-stream",
            "Accept-Ranges": "bytes",
            "ETag": f'"{hashlib.md5(content).hexdigest()}"',
            "Last-Modified": LAST_MODIFIED,
        }
        headers = {k: v for k, v in {**headers, **fault.headers}.items() if v is not None}
        start = None if fault.no_range else self._start(headers)
        if start is None:
            self._answer(fault, path, 200, content, headers)
        elif start >= len(content):
            self._answer(fault, path, 416, b"", {"Content-Range": f"bytes */{len(content)}"})
        else:
            start -= fault.wrong_range
            said = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self._answer(fault, path, 206, content[start:], {**headers, "Content-Range": said})

    def _start(self, headers: Mapping[str, str]) -> int | None:
        """First byte that is asked for; None: the whole file."""
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range")
        valid = condition in (None, headers.get("ETag"), headers.get("Last-Modified"))
        return int(match[1]) if match and valid else None

    def _answer(
        self, fault: Fault, path: str, status: int, body: bytes, headers: Mapping[str, str]
    ) -> None:
        self.server.requests.append(Request(path, dict(self.headers), status))
        self.send_response(status, fault.phrase or HTTPStatus(status).phrase)
        for name, value in {**headers, **fault.headers}.items():
            if value is not None:
                self.send_header(name, value)
        if fault.content_length != "none":
            self.send_header("Content-Length", str(fault.content_length or len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self._send_body(fault, body[: len(body) - fault.missing] + fault.extra)
        self.close_connection = True

    def _send_body(self, fault: Fault, body: bytes) -> None:
        most = len(body) if fault.die_after is None else fault.die_after
        for first in range(0, min(len(body), most), fault.piece):
            self.wfile.write(body[first : min(first + fault.piece, most)])
            time.sleep(fault.slow)
        if fault.die_after is not None and most < len(body):
            self.wfile.flush()
            # A pause lets the client take what was sent: a reset may throw it away.
            time.sleep(0.05)
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
