"""Which names of classes, targets and files are taken in; :mod:`ddcnn.base.escaping` shows them."""

from ddcnn.base.errors import InputError
from ddcnn.base.escaping import HIDDEN

MOST_SHOWN = 80  # characters of a refused name


def check_name(name: str, source: object, advice: str = "rename it") -> str:
    """The name, if every character of it can be shown.

    Args:
        name: of a class, a target or a file.
        source: what it stands in and what it names, for the message.
        advice: what to do about it.

    Raises:
        InputError: it has control characters, ends of lines, marks of direction, or no UTF-8.
    """
    if HIDDEN.search(name):
        raise InputError(
            f"{source} {name[:MOST_SHOWN]!r} has control characters, marks of direction or bytes "
            f"that are no UTF-8; {advice}"
        )
    return name
