"""A clock that goes backwards, or a machine with another time: no wrong result."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from ddcnn.training.checkpoint import Checkpoint
from fault_runs import (
    RUN,
    recovered,
    run,
    same_results,
)

DAY = 24 * 3600


def shift(folder: Path, seconds: float) -> None:
    """Every file's time, as a clock that was wrong by ``seconds`` would have written it."""
    for path in sorted(folder.rglob("*"), reverse=True):
        times = path.stat()
        os.utime(path, (times.st_atime + seconds, times.st_mtime + seconds))


def test_results_from_the_future_are_finished(project):
    shift(project / "results", 10 * DAY)
    status, output = run(project)
    assert status == 0, output
    assert "Nothing to be done" in output


def test_checkpoints_do_not_depend_on_the_clock(tmp_path, monkeypatch):
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", "mine", every_seconds=1000)
    monkeypatch.setattr(time, "time", lambda: 1e10)
    assert not checkpoint.due()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert not checkpoint.due()


@pytest.mark.faults
def test_a_clock_set_back_between_two_stages(project, undisturbed):
    shift(project / "results/data", DAY)  # what is made from them will look older than they are
    (project / RUN / "evaluation.json").unlink()
    status, output = run(project)
    assert status != 0
    assert "This could indicate a clock skew problem" in output
    # What docs/faults.md says then.
    subprocess.run(
        ["find", "results", "-newermt", "now", "-exec", "touch", "{}", "+"], cwd=project, check=True
    )
    recovered(project)
    assert same_results(project, undisturbed)
