"""The digest of the code follows imports, and nothing else."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ddcnn import nets
from ddcnn.__main__ import main
from ddcnn.base import provenance

PACKAGE = provenance.PACKAGE
STAGES = [
    "tiles.shards",
    "local.stage",
    "coarse.stage",
    "coarse.joint",
    "evaluation.stage",
    "report",
    "data.preparation",
]
DIGESTS = """
import json, sys
from pathlib import Path
from ddcnn import nets
from ddcnn.base import provenance
stages, files = json.loads(sys.argv[1]), json.loads(sys.argv[2])
def digests():
    found = {stage: provenance.code_digest(stage) for stage in stages}
    return found | {f"net {name}": nets.code_of(name) for name in ("vgg", "resnet20")}
before, changed = digests(), {}
for file in files:
    path = provenance.PACKAGE / file
    content = path.read_bytes()
    path.write_bytes(content + b"\\n# edited\\n")
    changed[file] = sorted(stage for stage, digest in digests().items() if digest != before[stage])
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


def run(package: Path, script: str, *arguments: str):
    """What ``script`` prints as JSON in a process that has this copy of the package."""
    command = [sys.executable, "-c", script, *arguments]
    environment = os.environ | {"PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def digests(package: Path) -> dict[str, str]:
    return run(package, DIGESTS, json.dumps(STAGES), "[]")[0]


@pytest.fixture(scope="module")
def changed(package) -> dict[str, list[str]]:
    """For every file of the package the stages that an edit of it concerns."""
    files = [path for path in package.rglob("*") if path.suffix in (".py", ".jinja", ".css", ".js")]
    names = [path.relative_to(package).as_posix() for path in files]
    return run(package, DIGESTS, json.dumps(STAGES), json.dumps(names))[1]


def test_digests_of_a_moved_package_are_the_same(package):
    moved = digests(package)
    assert len(set(moved.values())) == len(moved) == len(STAGES) + 2
    for net in ("vgg", "resnet20"):
        assert moved.pop(f"net {net}") == nets.code_of(net)
    assert moved == {name: provenance.code_digest(name) for name in STAGES}


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("coarse/problem.py", ["coarse.stage"]),
        ("training/loop.py", ["coarse.joint", "coarse.stage", "local.stage"]),
        ("training/checkpoint.py", ["coarse.joint", "coarse.stage", "local.stage"]),
        ("nets/vgg.py", ["net vgg"]),
        ("nets/resnet.py", ["net resnet20"]),
        ("nets/layers.py", ["net resnet20", "net vgg"]),
        ("nets/features.py", ["coarse.joint", "coarse.stage", "local.stage"]),
        ("tiles/shards.py", ["coarse.joint", "local.stage", "tiles.shards"]),
        ("evaluation/stage.py", ["evaluation.stage"]),
        ("report/page.py", ["report"]),
        ("report/figures/heat.py", ["report"]),
        ("data/arrays.py", ["data.preparation"]),
        ("base/errors.py", sorted([*STAGES, "net resnet20", "net vgg"])),
        ("__main__.py", []),
        ("experiment/configuration.py", []),
    ],
)
def test_an_edit_concerns_the_stages_that_import_the_module_and_no_other(changed, file, stages):
    assert changed[file] == stages


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
    modules = [file for file in loaded if not file.endswith("__init__.py")]
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
        found.add(provenance.code_digest(outside=("mine", tmp_path)))
    assert len(found) == len(names)


def test_line_ends_do_not_matter(package):
    before = digests(package)
    other = shutil.copytree(package, package.parent / "windows" / "ddcnn")
    for path in other.rglob("*.py"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert digests(other) == before


def test_a_name_that_is_no_module_is_an_error():
    with pytest.raises(Exception, match="coares"):
        provenance.code_digest("coares")


def test_versions_are_those_of_the_running_process(capsys):
    import numpy
    import torch

    found = provenance.versions()
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["numpy"] == numpy.__version__
    assert found["torch"] == torch.__version__.split("+")[0]
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.strip() == f"ddcnn {found['ddcnn']}"


def test_the_hardware_can_be_written_as_json():
    found = json.loads(json.dumps(provenance.hardware()))
    assert found["processor"]
    assert 1 <= found["cores"] <= os.cpu_count()
    assert found["memory_gib"] > 0


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def test_the_commit_says_whether_something_is_uncommitted(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path)
    assert provenance.git_commit() is None
    git(tmp_path, "init", "--quiet")
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "--quiet", "-m", "one")
    commit = git(tmp_path, "rev-parse", "HEAD").strip()
    assert commit.startswith(provenance.git_commit())
    (tmp_path / "a").write_text("2")
    assert provenance.git_commit() == f"{commit[:12]}-dirty"
