"""Downloads from a real HTTP server on 127.0.0.1 that does everything wrong that servers do."""

import errno
import fcntl
import hashlib
import logging
import os
import pty
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path
from threading import Event

import pytest

from ddcnn.base.errors import InputError
from ddcnn.data.download import SourceFile, fetch_all, file_sha256, transfer
from ddcnn.data.download.fetch import manifest_entry
from full_disk import largest_file
from http_server import PAGE, Fault, Server, serve

CONTENT = random.Random(0).randbytes(1_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def no_shared_folder(monkeypatch):
    monkeypatch.delenv("DDCNN_DATA", raising=False)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    quick = {"TRIES": 3, "FIRST_WAIT": 0.01, "LONGEST_WAIT": 0.05, "TIMEOUTS": (2.0, 2.0)}
    for name, value in quick.items():
        monkeypatch.setattr(transfer, name, value)


@pytest.fixture
def raw(tmp_path):
    return tmp_path / "raw"


@pytest.fixture
def server():
    with serve({"/a.zip": CONTENT, "/mirror/a.zip": CONTENT}) as running:
        yield running


def wanted(server: Server, *paths: str, **keys: object) -> SourceFile:
    """The file a.zip at ``paths``, with checksum and size unless told otherwise."""
    urls = tuple(server.url(path) for path in paths or ["/a.zip"])
    return SourceFile("a.zip", urls, **{"checksum": f"sha256:{SHA256}", "size": 1_000_000} | keys)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def arrived(raw: Path, entries: list[dict]) -> bool:
    """The file is complete, the manifest right, and nothing else lies beside it."""
    right = [{"path": "a.zip", "bytes": 1_000_000, "sha256": SHA256}]
    return entries == right and names(raw) == ["a.zip"] and file_sha256(raw / "a.zip") == SHA256


def refusal(source: SourceFile, raw: Path, *words: str, tries: int = 3) -> str:
    """Fetching fails with these words, and there is no file under the final name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transfer, "TRIES", tries)
        with pytest.raises(InputError) as error:
            fetch_all([source], raw)
    message = str(error.value)
    print(message)
    for word in words:
        assert word in message
    assert not (raw / source.name).exists()
    return message


# What goes well


@pytest.mark.parametrize("checksum", [f"sha256:{SHA256}", f"md5:{MD5}", None])
@pytest.mark.parametrize("size", [1_000_000, None])
def test_a_file_arrives_verified(server, raw, checksum, size):
    source = wanted(server, checksum=checksum, size=size)
    assert arrived(raw, fetch_all([source], raw))
    assert arrived(raw, fetch_all([source], raw))
    assert len(server.requests) == 1


def test_several_files_arrive_at_the_same_time_in_order(tmp_path):
    content = {f"/{i}": bytes([i]) * 1000 for i in range(1, 9)}
    four = threading.Barrier(4)
    held = {path: Fault(together=four) for path in content}  # answered four by four, or never
    with serve(content, held) as server:
        files = [SourceFile(path[1:], (server.url(path),)) for path in content]
        entries = fetch_all(files, tmp_path)
    assert [entry["path"] for entry in entries] == [file.name for file in files]
    assert [(tmp_path / file.name).read_bytes() for file in files] == list(content.values())
    assert server.most_at_a_time == 4


def test_a_redirect_is_followed(server, raw):
    server.faults["/a.zip"] = Fault(redirect="/mirror/a.zip?token=secret")
    assert arrived(raw, fetch_all([wanted(server)], raw))


def test_a_file_that_the_server_calls_gzip_encoded_stays_as_it_is(raw):
    headers = {"Content-Encoding": "x-gzip", "Content-Type": "application/x-tar"}
    with serve({"/a.tar.gz": CONTENT}, {"/a.tar.gz": Fault(headers=headers)}) as server:
        source = SourceFile("a.tar.gz", (server.url("/a.tar.gz"),), f"sha256:{SHA256}")
        fetch_all([source], raw)


def test_a_server_that_does_not_tell_the_size_is_enough(server, raw):
    server.faults["/a.zip"] = Fault(content_length="none")
    assert arrived(raw, fetch_all([wanted(server)], raw))


def test_a_binary_file_that_the_server_calls_a_page_is_taken(server, raw):
    server.content["/a.zip"] = b"PK\x03\x04" + CONTENT
    server.faults["/a.zip"] = Fault(headers={"Content-Type": "text/html"})
    fetch_all([wanted(server, checksum=None, size=None)], raw)


@pytest.mark.parametrize("form", ["file://{}/a b.zip", "{}/a b.zip", "{}", "file://localhost{}"])
def test_file_addresses_paths_and_folders_are_sources(tmp_path, raw, form):
    folder = tmp_path / "mirror"
    folder.mkdir()
    (folder / "a b.zip").write_bytes(CONTENT)
    url = form.format(folder)
    url = url.replace(" ", "%20") if url.startswith("file") else url
    entries = fetch_all([SourceFile("a b.zip", (url,), f"sha256:{SHA256}")], raw)
    assert entries == [{"path": "a b.zip", "bytes": 1_000_000, "sha256": SHA256}]
    assert (folder / "a b.zip").stat().st_ino != (raw / "a b.zip").stat().st_ino


def test_own_files_and_folders_are_named_where_they_lie(tmp_path, raw):
    (tmp_path / "own" / "cat").mkdir(parents=True)
    (tmp_path / "own" / "cat" / "1.png").write_bytes(b"1")
    (tmp_path / "own" / "x.npz").write_bytes(CONTENT)
    folder = SourceFile("own", (str(tmp_path / "own"),), in_place=True)
    file = SourceFile("x.npz", (str(tmp_path / "own" / "x.npz"),), in_place=True)
    assert fetch_all([folder, file], raw) == [
        {"path": str(tmp_path / "own"), "files": 2},
        {"path": str(tmp_path / "own" / "x.npz"), "bytes": 1_000_000, "sha256": SHA256},
    ]
    assert not raw.exists()


# Interrupted and resumed


def test_a_transfer_that_dies_is_resumed_where_it_broke(server, raw):
    server.faults["/a.zip"] = Fault(die_after=600_000, times=1)
    assert arrived(raw, fetch_all([wanted(server)], raw))
    first, second = server.requests
    assert (first.status, second.status) == (200, 206)
    start = int(second.headers["Range"].removeprefix("bytes=").removesuffix("-"))
    assert 500_000 <= start <= 600_000
    assert second.headers["If-Range"] == f'"{MD5}"'


def test_too_few_bytes_are_noticed_and_the_rest_is_fetched(server, raw):
    server.faults["/a.zip"] = Fault(missing=100_000, times=1)
    assert arrived(raw, fetch_all([wanted(server, size=None)], raw))
    assert server.requests[1].headers["Range"] == "bytes=900000-"


def test_a_stalled_server_is_left_and_resumed(server, raw, monkeypatch):
    server.faults["/a.zip"] = Fault(slow=0.6, piece=500_000, times=1)
    monkeypatch.setattr(transfer, "TIMEOUTS", (2.0, 0.3))
    assert arrived(raw, fetch_all([wanted(server)], raw))
    assert server.requests[1].status == 206


def test_the_next_run_continues_after_one_that_failed(server, raw):
    server.faults["/a.zip"] = Fault(die_after=600_000, times=1)
    refusal(wanted(server), raw, "bytes have arrived and are kept", tries=1)
    assert names(raw) == ["a.zip.part", "a.zip.part.json"]
    assert arrived(raw, fetch_all([wanted(server)], raw))
    assert [request.status for request in server.requests] == [200, 206]


FETCH = """
import sys
from itertools import chain, repeat
from pathlib import Path
from ddcnn.data.download import SourceFile, fetch_all
url, checksum, folder = sys.argv[1:]
print(fetch_all([SourceFile("a.zip", (url,), checksum)], Path(folder)))
"""


def start_fetch(url: str, folder: Path, **keys: object) -> subprocess.Popen:
    command = [sys.executable, "-c", FETCH, url, f"sha256:{SHA256}", str(folder)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        **keys,
    )


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_process_that_is_killed_is_continued_by_the_next(server, raw, how):
    server.faults["/a.zip"] = Fault(slow=0.05, times=1)
    process = start_fetch(server.url("/a.zip"), raw, stderr=subprocess.DEVNULL)
    part = raw / "a.zip.part"
    wait_until(lambda: part.exists() and part.stat().st_size > 200_000)
    process.send_signal(how)
    assert process.wait(20) != 0
    assert not (raw / "a.zip").exists()
    assert arrived(raw, [entry := fetch_all([wanted(server)], raw)[0]]), entry
    assert server.requests[1].status == 206


def test_giving_up_keeps_what_has_arrived_and_asks_no_mirror(server, raw):
    server.faults["/a.zip"] = Fault(slow=0.05)
    source, stop = wanted(server, "/a.zip", "/mirror/a.zip"), Event()
    with ThreadPoolExecutor() as pool:
        job = pool.submit(manifest_entry, source, raw, None, stop)
        part = raw / "a.zip.part"
        wait_until(lambda: part.exists() and part.stat().st_size > 200_000)
        stop.set()
    assert isinstance(job.exception(), transfer.Stopped)
    assert part.stat().st_size > 200_000
    assert [request.path for request in server.requests] == ["/a.zip"]
    server.faults.clear()
    assert arrived(raw, fetch_all([source], raw))
    assert server.requests[-1].status == 206


def test_a_part_that_was_complete_is_not_fetched_again(server, raw):
    server.faults["/a.zip"] = Fault(die_after=900_000, times=1)
    refusal(wanted(server), raw, tries=1)
    (raw / "a.zip.part").write_bytes(CONTENT)  # as if killed just before it got its name
    assert arrived(raw, fetch_all([wanted(server)], raw))
    assert len(server.requests) == 1


def test_a_file_that_changed_meanwhile_is_fetched_anew(server, raw):
    server.content["/a.zip"] = CONTENT[::-1]
    server.faults["/a.zip"] = Fault(die_after=600_000, times=1)
    refusal(wanted(server), raw, tries=1)
    server.content["/a.zip"] = CONTENT
    assert arrived(raw, fetch_all([wanted(server)], raw))
    assert [request.status for request in server.requests] == [200, 200]


def test_a_server_that_mixes_versions_is_found_out(server, raw):
    same = {"ETag": '"always the same"'}
    server.content["/a.zip"] = CONTENT[::-1]
    server.faults["/a.zip"] = Fault(die_after=600_000, headers=same)
    refusal(wanted(server), raw, tries=1)
    server.content["/a.zip"] = CONTENT
    server.faults["/a.zip"] = Fault(headers=same)
    assert arrived(raw, fetch_all([wanted(server)], raw))
    assert [request.status for request in server.requests] == [200, 206, 200]


@pytest.mark.parametrize(
    ("headers", "condition"),
    [
        ({"ETag": None}, "Mon, 01 Jan 2024 00:00:00 GMT"),
        ({"ETag": 'W/"weak"'}, "Mon, 01 Jan 2024 00:00:00 GMT"),
        ({"ETag": None, "Last-Modified": None}, None),
        ({"ETag": 'W/"weak"', "Last-Modified": None}, None),
    ],
)
def test_what_cannot_be_validated_is_fetched_anew(server, raw, headers, condition):
    server.faults["/a.zip"] = Fault(die_after=600_000, times=1, headers=headers)
    assert arrived(raw, fetch_all([wanted(server)], raw))
    assert server.requests[1].headers.get("If-Range") == condition
    assert server.requests[1].status == (206 if condition else 200)


def test_a_server_without_ranges_begins_again(server, raw):
    server.faults["/a.zip"] = Fault(die_after=600_000, no_range=True, times=1)
    server.faults["/a.zip"].headers = {"Accept-Ranges": None}
    assert arrived(raw, fetch_all([wanted(server)], raw))
    server.faults["/a.zip"] = Fault(die_after=600_000, no_range=True)
    shutil.rmtree(raw)
    refusal(wanted(server), raw, "of 1,000,000 bytes (3 tries)")


def test_a_server_that_continues_at_another_place_begins_again(server, raw):
    server.faults["/a.zip"] = Fault(die_after=600_000, times=1)
    refusal(wanted(server), raw, tries=1)
    server.faults["/a.zip"] = Fault(wrong_range=1000, times=1)
    assert arrived(raw, fetch_all([wanted(server)], raw))
    assert [request.status for request in server.requests] == [200, 206, 200]


def test_a_file_that_became_shorter_is_fetched_anew(server, raw):
    same = {"ETag": '"always the same"'}
    server.content["/a.zip"] = CONTENT * 2
    server.faults["/a.zip"] = Fault(die_after=1_500_000, headers=same, times=1)
    refusal(wanted(server, size=2_000_000), raw, tries=1)
    server.content["/a.zip"] = CONTENT
    server.faults["/a.zip"] = Fault(headers=same)
    assert arrived(raw, fetch_all([wanted(server)], raw))
    assert [request.status for request in server.requests] == [200, 416, 200]


def test_a_large_file_over_a_bad_line_needs_more_tries_than_are_counted(raw, monkeypatch):
    large = CONTENT * 8
    with serve({"/a.zip": large}, {"/a.zip": Fault(die_after=1_500_000)}) as server:
        source = wanted(server, size=None, checksum=None)
        monkeypatch.setattr(transfer, "TRIES", 2)
        fetch_all([source], raw)
        assert len(server.requests) == 6
    assert (raw / "a.zip").read_bytes() == large


# What goes wrong


def test_500_is_tried_again_with_growing_pauses(server, raw, caplog, monkeypatch):
    server.faults["/a.zip"] = Fault(status=500, times=5)
    monkeypatch.setattr(transfer, "TRIES", 6)
    monkeypatch.setattr(transfer, "FIRST_WAIT", 0.1)
    monkeypatch.setattr(transfer, "LONGEST_WAIT", 0.5)
    with caplog.at_level(logging.INFO, "ddcnn"):
        assert arrived(raw, fetch_all([wanted(server)], raw))
    assert "500 Internal Server Error; trying again in 0.1 s (try 2 of 6)" in caplog.text
    waits = re.findall(r"again in ([\d.]+) s", caplog.text)
    assert waits == ["0.1", "0.2", "0.4", "0.5", "0.5"]


def test_a_server_may_ask_for_a_pause(server, raw, caplog, monkeypatch):
    server.faults["/a.zip"] = Fault(status=503, times=1, headers={"Retry-After": "3600"})
    monkeypatch.setattr(transfer, "LONGEST_WAIT", 0.2)
    with caplog.at_level(logging.INFO, "ddcnn"):
        assert arrived(raw, fetch_all([wanted(server)], raw))
    assert "trying again in 0.2 s" in caplog.text


@pytest.mark.parametrize(
    ("fault", "words", "requests"),
    [
        (Fault(status=404), "the server answers 404 Not Found", 1),
        (Fault(status=404, phrase="a\x1b[2J\x9b31m"), "answers 404 a\\x1b[2J\\x9b31m", 1),
        (Fault(page=PAGE.replace(b"in<", b"\x1b[2J<")), "titled 'Please log \\x1b[2J'", 1),
        (Fault(status=403), "the server answers 403 Forbidden", 1),
        (Fault(status=500), "the server answers 500 Internal Server Error (3 tries)", 3),
        (Fault(status=429), "the server answers 429 Too Many Requests (3 tries)", 3),
        (Fault(die_after=1000), "of 1,000,000 bytes (3 tries)", 3),
        (Fault(die_after=0), "after 0 of 1,000,000 bytes (3 tries)", 3),
        (Fault(missing=10), "the connection broke after 999,990 of 1,000,000 bytes (3 tries)", 3),
        (Fault(missing=10, content_length="none"), "after 999,990 of 1,000,000 bytes", 3),
        (Fault(content_length=5_000_000), "offers 5,000,000 bytes, expected 1,000,000", 1),
        (Fault(content_length=500), "offers 500 bytes, expected 1,000,000", 1),
        (Fault(content_length="none", extra=b"more"), "sends more than 1,000,000 bytes", 1),
        (Fault(page=PAGE), "it is a web page (HTML) titled 'Please log in', not the file", 1),
        (Fault(page=b"Sorry, not found."), "it is a web page (HTML), not the file", 1),
        (Fault(redirect="/a.zip"), "the server redirects without end", 31),
        (Fault(redirect="file:///etc/passwd"), "the one it redirects to, is not valid", 1),
        (Fault(redirect="http://[::1"), "the one it redirects to, is not valid", 1),
        (Fault(redirect="http://a..b/"), "the one it redirects to, is not valid", 1),
        (Fault(redirect="http://a:99999/"), "the one it redirects to, is not valid", 1),
        (Fault(headers={"Content-Encoding": "gzip"}), "changed (encoding gzip)", 1),
    ],
)
def test_a_bad_server_gives_a_clear_error_and_steps(server, raw, fault, words, requests):
    server.faults["/a.zip"] = fault
    message = refusal(wanted(server), raw, "a.zip could not be fetched", words)
    assert message.splitlines()[-3:] == [
        f"  1. Get the file from {server.url('/a.zip')} in a browser "
        f"(1,000,000 bytes, sha256:{SHA256})",
        f"  2. Place it as {raw / 'a.zip'}",
        "  3. Run the same command again",
    ]
    assert len(server.requests) == requests


def test_a_server_that_never_ends_is_stopped(server, raw, monkeypatch):
    monkeypatch.setattr(transfer, "MOST_BYTES", 500_000)
    server.faults["/a.zip"] = Fault(content_length="none")
    source = wanted(server, size=None)
    refusal(source, raw, "the server sends more than 500,000 bytes; stopped")
    assert names(raw) == []


@pytest.mark.parametrize("length", ["9" * 5000, "-5", "1e3", "\u0663"])
def test_a_length_that_is_none_is_none(server, raw, length):
    server.faults["/a.zip"] = Fault(content_length=length.encode().decode("latin-1"))
    source = wanted(server, "/a.zip", "/mirror/a.zip", size=None)
    assert arrived(raw, fetch_all([source], raw))


def test_a_length_beyond_the_disk_sends_to_the_next_mirror(server, raw, caplog):
    server.faults["/a.zip"] = Fault(content_length=10**17)
    source = wanted(server, "/a.zip", "/mirror/a.zip", size=None)
    assert arrived(raw, fetch_all([source], raw))
    assert "the server offers 100,000,000,000,000,000 bytes" in caplog.text
    refusal(wanted(server, size=None), raw / "b", "are free on the disk")


@contextmanager
def raw_server(*pieces: bytes, pause: float = 0.0) -> Iterator[str]:
    """The address of a server that says these bytes to everybody, and the last ones for ever."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            with suppress(OSError):
                while True:
                    peer, _ = listening.accept()
                    threading.Thread(target=speak, args=(peer,), daemon=True).start()

        def speak(peer: socket.socket) -> None:
            with suppress(OSError), peer:
                peer.recv(2**16)
                for piece in chain(pieces, repeat(pieces[-1])):
                    peer.sendall(piece)
                    time.sleep(pause)

        threading.Thread(target=answer, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/a.zip"


def test_a_server_whose_headers_have_no_end_is_left(server, raw, monkeypatch):
    monkeypatch.setattr(transfer, "ANSWER_SECONDS", 1.0)
    with raw_server(b"HTTP/1.1 200 OK\r\nX: ", b"a", pause=0.1) as url:
        source = replace(wanted(server), urls=(url,))
        refusal(source, raw, "the server did not say in 1 s what it sends", "(3 tries)")


def test_what_comes_with_a_redirect_is_not_read(server, raw):
    head = f"HTTP/1.1 302 Found\r\nLocation: {server.url('/a.zip')}\r\n\r\n".encode()
    with raw_server(head, bytes(2**20)) as url:
        source = replace(wanted(server), urls=(url,))
        assert arrived(raw, fetch_all([source], raw))


@pytest.mark.parametrize("piece", [1, 5000])
def test_a_server_that_sends_a_little_for_ever_is_left(server, raw, monkeypatch, piece):
    """Every piece in time for the socket, and all of them never."""
    monkeypatch.setattr(transfer, "SLOW_SECONDS", 0.2)
    monkeypatch.setattr(transfer, "SLOW_BYTES", 50_000)
    server.faults["/a.zip"] = Fault(slow=0.05, piece=piece)
    refusal(wanted(server), raw, "the server sends too slowly: ", "(3 tries)")
    source = wanted(server, "/a.zip", "/mirror/a.zip")
    assert arrived(raw, fetch_all([source], raw))


def test_a_page_without_a_known_checksum_is_refused_too(server, raw):
    server.faults["/a.zip"] = Fault(page=PAGE, headers={"Content-Type": "application/zip"})
    refusal(wanted(server, checksum=None, size=None), raw, "web page (HTML)")


def test_an_empty_file_is_refused(server, raw):
    server.content["/a.zip"] = b""
    refusal(wanted(server, checksum=None, size=None), raw, "it is empty")


@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_a_wrong_checksum_names_address_expected_and_got(server, raw, kind):
    server.content["/a.zip"] = CONTENT[::-1]
    expected = {"sha256": SHA256, "md5": MD5}[kind]
    got = hashlib.new(kind, CONTENT[::-1]).hexdigest()
    source = wanted(server, checksum=f"{kind}:{expected}")
    refusal(source, raw, f"{server.url('/a.zip')}: its {kind} is {got}, expected {expected}")
    assert names(raw) == []


def test_no_connection_is_explained(raw):
    with serve({}) as server:
        gone = server.url("/a.zip")
    source = SourceFile("a.zip", (gone,))
    refusal(source, raw, f"{gone}: the connection failed (Connection refused) (3 tries)")


def test_an_unknown_host_is_explained(raw):
    source = SourceFile("a.zip", ("http://no-such-host.invalid/a.zip",))
    refusal(source, raw, "the host is unknown, or there is no network")


def test_a_silent_server_is_explained(server, raw, monkeypatch):
    server.faults["/a.zip"] = Fault(delay=1.0)
    monkeypatch.setattr(transfer, "TIMEOUTS", (2.0, 0.2))
    refusal(wanted(server), raw, "does not answer in time (2 tries)", tries=2)


@pytest.mark.parametrize("url", ["ftp://host/a.zip", "s3://bucket/a.zip", "file://host/a.zip"])
def test_unknown_kinds_of_address_are_named(raw, url):
    refusal(SourceFile("a.zip", (url,)), raw, f"{url}: unknown kind of address; accepted: http")


def test_an_untrusted_certificate_is_explained(tmp_path, raw):
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-subj", "/CN=x"]
    subprocess.run(
        [*command, "-addext", "subjectAltName=IP:127.0.0.1", "-out", certificate, "-keyout", key],
        check=True,
        capture_output=True,
    )
    with serve({"/a.zip": CONTENT}, tls=(certificate, key)) as server:
        refusal(wanted(server), raw, "certificate is not trusted (self")
        assert len(server.requests) == 0


def test_no_password_and_no_key_gets_into_messages(server, raw, caplog):
    server.faults["/a.zip"] = Fault(status=500)
    address = server.url("/a.zip?token=hidden").replace("://", "://user:hidden@")
    with caplog.at_level(logging.DEBUG, "ddcnn"):
        message = refusal(SourceFile("a.zip", (address,)), raw, server.url("/a.zip"))
    assert "hidden" not in message + caplog.text
    server.faults["/a.zip"] = Fault(die_after=10_000)
    refusal(SourceFile("a.zip", (address,)), raw)
    assert "hidden" not in "".join(path.read_text("latin-1") for path in raw.glob("*.json"))


# Mirrors


def test_mirrors_are_tried_in_order(server, raw, caplog):
    server.faults["/a.zip"] = Fault(status=404)
    source = wanted(server, "/a.zip", "/mirror/a.zip")
    with caplog.at_level(logging.INFO, "ddcnn"):
        assert arrived(raw, fetch_all([source], raw))
    assert [request.path for request in server.requests] == ["/a.zip", "/mirror/a.zip"]
    assert f"{server.url('/a.zip')}: the server answers 404 Not Found" in caplog.text


def test_a_mirror_with_another_file_does_not_count(server, raw):
    server.content["/a.zip"] = CONTENT[::-1]
    source = wanted(server, "/a.zip", "/mirror/a.zip")
    assert arrived(raw, fetch_all([source], raw))


def test_a_part_of_one_mirror_is_not_continued_at_another(server, raw, monkeypatch):
    server.faults["/a.zip"] = Fault(die_after=600_000)
    source = wanted(server, "/a.zip", "/mirror/a.zip")
    monkeypatch.setattr(transfer, "TRIES", 1)
    assert arrived(raw, fetch_all([source], raw))
    assert [request.status for request in server.requests] == [200, 200]


def test_a_dead_mirror_does_not_cost_what_has_arrived(server, raw):
    server.faults |= {
        "/a.zip": Fault(die_after=600_000, times=1),
        "/mirror/a.zip": Fault(page=PAGE),
    }
    source = wanted(server, "/a.zip", "/mirror/a.zip")
    refusal(source, raw, tries=1)
    assert arrived(raw, fetch_all([source], raw))
    assert server.requests[-1].status == 206


def test_a_local_folder_that_lacks_the_file_is_passed_over(server, raw, tmp_path):
    source = wanted(server)
    source = replace(source, urls=(str(tmp_path), *source.urls))
    assert arrived(raw, fetch_all([source], raw))


def test_all_mirrors_are_named_if_none_helps(server, raw, tmp_path):
    server.faults["/a.zip"] = Fault(status=404)
    source = wanted(server)
    source = replace(source, urls=(*source.urls, f"file://{tmp_path}/b.zip"))
    message = refusal(source, raw, "404 Not Found")
    assert f"file://{tmp_path}/b.zip: it cannot be read (No such file" in message


def test_every_file_that_failed_is_named_and_the_others_arrive(server, raw):
    sources = [SourceFile(name, (server.url(f"/{name}"),)) for name in ("a.zip", "b.zip", "c.zip")]
    with pytest.raises(InputError) as error:
        fetch_all(sources, raw)
    print(str(error.value))
    assert "b.zip could not be fetched" in str(error.value)
    assert "c.zip could not be fetched" in str(error.value)
    assert names(raw) == ["a.zip"]


# Files that a person places


def test_the_pipeline_goes_on_from_a_placed_file(server, raw):
    server.faults["/a.zip"] = Fault(status=404)
    refusal(wanted(server), raw)
    (raw / "a.zip").write_bytes(CONTENT)
    assert arrived(raw, fetch_all([wanted(server)], raw))


def test_instructions_become_the_steps(raw):
    steps = "Accept the licence at https://host/licence\n2. Download Scans.zip there"
    source = SourceFile("scans.zip", (), instructions=steps)
    message = refusal(source, raw, "there is no address that a program could use")
    assert message.splitlines()[-4:] == [
        "  1. Accept the licence at https://host/licence",
        "  2. Download Scans.zip there",
        f"  3. Place it as {raw / 'scans.zip'}",
        "  4. Run the same command again",
    ]
    raw.mkdir(exist_ok=True)
    (raw / "scans.zip").write_bytes(CONTENT)
    (entry,) = fetch_all([source], raw)
    assert entry["sha256"] == SHA256  # nobody published it: it is recorded


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (CONTENT[:-1], "it has 999,999 bytes, expected 1,000,000"),
        (CONTENT[::-1], f"expected {SHA256}"),
        (PAGE, "it is a web page (HTML) titled 'Please log in'"),
        (b"", "it is empty"),
    ],
)
def test_a_wrong_file_in_its_place_is_set_aside(server, raw, content, words):
    server.faults["/a.zip"] = Fault(status=404, times=1)
    raw.mkdir()
    (raw / "a.zip").write_bytes(content)
    refusal(wanted(server), raw, f"{raw / 'a.zip'}: it", words, "it is now called a.zip.wrong")
    assert (raw / "a.zip.wrong").read_bytes() == content
    fetch_all([wanted(server)], raw)
    assert names(raw) == ["a.zip", "a.zip.wrong"]


