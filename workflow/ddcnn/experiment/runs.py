"""What a configuration asks for: runs, and the nets that are trained for them."""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ddcnn import nets
from ddcnn.base.errors import InputError
from ddcnn.base.tasks import methods_of
from ddcnn.data.registry import Dataset, dataset_of
from ddcnn.experiment.paths import RUN, place_of, seed_text
from ddcnn.tiles.geometry import VIEW, Decomposition, Tiling, format_axes
from ddcnn.tiles.packs import Pack, packs_of

# Members of an ensemble take seeds that nobody writes into a configuration.
ENSEMBLE_SEED_STEP = 1_000_000
PRODUCT = ("model", "width", "kind", "grid", "overlap", "coarse_view", "seed")
AUTO_GRIDS = {1: "4", 2: "2x2", 3: "2x2x1"}  # by the number of axes


@dataclass(frozen=True)
class Run:
    """data set x model x decomposition x seed, and with cross-validation the fold on which it is
    tested; its folders are properties of the same names.
    """

    dataset: str
    architecture: str
    width: int
    explicit_local_width: int | None
    decomposition: Decomposition
    seed: int
    fold: int | None = None

    @property
    def tiling(self) -> Tiling:
        return self.decomposition.tiling

    @property
    def is_global(self) -> bool:
        """Whether this run is the global net's: one tile, the whole image."""
        return self.tiling.num_tiles == 1

    @property
    def model(self) -> str:
        return nets.model_slug(self.architecture, self.width, self.explicit_local_width)

    @property
    def local_width(self) -> int:
        """Channels of the first stage of every net of this run."""
        if self.is_global:
            return self.width
        return self.explicit_local_width or nets.local_width(self.width, self.tiling.num_tiles)

    @property
    def wildcards(self) -> dict[str, str]:
        """What its name stands for in the paths of :mod:`ddcnn.experiment.paths`."""
        return {
            "dataset": self.dataset,
            "model": self.model,
            "tiling": self.tiling.slug,
            "decomposition": self.decomposition.slug,
            "seed": seed_text(self.seed, self.fold),
        }

    @property
    def folder(self) -> str:
        """Below ``results/runs``."""
        return RUN.format(**self.wildcards)

    def local_folder(self, tile: str) -> str:
        """Below ``results/local``."""
        return place_of("train_local", self.wildcards | {"tile": tile})

    def global_run(self) -> "Run":
        """The run of the global net that this one is compared with; it has no local width."""
        return self._on_whole_images(self.width, self.seed)

    def small_run(self) -> "Run":
        """The control ``small``: a net of a local net's width on the whole image."""
        return self._on_whole_images(self.local_width, self.seed)

    def ensemble_runs(self) -> list["Run"]:
        """The control ``ensemble``: as many such nets as subdomains, each with a seed of its own.

        The first one is that of the control ``small``.
        """
        num_members = len(self.decomposition.subdomains)
        seeds = [self.seed + ENSEMBLE_SEED_STEP * member for member in range(num_members)]
        return [self._on_whole_images(self.local_width, seed) for seed in seeds]

    def _on_whole_images(self, width: int, seed: int) -> "Run":
        whole = Decomposition(Tiling.whole(len(self.tiling.grid)))
        return Run(self.dataset, self.architecture, width, None, whole, seed, self.fold)

    def fold_runs(self, folds: int) -> list["Run"]:
        """The runs that are tested on the other folds, and this one; none without folds."""
        return [replace(self, fold=fold) for fold in range(folds)]


