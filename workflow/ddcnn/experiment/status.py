"""How far an experiment is, from its files alone: results, logs and measured job times.

What has become out of date by a change of settings or code only Snakemake knows: a dry run tells.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ddcnn.base.logs import LastTry, read_log, time_of
from ddcnn.experiment.job_times import measured_seconds, seconds_of_kinds
from ddcnn.experiment.jobs import STAGES, TRAININGS, Job, experiment_jobs, run_jobs
from ddcnn.experiment.makespan import Machine, ScheduledJob, simulate
from ddcnn.experiment.paths import RESULTS
from ddcnn.experiment.runs import Experiment

# done: all outputs are there; running: its process lives; failed: it ended with an error;
# stopped: it was killed or interrupted; waiting: not started yet.
STATES = ("done", "running", "failed", "stopped", "waiting")
LAST_LINES = 6  # of the log of a failed job
LATELY = 20  # jobs that tell how many ran at a time
EPOCH = re.compile(r"epoch (\d{1,9})/(\d{1,9}): ")
ACCURACY = re.compile(r"accuracy (\d+(?:\.\d+)?)")
MOST_LETTERS = 200  # of a line that is shown


@dataclass(frozen=True)
class JobStatus:
    """Where a job stands.

    Attributes:
        job: the job.
        state: one of :data:`STATES`.
        seconds: since it was started, of a job that runs; until its last word, of one that ended
            without success.
        waits: for a device or a compiler.
        epoch, epochs: finished ones and all, of a training.
        accuracy: of the last finished epoch, on the validation split.
        seconds_left: of a job that is not done; None where nothing alike was measured.
        last_lines: of the log of a job that failed or was stopped.
    """

    job: Job
    state: str
    seconds: float = 0.0
    waits: bool = False
    epoch: int | None = None
    epochs: int | None = None
    accuracy: float | None = None
    seconds_left: float | None = None
    last_lines: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class RunStatus:
    """Done and all jobs of a run by stage; a stage without a job is left out."""

    folder: str
    stages: dict[str, tuple[int, int]]


@dataclass(frozen=True)
class Status:
    """Where an experiment stands.

    Attributes:
        experiment: its name.
        jobs: all of them.
        runs: all of them.
        at_a_time: jobs that run now, or ran lately, at a time; 0 where no job runs.
        seconds_left: of the whole experiment, going on with so many; None where no job runs.
        work_left: seconds that all unfinished jobs take one after the other.
        at_least: whether it will be more, because of some jobs nothing alike was measured.
    """

    experiment: str
    jobs: list[JobStatus]
    runs: list[RunStatus]
    at_a_time: int
    seconds_left: float | None
    work_left: float
    at_least: bool

    def of(self, *states: str) -> list[JobStatus]:
        """The jobs in these states."""
        return [job for job in self.jobs if job.state in states]

    def counts(self) -> dict[str, int]:
        """Number of jobs by state, all states in their order."""
        counted = Counter(job.state for job in self.jobs)
        return {state: counted[state] for state in STATES}

    def as_dict(self) -> dict[str, Any]:
        """For machines: everything, as JSON takes it."""
        return {
            "experiment": self.experiment,
            "jobs_by_state": self.counts(),
            "jobs_at_a_time": self.at_a_time,
            "seconds_left": self.seconds_left,
            "work_seconds_left": self.work_left,
            "at_least": self.at_least,
            "runs": [asdict(run) for run in self.runs],
            "jobs": [
                {"name": status.job.name, "rule": status.job.rule, "log": str(status.job.log)}
                | {key: value for key, value in vars(status).items() if key != "job"}
                for status in self.jobs
            ],
        }


def experiment_status(
    experiment: Experiment, folder: str | Path = ".", written: Mapping[str, bool] | None = None
) -> Status:
    """Look at the files of an experiment below ``folder``.

    Args:
        experiment: whose jobs.
        folder: of the project.
        written: the files that one call of Snakemake writes, and whether it has: only its jobs
            count, and what an earlier one left of them does not. None: all jobs.
    """
    folder = Path(folder)
    jobs = experiment_jobs(experiment)
    if written is not None:
        jobs = [job for job in jobs if any(str(path) in written for path in job.outputs)]
    measured = measured_seconds(folder / RESULTS)
    kinds = seconds_of_kinds(measured)
    again = 2 if experiment.settings["refit"] else 1
    statuses = {
        job.name: _job_status(job, folder, kinds.get(job.kind), again, written) for job in jobs
    }
    runs = [
        RunStatus(run.folder, _stages(run_jobs(run, experiment), statuses))
        for run in experiment.runs
    ]
    running = sum(status.state == "running" for status in statuses.values())
    spans = _last_spans([job for job in jobs if job.name in measured], measured, folder)
    places = max(running, _most_at_a_time(spans)) if running else 0
    left = _time_left(statuses, places)
    return Status(experiment.name, list(statuses.values()), runs, places, *left)


def _last_spans(
    jobs: Sequence[Job], measured: Mapping[str, float], folder: Path
) -> list[tuple[float, float]]:
    """From when to when the jobs ran that ended last; a benchmark file is written at the end."""
    ends = [((folder / job.benchmark).stat().st_mtime, measured[job.name]) for job in jobs]
    return [(end - seconds, end) for end, seconds in sorted(ends)[-LATELY:]]


def _most_at_a_time(spans: Sequence[tuple[float, float]]) -> int:
    return max((sum(a <= start < b for a, b in spans) for start, _ in spans), default=0)


def _job_status(
    job: Job, folder: Path, usual: float | None, again: int, written: Mapping[str, bool] | None
) -> JobStatus:
    """``again``: how often a job trains a local net."""
    if _is_done(job, folder, written):
        return JobStatus(job, "done")
    last = read_log(folder / job.log)
    # Its outputs may have been removed since it did its work.
    if last is None or last.finished:
        done = _is_done(job, folder, written)  # or it has ended between the two looks
        return JobStatus(job, "done" if done else "waiting", seconds_left=None if done else usual)
    training = _training(last) if job.rule in TRAININGS else {}
    if last.alive:
        num_nets = len(job.tiles) * (again if job.rule == "train_local" else 1)
        left = _seconds_left(last, training, usual, num_nets)
        return JobStatus(job, "running", last.seconds, last.waits, **training, seconds_left=left)
    state = "failed" if last.failed else "stopped"
    lines = [line[:MOST_LETTERS] for line in last.lines[-LAST_LINES:]]
    return JobStatus(job, state, last.seconds, **training, seconds_left=usual, last_lines=lines)


def _is_done(job: Job, folder: Path, written: Mapping[str, bool] | None) -> bool:
    if written is not None:
        return all(written.get(str(path), True) for path in job.outputs)
    return all((folder / path).exists() for path in job.outputs)


def final_accuracies(last: LastTry) -> list[float]:
    """On the validation split, of every net that a training has trained through all its epochs."""
    ends = [line for line in last.lines if (m := EPOCH.search(line)) and m[1] == m[2]]
    return [float(found[-1]) for line in ends if (found := ACCURACY.findall(line))]


def _training(last: LastTry) -> dict[str, Any]:
    """Epoch, epochs and accuracy of the last epoch's line; nothing before the first."""
    for line in reversed(last.lines):
        if match := EPOCH.search(line):
            accuracies = ACCURACY.findall(line)
            return {
                "epoch": int(match[1]),
                "epochs": int(match[2]),
                "accuracy": float(accuracies[-1]) if accuracies else None,
            }
    return {}


