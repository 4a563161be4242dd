"""The jobs of an experiment, and which of them wait for which, without Snakemake.

What the rules in ``workflow/rules`` say is said here a second time, so that the state of an
experiment and its makespan can be told from files alone and in a moment; a test compares the two.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ddcnn.configuration import Experiment, Run
from ddcnn.tiles import VIEW

SPLITS = ("train", "val", "test")
TRAININGS = ("train_local", "train_coarse")

# Files that stand for a finished job, below results/: the outputs of its rule.
_OUTPUTS = {
    "download": ["data/{place}/raw/manifest.json"],
    "prepare": [
        *(f"data/{{place}}/{axis}_{split}.npy" for axis in "xy" for split in SPLITS),
        "data/{place}/card.json",
    ],
    "tile": ["tiles/{place}/plan.json"],
    "coarse_view": [f"tiles/{{place}}/{VIEW}/x_{split}.npy" for split in SPLITS],
    "train_local": [
        f"local/{{place}}/{file}" for file in ("model.safetensors", "history.csv", "metrics.json")
    ],
    "local_probabilities": ["local/{place}/probabilities.npz"],
    "train_coarse": [
        f"runs/{{place}}/coarse/{file}"
        for file in ("model.safetensors", "history.csv", "metrics.json", "probabilities.npz")
    ],
    "evaluate": ["runs/{place}/evaluation.json", "runs/{place}/predictions.npz"],
    "report": [
        f"reports/{{place}}/{file}" for file in ("report.html", "summary.csv", "figures")
    ],
}  # fmt: skip

# What a person looks at: the stages of a run, in their order.
STAGES = {
    "data": ("download", "prepare"),
    "tiles": ("tile", "coarse_view"),
    "local": ("train_local", "local_probabilities"),
    "coarse": ("train_coarse",),
    "evaluation": ("evaluate",),
}


@dataclass(frozen=True)
class Job:
    """One job of the workflow.

    Attributes:
        rule: its rule.
        place: the part of its paths that tells it from the rule's other jobs, for example
            ``fashion-mnist-10k/vgg-w16/blocks-2x2-overlap4/seed0/0-1``.
        needs: names of the jobs whose outputs it reads.
    """

    rule: str
    place: str
    needs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.rule}/{self.place}"

    @property
    def kind(self) -> str:
        """Equal for jobs that do the same work on other tiles or seeds, and so take as long."""
        return kind_of(self.name)

    @property
    def log(self) -> Path:
        return Path(f"logs/{self.name}.log")

    @property
    def benchmark(self) -> Path:
        return Path(f"results/benchmarks/{self.name}.tsv")

    @property
    def outputs(self) -> list[Path]:
        return [Path("results") / file.format(place=self.place) for file in _OUTPUTS[self.rule]]

    @property
    def on_device(self) -> bool:
        """Whether it runs on a GPU where there is one."""
        return self.rule in (*TRAININGS, "local_probabilities")


def kind_of(name: str) -> str:
    """:attr:`Job.kind` of the job of this name."""
    return name.split("/seed")[0]


def experiment_jobs(experiment: Experiment) -> list[Job]:
    """All jobs of an experiment, each once, after those it needs."""
    jobs = {job.name: job for run in experiment.runs for job in run_jobs(run, experiment)}
    evaluations = tuple(f"evaluate/{run.folder}" for run in experiment.runs)
    report = Job("report", experiment.name, evaluations)
    return [*jobs.values(), report]


def run_jobs(run: Run, experiment: Experiment) -> Iterator[Job]:
    """The jobs of a run, each after those it needs; runs share many of them.

    A run's evaluation also needs the global net, whose run comes first in the experiment.
    """
    whole = run.global_run()
    yield Job("download", run.dataset)
    yield Job("prepare", run.dataset, (f"download/{run.dataset}",))
    yield from _tile_jobs(run)
    for tile in run.decomposition.subdomains:
        yield from _local_jobs(run, tile)
    yield from _coarse_jobs(run, whole if whole in experiment.runs else None)


def _tile_jobs(run: Run) -> Iterator[Job]:
    place = f"{run.dataset}/{run.tiling.slug}"
    prepare = f"prepare/{run.dataset}"
    yield Job("tile", place, (prepare,))
    if run.decomposition.coarse_view:
        yield Job("coarse_view", place, (prepare, f"tile/{place}"))


def _local_jobs(run: Run, tile: str) -> Iterator[Job]:
    place = run.local_folder(tile)
    source = "coarse_view" if tile == VIEW else "tile"
    needs = (f"prepare/{run.dataset}", f"{source}/{run.dataset}/{run.tiling.slug}")
    yield Job("train_local", place, needs)
    yield Job("local_probabilities", place, (*needs, f"train_local/{place}"))


def _coarse_jobs(run: Run, whole: Run | None) -> Iterator[Job]:
    tiles = run.decomposition.subdomains
    prepare = f"prepare/{run.dataset}"
    probabilities = tuple(f"local_probabilities/{run.local_folder(tile)}" for tile in tiles)
    coarse: tuple[str, ...] = ()
    if not run.is_global:
        yield Job("train_coarse", run.folder, (*probabilities, prepare))
        coarse = (f"train_coarse/{run.folder}",)
    trainings = tuple(f"train_local/{run.local_folder(tile)}" for tile in tiles)
    reference = (f"train_local/{whole.local_folder(whole.tiling.names[0])}",) if whole else ()
    tiling = f"tile/{run.dataset}/{run.tiling.slug}"
    needs = (*coarse, *reference, *probabilities, *trainings, tiling, prepare)
    yield Job("evaluate", run.folder, tuple(dict.fromkeys(needs)))
