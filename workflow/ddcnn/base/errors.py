"""The exceptions for everything a user can put right."""

from pathlib import Path

from ddcnn.base.escaping import visible_lines


class InputError(ValueError):
    """Bad input: says what is wrong, the value, what is accepted and what to do.

    The workflow and the command line print its message as one line, without a traceback.

    Args:
        message: the line; what a terminal would obey in it is written out.
        kind: of an unusable file, the few words that lists of such files stand under, for example
            ``truncated``; empty: nobody needs to tell it from others.
    """

    def __init__(self, message: str, kind: str = "") -> None:
        super().__init__(visible_lines(message))
        self.kind = kind


class Hindrance(InputError):
    """What keeps this process from a file although nothing is known to be wrong with the file.

    Rights, the disk, open files or memory: whoever leaves broken files out must not leave this one
    out, or other machines would make something else of the same data.
    """


class DamagedResult(InputError):
    """A file that this pipeline wrote is not what it wrote.

    Args:
        path: the file.
        reason: how that shows.
        stands_for: the file whose absence makes Snakemake write ``path`` again, if it is not
            ``path`` itself: a shard is no declared output, its ``plan.json`` is.
    """

    def __init__(self, path: str | Path, reason: object, stands_for: str | Path | None = None):
        self.path = Path(path)
        self.stands_for = self.path if stands_for is None else Path(stands_for)
        self.problem = f"{self.path} is damaged ({' '.join(str(reason).split())})"
        self._given = path, reason, stands_for
        super().__init__(f"{self.problem}; delete {self.stands_for} and run again")

    def __reduce__(self) -> tuple:
        """From one process to another: what was given, not the message alone."""
        return type(self), self._given
