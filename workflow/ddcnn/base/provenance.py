"""Where a result comes from: digest of the code behind it, versions, hardware, commit."""

import ast
import hashlib
import importlib.util
import os
import platform
import subprocess
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
PACKAGES_NAMED = ("torch", "numpy", "snakemake")
INSTALLED = ("site-packages", "dist-packages")
BESIDE = (".css", ".jinja", ".js", ".cpp", ".h")
ANY = "*"  # the root of modules that are in no package named in the roots


def code_digest(*modules: str, outside: tuple[str, Path] | None = None) -> str:
    """Digest of modules of this package, of all package modules they import, and of the style
    sheets, templates, scripts of pages and C++ sources beside these.

    Snakemake re-runs a rule when its script changes, but not when a module does that the script
    imports. Rules pass this digest as a parameter, so that an edit re-runs what stands on it.

    Args:
        modules: names inside the package, for example ``"coarse"`` or ``"nets.vgg"``.
        outside: a module of the user and the folder from which it is imported; what it imports
            from this folder or from this package counts, too.
    """
    names = [f"ddcnn.{name}" for name in modules]
    roots = {"ddcnn": PACKAGE.parent}
    if outside:
        names, user_folder = [*names, outside[0]], outside[1]
        # Beside an installed module lie all other ones: only its own package is the user's.
        key = outside[0].partition(".")[0] if user_folder.name in INSTALLED else ANY
        roots[key] = user_folder
    for name in names:
        if _module_file(name, roots) is None:
            raise ValueError(f"{name} is not a module of this package")
    digest = hashlib.sha256()
    files = _imported_files(names, roots)
    for path in sorted(files, key=files.__getitem__):
        digest.update(files[path].encode())
        digest.update(path.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()[:16]


def _imported_files(names: list[str], roots: dict[str, Path]) -> dict[Path, str]:
    """Files by path, with their paths below the folder they are imported from."""
    seen: dict[Path, str] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        path = _module_file(name, roots)
        if path is not None and path not in seen:
            root = _root(name, roots)
            beside = [file for file in path.parent.iterdir() if file.suffix in BESIDE]
            seen |= {file: file.relative_to(root).as_posix() for file in (path, *beside)}
            waiting += _imports(path, name if path.name == "__init__.py" else _parent(name))
            # Importing a.b runs a first; this package's own __init__.py holds its version only.
            waiting += [_parent(name)] if _parent(name) else []
    return seen


@cache
def _imports(path: Path, package: str) -> list[str]:
    """Names of modules that the file of a package may import, some of them of attributes."""
    names = []
    for node in _statements(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                module = importlib.util.resolve_name("." * node.level + module, package)
            # "from ddcnn.nets import vgg" names a module or an attribute: try both.
            names += [module] + [f"{module}.{alias.name}" for alias in node.names]
    return names


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """All statements below a node; expressions, which hold none, take most of the time to walk."""
    for part in ("body", "orelse", "finalbody", "handlers", "cases"):
        inner = getattr(node, part, ())
        for statement in inner if isinstance(inner, list) else ():
            yield statement
            yield from _statements(statement)


def _parent(name: str) -> str:
    return name.rpartition(".")[0]


def _root(name: str, roots: dict[str, Path]) -> Path | None:
    return roots.get(name.partition(".")[0], roots.get(ANY))


def _module_file(name: str, roots: dict[str, Path]) -> Path | None:
    root = _root(name, roots)
    if root is None or name == "ddcnn":
        return None
    base = root.joinpath(*name.split("."))
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