def _seconds_left(
    last: LastTry, training: Mapping[str, Any], usual: float | None, num_nets: int
) -> float | None:
    """By this training's own epochs, else by what such a job usually takes.

    Args:
        num_nets: that the job trains one after the other.
    """
    lines = [line for line in last.lines if EPOCH.search(line) and time_of(line)]
    if len(lines) > 1:
        # From line to line: the first epoch's time would hold the loading of the data.
        seconds = (time_of(lines[-1]) - time_of(lines[0])).total_seconds() / (len(lines) - 1)
        begun = [line for line in last.lines if line[20:].startswith("training ")]
        epochs = max(0, num_nets - max(1, len(begun))) * training["epochs"]
        # After the first word of a net the last epoch is still that of the net before.
        in_hand = 0 if last.lines[-1] in begun else training["epoch"]
        # Neither a clock that was set back nor a strange line makes it less than nothing.
        return max(0.0, seconds) * max(0, epochs + training["epochs"] - in_hand)
    # What jobs usually take is without what they waited.
    return None if usual is None else max(0.0, usual - (last.seconds - last.waited))


def _stages(jobs: Sequence[Job], statuses: Mapping[str, JobStatus]) -> dict[str, tuple[int, int]]:
    stages = {}
    for stage, rules in STAGES.items():
        states = [
            statuses[job.name].state for job in jobs if job.rule in rules and job.name in statuses
        ]
        if states:
            stages[stage] = (states.count("done"), len(states))
    return stages


def _time_left(statuses: Mapping[str, JobStatus], places: int) -> tuple[float | None, float, bool]:
    """Seconds of the whole, of all jobs in a row, and whether unknown times come on top."""
    unfinished = [status for status in statuses.values() if status.state != "done"]
    # What runs has its place already.
    unfinished.sort(key=lambda status: status.state != "running")
    jobs = [ScheduledJob(s.job.name, s.seconds_left or 0.0, s.job.needs) for s in unfinished]
    makespan = simulate(jobs, Machine(places)).makespan if places else None
    unknown = any(status.seconds_left is None for status in unfinished)
    return makespan, math.fsum(job.seconds for job in jobs), unknown
