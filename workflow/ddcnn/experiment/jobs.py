"""The jobs of an experiment, and which of them wait for which, without Snakemake.

What the rules in ``workflow/rules`` say is said here a second time, so that the state of an
experiment and its makespan can be told from files alone and in a moment; a test compares the two.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ddcnn.experiment.configuration import Experiment, Run
from ddcnn.tiles.geometry import VIEW
from ddcnn.tiles.packs import Pack, packs_of

SPLITS = ("train", "val", "test")
TRAININGS = ("train_local", "train_fold", "train_coarse", "train_coherent")
JOINT = ("coherent", "transfer")

# Files that stand for a finished job, below results/: the outputs of its rule.
_OUTPUTS = {
    "download": ["data/{place}/raw/manifest.json"],
    "prepare": [
        *(f"data/{{place}}/{axis}_{split}.npy" for axis in "xy" for split in SPLITS),
        "data/{place}/card.json",
    ],
    "tile": ["tiles/{place}/plan.json"],
    "coarse_view": [
        *(f"tiles/{{place}}/{VIEW}/x_{split}.npy" for split in SPLITS),
        f"tiles/{{place}}/{VIEW}/shards.json",
    ],
    "train_local": [
        f"local/{{place}}/{file}"
        for file in ("model.safetensors", "history.csv", "metrics.json", "probabilities.npz")
    ],
    "local_features": ["local/{place}/features.npz"],
    "train_fold": [f"local/{{place}}/{file}" for file in ("held_out.npz", "metrics.json")],
    **{
        rule: [
            f"runs/{{place}}/{file}"
            for file in ("model.safetensors", "history.csv", "metrics.json", "probabilities.npz")
        ]
        for rule in ("train_coarse", "train_coherent")
    },
    "evaluate": ["runs/{place}/evaluation.json", "runs/{place}/predictions.npz"],
    "bundle": ["runs/{place}/ddcnn.safetensors", "runs/{place}/ddcnn.md"],
    "report": [
        f"reports/{{place}}/{file}"
        for file in (
            "report.html",
            "summary.csv",
            "comparison.csv",
            "table.tex",
            "table.md",
            "settings.json",
            "merits.npz",
            "figures",
        )
    ],
}  # fmt: skip

# What a person looks at: the stages of a run, in their order.
STAGES = {
    "data": ("download", "prepare"),
    "tiles": ("tile", "coarse_view"),
    "local": ("train_local", "train_fold", "local_features"),
    "coarse": ("train_coarse", "train_coherent"),
    "evaluation": ("evaluate", "bundle"),
}


@dataclass(frozen=True)
class Job:
    """One job of the workflow.

    Attributes:
        rule: its rule.
        place: the part of its paths that tells it from the rule's other jobs, for example
            ``fashion-mnist-10k/vgg-w16/blocks-2x2-overlap4/seed0/0-1``.
        needs: names of the jobs whose outputs it reads.
        places: those of its outputs, where these are not its own: of a pack of tiles.
    """

    rule: str
    place: str
    needs: tuple[str, ...] = ()
    places: tuple[str, ...] = ()

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
        places = self.places or (self.place,)
        files = [file.format(place=place) for place in places for file in _OUTPUTS[self.rule]]
        return [Path("results") / file for file in files]

    @property
    def on_device(self) -> bool:
        """Whether it runs on a GPU where there is one."""
        return self.rule in (*TRAININGS, "local_features")


def kind_of(name: str) -> str:
    """:attr:`Job.kind` of the job of this name."""
    before, _, after = name.partition("/seed")
    # Behind the seed stands the tile, or which of a run's trainings it is.
    _, _, which = after.partition("/")
    if ".." in which:
        return f"{before} packed"
    return f"{before} {which}" if name.startswith(("train_coarse", "train_coherent")) else before


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
    yield Job("download", run.dataset)
    yield Job("prepare", run.dataset, (f"download/{run.dataset}",))
    yield from _net_jobs(run, experiment)
    if run.is_global:
        yield _evaluation(run, experiment, ())
        yield _bundle_job(run, experiment)
        return
    yield from _combined_net_jobs(run, experiment)
    methods = experiment.methods_of(run)
    members = run.ensemble_runs() if "ensemble" in methods else []
    if "small" in methods:
        yield from _net_jobs(run.small_run(), experiment)
    for member in members:
        yield from _net_jobs(member, experiment)
        yield from _combined_net_jobs(member, experiment)
    combined = [_coarse_job(run, "coarse", [run], experiment)]
    combined += [_coarse_job(run, "ensemble", members, experiment)] if members else []
    yield from combined
    joint = [_joint_job(run, start, experiment) for start in JOINT if start in methods]
    yield from joint
    yield _evaluation(run, experiment, tuple(job.name for job in (*combined, *joint)))
    yield _bundle_job(run, experiment)


def _net_jobs(run: Run, experiment: Experiment) -> Iterator[Job]:
    """Tiles and trainings of a run's local nets."""
    place, prepare = f"{run.dataset}/{run.tiling.slug}", f"prepare/{run.dataset}"
    yield Job("tile", place, (prepare,))
    if run.decomposition.coarse_view:
        yield Job("coarse_view", place, (prepare, f"tile/{place}"))
    for pack in _packs(run, experiment):
        places = tuple(map(run.local_folder, pack.tiles))
        needs = _tile_needs(pack.tiles[0], run)
        yield Job("train_local", run.local_folder(pack.name), needs, places)


