"""How much memory a process may still take."""

import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from ddcnn.base.errors import InputError
from ddcnn.base.text import size

GROUPS, GROUPS_OF_PROCESS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
# The files of a control group that say its limit and what it has taken, of version 2 and of
# version 1, and the words in its memory.stat for what the kernel gives back on demand.
FILES = {
    "": ("memory.max", "memory.current", ("active_file", "inactive_file")),
    "memory": (
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        ("total_active_file", "total_inactive_file"),
    ),
}


def memory_left() -> int:
    """Bytes that this process may still take.

    By the machine, by its limit (``ulimit -v``), and by the control groups (cgroups) that it is in,
    as containers and jobs of SLURM are.
    """
    return max(0, min(_left_by_limit(), _left_on_machine(), *left_in_groups()))


def _left_on_machine() -> int:
    try:
        return psutil.virtual_memory().available
    except OSError:  # no file can be opened: who reads the next one says so
        return sys.maxsize


def _left_by_limit() -> int:
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return sys.maxsize
    return limit - psutil.Process().memory_info().vms


def left_in_groups(groups: Path = GROUPS, of_process: Path = GROUPS_OF_PROCESS) -> list[int]:
    """Bytes that each control group with a limit may still take; of a group in another, both.

    Args:
        groups: where the kernel shows them.
        of_process: the file in which it names those of a process.
    """
    try:
        lines = of_process.read_text().splitlines()
    except OSError:
        return []
    found = []
    for _, controllers, path in (line.split(":", 2) for line in lines if line.count(":") > 1):
        if controllers in FILES:  # those of version 2 have no name
            top = groups / controllers
            # In a container the path may be that of its host, of which it sees its own part as top.
            group = top / path.strip("/")
            folders = [f for f in (group, *group.parents) if f.is_relative_to(top)]
            found += [left for folder in folders for left in _left_in(folder, *FILES[controllers])]
    return found


def _left_in(folder: Path, limit: str, taken: str, reclaimed: tuple[str, ...]) -> Iterator[int]:
    """One number, or none where there is no limit or no such group."""
    try:
        most, used = (int((folder / name).read_text()) for name in (limit, taken))
        lines = (folder / "memory.stat").read_text().splitlines()
    except (OSError, ValueError):  # "max" is no limit
        return
    facts = dict(line.split(maxsplit=1) for line in lines if " " in line)
    yield most - used + sum(int(facts.get(word, 0)) for word in reclaimed)


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
