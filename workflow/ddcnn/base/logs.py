"""What a job says: lines in its log file, and one clear line for a user's mistake.

A job holds a lock on its log as long as it lives; the kernel gives it back on whatever death. So
:func:`read_log` can tell a job that runs from one that died without a word.
"""

import faulthandler
import fcntl
import gc
import logging
import os
import socket
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NoReturn

from ddcnn.base import events
from ddcnn.base.disk import disk_errors
from ddcnn.base.errors import DamagedResult, InputError
from ddcnn.base.escaping import Terminal, visible_lines
from ddcnn.base.reading import in_one_line
from ddcnn.base.recovery import put_aside, was_put_aside

DATE = "%Y-%m-%d %H:%M:%S"
STARTED = "started on"  # begins the first line of every try
FINISHED = "finished"  # the last line of a try that did its work
WAITING = "waiting: "  # begins a line of a job that can do nothing before the next one
NOTICE = logging.INFO + 5  # level of what a person should see although nothing is wrong
MOST_READ = 2**24  # bytes of a log, its last ones
LOCK_SECONDS = 1.0  # to wait for somebody who looks whether the lock is held


class LogFile(logging.FileHandler):
    """A log that a full disk does not bring to print a traceback for every line."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Go on without the line."""


class LogFormatter(logging.Formatter):
    """Lines with their time, in which nothing is hidden."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        return visible_lines(super().format(record))


@contextmanager
def job(log_file: str | Path) -> Iterator[None]:
    """The work of a script: a log as by :func:`log_to`, and then the end of the process.

    The process leaves without taking down the interpreter, for which one that has imported torch
    needs about as long as for half of that import; whatever is written is in its file by then.
    """
    with log_to(log_file):
        yield
    for stream in filter(None, (sys.stdout, sys.stderr)):
        with suppress(OSError):  # full or closed: the work is done all the same
            stream.flush()
    os._exit(0)


@contextmanager
def importing() -> Iterator[None]:
    """A job's imports, without the search for garbage among what lives as long as the process.

    Modules are a million objects; searched again and again while their number grows, they make an
    import of torch an eighth longer.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def log_to(path: str | Path) -> Iterator[None]:
    """Send the package's messages to ``path``, after those of earlier tries.

    What a job imports belongs inside, so that a failing import is in the log, too. An
    :class:`InputError` ends the process with status 1 and one line; any other error leaves
    its traceback in the log too. A damaged result is put aside for the next run.
    """
    try:
        with disk_errors(Path(path)):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            handler = LogFile(path, encoding="utf-8")
    except InputError as error:
        sys.exit(f"error: {error}")
    handler.setFormatter(LogFormatter("%(asctime)s %(message)s", DATE))
    # Notices and warnings are for the person before the terminal, too; errors end the job there.
    terminal = logging.StreamHandler(Terminal(sys.stderr))
    terminal.addFilter(lambda record: NOTICE <= record.levelno <= logging.WARNING)
    logger = logging.getLogger("ddcnn")
    logger.addHandler(handler)
    logger.addHandler(terminal)
    watcher = events.handler_for(Path(path))
    if watcher:
        logger.addHandler(watcher)
    logger.setLevel(logging.INFO)
    _hold(handler)
    # What ends the process without Python, as C++ does where the memory ends, leaves a word, too.
    watched = faulthandler.is_enabled()
    if not watched:
        faulthandler.enable(handler.stream)
    logger.info("%s %s, process %d", STARTED, socket.gethostname(), os.getpid())
    try:
        yield
        logger.info(FINISHED)
    except InputError as error:
        _end(logger, put_aside(error) if isinstance(error, DamagedResult) else str(error))
    except FileNotFoundError as error:
        if not was_put_aside(error):
            logger.error("%s", traceback.format_exc())
            raise
        _end(logger, f"{error.filename} is damaged and put aside; run the same command again")
    except Exception as error:
        logger.error("%s", traceback.format_exc())
        if said := in_one_line(error):
            _end(logger, said)
        raise
    finally:
        if not watched:
            faulthandler.disable()
        logger.removeHandler(terminal)
        logger.removeHandler(handler)
        handler.close()
        if watcher:
            logger.removeHandler(watcher)
            watcher.close()


def _end(logger: logging.Logger, message: str) -> NoReturn:
    logger.error("error: %s", message)
    print(f"error: {message}", file=Terminal(sys.stderr), flush=True)
    sys.exit(1)


def _hold(handler: logging.FileHandler) -> None:
    """Lock the log for the life of the process, where its file system has locks."""
    deadline = time.monotonic() + LOCK_SECONDS
    while time.monotonic() < deadline:
        try:
            fcntl.flock(handler.stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.02)
        except OSError:
            return
        else:
            return


@dataclass(frozen=True)
class LastTry:
    """What a log says of the last time its job was started.

    Attributes:
        lines: from the line ``started on`` on.
        alive: whether its process lives.
        failed: whether it ended with an error that it could write down.
        finished: whether it did its work.
        seconds: from its start to its last line, or to now while it is alive.
        waited: seconds of these for a device or a compiler.
    """

    lines: list[str]
    alive: bool
    failed: bool
    finished: bool
    seconds: float
    waited: float = 0.0

    @property
    def waits(self) -> bool:
        """Whether it waits at this moment."""
        return self.alive and bool(self.lines) and self.lines[-1][20:].startswith(WAITING)


def read_log(path: str | Path) -> LastTry | None:
    """The last try of a job; None where it was never started."""
    path = Path(path)
    try:
        if not path.is_file():  # to open a pipe waits for ever
            return None
        with path.open("rb") as file:
            alive = is_held(file.fileno())
            file.seek(max(0, path.stat().st_size - MOST_READ))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return None
    messages = [line[20:] if time_of(line) else "" for line in lines]
    starts = [i for i, message in enumerate(messages) if message.startswith(STARTED)]
    first = starts[-1] if starts else 0
    failed = any(
        message.startswith(("error: ", "Traceback (most recent")) for message in messages[first:]
    )
    finished = not alive and messages[-1:] == [FINISHED]
    lines = lines[first:]
    seconds, waited = _seconds(lines, alive), _waited(lines, alive)
    return LastTry(lines, alive, failed and not alive, finished, seconds, waited)


def is_held(descriptor: int) -> bool:
    """Whether a process holds the lock of :func:`log_to` on this open file."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no locks here: nothing is known, and nothing is claimed
        return False
    return False


def time_of(line: str) -> datetime | None:
    """When a line was written; None for a line that goes on from the one before."""
    try:
        return datetime.strptime(line[:19], DATE)
    except ValueError:
        return None


def _waited(lines: list[str], alive: bool) -> float:
    """Seconds between lines that say what is waited for and the next line, or now."""
    spans = [
        [line, *lines[place + 1 :][:1]]
        for place, line in enumerate(lines)
        if line[20:].startswith(WAITING)
    ]
    return sum(_seconds(span, alive and len(span) == 1) for span in spans)


def _seconds(lines: list[str], alive: bool) -> float:
    times = [moment for line in lines if (moment := time_of(line))]
    if not times:
        return 0.0
    end = datetime.now() if alive else times[-1]
    return max(0.0, (end - times[0]).total_seconds())
