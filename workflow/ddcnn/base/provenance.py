"""Where a result comes from: versions, hardware, commit."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
PACKAGES_NAMED = ("torch", "numpy", "snakemake")


def versions() -> dict[str, str]:
    """Versions of Python, of this package and of the packages that shape the numbers."""
    from ddcnn import __version__

    installed = {"python": platform.python_version(), "ddcnn": __version__}
    for name in PACKAGES_NAMED:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed


def hardware() -> dict[str, str | int]:
    """Processor, cores, memory and operating system of this machine."""
    return {
        "processor": _processor_name(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_gib": round(_memory_bytes() / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _processor_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 0


def git_commit() -> str | None:
    """Commit of the checkout, ``-dirty`` with uncommitted changes; None outside of git.

    An installed package may lie in a repository of somebody else, which does not hold it.
    """
    try:
        _git("ls-files", "--error-unmatch", "__init__.py")
        return _git("describe", "--always", "--dirty", "--abbrev=12")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=PACKAGE, capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout.strip()
