"""Results as the report reads them: runs, and studies of runs that may be compared."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ddcnn.base.files import map_prepared, read_joined, read_json, read_npz
from ddcnn.base.listing import groups_of, read_files
from ddcnn.base.splits import stored_parts
from ddcnn.base.text import counted
from ddcnn.evaluation.pooling import joined, pooled_evaluation
from ddcnn.evaluation.scores import r2_merits
from ddcnn.experiment.jobs import Job, evaluation_jobs
from ddcnn.experiment.paths import folder_of
from ddcnn.experiment.runs import Experiment, Run
from ddcnn.report.summary import (
    WHOLE,
    best_decomposition,
    mean_over_seeds,
    overlap_text,
    summary_table,
)
from ddcnn.tiles.geometry import VIEW, format_axes, resample

MOST_IMAGES = 2000  # of the training split that enter the mean image


@dataclass(frozen=True)
class RunResult:
    """One folder ``results/runs/{dataset}/{model}/{decomposition}/seed{seed}``, or those of all
    folds of a cross-validation together.

    Attributes:
        run: whose; of several folds that of the first.
        folder: of its files.
        evaluation: content of ``evaluation.json``, see
            :func:`ddcnn.evaluation.pooling.pooled_evaluation`.
        data: the folder of its prepared data.
        folds: the results of every fold, in their order; none without cross-validation.
    """

    run: Run
    folder: Path
    evaluation: dict[str, Any]
    data: Path
    folds: tuple["RunResult", ...] = ()

    @classmethod
    def of(cls, run: Run, results: Path) -> "RunResult":
        folder = folder_of("evaluate", run.folder, results)
        data = folder_of("prepare", run.dataset, results)
        return cls(run, folder, read_json(folder / "evaluation.json"), data)

    @classmethod
    def pooled(cls, folds: Sequence["RunResult"]) -> "RunResult":
        """All folds as one: their test splits, one after the other, are all samples once."""
        evaluation = pooled_evaluation(
            [each.evaluation for each in folds], [each.predictions for each in folds]
        )
        return replace(folds[0], evaluation=evaluation, folds=tuple(folds))

    @property
    def single(self) -> tuple["RunResult", ...]:
        """Results of single trainings: of every fold, or this one."""
        return self.folds or (self,)

    @cached_property
    def groups(self) -> np.ndarray | None:
        """What makes test images depend on each other, for :mod:`ddcnn.evaluation.intervals`.

        :meth:`groups_of` the test split; with folds ``2, N``: these, and the fold of every image,
        whose nets it shares.
        """
        groups = self.groups_of("test")
        if not self.folds:
            return groups
        sizes = [len(fold.labels) for fold in self.folds]
        groups = np.arange(sum(sizes)) if groups is None else groups
        return np.stack([groups, np.repeat(np.arange(len(sizes)), sizes)])

    def groups_of(self, split: str) -> np.ndarray | None:
        """Group of every image of a split, int64 ``N``; None where every image is its own."""
        parts = stored_parts(len(self.folds)) if self.folds else [split]
        return groups_of(self.data, parts)

    @property
    def seed(self) -> int:
        return self.evaluation["seed"]

    @property
    def tiling(self) -> str:
        return self.evaluation["tiling"]

    @property
    def tiles(self) -> list[str]:
        return [name for name in self.evaluation["tiles"] if name != VIEW]

    @property
    def has_view(self) -> bool:
        return self.evaluation["coarse_view"]

    @property
    def label(self) -> str:
        """Name of the decomposition for people: ``2x2, overlap 4 + coarse view``."""
        return self.tiling_label + (" + coarse view" if self.has_view else "")

    @property
    def tiling_label(self) -> str:
        if self.tiling == WHOLE:
            return "whole image"
        grid = format_axes(self.evaluation["grid"])
        if self.evaluation["kind"] == "interleaved":
            return f"interleaved {grid}"
        tiles = f"{grid} tiles" if len(self.evaluation["grid"]) == 1 else grid
        return f"{tiles}, overlap {overlap_text(self.evaluation)}"

    @cached_property
    def predictions(self) -> dict[str, np.ndarray]:
        """Arrays of ``predictions.npz``."""
        if self.folds:
            return joined(fold.predictions for fold in self.folds)
        return read_npz(self.folder / "predictions.npz")

    def decisions(self, method: str) -> np.ndarray:
        """Class of every test image: int64 ``N``."""
        return self.predictions[f"test_{method}"].argmax(axis=1)

    @property
    def labels(self) -> np.ndarray:
        """True class of every test image: int64 ``N``; or targets, float ``N, M``."""
        return self.predictions["test_labels"]

    @property
    def task(self) -> str:
        return self.evaluation["task"]

    @property
    def is_regression(self) -> bool:
        return self.task == "regression"

    def merits(self, method: str, split: str = "test") -> np.ndarray:
        """One number for each image of a split: their mean is the accuracy, or R² - 1."""
        output = self.predictions[f"{split}_{method}"]
        labels = self.predictions[f"{split}_labels"]
        if self.is_regression:
            return r2_merits(output, labels)
        return output.argmax(axis=1) == labels


class Study:
    """All runs of one data set and one model: what may stand in one figure."""

    def __init__(
        self,
        runs: Iterable[RunResult],
        jobs: Sequence[Job],
        settings: Mapping[str, Any],
        results: Path,
    ) -> None:
        """What results of runs hold, all jobs up to their evaluations, in order, and the
        configuration with all defaults.
        """
        self.runs = list(runs)
        self.jobs = jobs
        self.settings = settings
        self.results = results
        self.dataset: str = self.runs[0].evaluation["dataset"]
        self.model: str = self.runs[0].evaluation["model"]
        self.means = mean_over_seeds(summary_table(run.evaluation for run in self.runs))
        self.best = best_decomposition(self.means)

    @property
    def is_regression(self) -> bool:
        return self.runs[0].is_regression

    @property
    def score(self) -> str:
        """Prefix of the columns by which methods are compared: ``accuracy`` or ``r2``."""
        return "r2" if self.is_regression else "accuracy"

    @property
    def score_name(self) -> str:
        """The score's name for people."""
        return "R²" if self.is_regression else "accuracy"

    @property
    def noun(self) -> str:
        """What a sample is called: ``image`` or ``signal``."""
        return "signal" if len(self.card["shape"]) == 1 else "image"

    @property
    def folds(self) -> int:
        """Folds of the cross-validation, 0 without one."""
        return len(self.runs[0].folds)

    @property
    def tested(self) -> str:
        """On how many samples all scores rest: ``90 test images in 30 groups``."""
        groups = self.runs[0].groups_of("test")
        drawn = "" if groups is None else f" in {counted(len(np.unique(groups)), 'group')}"
        if not self.folds:
            return f"{self.num_images:,} test {self.noun}s{drawn}"
        return f"{self.num_images:,} {self.noun}s{drawn}, each tested once in {self.folds} folds,"

    @property
    def num_images(self) -> int:
        """Of the test split."""
        return self.num_images_of("test")

    def num_images_of(self, split: str) -> int:
        return len(self.runs[0].predictions[f"{split}_labels"])

    @property
    def seeds(self) -> list[int]:
        return sorted({run.seed for run in self.runs})

    @cached_property
    def by_decomposition(self) -> dict[str, list[RunResult]]:
        """Runs of every decomposition by slug, each in the order of the seeds."""
        groups: dict[str, list[RunResult]] = {}
        for run in sorted(self.runs, key=lambda run: run.seed):
            groups.setdefault(run.evaluation["decomposition"], []).append(run)
        order = dict.fromkeys(run.evaluation["decomposition"] for run in self.runs)
        return {slug: groups[slug] for slug in sorted(order, key=lambda slug: slug != WHOLE)}

    def label_of(self, decomposition: str) -> str:
        """Name of a decomposition for people."""
        return self.by_decomposition[decomposition][0].label

    @property
    def whole(self) -> list[RunResult]:
        """Runs of the global net, none without one."""
        return self.by_decomposition.get(WHOLE, [])

    @property
    def decomposed(self) -> dict[str, list[RunResult]]:
        """Runs of every decomposition other than ``whole``."""
        return {slug: runs for slug, runs in self.by_decomposition.items() if slug != WHOLE}

    @property
    def by_tiling(self) -> dict[str, list[RunResult]]:
        """Runs by tiling, the ones with the coarse view first: they hold one local net more."""
        groups: dict[str, list[RunResult]] = {}
        for runs in self.by_decomposition.values():
            groups.setdefault(runs[0].tiling, []).extend(runs)
        return {
            slug: sorted(runs, key=lambda run: not run.has_view) for slug, runs in groups.items()
        }

    def mean_of(self, decomposition: str, method: str) -> pd.Series:
        """Row of :func:`mean_over_seeds`."""
        rows = self.means
        return rows[(rows["decomposition"] == decomposition) & (rows["method"] == method)].iloc[0]

    def merits(self, decomposition: str, method: str) -> np.ndarray:
        """``S, N``: :meth:`RunResult.merits` of every seed."""
        return np.stack([run.merits(method) for run in self.by_decomposition[decomposition]])

    @cached_property
    def card(self) -> dict[str, Any]:
        return read_json(self.data / "card.json")

    @property
    def training_cards(self) -> dict[str, dict[str, Any]]:
        """The data as trainings see them, by name: one card, or one for every fold."""
        if not self.folds:
            return {self.dataset: self.card}
        return {
            f"{self.dataset}, {part}": read_json(self.data / part / "card.json")
            for part in stored_parts(self.folds)
        }

    @cached_property
    def files(self) -> dict[str, list[str]]:
        """File of every image by split; none where an earlier version prepared the data.

        With folds the test split is all of them, one after the other.
        """
        path = self.data / "samples.csv"
        files = read_files(path) if path.is_file() else {}
        if self.folds and files:
            files["test"] = [name for part in stored_parts(self.folds) for name in files[part]]
        return files

    def num_independent(self, split: str) -> int:
        """Images of a split; where they are in groups, such as patients, the number of groups."""
        groups = self.runs[0].groups_of(split)
        return self.num_images_of(split) if groups is None else len(np.unique(groups))

    @property
    def data(self) -> Path:
        return folder_of("prepare", self.dataset, self.results)

    def num_looks(self) -> tuple[int, int]:
        """Decisions on the test split, of every method of every run: here, and in all results."""
        folder = folder_of("evaluate", self.dataset, self.results)
        found = (read_json(path) for path in folder.rglob("evaluation.json"))
        here = sum(len(run.evaluation["methods"]) for run in self.runs)
        # All folds of a cross-validation together are one look.
        all_ = sum(len(each["methods"]) for each in found if not each.get("fold"))
        return here, all_

    def boxes(self, tiling: str) -> dict[str, Any]:
        """Tiles of the plan, without the coarse view."""
        folder = folder_of("tile", f"{self.dataset}/{tiling}", self.results)
        plan = read_json(folder / "plan.json")
        return {name: box for name, box in plan["tiles"].items() if name != VIEW}

    def local_folder(self, run: RunResult, tile: str) -> Path:
        return folder_of("train_local", run.run.local_folder(tile), self.results)

    def local_outputs(self, run: RunResult) -> dict[str, np.ndarray] | None:
        """What every local net says of the test split, by tile: ``N, K``, or ``N, M`` targets.

        None where these intermediate files were removed to save room.
        """
        files = {
            tile: [self.local_folder(each, tile) / "probabilities.npz" for each in run.single]
            for tile in run.evaluation["tiles"]
        }
        if not all(file.is_file() for of_tile in files.values() for file in of_tile):
            return None
        return {
            tile: read_joined(of_tile, lambda file: read_npz(file, "test")["test"])
            for tile, of_tile in files.items()
        }

    def local_scores(self, tiling: str) -> dict[str, float]:
        """Test accuracy (or R²) of every local net of a tiling, mean over the seeds."""
        found: dict[str, dict[int, float]] = {}
        for run in self.by_tiling[tiling]:
            for name, local in run.evaluation["local"].items():
                found.setdefault(name, {})[run.seed] = local[f"{self.score}_test"]
        return {name: float(np.mean(list(by_seed.values()))) for name, by_seed in found.items()}

    def test_image(self, index: int = 0) -> np.ndarray:
        """One test image: uint8 (signals: float32) ``*shape, C``."""
        for images in self._images("test"):
            if index < len(images):
                return np.array(images[index])
            index -= len(images)
        raise IndexError(index)

    def _images(self, split: str) -> list[np.ndarray]:
        """Of a split, from its file; of folds those of all."""
        parts = stored_parts(self.folds) if self.folds else [split]
        return [map_prepared(self.data / f"x_{part}.npy") for part in parts]

    def mean_image(self) -> np.ndarray:
        """Mean over (a part of) the training split and the channels: ``*shape``, 0 to 1.

        The channels of a signal may have different units: its first one.
        """
        parts = self._images("train")
        step = max(1, sum(map(len, parts)) // MOST_IMAGES)
        images = np.concatenate([part[::step] for part in parts])
        chosen = images[:, :, :1] if images.ndim == 3 else images
        mean = np.mean(chosen, axis=(0, -1), dtype=np.float32)
        spread = float(np.ptp(mean))
        return (mean - mean.min()) / spread if spread else mean / 255


def pooled_runs(runs: Iterable[RunResult]) -> list[RunResult]:
    """One result for all folds of a run, in the order of the runs; others as they are."""
    groups: dict[Run, list[RunResult]] = {}
    for result in runs:
        groups.setdefault(replace(result.run, fold=None), []).append(result)
    return [
        group[0] if group[0].run.fold is None else RunResult.pooled(group)
        for group in groups.values()
    ]


def coarse_view(image: np.ndarray, box: dict[str, Any]) -> np.ndarray:
    """The whole image resampled to the shape of a tile: ``*tile_shape, C``."""
    shape = tuple(
        len(range(*bounds)) for bounds in zip(box["start"], box["stop"], box["step"], strict=True)
    )
    return resample(image[None], shape)[0]


def studies_of(runs: Iterable[RunResult], experiment: Experiment, results: Path) -> list[Study]:
    """Studies of an experiment's runs, in the order in which their first runs stand."""
    groups: dict[tuple[str, str], list[RunResult]] = {}
    for run in runs:
        groups.setdefault((run.evaluation["dataset"], run.evaluation["model"]), []).append(run)
    return [
        Study(group, _jobs_before(group, experiment), experiment.settings, results)
        for group in groups.values()
    ]


def _jobs_before(runs: Iterable[RunResult], experiment: Experiment) -> list[Job]:
    return evaluation_jobs([each.run for run in runs for each in run.single], experiment)
