"""What a result says of where it comes from."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ddcnn.__main__ import main
from ddcnn.base import provenance


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
    (tmp_path / "__init__.py").write_text("1")
    git(tmp_path, "add", "__init__.py")
    git(tmp_path, "commit", "--quiet", "-m", "one")
    commit = git(tmp_path, "rev-parse", "HEAD").strip()
    assert commit.startswith(provenance.git_commit())
    (tmp_path / "__init__.py").write_text("2")
    assert provenance.git_commit() == f"{commit[:12]}-dirty"


def test_an_installed_package_has_not_the_commit_of_the_repository_around_it(tmp_path, monkeypatch):
    installed = tmp_path / ".venv/site-packages/ddcnn"
    installed.mkdir(parents=True)
    (installed / "__init__.py").touch()
    monkeypatch.setattr(provenance, "PACKAGE", installed)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "-m", "somebody's own")
    assert provenance.git_commit() is None
