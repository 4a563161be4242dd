"""Executors and storage beside SLURM: the same bits, also after a job was killed."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from slurm.runs import finish, hold_after_first_epoch
from workflow_runs import (
    command,
    make_project,
    small_fashion,
    snakemake,
    snakemakes_log,
    write_config,
)

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(1200)]

TILES = "fashion/vgg-w8/blocks-2x1-overlap4/seed0"


def make_small(folder: Path) -> tuple[Path, Path]:
    """A project and its configuration: two tiles, the coarse view and the global net."""
    project = make_project(folder / "project")
    return project, configure(project, small_fashion(folder / "fashion.npz", 200))


def configure(project: Path, data: Path, **changes) -> Path:
    return write_config(
        project / "tiny.yaml",
        dataset={"name": "fashion", "path": str(data)},
        grid="2x1",
        methods=["mean"],
        local={"epochs": 8},
        **changes,
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    """The results of a run on this machine, by Snakemake's own executor."""
    project, config = make_small(tmp_path_factory.mktemp("undisturbed"))
    snakemake(project, config)
    return project / "results"


def differences(expected: Path, results: Path) -> list[str]:
    """Nets and decisions that are missing or have other bits."""
    patterns = ("model.safetensors", "predictions.npz")
    names = [path.relative_to(expected) for each in patterns for path in expected.rglob(each)]
    assert len(names) == 4 + 1 + 2  # local nets, coarse net, runs
    return [str(name) for name in names if content(results / name) != content(expected / name)]


def content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


# --- profiles/cluster-generic ----------------------------------------------------------------


def test_a_killed_training_is_noticed_repeated_and_ends_with_the_same_bits(undisturbed, tmp_path):
    project, config = make_small(tmp_path)
    log = project / f"logs/train_local/{TILES}/0-0.log"
    running = start_on_queue(project, config)
    try:
        (training,) = hold_after_first_epoch({"0-0": log}, running, seconds=600).values()
        os.killpg(os.getpgid(training.pid), signal.SIGKILL)
        finish(project, running)
    finally:
        running.kill()
    assert snakemakes_log(project).count("Error in rule train_local") == 1
    assert "resumed after epoch" in log.read_text()
    assert differences(undisturbed, project / "results") == []


def start_on_queue(project: Path, config: Path) -> subprocess.Popen[str]:
    """Start Snakemake as people do, with what saves time here."""
    profile = ("--workflow-profile", "profiles/cluster-generic", "--jobs", "2")
    with (project / "snakemake.txt").open("w") as output:
        return subprocess.Popen(
            command(config, *profile, "--seconds-between-status-checks", "1", cores=None),
            cwd=project,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "DDCNN_QUEUE_GRACE": "1"},
        )
