"""Digest of the code that a result's numbers depend on, so that an edit repeats what stands on it.

Snakemake judges the script of a rule by the time of its file, which a clone, a checkout or a copy
changes, and knows nothing of the modules that the script imports. Rules pass this digest as a
parameter instead. It holds what the code does: comments, docstrings, layout and messages do not
count, and neither do the modules that only carry a result.

Every start of Snakemake asks for it. What was understood of a file is kept by its content, as
Python keeps compiled modules: parsing all again was a quarter of a dry run's time.
"""

import ast
import hashlib
import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[1]
SCRIPTS = PACKAGE.parent / "scripts"
INSTALLED = ("site-packages", "dist-packages")
BESIDE = (".css", ".jinja", ".js", ".yaml", ".cpp", ".h")
KEPT = PACKAGE / "__pycache__" / "digests.json"
MOST_KEPT = 2000  # files understood; the package has some 150, and each edit makes one more
ANY = "*"  # the root of modules that are in no package named in the roots

# They watch, guard and move what is computed, and shape none of it.
CARRIERS = frozenset(
    f"ddcnn.{name}"
    for name in (
        "base.digests",
        "base.disk",
        "base.errors",
        "base.escaping",
        "base.events",
        "base.foreign",
        "base.logs",
        "base.memory",
        "base.names",
        "base.process",
        "base.provenance",
        "base.reading",
        "base.recovery",
        "base.text",
        "tiles.packs",
        "tiles.staging",
        "training.interruption",
        "training.slots",
    )
)
# Left out of a syntax tree: what differs between versions of Python, or says nothing to it.
UNSAID = ("ctx", "kind", "type_comment", "returns", "annotation")


def code_digest(*modules: str, script: str = "", outside: tuple[str, Path] | None = None) -> str:
    """Digest of modules of this package, of all package modules they import, and of the style
    sheets, templates, scripts of pages and C++ sources beside these.

    Args:
        modules: names inside the package, for example ``"coarse.stage"`` or ``"nets.vgg"``.
        script: of the workflow, without what it imports, for example ``"train_coarse"``.
        outside: a module of the user and the folder from which it is imported; what it imports
            from this folder or from this package counts, too.

    Raises:
        ValueError: a name that is no module.
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
    known = len(_kept())
    files = _imported_files(names, roots)
    if script:
        files[SCRIPTS / f"{script}.py"] = f"scripts/{script}.py"
    for path in sorted(files, key=files.__getitem__):
        digest.update(files[path].encode())
        is_ours = PACKAGE in path.parents or path.parent == SCRIPTS
        digest.update(_file_digest(path.read_bytes(), path.suffix, is_ours))
    if len(_kept()) > known and not sys.dont_write_bytecode:
        _keep()
    return digest.hexdigest()[:16]


def _imported_files(names: list[str], roots: dict[str, Path]) -> dict[Path, str]:
    """Files by path, with their paths below the folder they are imported from."""
    seen: dict[Path, str] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        path = _module_file(name, roots)
        if path is not None and path not in seen and name not in CARRIERS:
            root = _root(name, roots)
            beside = [file for file in path.parent.iterdir() if file.suffix in BESIDE]
            seen |= {file: file.relative_to(root).as_posix() for file in (path, *beside)}
            package = name if path.name == "__init__.py" else _parent(name)
            waiting += _imports(path.read_bytes(), package)
            # Importing a.b runs a first; this package's own __init__.py holds its version only.
            waiting += [_parent(name)] if _parent(name) else []
    return seen


@cache
def _kept() -> dict[str, Any]:
    """What is known of files, by what they hold and who asks; empty where nothing was kept."""
    with suppress(OSError, ValueError):
        kept = json.loads(KEPT.read_text(encoding="utf-8"))
        if isinstance(kept, dict):
            return kept
    return {}


def _keep() -> None:
    """Keep what is known, where the package's folder may be written; the newest writer wins."""
    newest = dict(list(_kept().items())[-MOST_KEPT:])
    aside = KEPT.with_suffix(f".{os.getpid()}")
    with suppress(OSError):
        KEPT.parent.mkdir(exist_ok=True)
        aside.write_text(json.dumps(newest), encoding="utf-8")
        os.replace(aside, KEPT)


@cache
def _reader() -> bytes:
    """Who reads: another version of this module or of Python may understand a file otherwise."""
    return hashlib.sha256(Path(__file__).read_bytes() + sys.version.encode()).digest()


def _key(what: str, source: bytes) -> str:
    return hashlib.sha256(b"\0".join((_reader(), what.encode(), source))).hexdigest()


def _imports(source: bytes, package: str) -> list[str]:
    """Names of modules that a file of a package may import, some of them of attributes."""
    key = _key(f"imports {package}", source)
    if key not in _kept():
        _kept()[key] = _read_imports(source, package)
    return _kept()[key]


def _read_imports(source: bytes, package: str) -> list[str]:
    names = []
    for node in _statements(_tree(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                module = importlib.util.resolve_name("." * node.level + module, package)
            # "from ddcnn.nets import vgg" names a module or an attribute: try both.
            names += [module] + [f"{module}.{alias.name}" for alias in node.names]
    return names


@cache
def _tree(source: bytes) -> ast.Module:
    return ast.parse(source)


def _file_digest(content: bytes, suffix: str, is_ours: bool) -> bytes:
    """Digest of what a Python file does, or of the text of another one.

    Args:
        is_ours: messages of this package's own code do not count. What a user's code calls a log
            nobody knows.
    """
    if suffix != ".py":
        return hashlib.sha256(content.replace(b"\r\n", b"\n")).digest()
    key = _key(f"meaning {is_ours}", content)
    if key not in _kept():
        meaning = repr(_meaning(_tree(content), is_ours)).encode()
        _kept()[key] = hashlib.sha256(meaning.replace(b"\r\n", b"\n")).hexdigest()
    return bytes.fromhex(_kept()[key])


def _meaning(node: Any, is_ours: bool) -> Any:
    """A syntax tree as nested tuples, equal for code that does the same in any Python version."""
    if isinstance(node, list):
        return [_meaning(each, is_ours) for each in node if not _says_nothing(each, is_ours)]
    if not isinstance(node, ast.AST):
        return node
    if is_ours and isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        return "raise", _meaning(node.exc.func, is_ours)
    fields = (
        (name, _meaning(value, is_ours))
        for name, value in ast.iter_fields(node)
        if name not in UNSAID and value is not None and value != []
    )
    return type(node).__name__, *fields


def _says_nothing(node: ast.AST, is_ours: bool) -> bool:
    """Whether a statement is a docstring, or a line for our log."""
    if not isinstance(node, ast.Expr):
        return False
    if isinstance(node.value, ast.Constant):
        return True
    call = node.value
    return is_ours and isinstance(call, ast.Call) and ast.unparse(call.func).startswith("log.")


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