def _combined_net_jobs(run: Run, experiment: Experiment) -> Iterator[Job]:
    """What a coarse net needs beside the local nets."""
    for tile in run.decomposition.subdomains:
        needs, local = _tile_needs(tile, run), run.local_folder(tile)
        if _sees_features(experiment):
            trained = f"train_local/{run.local_folder(_pack_of(tile, run, experiment).name)}"
            yield Job("local_features", local, (*needs, trained))
        for fold in range(experiment.num_folds):
            yield Job("train_fold", f"{local}/fold{fold}", needs)


def _tile_needs(tile: str, run: Run) -> tuple[str, str]:
    """What a job needs that reads a tile."""
    source = "coarse_view" if tile == VIEW else "tile"
    return f"prepare/{run.dataset}", f"{source}/{run.dataset}/{run.tiling.slug}"


def _sees_features(experiment: Experiment) -> bool:
    """Whether coarse nets see what the last layers of local nets do."""
    return experiment.settings["coarse"]["input"] == "features"


def _packs(run: Run, experiment: Experiment) -> list[Pack]:
    return packs_of(run.decomposition.subdomains, experiment.settings["tiles_per_job"])


def _pack_of(tile: str, run: Run, experiment: Experiment) -> Pack:
    return next(pack for pack in _packs(run, experiment) if tile in pack.tiles)


def _trained(runs: Iterable[Run], experiment: Experiment) -> tuple[str, ...]:
    """Names of the jobs that train all local nets of some runs."""
    return tuple(
        f"train_local/{run.local_folder(pack.name)}"
        for run in runs
        for pack in _packs(run, experiment)
    )


def _of_nets(rule: str, runs: Iterable[Run]) -> tuple[str, ...]:
    """Names of a rule's jobs for all local nets of some runs."""
    return tuple(
        f"{rule}/{run.local_folder(tile)}" for run in runs for tile in run.decomposition.subdomains
    )


def _folds(runs: Iterable[Run], experiment: Experiment) -> tuple[str, ...]:
    names = _of_nets("train_fold", runs)
    return tuple(f"{name}/fold{k}" for name in names for k in range(experiment.num_folds))


def _coarse_job(run: Run, combination: str, nets: list[Run], experiment: Experiment) -> Job:
    needs = (
        *_trained(nets, experiment),
        *(_of_nets("local_features", nets) if _sees_features(experiment) else ()),
        *_folds(nets, experiment),
    )
    return Job("train_coarse", f"{run.folder}/{combination}", (*needs, f"prepare/{run.dataset}"))


def _joint_job(run: Run, start: str, experiment: Experiment) -> Job:
    trained = (*_trained([run], experiment), f"train_coarse/{run.folder}/coarse")
    needs = trained if start == "transfer" else ()
    return Job("train_coherent", f"{run.folder}/{start}", (*needs, f"prepare/{run.dataset}"))


def _evaluation(run: Run, experiment: Experiment, trainings: tuple[str, ...]) -> Job:
    methods = experiment.methods_of(run)
    whole = [net for net in [run.global_run()] if net in experiment.runs]
    small = [run.small_run()] if "small" in methods else []
    members = run.ensemble_runs() if "ensemble" in methods else []
    folds = () if run.is_global else _folds([run], experiment)
    needs = (
        *(*trainings, *folds, *_trained([*whole, *small, *members, run], experiment)),
        *(f"tile/{run.dataset}/{run.tiling.slug}", f"prepare/{run.dataset}"),
    )
    return Job("evaluate", run.folder, tuple(dict.fromkeys(needs)))


def _bundle_job(run: Run, experiment: Experiment) -> Job:
    nets = _trained([run], experiment)
    if _sees_features(experiment) and not run.is_global:
        nets += _of_nets("local_features", [run])
    nets += () if run.is_global else (f"train_coarse/{run.folder}/coarse",)
    others = (f"tile/{run.dataset}/{run.tiling.slug}", f"prepare/{run.dataset}")
    return Job("bundle", run.folder, (*nets, f"evaluate/{run.folder}", *others))
