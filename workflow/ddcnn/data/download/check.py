"""What a published file must be, and whether a file on disk is that."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

HEAD_BYTES = 4096  # of a file's beginning tell whether it is a web page
BLOCK_BYTES = 2**20
PAGE = re.compile(
    rb"(\xef\xbb\xbf)?\s*(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body|title|script|meta)\b",
    re.IGNORECASE | re.DOTALL,
)
TITLE = re.compile(rb"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a]")  # no text holds these


class Unfit(Exception):
    """A file is not the one that was asked for; the message says why."""


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

    @property
    def expected(self) -> str:
        """Size and checksum in words, as far as they are known."""
        size = "" if self.size is None else f"{self.size:,} bytes"
        return ", ".join(filter(None, [size, self.checksum or ""]))


def check(path: Path, source: SourceFile) -> str:
    """Make sure that ``path`` holds what ``source`` promises.

    Returns:
        The file's SHA-256.

    Raises:
        Unfit: a file that may not be read, an empty one, a web page, another size or checksum.
    """
    try:
        return _check(path, source)
    except PermissionError as error:
        raise Unfit(f"it may not be read ({error.strerror})") from error


def _check(path: Path, source: SourceFile) -> str:
    if not path.stat().st_size:
        raise Unfit("it is empty")
    with path.open("rb") as file:
        refuse_page(file.read(HEAD_BYTES), source.name)
    if source.size not in (None, path.stat().st_size):
        raise Unfit(f"it has {path.stat().st_size:,} bytes, expected {source.size:,}")
    algorithm, _, expected = (source.checksum or "sha256:").partition(":")
    digests = _digests(path, {"sha256", algorithm})
    if expected and digests[algorithm] != expected:
        raise Unfit(f"its {algorithm} is {digests[algorithm]}, expected {expected}")
    return digests["sha256"]


def refuse_page(head: bytes, name: str, content_type: str = "") -> None:
    """Raise :class:`Unfit` where a file begins as the web page of an error or of a login."""
    if Path(name).suffix.lower() in (".html", ".htm"):
        return
    # Some servers call every unknown file a page, so its bytes must look like text too.
    said = content_type.lower().startswith(("text/html", "application/xhtml"))
    if PAGE.match(head) or (said and not CONTROL.search(head)):
        title = TITLE.search(head)
        text = title[1].decode("utf-8", "replace") if title else ""
        titled = f" titled {' '.join(text.split())[:80]!r}" if text.strip() else ""
        raise Unfit(f"it is a web page (HTML){titled}, not the file")


def file_sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    return _digests(Path(path), {"sha256"})["sha256"]


def _digests(path: Path, algorithms: set[str]) -> dict[str, str]:
    """Several digests of a file in one reading."""
    digests = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            for digest in digests.values():
                digest.update(block)
    return {name: digest.hexdigest() for name, digest in digests.items()}
