"""Trainings and Snakemake itself, ended by signals in mid-run; another Snakemake beside them."""

import json
import os
import re
import signal
from pathlib import Path

import pytest

from fault_runs import (
    LOCAL,
    LOGS,
    copy_project,
    kill_group,
    recovered,
    restart_trainings,
    run,
    same_results,
    small_project,
    trainings,
    wait_until,
)
from workflow_runs import snakemakes_log


def resumed(project: Path) -> dict[str, list]:
    """Where each training went on, by tile."""
    found = {}
    for file in project.glob(f"{LOCAL}/*/metrics.json"):
        found[file.parent.name] = json.loads(file.read_text())["resumed"]
    return found


def logs(project: Path) -> list[str]:
    return [file.read_text() for file in sorted((project / LOGS).iterdir())]


def checkpoints(project: Path) -> list[Path]:
    return sorted((project / LOCAL).glob("*/checkpoint.pt"))


def test_sigterm_ends_all_with_checkpoints_and_the_next_run_goes_on(project, undisturbed):
    output = kill_group(restart_trainings(project), signal.SIGTERM)
    assert all("stopped by SIGTERM after epoch" in log for log in logs(project))
    assert "Traceback" not in output
    assert [file.name for file in (project / LOCAL).glob("*/*")] == ["checkpoint.pt"] * 2
    recovered(project)
    assert all(resumed(project).values())
    assert checkpoints(project) == []
    assert same_results(project, undisturbed)


@pytest.mark.faults
def test_a_killed_snakemake_goes_on_without_a_damaged_checkpoint(project, undisturbed):
    kill_group(restart_trainings(project), signal.SIGKILL)
    first, second = checkpoints(project)
    content = bytearray(first.read_bytes())
    content[len(content) // 2] ^= 1
    first.write_bytes(content)
    # As if the clock had been set back since.
    times = second.stat()
    os.utime(second, (times.st_atime + 86400, times.st_mtime + 86400))
    recovered(project)
    assert not resumed(project)["0-0"]
    assert resumed(project)["1-0"]
    assert "checkpoint.pt is damaged" in logs(project)[0]
    assert same_results(project, undisturbed)


@pytest.mark.faults
def test_one_training_is_ended_and_then_all_by_ctrl_c(project, undisturbed):
    running = restart_trainings(project)
    ended = trainings(running)[0]
    ended.send_signal(signal.SIGTERM)
    wait_until(lambda: not ended.is_running() or ended.status() == "zombie", running)
    assert sum("stopped by SIGTERM after epoch" in log for log in logs(project)) == 1
    wait_until(lambda: "Error in rule train_local" in snakemakes_log(project), running)
    output = kill_group(running, signal.SIGINT)
    assert "Traceback" not in output
    assert re.search(r"^  \| .*stopped by SIGTERM after epoch", output, re.MULTILINE)
    assert "then interrupted" in output
    recovered(project)
    assert any(resumed(project).values())
    assert same_results(project, undisturbed)


@pytest.mark.faults
def test_a_second_snakemake_is_refused_and_a_first_one_that_is_to_end_waits(tmp_path):
    # Trainings that take longer than another Snakemake needs to start and to be refused.
    undisturbed = small_project(tmp_path / "undisturbed", local={"epochs": 800})
    recovered(undisturbed)
    project = copy_project(undisturbed, tmp_path / "project")
    running = restart_trainings(project)
    status, output = run(project)
    assert status != 0
    assert "Directory cannot be locked" in output
    os.kill(running.pid, signal.SIGTERM)
    output, _ = running.communicate(timeout=300)
    assert running.returncode != 0
    assert "Will exit after finishing currently running jobs" in output
    recovered(project)
    assert resumed(project) == {"0-0": [], "1-0": []}
    assert same_results(project, undisturbed)
