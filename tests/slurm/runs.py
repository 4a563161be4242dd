"""Run the tiny experiment on the cluster, and look at what became of its jobs."""

import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from workflow_runs import command, make_project, small_fashion, write_config

PLUGIN = "snakemake_executor_plugin_slurm"
# As people type it. Then what this cluster is (it keeps no accounts), and what saves time here.
ARGUMENTS = (
    *("--workflow-profile", "profiles/slurm"),
    *("--slurm-status-command", "squeue", "--slurm-no-account"),
    *("--slurm-init-seconds-before-status-checks", "1", "--slurm-keep-successful-logs"),
)


@dataclass(frozen=True)
class SlurmJob:
    """A row of squeue, finished jobs too."""

    number: str
    name: str  # rule_{rule}_wildcards_{values}
    state: str
    node: str
    minutes: str
    memory: str
    gpus: str


def make_tiny(folder: Path) -> tuple[Path, Path]:
    """A project and its tiny configuration."""
    project = make_project(folder / "project")
    data = small_fashion(folder / "fashion.npz")
    entry = {"name": "fashion", "path": str(data), "flip": ["column"], "shift": 1}
    # Twice the usual epochs: time to catch a training in its middle.
    return project, write_config(project / "tiny.yaml", dataset=entry, local={"epochs": 8})


def start_on_slurm(project: Path, config: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start Snakemake for the cluster; jobs write into ``logs/slurm``."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SLURM")}
    with (project / "snakemake.txt").open("w") as output:
        return subprocess.Popen(
            command(config, *ARGUMENTS, *arguments, cores=None),
            cwd=project,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )


def finish(project: Path, running: subprocess.Popen[str]) -> str:
    """Wait for Snakemake's success and return what it said."""
    try:
        running.wait(timeout=800)
    finally:
        running.kill()  # no second chance for one that waits for jobs that never start
        running.wait()
    output = (project / "snakemake.txt").read_text()
    assert running.returncode == 0, output
    return output


def on_slurm(project: Path, config: Path, *arguments: str) -> str:
    """Run to the end and return what Snakemake said."""
    return finish(project, start_on_slurm(project, config, *arguments))


def slurm_jobs(*numbers: str) -> list[SlurmJob]:
    """What SLURM knows of jobs, of all if none is named."""
    columns = ("JobID", "Comment", "State", "NodeList", "TimeLimit", "MinMemory", "tres-per-job")
    form = ",".join(f"{column}:|" for column in columns)
    chosen = [f"--jobs={','.join(numbers)}"] if numbers else []
    done = subprocess.run(
        ["squeue", "--states=all", "--noheader", f"--Format={form}", *chosen],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return [SlurmJob(*line.split("|")[:-1]) for line in done.stdout.splitlines()]


def metrics(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


def hold_after_first_epoch(
    logs: dict[str, Path], running: subprocess.Popen[str], seconds: float = 180
) -> dict[str, psutil.Process]:
    """Stop the process that writes each log when it has trained one epoch, and return them all.

    Held in mid-run, they can be disturbed at leisure.
    """
    held: dict[str, psutil.Process] = {}
    deadline = time.monotonic() + seconds
    while len(held) < len(logs):
        assert time.monotonic() < deadline, f"only {list(held)} had a first epoch"
        assert running.poll() is None, f"Snakemake ended when only {list(held)} were held"
        for name in logs.keys() - held.keys():
            if logs[name].exists() and "epoch 1/" in logs[name].read_text():
                held[name] = next(p for p in psutil.process_iter() if _holds_open(p, logs[name]))
                held[name].suspend()
        time.sleep(0.005)
    return held


def _holds_open(process: psutil.Process, path: Path) -> bool:
    try:
        return any(file.path == str(path) for file in process.open_files())
    except psutil.Error:
        return False
