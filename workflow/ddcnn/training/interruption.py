"""SIGTERM and Ctrl-C end a training after the step in hand, with a checkpoint.

SLURM sends SIGTERM when a job's time is over or its node is wanted, and SIGKILL half a minute later
(``KillWait``). The handler only notes the signal: a step is never broken off in the middle.
"""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGTERM, signal.SIGINT)

_noted: list[signal.Signals] = []


@contextmanager
def noting_signals(wanted: bool = True) -> Iterator[None]:
    """Note SIGTERM and SIGINT instead of dying of them.

    Args:
        wanted: False leaves everything as it is; so do threads, which get no signals, and whoever
            asks while somebody else does.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not wanted or not is_main or signal.getsignal(SIGNALS[0]) is _note:
        yield
        return
    _noted.clear()
    earlier = {each: signal.signal(each, _note) for each in SIGNALS}
    try:
        yield
    finally:
        for each, handler in earlier.items():
            signal.signal(each, handler)


def _note(number: int, frame: FrameType | None) -> None:
    note(number)


def note(number: int) -> None:
    """Take a signal as if it had come to this process, which may not be the one that it hit."""
    _noted.append(signal.Signals(number))


def noted() -> signal.Signals | None:
    """The signal that came, if one did."""
    return _noted[0] if _noted else None


def leave() -> NoReturn:
    """End the process with the status of one that died of the signal: 143 for SIGTERM."""
    sys.exit(128 + _noted[0])
