"""The digest of the code follows imports, and nothing else."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ddcnn import nets
from ddcnn.base import digests

PACKAGE = digests.PACKAGE
CARRIED = {name.removeprefix("ddcnn.") for name in digests.CARRIERS}
STAGES = [
    "tiles.shards",
    "local.stage",
    "local.closed_form",
    "coarse.stage",
    "coarse.joint",
    "parallel.stage",
    "evaluation.stage",
    "report",
    "data.preparation",
]
SOLVED = ["local.closed_form"]
DIGESTS = """
import json, sys
from pathlib import Path
from ddcnn import nets
from ddcnn.base import digests
stages, files = json.loads(sys.argv[1]), json.loads(sys.argv[2])
def found():
    found = {stage: digests.code_digest(stage) for stage in stages}
    return found | {f"net {name}": nets.code_of(name) for name in ("vgg", "resnet20")}
before, changed = found(), {}
for file in files:
    path = digests.PACKAGE / file
    content = path.read_bytes()
    edit = b"\\nedited = 1\\n" if file.endswith(".py") else b"\\n/* edited */\\n"
    path.write_bytes(content + edit)
    changed[file] = sorted(stage for stage, digest in found().items() if digest != before[stage])
    path.write_bytes(content)
print(json.dumps([before, changed]))
"""
LOADED = """
import importlib, json, sys
importlib.import_module("ddcnn." + sys.argv[1])
print(json.dumps([m.__file__ for name, m in sys.modules.items() if name.startswith("ddcnn.")]))
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    """A copy of the package, elsewhere, that may be edited."""
    ignored = shutil.ignore_patterns("__pycache__", "*.npz")
    target = tmp_path_factory.mktemp("moved") / "ddcnn"
    return Path(shutil.copytree(PACKAGE, target, ignore=ignored))


def run(package: Path, script: str, *arguments: str, **variables: str):
    """What ``script`` prints as JSON in a process that has this copy of the package."""
    command = [sys.executable, "-c", script, *arguments]
    environment = os.environ | {"PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= variables
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def digests_of(package: Path, **variables: str) -> dict[str, str]:
    return run(package, DIGESTS, json.dumps(STAGES), "[]", **variables)[0]


@pytest.fixture(scope="module")
def changed(package) -> dict[str, list[str]]:
    """For every file of the package the stages that an edit of it concerns."""
    files = [path for path in package.rglob("*") if path.suffix in (".py", ".jinja", ".css", ".js")]
    names = [path.relative_to(package).as_posix() for path in files]
    return run(package, DIGESTS, json.dumps(STAGES), json.dumps(names))[1]


def test_digests_of_a_moved_package_are_the_same(package):
    moved = digests_of(package)
    assert len(set(moved.values())) == len(moved) == len(STAGES) + 2
    for net in ("vgg", "resnet20"):
        assert moved.pop(f"net {net}") == nets.code_of(net)
    assert moved == {name: digests.code_digest(name) for name in STAGES}


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("coarse/problem.py", ["coarse.stage"]),
        ("parallel/door.py", ["parallel.stage"]),
        ("training/loop.py", ["coarse.joint", "coarse.stage", "local.stage", "parallel.stage"]),
        (
            "training/weights.py",
            [*SOLVED, "coarse.joint", "coarse.stage", "local.stage", "parallel.stage"],
        ),
        ("nets/vgg.py", ["net vgg"]),
        ("nets/resnet.py", ["net resnet20", "parallel.stage"]),
        ("nets/layers.py", ["net resnet20", "net vgg", "parallel.stage"]),
        ("nets/features.py", ["coarse.joint", "coarse.stage", "local.stage", "parallel.stage"]),
        (
            "tiles/shards.py",
            [*SOLVED, "coarse.joint", "local.stage", "parallel.stage", "tiles.shards"],
        ),
        ("training/discriminant.py", SOLVED),
        ("local/stage.py", ["coarse.joint", "local.stage", "parallel.stage"]),
        ("evaluation/stage.py", ["evaluation.stage"]),
        ("report/page.py", ["report"]),
        ("report/figures/heat.py", ["report"]),
        ("data/arrays.py", ["data.preparation", "report"]),
        ("base/files.py", STAGES),
        *((f"{name}.py".replace(".", "/", 1), []) for name in sorted(CARRIED)),
        ("__main__.py", []),
        ("experiment/runs.py", ["report"]),
        ("experiment/status.py", []),
    ],
)
def test_an_edit_concerns_the_stages_that_import_the_module_and_no_other(changed, file, stages):
    assert changed[file] == sorted(stages)


