"""Where a result comes from: digest of the code behind it, versions, hardware, commit."""

import ast
import hashlib
import os
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

PACKAGE = Path(__file__).parent
PACKAGES_NAMED = ("torch", "numpy", "snakemake")


def code_digest(*modules: str) -> str:
    """Digest of modules of this package, of all package modules they import, and of the style
    sheets and templates beside these.

    Snakemake re-runs a rule when its script changes, but not when a module does that the script
    imports. Rules pass this digest as a parameter, so that an edit re-runs what stands on it.

    Args:
        modules: names inside the package, for example ``"coarse"`` or ``"models.vgg"``.
    """
    for name in modules:
        if _module_file(f"ddcnn.{name}") is None:
            raise ValueError(f"{name} is not a module of this package")
    digest = hashlib.sha256()
    for path in sorted(_imported_files(modules)):
        digest.update(path.relative_to(PACKAGE).as_posix().encode())
        digest.update(path.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()[:16]


def _imported_files(modules: tuple[str, ...]) -> set[Path]:
    seen: set[Path] = set()
    waiting = [f"ddcnn.{name}" for name in modules]
    while waiting:
        path = _module_file(waiting.pop())
        if path is not None and path not in seen:
            seen.add(path)
            seen |= {file for file in path.parent.iterdir() if file.suffix in (".css", ".jinja")}
            waiting += _package_imports(path)
    return seen


@cache
def _package_imports(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            # "from ddcnn.models import vgg" names a module or an attribute: try both.
            names += [node.module] + [f"{node.module}.{alias.name}" for alias in node.names]
    return [name for name in names if name.startswith("ddcnn.")]


def _module_file(name: str) -> Path | None:
    base = PACKAGE.joinpath(*name.split(".")[1:])
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


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
    """Commit of the checkout, ``-dirty`` with uncommitted changes; None outside of git."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=PACKAGE,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip()