def test_own_data_that_are_missing_or_pages_are_named(tmp_path, raw):
    (tmp_path / "x.npz").write_bytes(PAGE)
    for name, words in (("none.npz", "No such file"), ("x.npz", "web page")):
        source = SourceFile(name, (str(tmp_path / name),), in_place=True)
        with pytest.raises(InputError, match=words) as error:
            fetch_all([source], raw)
        print(str(error.value))


# The shared folder


@pytest.fixture
def shared(tmp_path, monkeypatch):
    monkeypatch.setenv("DDCNN_DATA", str(tmp_path / "shared"))
    return tmp_path / "shared"


def test_projects_share_one_download(server, shared, tmp_path):
    for project in ("one", "two"):
        assert arrived(tmp_path / project, fetch_all([wanted(server)], tmp_path / project))
    assert len(server.requests) == 1
    copies = [tmp_path / "one" / "a.zip", tmp_path / "two" / "a.zip"]
    stored = shared / f"sha256-{SHA256}" / "a.zip"
    assert len({path.stat().st_ino for path in [*copies, stored]}) == 1
    assert names(stored.parent) == ["a.zip"]


def test_a_shared_folder_on_another_disk_is_copied_from(server, shared, raw, monkeypatch):
    def fail(*args):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", fail)
    assert arrived(raw, fetch_all([wanted(server)], raw))
    assert (shared / f"sha256-{SHA256}" / "a.zip").stat().st_ino != (raw / "a.zip").stat().st_ino


