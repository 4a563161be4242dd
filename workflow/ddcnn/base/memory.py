"""How much memory a process may still take."""

import resource

import psutil


def memory_left() -> int:
    """Bytes that this process may still take, by the machine and by its limit (``ulimit -v``)."""
    left = psutil.virtual_memory().available
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return left
    return max(0, min(left, limit - psutil.Process().memory_info().vms))
