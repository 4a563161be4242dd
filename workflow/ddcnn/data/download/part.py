"""What has arrived of a file: its bytes, and which version of which address they belong to."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ddcnn.base.errors import InputError
from ddcnn.base.files import read_json, write_json


@dataclass(frozen=True)
class Version:
    """A version of a file on a server.

    Attributes:
        validator: its strong ETag or its date of modification, for ``If-Range``.
        total: bytes.
    """

    validator: str
    total: int


@dataclass(frozen=True)
class Part:
    """The file ``path`` (``NAME.part``), with ``NAME.part.json`` beside it."""

    path: Path

    @property
    def arrived(self) -> int:
        """Bytes that are there."""
        return self.path.stat().st_size if self.path.exists() else 0

    def version(self, url: str) -> Version | None:
        """Which version of ``url`` the bytes belong to; None: they cannot be continued."""
        try:
            note = read_json(self._note)
            known = Version(str(note["validator"]), int(note["total"]))
        except (FileNotFoundError, InputError, KeyError, TypeError, ValueError):
            return None
        return known if note["url"] == _digest(url) and self.path.exists() else None

    def begin(self, url: str, version: Version | None) -> None:
        """Start anew: drop what is there and note what the next bytes belong to."""
        self.forget()
        if version:
            note = {"url": _digest(url), "validator": version.validator, "total": version.total}
            write_json(self._note, note)

    def forget(self) -> None:
        """Remove what has arrived."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    @property
    def _note(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")


def _digest(url: str) -> str:
    """Stands for an address that may hold a key."""
    return hashlib.sha256(url.encode()).hexdigest()
