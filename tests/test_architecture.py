"""The package's entries import as CONTRIBUTING.md says: downwards, and never in a circle."""

import ast
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
PACKAGE = PROJECT / "workflow" / "ddcnn"
ROW = re.compile(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|$", re.MULTILINE)


def allowed_imports() -> dict[str, set[str]]:
    """Who may import whom: the table of CONTRIBUTING.md, the one list there is."""
    text = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.partition("## The package, from the ground up")[2].partition("\n## ")[0]
    return {entry: set(re.findall(r"\w+", may)) for entry, may in ROW.findall(section)}


def imports(package: Path) -> dict[str, set[str]]:
    """Modules by name, with the modules of the package that each imports, wherever it does."""
    files = {_name(path, package): path for path in package.rglob("*.py")}
    return {name: set(_imported(path, files)) - {name} for name, path in files.items()}


def _name(path: Path, package: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(path: Path, files: dict[str, Path]):
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in files)
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            for alias in node.names:
                module = f"{node.module}.{alias.name}"
                yield from (name for name in [module, node.module] if name in files)


def wrong_imports(package: Path) -> list[str]:
    """Imports that the table does not allow."""
    allowed = allowed_imports()
    return [
        f"{name} imports {other}"
        for name, others in imports(package).items()
        for other in others
        if name.count(".") and not name.endswith("__main__") and other.count(".")
        if other.split(".")[1] not in {name.split(".")[1], *allowed[name.split(".")[1]]}
    ]


def circle(package: Path) -> list[str]:
    """Modules that import each other in a circle, a package's own __init__ aside."""
    graph = {
        name: {other for other in others if not name.startswith(f"{other}.")}
        for name, others in imports(package).items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_the_entries_of_the_package_are_those_of_the_table():
    entries = {path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    assert entries - {"__init__.py", "__main__.py"} == set(allowed_imports())


def test_the_table_goes_from_the_ground_up():
    entries = list(allowed_imports())
    for place, (entry, may) in enumerate(allowed_imports().items()):
        assert may <= set(entries[:place]), entry


def test_imports_go_down_and_in_no_circle():
    assert wrong_imports(PACKAGE) == []
    assert circle(PACKAGE) == []


@pytest.mark.parametrize(
    ("file", "line", "wrong"),
    [
        ("base/files.py", "def f():\n    from ddcnn.tiles import geometry\n", True),
        ("nets/cost.py", "import ddcnn.training.loop\n", True),
        ("experiment/makespan.py", "from ddcnn.training import settings\n", True),
        ("tiles/geometry.py", "def f():\n    from ddcnn.tiles import shards\n", False),
    ],
)
def test_an_import_upwards_or_in_a_circle_is_found(tmp_path, file, line, wrong):
    package = tmp_path / "ddcnn"
    for path in PACKAGE.rglob("*.py"):
        target = package / path.relative_to(PACKAGE)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    with (package / file).open("a") as edited:
        edited.write(f"\n{line}")
    assert bool(wrong_imports(package)) == wrong
    assert wrong or circle(package)


def test_the_kernels_have_one_door():
    inside, door = "ddcnn.nets.kernels", "ddcnn.nets.kernels.door"
    for name, others in imports(PACKAGE).items():
        used = {other for other in others if other.startswith(inside)}
        assert name.startswith(inside) or used <= {door}, name


def test_no_ground_and_no_door_imports_torch():
    entries = [*(f"ddcnn.{entry}" for entry in allowed_imports()), "ddcnn.nets.kernels"]
    ground = [name for name in imports(PACKAGE) if name.startswith(("ddcnn.base", "ddcnn.experim"))]
    code = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]; "
    code += "sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code, *entries, *ground], check=True)