@dataclass(frozen=True)
class Experiment:
    """A checked configuration.

    Attributes:
        name: of the report's folder.
        settings: the configuration with all defaults.
        datasets: by name; ``entries`` holds what the configuration wrote for each.
        runs: every run once, global nets first.
        controls: runs whose nets are trained for a method of another run.
    """

    name: str
    settings: dict[str, Any]
    datasets: dict[str, Dataset]
    entries: dict[str, str | dict[str, Any]]
    runs: list[Run]
    controls: list[Run]

    @property
    def trained(self) -> list[Run]:
        """All runs whose nets are trained."""
        return [*self.runs, *self.controls]

    @property
    def sees_features(self) -> bool:
        """Whether coarse nets see what the last layers of local nets do."""
        return self.settings["coarse"]["input"] == "features"

    @property
    def folds(self) -> int:
        """Folds of the cross-validation, 0 without one."""
        return _folds(self.settings)

    @property
    def num_folds(self) -> int:
        """Parts of the training images, 0 where no net is trained without one."""
        coarse = self.settings["coarse"]
        return coarse["folds"] if coarse["fit_on"] == "out-of-fold" else 0

    def methods_of(self, run: Run) -> list[str]:
        """Methods of a run beside ``cnn-dnn``; the global net's run has none."""
        known = methods_of(self.datasets[run.dataset].task)
        return [] if run.is_global else [m for m in self.settings["methods"] if m in known]

    def run_of(self, wildcards: Mapping[str, str]) -> Run:
        """The run whose folder they name."""
        return self._by_folder[RUN.format(**wildcards)]

    def tiling_of(self, wildcards: Mapping[str, str]) -> Tiling:
        """The tiling that they name."""
        return self._tilings[wildcards["dataset"], wildcards["tiling"]]

    def net_run_of(self, wildcards: Mapping[str, str]) -> Run:
        """A run with the local nets that they name: with and without the coarse view."""
        return self._by_nets[tuple(wildcards[key] for key in ("dataset", "model", "tiling"))]

    def pack_of(self, wildcards: Mapping[str, str]) -> Pack:
        """The tiles that the job trains which trains this one."""
        if wildcards["tile"] == VIEW:
            return Pack((VIEW,))
        return self._packs[tuple(wildcards[key] for key in ("dataset", "tiling", "tile"))]

    @cached_property
    def _by_folder(self) -> dict[str, Run]:
        return {run.folder: run for run in self.runs}

    @cached_property
    def _by_nets(self) -> dict[tuple[str, ...], Run]:
        return {(run.dataset, run.model, run.tiling.slug): run for run in self.trained}

    @cached_property
    def _tilings(self) -> dict[tuple[str, str], Tiling]:
        return {(run.dataset, run.tiling.slug): run.tiling for run in self.trained}

    @cached_property
    def _packs(self) -> dict[tuple[str, ...], Pack]:
        return {
            (dataset, slug, tile): pack
            for (dataset, slug), tiling in self._tilings.items()
            for pack in packs_of(tiling.names, self.settings["tiles_per_job"])
            for tile in pack.tiles
        }


def experiment_of(settings: dict[str, Any]) -> Experiment:
    """The experiment of complete settings, whose values are not compared with data and nets.

    Raises:
        InputError: a data set that is not there, or two of the same name.
    """
    entries = {e if isinstance(e, str) else e["name"]: e for e in settings["dataset"]}
    if len(entries) < len(settings["dataset"]):
        raise InputError("dataset: two entries have the same name; give each its own")
    datasets = {name: dataset_of(entry) for name, entry in entries.items()}
    runs = list(dict.fromkeys(_not_too_many(_runs(settings, datasets), settings)))
    runs.sort(key=lambda run: not run.is_global)
    controls = list(dict.fromkeys(_controls(settings, runs)))
    return Experiment(settings["experiment"], settings, datasets, entries, runs, controls)


def _not_too_many(runs: Iterator[Run], settings: dict[str, Any]) -> Iterator[Run]:
    """The runs, as long as their nets are no more than is allowed."""
    trainings, most = 0, settings["most_trainings"]
    each = 2 if "ensemble" in settings["methods"] else 1
    for run in runs:
        trainings += each * run.tiling.num_tiles
        if trainings > most:
            lists = [settings[key] for key in ("dataset", *PRODUCT)]
            asked = math.prod(map(len, lists)) * max(1, _folds(settings))
            raise InputError(
                f"most_trainings: the lists make {asked:,} runs, beside those of global nets, and "
                f"at grid {format_axes(run.tiling.grid)} more trainings than {most:,}; shorten "
                "them, take fewer tiles, or set a larger number"
            )
        yield run


def _folds(settings: Mapping[str, Any]) -> int:
    return 0 if settings["folds"] == "none" else settings["folds"]


def _controls(settings: dict[str, Any], runs: list[Run]) -> Iterator[Run]:
    for run in runs:
        if run.is_global:
            continue
        if "small" in settings["methods"]:
            yield run.small_run()
        if "ensemble" in settings["methods"]:
            yield from run.ensemble_runs()


def _runs(settings: dict[str, Any], datasets: dict[str, Dataset]) -> Iterator[Run]:
    explicit = settings["local_width"]
    explicit, folds = None if explicit == "proportional" else explicit, _folds(settings)
    for dataset in datasets:
        for combination in itertools.product(*(settings[key] for key in PRODUCT)):
            model, width, kind, grid, overlap, view, seed = combination
            grid = AUTO_GRIDS[len(datasets[dataset].shape)] if grid == "auto" else str(grid)
            decomposition = Decomposition(Tiling.of(kind, grid, overlap), view)
            local_width = None if nets.is_closed_form(model) else explicit
            width = nets.width_of(model, width)
            run = Run(dataset, model, width, local_width, decomposition, seed)
            for each in run.fold_runs(folds) or [run]:
                if not each.is_global:
                    yield each
                # One tile is the global net, whatever else it was written with.
                if each.is_global or settings["global_net"]:
                    yield each.global_run()
