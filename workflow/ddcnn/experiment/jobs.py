"""The jobs of an experiment, and which of them wait for which, without Snakemake.

Like Snakemake, from what is wanted back to what it needs; but from files alone and in a moment, so
that the state of an experiment and its makespan can be told.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from ddcnn.experiment.needs import NeededFiles, Node, needs_of
from ddcnn.experiment.paths import BENCHMARKS, LOGS, place_of
from ddcnn.experiment.runs import Experiment, Run
from ddcnn.experiment.without_steps import is_alone

TRAININGS = ("train_local", "train_fold", "train_coarse", "train_coherent", "train_parallel")

# What a person looks at: the stages of a run, in their order.
STAGES = {
    "data": ("download", "prepare"),
    "tiles": ("tile", "coarse_view"),
    "local": ("train_local", "train_fold", "local_features"),
    "parallel": ("train_parallel",),
    "coarse": ("train_coarse", "train_coherent"),
    "evaluation": ("evaluate", "bundle"),
}


@dataclass(frozen=True)
class Job:
    """One job of the workflow.

    Attributes:
        rule: its rule.
        wildcards: of its paths; the tile of a job that trains several is the name of their pack.
        needs: names of the jobs whose outputs it reads.
        tiles: that it trains.
    """

    rule: str
    wildcards: Mapping[str, str]
    needs: tuple[str, ...] = ()
    tiles: tuple[str, ...] = ()
    folds: int = 0  # see Node

    @cached_property
    def place(self) -> str:
        """The part of its paths that tells it from the rule's other jobs, for example
        ``fashion-mnist-10k/vgg-w16/blocks-2x2-overlap4/seed0/0-1``.
        """
        return place_of(self.rule, self.wildcards)

    @property
    def name(self) -> str:
        return f"{self.rule}/{self.place}"

    @property
    def kind(self) -> str:
        """Equal for jobs that do the same work on other tiles or seeds, and so take as long."""
        return kind_of(self.name)

    @property
    def cores(self) -> int:
        """That it computes with at a time."""
        return int(self.wildcards.get("workers", 1))

    @property
    def log(self) -> Path:
        return Path(LOGS[self.rule].format(**self.wildcards))

    @property
    def benchmark(self) -> Path:
        return Path(BENCHMARKS[self.rule].format(**self.wildcards))

    @property
    def nodes(self) -> list[Node]:
        """What it makes: itself, or every net of a job that trains several."""
        if not self.tiles:
            return [Node(self.rule, self.wildcards, self.folds)]
        return [Node(self.rule, {**self.wildcards, "tile": tile}) for tile in self.tiles]

    @property
    def outputs(self) -> list[Path]:
        return [Path(path) for node in self.nodes for path in node.outputs]


def gpus_of(experiment: Experiment, rule: str) -> int:
    """GPUs that a job of a rule asks for: one for a net, none for one that is solved by numpy; a
    training by several workers asks for as many times as much.

    Where some local nets are trained in steps, all jobs of their rule ask for one.
    """
    solved = {"train_coarse"} if experiment.settings["coarse"]["solver"] == "linear" else set()
    if is_alone(experiment.settings):
        solved |= {"train_local", "train_fold"}
    return int(rule in {*TRAININGS, "local_features"} - solved)


def kind_of(name: str) -> str:
    """:attr:`Job.kind` of the job of this name."""
    before, _, after = name.partition("/seed")
    # Behind the seed stands the tile, or which of a run's trainings it is.
    _, _, which = after.partition("/")
    if ".." in which:
        return f"{before} packed"
    tells = name.startswith(("train_coarse", "train_coherent", "train_parallel"))
    return f"{before} {which}" if tells else before


def wanted(experiment: Experiment) -> list[Node]:
    """What nothing else needs: the report and the models of all runs."""
    report = Node("report", {"experiment": experiment.name})
    return [*(Node("bundle", run.wildcards) for run in experiment.runs), report]


def experiment_jobs(experiment: Experiment) -> list[Job]:
    """All jobs of an experiment, each once, after those it needs."""
    walk = _Walk(experiment)
    for run in experiment.runs:
        walk.visit_run(run)
    for node in wanted(experiment):
        walk.visit(node)
    return list(walk.jobs.values())


def run_jobs(run: Run, experiment: Experiment) -> list[Job]:
    """The jobs of a run, each after those it needs; runs share many of them.

    A run's evaluation also needs the global net, which has a run of its own.
    """
    walk = _Walk(experiment, without=("compared",))
    walk.visit_run(run)
    return list(walk.jobs.values())


def evaluation_jobs(runs: Iterable[Run], experiment: Experiment) -> list[Job]:
    """The evaluations of some runs and all jobs before them, each after those it needs."""
    walk = _Walk(experiment)
    for run in runs:
        walk.visit(Node("evaluate", run.wildcards))
    return list(walk.jobs.values())


class _Walk:
    """Back from what is wanted to what it needs.

    Attributes:
        jobs: all that were met, by name, each after those it needs.
    """

    def __init__(self, experiment: Experiment, without: Sequence[str] = ()) -> None:
        """Inputs of the names ``without`` are not followed."""
        self.experiment, self.without = experiment, without
        self.jobs: dict[str, Job] = {}

    def visit_run(self, run: Run) -> None:
        for rule in ("evaluate", "bundle"):
            self.visit(Node(rule, run.wildcards))

    def visit(self, node: Node) -> str:
        """Add the job that makes ``node``, if it is new; return its name."""
        job = self._job_of(node)
        if job.name not in self.jobs:
            needed = needs_of(self.experiment, node.rule, node.wildcards)
            followed = [files for name, files in needed.items() if name not in self.without]
            names = [self.visit(each) for files in followed for each in _nodes(files)]
            self.jobs[job.name] = replace(job, needs=tuple(dict.fromkeys(names)))
        return job.name

    def _job_of(self, node: Node) -> Job:
        if node.rule != "train_local":
            return Job(node.rule, node.wildcards, folds=node.folds)
        pack = self.experiment.pack_of(node.wildcards)
        return Job(node.rule, {**node.wildcards, "tile": pack.name}, tiles=pack.tiles)


def _nodes(needed: NeededFiles | list[NeededFiles]) -> list[Node]:
    return [needed.node] if isinstance(needed, NeededFiles) else [files.node for files in needed]
