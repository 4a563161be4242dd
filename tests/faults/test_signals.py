"""Trainings and Snakemake itself, ended by signals in mid-run; another Snakemake beside them."""

import json
import os
import signal

import pytest

from fault_runs import (
    LOCAL,
    LOGS,
    kill_group,
    recovered,
    restart_trainings,
    run,
    same_results,
    trainings,
)


def resumed(project) -> list[dict]:
    metrics = [json.loads(file.read_text()) for file in project.glob(f"{LOCAL}/*/metrics.json")]
    return [step for net in metrics for step in net["resumed"]]


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        pytest.param(signal.SIGINT, marks=pytest.mark.faults),
        pytest.param(signal.SIGKILL, marks=pytest.mark.faults),
    ],
    ids=lambda number: number.name,
)
def test_snakemake_and_its_trainings_end_and_go_on(project, undisturbed, number):
    output = kill_group(restart_trainings(project), number)
    logs = [file.read_text() for file in (project / LOGS).iterdir()]
    if number != signal.SIGKILL:
        assert all(f"stopped by {number.name} after epoch" in log for log in logs)
        assert "Traceback" not in output
    assert sorted(file.name for file in (project / LOCAL).rglob("*.*")) == ["checkpoint.pt"] * 2
    recovered(project)
    assert len(resumed(project)) == 2
    assert same_results(project, undisturbed)


@pytest.mark.faults
def test_a_training_that_slurm_ends_alone_goes_on_in_the_next_run(project, undisturbed):
    running = restart_trainings(project)
    first = trainings(running)[0]
    first.send_signal(signal.SIGTERM)
    output, _ = running.communicate(timeout=120)
    assert running.returncode != 0
    assert f"non-zero exit status {128 + signal.SIGTERM}" in output
    assert "stopped by SIGTERM after epoch" in output
    # The other training was not disturbed.
    assert len(resumed(project)) == 0
    assert len(list(project.glob(f"{LOCAL}/*/metrics.json"))) == 1
    recovered(project)
    assert len(resumed(project)) == 1
    assert same_results(project, undisturbed)


@pytest.mark.faults
def test_sigterm_to_snakemake_alone_lets_the_running_jobs_finish(project, undisturbed):
    running = restart_trainings(project)
    os.kill(running.pid, signal.SIGTERM)
    output, _ = running.communicate(timeout=120)
    assert running.returncode != 0
    assert "Will exit after finishing currently running jobs" in output
    assert len(list(project.glob(f"{LOCAL}/*/metrics.json"))) == 2
    recovered(project)
    assert resumed(project) == []
    assert same_results(project, undisturbed)


@pytest.mark.faults
def test_a_second_snakemake_is_refused_and_harms_nothing(project, undisturbed):
    running = restart_trainings(project)
    status, output = run(project)
    assert running.poll() is None
    assert status != 0
    assert "Directory cannot be locked" in output
    output, _ = running.communicate(timeout=120)
    assert running.returncode == 0, output
    assert resumed(project) == []
    assert same_results(project, undisturbed)
