"""Where a run is followed: a file gets lines, a terminal a live screen below its lines."""

import os
from collections.abc import Sequence
from typing import TextIO

LEAST = 20  # characters of a job's place that are shown behind its rule


class Lines:
    """Lines only."""

    is_live = False

    def __init__(self, stream: TextIO, nocolor: bool) -> None:
        self.stream = stream

    def say(self, text: str, style: str) -> None:
        """A line."""
        self.stream.write(f"{text}\n")
        self.stream.flush()

    def close(self) -> None:
        """Nothing to leave."""


class Screen:
    """Lines that stay, and below them a bar, what is left to do and the table of running jobs."""

    is_live = True

    def __init__(self, stream: TextIO, nocolor: bool) -> None:
        from rich.console import Console
        from rich.live import Live

        self.stream = stream
        self.console = Console(
            file=stream, force_terminal=True, no_color=nocolor or None, highlight=False
        )
        self.live = Live(
            console=self.console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._fit()
        self.live.start()

    def _fit(self) -> None:
        """The size of this terminal: rich would ask standard error, which is a file meanwhile."""
        self.console.size = os.get_terminal_size(self.stream.fileno())

    def say(self, text: str, style: str) -> None:
        """A line above the bar."""
        from rich.text import Text

        self.console.print(Text(text, style=style), soft_wrap=True)

    def show(self, done: int, total: int, lines: Sequence[str]) -> None:
        """Renew what is below the lines; what does not fit in width or height is cut."""
        from rich.console import Group
        from rich.padding import Padding
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        self._fit()
        head, *table = lines[: max(1, self.console.height - 3)]
        bar = Padding(ProgressBar(total, done), 0)  # which alone has no end of line
        width = self.console.width - 3  # room for the ^C that a terminal writes
        rows = [Text(shortened(line, width)) for line in table]
        self.live.update(Group(bar, Text(head), *rows), refresh=True)

    def close(self) -> None:
        """Remove the bar and what is below it; lines may follow."""
        self.is_live = False
        self.live.stop()


def shortened(line: str, width: int) -> str:
    """Without its middle: a row begins with its numbers and its rule, and ends with its tile."""
    if len(line) <= width:
        return line
    kept = line.find(" ", line.rfind("  ") + 2) + 1  # behind the rule
    if not 0 < kept <= width - LEAST:
        kept = width // 2
    return f"{line[:kept]}…{line[kept + 1 - width :]}"