@pytest.mark.parametrize("checksum", [f"sha256:{SHA256}", None])
def test_a_file_placed_in_the_shared_folder_is_taken(server, shared, raw, checksum):
    shared.mkdir()
    (shared / "a.zip").write_bytes(CONTENT)
    assert arrived(raw, fetch_all([wanted(server, checksum=checksum)], raw))
    assert not server.requests


def test_a_file_of_the_same_name_in_the_shared_folder_is_left_alone(server, shared, raw):
    shared.mkdir()
    (shared / "a.zip").write_bytes(b"that of another data set")
    assert arrived(raw, fetch_all([wanted(server)], raw))
    assert (shared / "a.zip").read_bytes() == b"that of another data set"


def test_a_shared_file_that_was_damaged_is_fetched_again(server, shared, tmp_path):
    fetch_all([wanted(server)], tmp_path / "one")
    stored = shared / f"sha256-{SHA256}" / "a.zip"
    stored.unlink()
    stored.write_bytes(b"damaged")
    assert arrived(tmp_path / "two", fetch_all([wanted(server)], tmp_path / "two"))
    assert stored.read_bytes() == CONTENT


def test_a_shared_folder_that_cannot_be_written_is_read_from(server, shared, raw, monkeypatch):
    shared.mkdir()
    monkeypatch.setattr(
        os, "access", lambda path, mode: mode != os.W_OK
    )  # root may write everywhere
    assert arrived(raw, fetch_all([wanted(server)], raw))
    assert names(shared) == []


