"""Results that were copied, cloned or moved: nothing runs again but what a change concerns."""

import os
import shutil
import time
from pathlib import Path

import pytest

from workflow_runs import make_project, planned_jobs, small_fashion, snakemake, write_config

AFTER_COARSE = {"train_coarse": 1, "evaluate": 1, "bundle": 1, "report": 1}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A project whose tiny experiment has run once; its data lie beside it."""
    folder = make_project(tmp_path_factory.mktemp("finished") / "project")
    small_fashion(folder / "fashion.npz", 200)
    snakemake(folder, configure(folder))
    return folder


def configure(project: Path, **changes) -> Path:
    dataset = {"name": "fashion", "path": "fashion.npz"}
    return write_config(project / "tiny.yaml", dataset=dataset, local={"epochs": 1}, **changes)


def clone(finished: Path, folder: Path, *folders: str) -> Path:
    """The project as a clone makes it, with folders copied from the finished one.

    All files are new, as ``git clone`` and ``cp -r`` make them, those of results in an order that
    has nothing to do with which was made from which.
    """
    project = make_project(folder / "clone")
    for name in ("tiny.yaml", "fashion.npz"):
        shutil.copyfile(finished / name, project / name)
    for name in folders:
        shutil.copytree(finished / name, project / name, symlinks=True)
    make_new(project)
    return project


def make_new(folder: Path) -> None:
    files = sorted((path for path in folder.rglob("*") if path.is_file()), reverse=True)
    for seconds, path in enumerate(files):
        os.utime(path, (time.time() - seconds, time.time() - seconds))


@pytest.mark.parametrize("copied", [("results",), ("results", ".snakemake")])
def test_in_a_clone_with_copied_results_nothing_is_done(finished, tmp_path, copied):
    project = clone(finished, tmp_path, *copied)
    assert planned_jobs(project, project / "tiny.yaml") == {}


def test_records_that_snakemake_kept_in_its_own_folder_are_taken_over(finished, tmp_path):
    project = clone(finished, tmp_path, "results")
    (project / ".snakemake").mkdir()
    (project / "results/.records").rename(project / ".snakemake/metadata")
    assert planned_jobs(project, project / "tiny.yaml") == {}
    assert planned_jobs(project, configure(project, coarse={"epochs": 5})) == AFTER_COARSE


def test_a_moved_project_has_nothing_to_do(finished, tmp_path):
    project = clone(finished, tmp_path, "results", ".snakemake").rename(tmp_path / "elsewhere")
    assert planned_jobs(project, project / "tiny.yaml") == {}


def test_another_branch_and_back_or_touched_scripts_repeat_nothing(finished, tmp_path):
    project = clone(finished, tmp_path, "results")
    script = project / "workflow/scripts/train_coarse.py"
    code = script.read_text()
    script.write_text(f"import os\n{code}")
    assert planned_jobs(project, project / "tiny.yaml") == AFTER_COARSE
    script.write_text(f"# One more comment.\n{code}")
    make_new(project / "workflow")
    make_new(project / "config")
    assert planned_jobs(project, project / "tiny.yaml") == {}


def test_copied_results_of_other_settings_are_not_taken(finished, tmp_path):
    project = clone(finished, tmp_path, "results")
    assert planned_jobs(project, configure(project, coarse={"epochs": 5})) == AFTER_COARSE


def test_results_without_records_are_refused_until_they_are_taken_over(finished, tmp_path):
    project = clone(finished, tmp_path, "results")
    shutil.rmtree(project / "results/.records")
    config = project / "tiny.yaml"
    refused = snakemake(project, config, "--dry-run", check=False)
    assert refused.returncode == 1
    assert "Traceback" not in refused.stdout
    assert refused.stdout.count("results/.records, the record of the settings") == 1
    models = {path: path.read_bytes() for path in (project / "results").rglob("*.safetensors")}
    snakemake(project, config, "--touch", "--forceall")
    assert planned_jobs(project, config) == {}
    assert planned_jobs(project, configure(project, coarse={"epochs": 5})) == AFTER_COARSE
    assert models == {path: path.read_bytes() for path in models}
