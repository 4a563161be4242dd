"""What jobs write to the terminal by themselves: notes, warnings, and Python's last words."""

import os
import tempfile

# Snakemake's report of a job of ours that failed; the log says more.
OF_SNAKEMAKE = ("RuleException:", "CalledProcessError in file", "Command 'set -euo pipefail;")
OF_THE_LOG = "error: "  # of ddcnn.base.logs: stands in the log, too, and is shown at the end
TRACEBACK = "Traceback (most recent call last):"


class Overheard:
    """Jobs inherit the standard error of Snakemake: from now on it is a file without a name.

    A pipe would break under jobs that outlive Snakemake, and their lines would tear the screen.

    Attributes:
        terminal: where standard error led before.
        traceback: the last one.
    """

    def __init__(self) -> None:
        self.terminal = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace")
        self.file = tempfile.TemporaryFile()  # noqa: SIM115
        self.traceback: list[str] = []
        self.position, self.in_traceback, self.rest = 0, False, b""
        os.dup2(self.file.fileno(), 2)

    def lines(self) -> list[str]:
        """What was written since the last look and is worth showing, whole lines only."""
        new = os.pread(self.file.fileno(), 1 << 20, self.position)
        self.position += len(new)
        *lines, self.rest = (self.rest + new).split(b"\n")
        texts = [line.decode(errors="replace").rstrip() for line in lines]
        return [text for text in texts if self._is_worth_it(text)]

    def _is_worth_it(self, line: str) -> bool:
        if line == TRACEBACK:
            self.traceback, self.in_traceback = [line], True
            return False
        if self.in_traceback:
            self.traceback.append(line)
            self.in_traceback = not line or line[0] == " "  # the line of the error is the last one
            return False
        return bool(line) and not line.startswith((*OF_SNAKEMAKE, OF_THE_LOG))

    def close(self) -> None:
        """Give standard error back."""
        os.dup2(self.terminal.fileno(), 2)
