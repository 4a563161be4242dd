"""The trainings of a study: which ran when and where, and the chain that no machine shortens."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from ddcnn.base.files import read_json
from ddcnn.base.text import counted
from ddcnn.experiment import makespan
from ddcnn.experiment.job_times import measured_time
from ddcnn.experiment.jobs import TRAININGS, Job
from ddcnn.experiment.needs import Node
from ddcnn.experiment.paths import fold_of, folder_of, seed_of
from ddcnn.experiment.runs import ENSEMBLE_SEED_STEP
from ddcnn.report.study import Study
from ddcnn.report.summary import WHOLE
from ddcnn.tiles.geometry import VIEW

NO_NODE = "one machine"  # of results that do not say where


class Training:
    """One training of a net, as its ``metrics.json`` tells.

    Attributes:
        folder: of its files.
        kind: a key of the timeline's colours.
        label, decomposition: of the net, and of its run or its tiling, for people.
        seed: of its run, and the fold that this is tested on.
    """

    def __init__(self, study: Study, node: Node) -> None:
        self.folder = _folder(study, node)
        self.kind, self.label, self.decomposition, self.seed = _words_of(study, node)

    @cached_property
    def metrics(self) -> dict[str, Any]:
        return read_json(self.folder / "metrics.json")

    @property
    def begin(self) -> float:
        """Start of the process, seconds since 1970; of the last try, if there were several."""
        before = self.metrics["start_seconds"] - self.metrics["load_seconds"]
        return _seconds(self.metrics["started"]) - max(0.0, before)

    @property
    def ready(self) -> float:
        """The first training step."""
        return self.begin + self.metrics["start_seconds"]

    @property
    def end(self) -> float:
        """Not before its steps can be done, whatever a clock says that was set back meanwhile."""
        done = self.ready + self.metrics["train_seconds"]
        return max(done, _seconds(self.metrics["finished"]))

    @property
    def where(self) -> str:
        """Node and GPU, or the node's processor."""
        node = (self.metrics.get("given") or {}).get("node") or NO_NODE
        slot = self.metrics.get("device_slot")
        if self.metrics["device"] == "cpu":
            return f"{node}, CPU"
        return f"{node}, GPU {slot.partition('.')[0]}" if slot else f"{node}, GPU"


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _folder(study: Study, node: Node) -> Path:
    return folder_of(node.rule, node.place, study.results)


def seed_in_words(w: Mapping[str, str], step: int = 0) -> str:
    """``0``, or ``0, fold 2``; of a member of an ensemble that of the run it is trained for."""
    fold = fold_of(w)
    return f"{seed_of(w) - step}" + ("" if fold is None else f", fold {fold}")


def _words_of(study: Study, node: Node) -> tuple[str, str, str, str]:
    """Kind, label, decomposition and seed of a :class:`Training`."""
    w = node.wildcards
    if node.rule == "train_parallel":
        label = f"{w['way']}-{w['workers']}"
        return "other training", label, "whole image", seed_in_words(w)
    if node.rule in ("train_coarse", "train_coherent"):
        name = w["combination"] if node.rule == "train_coarse" else w["start"]
        kind = "coarse net" if name == "coarse" else "other training"
        return kind, name, study.label_of(w["decomposition"]), seed_in_words(w)
    kind, label, tiling, seed = _words_of_net(study, w)
    if node.rule == "train_fold":
        return "other training", f"{label} fold{w['fold']}", tiling, seed
    return kind, label, tiling, seed


def _words_of_net(study: Study, w: Mapping[str, str]) -> tuple[str, str, str, str]:
    seed, is_view = seed_of(w), w["tile"] == VIEW
    if w["tiling"] != WHOLE:
        kind, label = ("coarse view", "view") if is_view else ("local net", w["tile"])
        return kind, label, study.by_tiling[w["tiling"]][0].tiling_label, seed_in_words(w)
    if w["model"] == study.model and seed in [run.seed for run in study.whole]:
        return "global net", "global", "whole image", seed_in_words(w)
    steps = [divmod(seed - of_run, ENSEMBLE_SEED_STEP) for of_run in study.seeds]
    member = min(number for number, rest in steps if number >= 0 and rest == 0)
    label = f"member {member}" if member else "small"
    return "other training", label, "whole image", seed_in_words(w, member * ENSEMBLE_SEED_STEP)