def test_local_sources_leave_no_trace_in_the_shared_folder(shared, tmp_path, raw):
    (tmp_path / "a.zip").write_bytes(CONTENT)
    assert arrived(raw, fetch_all([SourceFile("a.zip", (str(tmp_path / "a.zip"),))], raw))
    assert not shared.exists()


def test_a_shared_folder_that_is_a_file_is_an_error(server, shared, raw):
    shared.write_bytes(b"")
    with pytest.raises(InputError, match="cannot be written") as error:
        fetch_all([wanted(server)], raw)
    print(str(error.value))


def test_two_processes_at_once_share_one_download(server, shared, tmp_path):
    server.faults["/a.zip"] = Fault(slow=0.05)
    folders = [tmp_path / str(i) for i in range(3)]
    processes = [start_fetch(server.url("/a.zip"), folder) for folder in folders]
    for process, folder in zip(processes, folders, strict=True):
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert SHA256 in output
        assert file_sha256(folder / "a.zip") == SHA256
    assert len(server.requests) == 1
    assert names(shared / f"sha256-{SHA256}") == ["a.zip"]


def test_another_process_takes_over_from_a_killed_one(server, shared, tmp_path):
    server.faults["/a.zip"] = Fault(slow=0.1, times=1)
    first = start_fetch(server.url("/a.zip"), tmp_path / "1")
    wait_until(lambda: any(shared.rglob("*.part")))
    second = start_fetch(server.url("/a.zip"), tmp_path / "2")
    time.sleep(0.5)
    first.kill()
    first.wait()
    assert second.wait(30) == 0
    assert file_sha256(tmp_path / "2" / "a.zip") == SHA256
    assert [request.status for request in server.requests] == [200, 206]


