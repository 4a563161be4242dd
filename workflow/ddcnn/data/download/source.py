"""What a published file must be, and whether a file on disk is that."""

import hashlib
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

HEAD_BYTES = 4096  # of a file's beginning tell whether it is a web page
PAGE = re.compile(
    rb"(\xef\xbb\xbf)?\s*(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body|title|script|meta)\b",
    re.IGNORECASE | re.DOTALL,
)
TITLE = re.compile(rb"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a]")  # no text holds these


class Unfit(Exception):
    """A file, or what an address gives, is not what was asked for; the message says why."""


class Unreadable(Unfit):
    """A file that cannot be read, so that nobody knows whether it is what was asked for."""


@dataclass(frozen=True)
class SourceFile:
    """One file of a data set and where it comes from.

    Attributes:
        name: its name in the ``raw`` folder.
        urls: mirrors in order: ``http(s)://``, ``file://``, or a local path; a local folder
            stands for the file of this name in it.
        checksum: ``"sha256:..."`` or ``"md5:..."``, or None where nothing is published.
        size: bytes, or None where nothing is published.
        instructions: how a person gets the file where no program can, one step a line.
        in_place: a user's own file or folder, which is named and never copied.
    """

    name: str
    urls: tuple[str, ...]
    checksum: str | None = None
    size: int | None = None
    instructions: str = ""
    in_place: bool = False

    def __post_init__(self) -> None:
        assert self.in_place or self.name == Path(self.name).name, self.name
        lengths = "sha256:[0-9a-f]{64}|md5:[0-9a-f]{32}"
        assert self.checksum is None or re.fullmatch(lengths, self.checksum), self.checksum

    def sha256_of(self, path: Path) -> str:
        """The SHA-256 of ``path``; :class:`Unfit` if that is not this file."""
        try:
            return self._sha256_of(path)
        except OSError as error:
            raise Unreadable(f"it cannot be read ({error.strerror})") from error

    def _sha256_of(self, path: Path) -> str:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
        if not head:
            raise Unfit("it is empty")
        refuse_page(head, self.name)
        if self.size not in (None, path.stat().st_size):
            raise Unfit(f"it has {path.stat().st_size:,} bytes, expected {self.size:,}")
        algorithm, _, expected = (self.checksum or "sha256:").partition(":")
        digest = _digest(path, algorithm)
        if expected not in ("", digest):
            raise Unfit(f"its {algorithm} is {digest}, expected {expected}")
        return digest if algorithm == "sha256" else file_sha256(path)


def refuse_page(head: bytes, name: str, content_type: str = "") -> None:
    """Raise :class:`Unfit` where a file begins as the web page of an error or of a login."""
    # Some servers call every unknown file a page, so its bytes must look like text too.
    said = content_type.lower().startswith(("text/html", "application/xhtml"))
    looks = PAGE.match(head) or (said and not CONTROL.search(head))
    if looks and not name.lower().endswith((".html", ".htm")):
        title = TITLE.search(head)
        text = " ".join(title[1].decode("utf-8", "replace").split()) if title else ""
        titled = f" titled {text[:80]!r}" if text else ""
        raise Unfit(f"it is a web page (HTML){titled}, not the file")


def file_sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    return _digest(Path(path), "sha256")


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:  # machines in FIPS mode allow MD5 for nothing else
        new = partial(hashlib.new, algorithm, usedforsecurity=False)
        return hashlib.file_digest(file, new).hexdigest()