@pytest.mark.parametrize(
    "file", ["report/template.html.jinja", "report/style.css", "report/script.js"]
)
def test_an_edit_of_the_looks_of_the_report_concerns_the_report(changed, file):
    assert changed[file] == ["report"]


@pytest.mark.parametrize(
    ("module", "stage"), [("local.stage", "local.stage"), ("report.page", "report")]
)
def test_every_module_that_a_stage_really_loads_counts(package, changed, module, stage):
    loaded = [Path(file).relative_to(package).as_posix() for file in run(package, LOADED, module)]
    carriers = {f"{name}.py".replace(".", "/", 1) for name in CARRIED}
    modules = [f for f in loaded if not f.endswith("__init__.py") and f not in carriers]
    assert len(modules) > 5
    assert [file for file in modules if stage not in changed[file]] == []


def test_an_import_counts_wherever_it_stands(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import one\n"
        "def f():\n    with open(f.a) as g:\n        from two import x\n"
        "class A:\n    try:\n        import three\n    except ImportError:\n        import four\n"
        "    else:\n        import five\n    finally:\n        import six\n"
        "while f.b:\n    break\nelse:\n    import seven\n"
        "match f:\n    case 1:\n        import eight\n"
        "async def g():\n    async for _ in g():\n        import nine\n"
        "if f.a: pass\nelif f.b: import ten\n"
    )
    names = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    found = set()
    for name in names:
        (tmp_path / f"{name}.py").write_text("x = 1\n")
        found.add(digests.code_digest(outside=("mine", tmp_path)))
    assert len(found) == len(names)


def test_line_ends_do_not_matter(package):
    before = digests_of(package)
    other = shutil.copytree(package, package.parent / "windows" / "ddcnn")
    for path in other.rglob("*.py"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert digests_of(other) == before


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "def f(x):\n    return x\n",
            'def f(x: int) -> int:\n    """What."""\n    return x  # it\n',
        ),
        (
            "def f():\n    log.info('a typo')\n    f()\n",
            "def f():\n    log.info('none')\n    f()\n",
        ),
        ("raise InputError('teh value')\n", "raise InputError(f'the value {1}')\n"),
        ("x = [1,\n     2]\n", "x = [1, 2]\n"),
    ],
)
def test_what_the_code_says_and_how_it_looks_does_not_count(package, before, after):
    file = package / "coarse" / "problem.py"
    content = file.read_text()
    found = []
    for text in (before, after):
        file.write_text(f"{content}\n{text}")
        found.append(digests_of(package)["coarse.stage"])
    file.write_text(content)
    assert found[0] == found[1] != digests_of(package)["coarse.stage"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("log.append(1)\n", "log.append(2)\n"),
        ("raise ValueError('a')\n", "raise ValueError('b')\n"),
        ("x = 1\n", "x = 1.0\n"),
        ("x = 'a'\n", "x = 'b'\n"),
    ],
)
def test_all_that_a_user_s_code_does_counts(tmp_path, before, after):
    found = set()
    for text in (before, after):
        (tmp_path / "mine.py").write_text(text)
        found.add(digests.code_digest(outside=("mine", tmp_path)))
    assert len(found) == 2


def test_a_name_that_is_no_module_is_an_error():
    with pytest.raises(Exception, match="coares"):
        digests.code_digest("coares")


def test_what_was_kept_is_used_and_what_is_broken_or_old_is_not(package):
    """Kept by content: a file edited and edited back finds its old entry."""
    kept, module = package / "__pycache__" / "digests.json", package / "base" / "tasks.py"
    source = module.read_text()
    keeps = {"PYTHONDONTWRITEBYTECODE": ""}
    before = digests_of(package, **keeps)
    assert len(json.loads(kept.read_text())) > 100
    module.write_text(source + "\nNEW = 1\n")
    edited = digests_of(package, **keeps)
    assert edited["local.stage"] != before["local.stage"]
    module.write_text(source)
    assert digests_of(package, **keeps) == before
    wrong = {
        key: "0" * 64 if isinstance(it, str) else it
        for key, it in json.loads(kept.read_text()).items()
    }
    kept.write_text(json.dumps(wrong))
    assert digests_of(package, **keeps) != before  # it is read
    for broken in ("", "[]", '{"a": '):
        kept.write_text(broken)
        assert digests_of(package, **keeps) == before