@pytest.mark.parametrize("answer", [errno.ENOSYS, errno.ENOLCK])
@pytest.mark.filterwarnings("ignore:flock not supported")
def test_a_disk_without_locks_will_do(server, shared, raw, monkeypatch, answer):
    def fail(*args):
        raise OSError(answer, os.strerror(answer))

    monkeypatch.setattr(fcntl, "flock", fail)
    server.faults["/a.zip"] = Fault(die_after=600_000, times=1)
    assert arrived(raw, fetch_all([wanted(server)], raw))
    assert server.requests[1].status == 206
    assert names(shared / f"sha256-{SHA256}") == ["a.zip"]


# Disk


def test_a_full_disk_is_told_and_the_part_is_continued(server, raw):
    server.content["/a.zip"] = CONTENT * 8
    source = wanted(server, size=None, checksum=None)
    with largest_file(5_000_000):
        refusal(
            source,
            raw,
            f"the disk of {raw / 'a.zip.part'} is full: it needs 8,000,000 bytes",
            "set DDCNN_DATA to a folder on a larger disk",
        )
    assert names(raw) == ["a.zip.part", "a.zip.part.json"]
    fetch_all([source], raw)
    assert (raw / "a.zip").read_bytes() == CONTENT * 8
    assert server.requests[1].headers["Range"] == "bytes=5000000-"


