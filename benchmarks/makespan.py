"""The makespan that `ddcnn plan` predicts, against a real run of the quickstart.

A fresh copy of the project runs the quickstart; then the makespan is computed from the job times
that Snakemake measured in this very run, plus the time of a run that has nothing to do. So this
checks the scheduling, start-up and job graph of the prediction, not estimates of job times.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import write_theme

from ddcnn.commands.arguments import read_experiment
from ddcnn.commands.plan import START_SECONDS, scheduled
from ddcnn.experiment.job_times import measured_seconds
from ddcnn.experiment.jobs import experiment_jobs
from ddcnn.experiment.makespan import Machine, critical_path, simulate

PROJECT = Path(__file__).parents[1]


def seconds_of_run(folder: Path, cores: int) -> float:
    """Wall time of Snakemake in a copy of the project."""
    command = [sys.executable, "-m", "snakemake", "--cores", str(cores), "--quiet", "all"]
    environment = {**os.environ, "PYTHONPATH": str(folder / "workflow")}
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, stdin=subprocess.DEVNULL)
    return time.perf_counter() - start


def measure(cores: int) -> dict[str, object]:
    """One row of the table."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "project"
        for name in ("workflow", "profiles", "config", "envs"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(PROJECT / name, folder / name, ignore=ignored)
        shutil.copy(PROJECT / "Snakefile", folder)
        measured = seconds_of_run(folder, cores)
        nothing_to_do = seconds_of_run(folder, cores)
        experiment = read_experiment(folder / "config" / "config.yaml")
        jobs = experiment_jobs(experiment)
        planned = scheduled(jobs, measured_seconds(folder / "results"), experiment)
    machine = Machine(cores, start_seconds=START_SECONDS)
    predicted = simulate(planned, machine).makespan + nothing_to_do
    return {
        "cores": cores,
        "jobs": len(planned),
        "work (s)": round(sum(job.seconds for job in planned), 1),
        "critical path (s)": round(sum(job.seconds for job in critical_path(planned)), 1),
        "nothing to do (s)": round(nothing_to_do, 1),
        "predicted (s)": round(predicted, 1),
        "measured (s)": round(measured, 1),
        "predicted / measured": round(predicted / measured, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    rows = [measure(options.cores) for _ in range(options.repeats)]
    write_theme("makespan", rows, str(__doc__))


if __name__ == "__main__":
    main()
