"""How far a transfer is: a bar on a terminal, and now and then a line in the log."""

import logging
import time
from types import TracebackType

from tqdm import tqdm

log = logging.getLogger(__name__)

LINE_SECONDS = 10.0
LINE_SHARE = 0.1  # of the whole, where that takes less than LINE_SECONDS
LEAST_SECONDS = 1.0  # between two lines


class Progress:
    """Counts the bytes of one file.

    Args:
        name: the file.
        total: its bytes, or None if the server does not say.
        start: bytes that were there before.
    """

    def __init__(self, name: str, total: int | None, start: int = 0) -> None:
        self.name, self.total, self.start, self.done = name, total, start, start
        self.began = self.said_at = time.monotonic()
        self.said = start
        # disable=None: no bar where nobody watches.
        self.bar = tqdm(
            desc=name, total=total, initial=start, unit="B", unit_scale=True, disable=None
        )

    def add(self, count: int) -> None:
        """Note that ``count`` more bytes have arrived."""
        self.done += count
        self.bar.update(count)
        if self._due():
            log.info("%s: %s", self.name, self)
            self.said, self.said_at = self.done, time.monotonic()

    def _due(self) -> bool:
        waited = time.monotonic() - self.said_at
        much = self.total is not None and self.done - self.said >= LINE_SHARE * self.total
        return waited >= LINE_SECONDS or (much and waited >= LEAST_SECONDS)

    def __str__(self) -> str:
        rate = (self.done - self.start) / max(time.monotonic() - self.began, 1e-3) / 1e6
        if not self.total:
            return f"{self.done:,} bytes, {rate:.1f} MB/s"
        share = f"{self.done / self.total:.0%}"
        return f"{self.done:,} of {self.total:,} bytes ({share}), {rate:.1f} MB/s"

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.bar.close()
        if error is None:
            log.info("%s: %s", self.name, self)
