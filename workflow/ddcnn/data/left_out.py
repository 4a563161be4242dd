"""Images that cannot be used: missing, cut short, or odd. One policy for all of them.

A few are left out, with a warning that counts and names them. More than a tenth are no accident:
the data are not what they seem, which is an error. ``unreadable: error`` bears none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ddcnn.base.errors import InputError
from ddcnn.base.private import without_folders
from ddcnn.base.text import counted

MOST = 0.1  # of all images
MOST_NAMES = 10  # of a kind
UNREADABLE = "unreadable"  # in a way that has no name of its own


@dataclass(frozen=True)
class Unreadable:
    """A file that holds no usable image, why, and in a few words (see :class:`InputError`).

    Or one that only this process cannot read, see :class:`ddcnn.base.errors.Hindrance`.
    """

    name: str
    reason: str
    kind: str = ""
    is_hindered: bool = False


@dataclass
class LeftOut:
    """What was left out, kind by kind: memory does not grow with the number.

    Attributes:
        count: of all kinds together.
        kinds: ``count``, first ``files`` and first ``reason`` of each.
        first: the reason that was met first, with all folders.
    """

    count: int = 0
    kinds: dict[str, dict[str, Any]] = field(default_factory=dict)
    first: str = ""

    def add(self, item: Unreadable) -> None:
        """One more.

        Raises:
            InputError: nobody knows what is in it, because only this process cannot read it.
        """
        if item.is_hindered:
            raise InputError(item.reason)
        self.count += 1
        self.first = self.first or item.reason
        kind = item.kind or UNREADABLE
        known = self.kinds.setdefault(
            kind, {"count": 0, "files": [], "reason": without_folders(item.reason)}
        )
        known["count"] += 1
        if len(known["files"]) < MOST_NAMES:
            known["files"].append(item.name)

    def facts(self) -> dict[str, Any]:
        """``count``, and ``kinds``, for the card."""
        kinds = [{"kind": kind, **known} for kind, known in self.kinds.items()]
        return {"count": self.count, "kinds": kinds}

    def judged(self, usable: int, noun: str, unreadable: str) -> list[str]:
        """The warning about them, if there are any.

        Args:
            usable: number of the others.
            noun: what they are, for example ``volume``.
            unreadable: ``skip`` or ``error``.

        Raises:
            InputError: they are more than a tenth, or none is borne.
        """
        if not self.count:
            return []
        total, verb = usable + self.count, "is" if self.count == 1 else "are"
        number = f"{self.count:,} of {counted(total, noun)}"
        what = "; ".join(left_out_in_words(self.facts()))
        if self.count > MOST * total:
            raise InputError(
                f"{number} cannot be used, more than {MOST:.0%}: {what}; the first: {self.first}"
            )
        if unreadable == "error":
            raise InputError(
                f"{number} cannot be used: {what}; the first: {self.first} (unreadable: skip "
                "leaves such files out)"
            )
        return [f"{number} {verb} left out: {what}"]


def left_out_in_words(left_out: Mapping[str, Any]) -> list[str]:
    """``1 truncated: a.nii``: a line for each kind of :meth:`LeftOut.facts`."""
    return [_kind_left_out(**each) for each in left_out["kinds"]]


def _kind_left_out(kind: str, count: int, files: Sequence[str], reason: str) -> str:
    more = f" and {count - len(files):,} more" if count > len(files) else ""
    why = f" ({'the first: ' if count > 1 else ''}{reason})" if kind == UNREADABLE else ""
    return f"{count:,} {kind}: {', '.join(files)}{more}{why}"
