"""What a log tells of its job: whether it runs, how it ended. The jobs are real processes."""

import gc
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ddcnn.base.logs import NOTICE, importing, log_to, read_log

JOB = """
import logging, sys, time
from ddcnn.base.errors import InputError
from ddcnn.base.logs import log_to
with log_to(sys.argv[1]):
    logging.getLogger("ddcnn.job").info("at work")
    if sys.argv[2] == "wait":
        time.sleep(60)
    if sys.argv[2] == "mistake":
        raise InputError("dropout: 2 is not below 1")
    if sys.argv[2] == "crash":
        raise RuntimeError("no such layer")
"""


def start(log: Path, how: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", JOB, str(log), how], stderr=subprocess.DEVNULL)


def wait_for(log: Path, words: str) -> None:
    deadline = time.monotonic() + 60
    while not (log.exists() and words in log.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_job_that_never_started_has_no_log(tmp_path):
    assert read_log(tmp_path / "job.log") is None


def test_a_running_job_is_alive_until_it_is_killed(tmp_path):
    log = tmp_path / "job.log"
    job = start(log, "wait")
    try:
        wait_for(log, "at work")
        # Looking, and looking twice at a time, changes nothing.
        assert [read_log(log).alive for _ in range(3)] == [True] * 3
        with log.open() as other:
            assert read_log(log).alive
            assert "at work" in other.read()
    finally:
        job.send_signal(signal.SIGKILL)
        job.wait()
    last = read_log(log)
    assert (last.alive, last.failed, last.finished) == (False, False, False)


@pytest.mark.parametrize(
    ("how", "failed", "words"),
    [
        ("work", False, "finished"),
        ("mistake", True, "dropout: 2"),
        ("crash", True, "no such layer"),
    ],
)
def test_the_log_says_how_a_job_ended(tmp_path, how, failed, words):
    log = tmp_path / "job.log"
    start(log, how).wait()
    last = read_log(log)
    assert (last.alive, last.failed, last.finished) == (False, failed, not failed)
    assert words in "\n".join(last.lines)


def test_notices_and_warnings_are_seen_on_the_terminal(tmp_path, capsys):
    with log_to(tmp_path / "job.log"):
        log = logging.getLogger("ddcnn.job")
        log.info("epoch 1")
        log.log(NOTICE, "note: of two sizes")
        log.warning("warning: 2 are white")
    assert capsys.readouterr().err == "note: of two sizes\nwarning: 2 are white\n"
    lines = read_log(tmp_path / "job.log").lines
    assert [line[20:] for line in lines[1:3]] == ["epoch 1", "note: of two sizes"]


def test_only_the_last_try_counts(tmp_path):
    log = tmp_path / "job.log"
    for how in ("mistake", "crash", "work"):
        start(log, how).wait()
    last = read_log(log)
    assert last.finished
    assert "no such layer" not in "\n".join(last.lines)
    assert f"process {os.getpid()}" not in last.lines[0]
    assert "no such layer" in log.read_text()


def test_a_log_without_a_first_line_or_of_broken_text_is_read(tmp_path):
    log = tmp_path / "job.log"
    log.write_bytes(b"2026-11-22 10:00:00 epoch 1/8: loss\n\xff\xfe half a li")
    last = read_log(log)
    assert not last.finished
    assert last.seconds == 0
    log.write_bytes(b"")
    assert read_log(log).lines == []


def test_a_log_is_locked_only_inside_of_its_job(tmp_path):
    with log_to(tmp_path / "job.log"):
        assert read_log(tmp_path / "job.log").alive
    assert read_log(tmp_path / "job.log").finished


def test_garbage_is_collected_again_after_the_imports_even_failed_ones():
    with importing():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ImportError), importing():
        import no_such_module  # noqa: F401
    assert gc.isenabled()


def test_a_line_of_a_log_is_kept_and_hides_nothing(tmp_path, capsys, monkeypatch):
    # pytest's own copy of the line could not be sent between its processes.
    monkeypatch.setattr(logging.getLogger("ddcnn"), "propagate", False)
    with log_to(tmp_path / "job.log"):
        logging.getLogger("ddcnn.job").log(NOTICE, "%s is no image", "a\x1b[2J\udcff\u202e")
    said, shown = (
        (tmp_path / "job.log").read_text(encoding="utf-8"),
        "a\\x1b[2J\\xff\\u202e is no image",
    )
    assert shown in said
    assert capsys.readouterr().err == f"{shown}\n"
