"""Disks that are full, read-only or without locks."""

import errno
import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from ddcnn.base.disk import require_writable
from ddcnn.base.errors import InputError
from ddcnn.base.files import write_json, write_npy, write_npz
from ddcnn.training import slots
from ddcnn.training.checkpoint import Checkpoint
from ddcnn.training.weights import save_weights
from fault_runs import PREDICTIONS, copy_project, recovered, run, same_results
from full_disk import largest_file
from workflow_runs import command

NUMBERS = np.arange(20_000)


WRITERS = {
    "checkpoint": lambda path: Checkpoint(path, "mine").save({"x": torch.zeros(20_000)}),
    "weights": lambda path: save_weights(torch.nn.Linear(200, 200), path),
    "probabilities": lambda path: write_npz(path, train=NUMBERS),
    "labels": lambda path: write_npy(path, NUMBERS),
    "metrics": lambda path: write_json(path, NUMBERS.tolist()),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_full_disk_leaves_the_earlier_file_and_says_where(tmp_path, write):
    path = tmp_path / "file.npz"
    path.write_bytes(b"earlier")
    with pytest.raises(InputError, match=r"the disk of .*file\.npz is full"), largest_file(10_000):
        write(path)
    assert path.read_bytes() == b"earlier"
    assert list(tmp_path.iterdir()) == [path]
    write(path)
    assert path.stat().st_size > 10_000


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[dict]:
    """A disk of its own for ``folder``, or, where nobody may mount one, a largest file size."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    folder.mkdir()
    if subprocess.run(mount, capture_output=True).returncode:
        limit = (size // 10, resource.RLIM_INFINITY)
        yield {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit)}
        return
    try:
        yield {}
    finally:
        kept = folder.with_name("kept")
        shutil.copytree(folder, kept)
        subprocess.run(["umount", str(folder)], check=True)
        shutil.copytree(kept, folder, dirs_exist_ok=True)


@pytest.mark.faults
def test_after_a_full_disk_the_next_run_finishes(project, undisturbed):
    shutil.rmtree(project / "results")
    with small_disk(project / "results", 520_000) as options:
        status, output = run(project, **options)
        assert status != 0
        assert "is full" in output
        assert not [path for path in (project / "results").rglob(".*") if path.is_file()]
        assert not (project / PREDICTIONS).exists()
    recovered(project)
    assert same_results(project, undisturbed)


@pytest.fixture
def strangers_project(undisturbed) -> Iterator[tuple[Path, list[str]]]:
    """A project whose results folder is somebody else's, and words before a command in it.

    Root may write everywhere, so it runs the command as nobody.
    """
    folder = Path(tempfile.mkdtemp())
    project = copy_project(undisturbed, folder / "project")
    shutil.rmtree(project / "results")
    (project / "results").mkdir(mode=0o555)
    as_nobody = []
    if os.getuid() == 0:
        as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        subprocess.run(["chown", "-R", "65534:65534", str(folder)], check=True)
    yield project, as_nobody
    shutil.rmtree(folder)


def test_a_read_only_results_folder_is_one_message_before_the_first_job(strangers_project):
    project, as_nobody = strangers_project
    done = subprocess.run(
        [*as_nobody, *command(project / "small.yaml", "--config", "dataset=fashion-mnist-10k")],
        cwd=project,
        env=os.environ | {"HOME": str(project)},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "Error: results cannot be written" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert " 1/" not in done.stderr  # no job is done
    assert not list((project / "results").iterdir())
    assert not list(project.glob(".snakemake/locks/*"))


def test_folders_that_can_be_made_are_writable(tmp_path):
    require_writable(tmp_path, tmp_path / "not" / "there" / "yet")


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_a_disk_without_locks_is_told_with_what_to_do(tmp_path, monkeypatch, number):
    def fail(file, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(slots.fcntl, "flock", fail)
    with pytest.raises(InputError, match=r"without locks \(.*set TMPDIR to a folder on a local"):
        slots.claim_slot(["0"])
