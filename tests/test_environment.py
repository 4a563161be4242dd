"""The two ways of set-up hold the same versions, and the lock is complete and neutral."""

import re
import subprocess
import sys
import tomllib
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = (ROOT / "envs" / "requirements.txt").read_text(encoding="utf-8")
CONDA = yaml.safe_load((ROOT / "envs" / "ddcnn.yaml").read_text(encoding="utf-8"))
PYTHONS = ("3.11", "3.12", "3.13")
RUN = [Requirement(text) for text in PROJECT["dependencies"]]
EXTRA = [Requirement(text) for extra in PROJECT["optional-dependencies"].values() for text in extra]


def locked_entries() -> list[tuple[Requirement, list[str]]]:
    """Every pin of the lock with its hashes."""
    joined = re.sub(r"\\\n\s*", " ", LOCK)
    lines = [line for line in joined.splitlines() if line and not line.lstrip().startswith("#")]
    entries = []
    for line in lines:
        pin, *hashes = line.split(" --hash=")
        entries.append((Requirement(pin), [each.strip() for each in hashes]))
    return entries


def version_for(python: str, requirements: list[Requirement], name: str) -> set[str]:
    """Versions of ``name`` that apply to ``python`` on Linux."""
    surroundings = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    return {
        str(each.specifier)
        for each in requirements
        if canonicalize_name(each.name) == canonicalize_name(name)
        and (each.marker is None or each.marker.evaluate(surroundings))
    }


LOCKED = [pin for pin, _ in locked_entries()]


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("wanted", RUN + EXTRA, ids=lambda wanted: wanted.name)
def test_every_direct_dependency_is_locked_once(wanted, python):
    (pin,) = version_for(python, LOCKED, wanted.name)
    assert pin.startswith("==")
    assert wanted.specifier.contains(pin.removeprefix("=="))


def test_every_locked_package_has_hashes():
    for pin, hashes in locked_entries():
        assert hashes, pin
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in hashes), pin


def test_lock_names_no_place():
    """Where packages come from is the choice of whoever installs them."""
    assert not re.search(r"://|--(extra-)?index-url|--find-links|@ ", LOCK)


def test_build_tools_are_locked():
    """The package itself is installed without build isolation."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]
    for wanted in map(Requirement, build["requires"]):
        for python in PYTHONS:
            (pin,) = version_for(python, LOCKED, wanted.name)
            assert wanted.specifier.contains(pin.removeprefix("=="))


@pytest.mark.parametrize("python", PYTHONS)
def test_conda_environment_has_exactly_the_direct_dependencies_as_locked(python):
    (pip,) = (each["pip"] for each in CONDA["dependencies"] if isinstance(each, dict))
    pinned = [Requirement(text) for text in pip]
    assert {canonicalize_name(each.name) for each in pinned} == {
        canonicalize_name(each.name) for each in RUN
    }
    for each in RUN:
        assert version_for(python, pinned, each.name) == version_for(python, LOCKED, each.name)


def test_conda_environment_has_the_same_python():
    (python,) = (
        Requirement(each.replace(" ", ""))
        for each in CONDA["dependencies"]
        if isinstance(each, str) and each.startswith("python ")
    )
    assert python.specifier == SpecifierSet(PROJECT["requires-python"])
    assert CONDA["channels"] == ["conda-forge", "nodefaults"]
    assert "pip" in CONDA["dependencies"]


@pytest.fixture(scope="module")
def check_python():
    spec = spec_from_file_location("check_python", ROOT / "envs" / "check_python.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_this_python_will_do():
    path = ROOT / "envs" / "check_python.py"
    checked = subprocess.run([sys.executable, path], capture_output=True, text=True, check=True)
    assert checked.stdout + checked.stderr == ""


@pytest.mark.parametrize(
    ("version", "has_ensurepip", "said"),
    [
        ((3, 11), True, "^$"),
        ((3, 13), True, "^$"),
        ((3, 10), True, "Python 3.10.*needs 3.11, 3.12 or 3.13.*install.*PYTHON="),
        ((3, 14), True, "Python 3.14.*needs 3.11, 3.12 or 3.13"),
        ((3, 12), False, "ensurepip is missing.*python3.12-venv"),
    ],
)
def test_check_of_python_says_in_one_line_what_to_install(
    check_python, version, has_ensurepip, said
):
    problem = check_python.find_problem(version, has_ensurepip)
    assert re.search(said, problem)
    assert "\n" not in problem
    specifier = SpecifierSet(PROJECT["requires-python"])
    assert specifier.contains("{}.{}".format(*version)) is (not problem or "ensurepip" in problem)


# The environment without what only GPUs need. A script in uv's place says what it was asked for.

UV = """#!/bin/bash
echo "$@" >> asked.txt
for word in "$@"; do [[ $word == */locked.txt ]] && cp "$word" "synced.txt"; done
[[ "$*" != *--torch-backend* ]] || {status}
"""


def install(folder: Path, torch: str, status: str) -> tuple[list[str], str]:
    """What uv was asked for, and the list that it was given last."""
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / "envs").mkdir()
    (folder / "envs/requirements.txt").write_text(LOCK, encoding="utf-8")
    (folder / ".venv/bin/uv").write_text(UV.replace("{status}", status))
    (folder / ".venv/bin/uv").chmod(0o755)
    subprocess.run([ROOT / "envs/install.sh", torch], cwd=folder, check=True)
    asked = (folder / "asked.txt").read_text().splitlines()
    return asked, (folder / "synced.txt").read_text(encoding="utf-8")


def names_in(lock: str) -> set[str]:
    return set(re.findall(r"^([a-z0-9._-]+)==", lock, re.MULTILINE))


def is_of_cuda(name: str) -> bool:
    return name == "triton" or name.startswith(("nvidia-", "cuda-"))


def test_by_default_the_whole_lock_is_installed(tmp_path):
    (sync,), synced = install(tmp_path, "gpu", "false")
    assert "--require-hashes" in sync
    assert synced == LOCK


def test_cpu_builds_of_torch_have_the_locked_versions(tmp_path):
    (sync, torch), synced = install(tmp_path, "cpu", "true")
    assert "--require-hashes" in sync
    left_out = {name for name in names_in(LOCK) if is_of_cuda(name)} | {"torch", "torchvision"}
    assert names_in(LOCK) - names_in(synced) == left_out
    for name in ("torch", "torchvision"):
        (pin,) = version_for("3.11", LOCKED, name)
        assert f" {name}{pin}" in torch
    assert "--torch-backend cpu" in torch


def test_without_the_cpu_builds_only_what_gpus_load_is_left_out(tmp_path):
    (_, _, sync), synced = install(tmp_path, "cpu", "false")
    assert "--require-hashes" in sync
    left_out = names_in(LOCK) - names_in(synced)
    assert "triton" in left_out
    assert all(map(is_of_cuda, left_out))
    # torch's libraries are linked with these: without one of them it cannot be imported.
    linked = ("cublas", "cuda-cupti", "cuda-nvrtc", "cuda-runtime", "cudnn", "cufft", "cufile")
    linked += ("cusparse", "cusparselt", "nccl", "nvshmem")
    for library in linked:
        assert any(name.startswith(f"nvidia-{library}") for name in names_in(synced)), library
    for entry in re.split(r"\n(?=[a-z])", synced):
        assert "--hash=sha256:" in entry
