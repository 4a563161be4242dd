"""What a job says: lines in its log file, and one clear line for a user's mistake."""

import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from ddcnn.disk import disk_errors
from ddcnn.errors import DamagedResult, InputError
from ddcnn.recovery import put_aside, was_put_aside


class LogFile(logging.FileHandler):
    """A log that a full disk does not bring to print a traceback for every line."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Go on without the line."""


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
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    # Warnings are for the person before the terminal, too.
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setLevel(logging.WARNING)
    terminal.addFilter(lambda record: record.levelno == logging.WARNING)
    logger = logging.getLogger("ddcnn")
    logger.addHandler(handler)
    logger.addHandler(terminal)
    logger.setLevel(logging.INFO)
    try:
        yield
    except InputError as error:
        _end(logger, put_aside(error) if isinstance(error, DamagedResult) else str(error))
    except FileNotFoundError as error:
        if not was_put_aside(error):
            logger.error("%s", traceback.format_exc())
            raise
        _end(logger, f"{error.filename} is damaged and put aside; run the same command again")
    except Exception:
        logger.error("%s", traceback.format_exc())
        raise
    finally:
        logger.removeHandler(terminal)
        logger.removeHandler(handler)
        handler.close()


def _end(logger: logging.Logger, message: str) -> NoReturn:
    logger.error("error: %s", message)
    print(f"error: {message}", file=sys.stderr, flush=True)
    sys.exit(1)