def test_too_little_space_is_told_before_the_transfer(server, raw, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    refusal(wanted(server), raw, "is full: it needs 1,000,000 bytes more (1,000 are free)")


def test_a_disk_too_small_for_the_copy_is_told(shared, tmp_path, raw):
    (tmp_path / "a.zip").write_bytes(CONTENT)
    with largest_file(500_000):
        refusal(
            SourceFile("a.zip", (str(tmp_path / "a.zip"),)),
            raw,
            f"{raw / 'a.zip'} is full: it needs 1,000,000 bytes more",
        )
    assert names(raw) == []


# Progress


def test_the_log_tells_how_far_it_is(server, raw, caplog, monkeypatch):
    monkeypatch.setattr(transfer, "LINE_SECONDS", 0.0)
    with caplog.at_level(logging.INFO, "ddcnn"):
        fetch_all([wanted(server)], raw)
    lines = [line for line in caplog.messages if "of 1.00MB" in line]
    assert len(lines) > 3
    assert lines[-1].startswith("a.zip: 1.00MB of 1.00MB, ")


def test_a_terminal_shows_a_bar(server, raw):
    main, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    process = start_fetch(server.url("/a.zip"), raw, stderr=terminal)
    assert process.wait(30) == 0
    os.close(terminal)
    shown = b""
    with suppress(OSError):  # the end of a terminal whose other side is closed
        while block := os.read(main, 1000):
            shown += block
    os.close(main)
    assert "a.zip: 100%" in shown.decode()


def test_without_a_terminal_there_is_no_bar(server, raw):
    process = start_fetch(server.url("/a.zip"), raw, stderr=subprocess.PIPE)
    assert process.communicate(timeout=30)[1] == ""


def test_importing_the_package_does_not_load_the_http_library():
    code = "import sys, ddcnn.data.download; assert 'requests' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
