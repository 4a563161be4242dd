"""How much memory a process may still take."""

import resource

import psutil

from ddcnn.base.errors import InputError
from ddcnn.base.text import size


def memory_left() -> int:
    """Bytes that this process may still take, by the machine and by its limit (``ulimit -v``)."""
    left = psutil.virtual_memory().available
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return left
    return max(0, min(left, limit - psutil.Process().memory_info().vms))


def require_memory(what: str, needed: int, advice: str) -> None:
    """Refuse what the memory does not take, before any of it is taken.

    Args:
        what: the subject of the message.
        needed: bytes, at least.
        advice: what to do about it.

    Raises:
        InputError: less is left.
    """
    left = memory_left()
    if needed > left:
        raise InputError(f"{what} needs {size(needed)} of memory, {size(left)} are left; {advice}")