def trainings_of(study: Study) -> list[Training]:
    """Every training of a study once, in the order in which they began."""
    jobs = [job for job in study.jobs if job.rule in TRAININGS]
    found = [Training(study, node) for job in jobs for node in job.nodes]
    there = [each for each in found if (each.folder / "metrics.json").is_file()]
    return sorted(there, key=lambda each: (each.begin, str(each.folder)))


class PathJob(NamedTuple):
    """A job on the critical path."""

    rule: str
    what: str
    seconds: float | None  # None where no time of it is known
    folders: list[Path]  # of what it made


class CriticalPath(NamedTuple):
    """Jobs of which each waits for the one before."""

    label: str  # of the decomposition
    seed: str  # and fold
    steps: list[PathJob]

    @property
    def seconds(self) -> float:
        return sum(step.seconds or 0 for step in self.steps)

    @property
    def folders(self) -> set[Path]:
        return {folder for step in self.steps for folder in step.folders}


def critical_path(study: Study) -> CriticalPath:
    """The longest chain of jobs, from the data to the comparison of the methods of one run.

    With any number of processors the experiment takes as long. Job times are those of Snakemake's
    benchmark files, of a training without one the time between its start and its end.
    """
    jobs = {job.name: job for job in study.jobs}
    seconds = {name: _seconds_of(study, job) for name, job in jobs.items()}
    scheduled = [
        makespan.ScheduledJob(name, seconds[name] or 0.0, job.needs) for name, job in jobs.items()
    ]
    chain = [jobs[each.name] for each in makespan.critical_path(scheduled)]
    steps = [
        PathJob(
            job.rule,
            job.place.partition("/")[2] or job.place,
            seconds[job.name],
            [_folder(study, node) for node in job.nodes],
        )
        for job in chain
    ]
    last = chain[-1].wildcards  # of an evaluation: nothing else is needed by no other job
    return CriticalPath(study.label_of(last["decomposition"]), seed_in_words(last), steps)


def _seconds_of(study: Study, job: Job) -> float | None:
    """How long a job took; of nets that other packs of tiles trained, the longest of these jobs."""
    if job.rule not in TRAININGS:
        return measured_time(study.results, job.name)
    times: dict[str, list[float]] = {}
    for node in job.nodes:
        training = Training(study, node)
        if (training.folder / "metrics.json").is_file():
            tile = training.metrics.get("job") if job.rule == "train_local" else None
            by = Node(job.rule, {**node.wildcards, "tile": tile}) if tile else node
            name = f"{job.rule}/{by.place}"
            times.setdefault(name, []).append(training.end - training.begin)
    measured = {name: measured_time(study.results, name) for name in times or [job.name]}
    known = [
        sum(times[name]) if seconds is None else seconds
        for name, seconds in measured.items()
        if seconds is not None or name in times
    ]
    return max(known, default=None)


def provenance_of(trainings: list[Training]) -> dict[str, Any]:
    """Where and when they ran, with which versions, each thing once."""
    metrics = [each.metrics for each in trainings]
    return {
        "count": len(metrics),
        "resumed": sum(bool(each.get("resumed")) for each in metrics),
        "started": _moment(min((each["started"] for each in metrics), default="")),
        "finished": _moment(max((each["finished"] for each in metrics), default="")),
        "devices": _distinct(
            f"{each['device_name']} ({each['device']}), {counted(each['threads'], 'thread')} a job"
            for each in metrics
        ),
        "hardware": _distinct(_hardware(each["hardware"]) for each in metrics),
        "versions": _distinct(
            ", ".join(f"{name} {version}" for name, version in each["versions"].items())
            for each in metrics
        ),
    }


def _moment(text: str) -> str:
    """``2025-01-31T10:00:00.123+00:00`` as ``2025-01-31 10:00:00 UTC``."""
    return f"{text[:10]} {text[11:19]} UTC" if text else "unknown"


def _hardware(facts: Mapping[str, Any]) -> str:
    cores = counted(facts["cores"], "core")
    return f"{facts['processor']}, {cores}, {facts['memory_gib']} GiB memory, {facts['system']}"


def _distinct(texts: Iterator[str]) -> list[str]:
    return list(dict.fromkeys(texts))
