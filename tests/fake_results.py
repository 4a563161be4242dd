"""A small made-up result tree in the exact formats of the pipeline, for tests without training.

Local probabilities are noisy copies of the truth, better for more pixels; the methods' decisions
are computed from them, so that ``evaluation.json`` and ``predictions.npz`` agree.
"""

import itertools
import zlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ddcnn.base.files import write_json, write_npz
from ddcnn.base.splits import SPLITS
from ddcnn.data.registry import REGISTRY
from ddcnn.evaluation import diagnosis, scores
from ddcnn.experiment.runs import Experiment, Run
from ddcnn.experiment.schema import complete
from ddcnn.report.study import RunResult
from ddcnn.tiles.geometry import VIEW, Decomposition, Tiling

EPOCHS = 8
GLOBAL_SECONDS = 48.0
FIRST_START = datetime(2025, 1, 1, 10, tzinfo=UTC)
NODES = ("node1", "node2")  # one training at a time on each


@dataclass(frozen=True)
class FakeExperiment:
    """What to make up. A tiling is ``(kind, grid, overlap, coarse view)``."""

    dataset: str = "blobs"
    model: str = "vgg-w16"
    shape: tuple[int, ...] = (28, 28)
    channels: int = 1
    classes: tuple[str, ...] = ("round", "long", "two <b>", "cross & bar")
    tilings: tuple[tuple[str, str, int | str, bool], ...] = (
        ("blocks", "2x2", 0, False),
        ("blocks", "2x2", 4, False),
        ("blocks", "2x2", 4, True),
    )
    seeds: tuple[int, ...] = (0,)
    global_net: bool = True
    counts: tuple[int, int, int] = (60, 40, 400)
    targets: tuple[str, ...] = ()  # some make it a regression
    free_at: dict[str, float] = field(default_factory=dict, compare=False)  # seconds, of the nodes

    @property
    def decompositions(self) -> list[Decomposition]:
        """Of all runs; the global net's comes first."""
        found = [
            Decomposition(Tiling.of(kind, grid, overlap), view)
            for kind, grid, overlap, view in self.tilings
        ]
        whole = [Decomposition(Tiling.whole(len(self.shape)))] if self.global_net else []
        return [*whole, *found]

    @property
    def runs(self) -> list[Run]:
        """All runs, as a configuration would ask for them."""
        name, _, width = self.model.rpartition("-w")
        net = name.replace(".", ":"), int(width), None
        return [
            Run(self.dataset, *net, decomposition, seed)
            for decomposition, seed in itertools.product(self.decompositions, self.seeds)
        ]

    @property
    def task(self) -> str:
        return "regression" if self.targets else "classification"

    def write(self, results: Path) -> list[Path]:
        """Write everything the report reads below ``results``; return the folders of the runs."""
        self.free_at.update(dict.fromkeys(NODES, 0.0))
        labels = self._write_data(results)
        return [self._write_run(results, run.decomposition, run.seed, labels) for run in self.runs]

    # Data ---------------------------------------------------------------------------------------

    def _write_data(self, results: Path) -> dict[str, np.ndarray]:
        folder = results / "data" / self.dataset
        folder.mkdir(parents=True, exist_ok=True)
        random, num_classes = _random(self.dataset), len(self.classes)
        labels = {
            s: random.normal(5, 2, (n, len(self.targets))).astype(np.float32)
            if self.targets
            else random.integers(num_classes, size=n)
            for s, n in zip(SPLITS, self.counts, strict=True)
        }
        for split, y in labels.items():
            np.save(
                folder / f"x_{split}.npy", np.stack([self._image(label, random) for label in y])
            )
            np.save(folder / f"y_{split}.npy", y)
        write_json(folder / "card.json", self._card(labels))
        self._write_samples(folder / "samples.csv", labels)
        return labels

    def _write_samples(self, path: Path, labels: dict[str, np.ndarray]) -> None:
        rows = [
            (split, index, f"{split}/{index:03}, a.png", "", "")
            for split, y in labels.items()
            for index in range(len(y))
        ]
        columns = ["split", "index", "file", "label", "group"]
        pd.DataFrame(rows, columns=columns).to_csv(path, index=False)

    def _image(self, label: int, random: np.random.Generator) -> np.ndarray:
        """A bright ellipsoid whose place and form depend on the class, and a little noise.

        In one dimension a float signal: a wave of every channel.
        """
        label = float(np.mean(label))
        if len(self.shape) == 1:
            time = np.linspace(0, 6, self.shape[0])[:, None] + np.arange(self.channels)
            noise = random.normal(0, 0.05, (self.shape[0], self.channels))
            return (np.sin(time * (1 + 0.2 * label)) + noise).astype(np.float32)
        angle = 2 * np.pi * label / len(self.classes)
        axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in self.shape), indexing="ij")
        centre = [0.35 * np.cos(angle), 0.35 * np.sin(angle), 0.0][: len(axes)]
        width = [0.5, 0.3 + 0.2 * (label % 2), 0.6][: len(axes)]
        distance = sum(((x - c) / w) ** 2 for x, c, w in zip(axes, centre, width, strict=True))
        bright = 215 * np.exp(-(distance**2)) + random.normal(18, 6, self.shape)
        tint = np.linspace(1, 0.6, self.channels)
        return np.clip(bright[..., None] * tint, 0, 255).astype(np.uint8)

    def _card(self, labels: dict[str, np.ndarray]) -> dict[str, Any]:
        return {
            "name": self.dataset,
            "title": "Blobs <made up>",
            "source": "tests/fake_results.py",
            "licence": "MIT",
            "citation": "none",
            "synthetic": True,
            "task": self.task,
            "classes": [] if self.targets else list(self.classes),
            **self._facts_of_targets(labels["train"]),
            "shape": list(self.shape),
            "channels": self.channels,
            "axes": ["time"]
            if len(self.shape) == 1
            else ["row", "column", "slice"][: len(self.shape)],
            "counts": {
                split: {"samples": len(y)}
                if self.targets
                else {name: int((y == k).sum()) for k, name in enumerate(self.classes)}
                for split, y in labels.items()
            },
            "mean": [0.3] * self.channels,
            "std": [0.3] * self.channels,
            "augment": {"flip": [], "shift": 0},
            "dtype": "float32" if len(self.shape) == 1 else "uint8",
            "split_rule": "as published",
            "split_seed": None,
            "group": None,
            "left_out": {"count": 0, "kinds": []},
            "duplicates_across_splits": {"count": 0, "examples": []},
            "notes": [],
            "warnings": [],
            "checksums": {},
        }

    def _facts_of_targets(self, train: np.ndarray) -> dict[str, Any]:
        if not self.targets:
            return {}
        return {
            "targets": list(self.targets),
            "target_mean": train.mean(axis=0).tolist(),
            "target_std": train.std(axis=0).tolist(),
        }

    # Local nets ---------------------------------------------------------------------------------

    def _write_plan(self, results: Path, tiling: Tiling) -> None:
        boxes = {
            name: {key: [getattr(each, key) for each in box] for key in ("start", "stop", "step")}
            for name, box in tiling.tiles(self.shape).items()
        }
        write_json(
            results / "tiles" / self.dataset / tiling.slug / "plan.json",
            {
                "tiling": tiling.slug,
                "kind": "whole" if tiling.num_tiles == 1 else tiling.kind,
                "grid": list(tiling.grid),
                "overlap": list(tiling.overlap),
                "shape": list(self.shape),
                "tile_shape": list(tiling.tile_shape(self.shape)),
                "tiles": boxes,
                "shards": {},
            },
        )

    def _write_local(
        self, results: Path, tiling: Tiling, tile: str, seed: int, labels: dict[str, np.ndarray]
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """One local net: its entry in ``evaluation.json`` and its probabilities."""
        folder = results / "local" / self.dataset / self.model / tiling.slug / f"seed{seed}" / tile
        random = _random(str(folder.relative_to(results)))
        share = np.prod(tiling.tile_shape(self.shape)) / np.prod(self.shape)
        skill = 4.2 if tile == VIEW else 1.2 + 3.6 * share**0.5 + random.uniform(-0.3, 0.3)
        probabilities = {s: self._noisy(s, y, skill, random) for s, y in labels.items()}
        seconds = max(GLOBAL_SECONDS * share**2, 1.0) * random.uniform(1.0, 1.4)
        net = {
            **{k: v for s, p in probabilities.items() for k, v in self._scores(s, p, labels[s])},
            "train_seconds": seconds,
            "start_seconds": 2.1,
            "load_seconds": 0.05,
            "images_per_second": 7000 * EPOCHS / seconds,
            "parameters": int(72000 * share) + 1,
            "multiply_adds": int(6_000_000 * share**2),
            "peak_memory_bytes": 410_000_000,
        }
        self._write_training(folder, net, tiling.slug, tile, seed)
        write_npz(folder / "probabilities.npz", **probabilities, seconds=np.array(0.6))
        return net, probabilities

    def _noisy(
        self, split: str, y: np.ndarray, skill: float, random: np.random.Generator
    ) -> np.ndarray:
        """Probabilities of one net; some images are hard for all of them, as in real data."""
        if self.targets:
            hard = _random(f"{self.dataset} {split}").normal(size=y.shape)
            return (y + (hard + random.normal(size=y.shape)) * 2 / skill).astype(np.float32)
        size = (len(y), len(self.classes))
        hard = _random(f"{self.dataset} {split}").normal(size=size) * 1.5
        logits = hard + 1.3 * random.normal(size=size)
        logits[np.arange(len(y)), y] += skill
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        return exponents / exponents.sum(axis=1, keepdims=True)

    def _write_training(
        self, folder: Path, net: dict[str, Any], tiling: str, tile: str, seed: int
    ) -> None:
        if (folder / "metrics.json").is_file():
            return  # decompositions with and without the coarse view share their local nets
        folder.mkdir(parents=True, exist_ok=True)
        score = "r2" if self.targets else "accuracy"
        accuracy = net[f"{score}_val"]
        epochs = np.arange(1, EPOCHS + 1)
        rise = accuracy * (1 - 0.7 * np.exp(-epochs / 1.6))
        fall = 2.2 * np.exp(-epochs / 2.5)
        pd.DataFrame(
            {
                "epoch": epochs,
                "step": epochs * 55,
                "learning_rate": 0.05 / epochs,
                "loss_train": fall + 0.3,
                f"{score}_train": rise + 0.02,
                "loss_val": fall + 0.45 - 0.2 * accuracy,
                f"{score}_val": rise,
                "seconds": net["train_seconds"] * epochs / EPOCHS,
            }
        ).to_csv(folder / "history.csv", index=False)
        node = min(self.free_at, key=self.free_at.__getitem__)
        begin = self.free_at[node]
        self.free_at[node] += net["start_seconds"] + net["train_seconds"] + 0.2
        write_json(
            folder / "metrics.json",
            {
                **net,
                "dataset": self.dataset,
                "model": self.model,
                "tiling": tiling,
                "tile": tile,
                "seed": seed,
                "width": 8,
                "settings": {"epochs": EPOCHS},
                "epochs": EPOCHS,
                "device": "cpu",
                "device_name": "Made-up CPU",
                "threads": 1,
                "resumed": [],
                "given": {"node": node, "slurm_job": None, "devices": None},
                "device_slot": None,
                "started": _moment(begin + net["start_seconds"]),
                "finished": _moment(self.free_at[node] - 0.1),
                "versions": {"python": "3.11", "ddcnn": "0.1.0", "torch": "2.15.0"},
                "hardware": {
                    "processor": "Made-up CPU",
                    "cores": 2,
                    "memory_gib": 24.0,
                    "system": "Linux",
                },
            },
        )

    # Runs ---------------------------------------------------------------------------------------

    def _write_run(
        self, results: Path, each: Decomposition, seed: int, labels: dict[str, np.ndarray]
    ) -> Path:
        folder = results / "runs" / self.dataset / self.model / each.slug / f"seed{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        self._write_plan(results, each.tiling)
        local, probabilities = {}, {}
        for tile in each.subdomains:
            local[tile], probabilities[tile] = self._write_local(
                results, each.tiling, tile, seed, labels
            )
        is_whole = each.slug == "whole"
        coarse = None if is_whole else self._write_coarse(folder, each, seed, local)
        decisions = (
            _global(probabilities)
            if is_whole
            else _combined(probabilities, local)
            if self.targets
            else _methods(probabilities, local)
        )
        self._write_predictions(folder, decisions, labels)
        self._write_evaluation(folder, each, seed, local, coarse, decisions, labels, probabilities)
        return folder

    def _write_coarse(
        self, folder: Path, each: Decomposition, seed: int, local: dict[str, Any]
    ) -> dict[str, Any]:
        coarse = {
            key: max(net[key] for net in local.values())
            for key in ["r2_val" if self.targets else "accuracy_val"]
        } | {
            "train_seconds": 0.8,
            "start_seconds": 2.0,
            "load_seconds": 0.01,
            "peak_memory_bytes": 300_000_000,
            "r2_train" if self.targets else "accuracy_train": 0.95,
        }
        self._write_training(folder / "coarse", coarse, each.slug, "coarse", seed)
        return coarse

    def _write_predictions(self, folder: Path, decisions: Any, labels: Any) -> None:
        arrays = {
            f"{split}_{method}": by_split[split].astype(np.float32)
            for method, by_split in decisions.items()
            for split in ("val", "test")
        }
        write_npz(
            folder / "predictions.npz",
            **arrays,
            **{f"{split}_labels": labels[split] for split in ("val", "test")},
        )

    def _write_evaluation(
        self,
        folder: Path,
        each: Decomposition,
        seed: int,
        local: dict[str, Any],
        coarse: dict[str, Any] | None,
        decisions: Any,
        labels: dict[str, np.ndarray],
        probabilities: dict[str, dict[str, np.ndarray]],
    ) -> None:
        spent = [net["train_seconds"] for net in local.values()]
        extra = coarse["train_seconds"] if coarse else 0.0
        work = max(net["multiply_adds"] for net in local.values())
        measured = {
            "parallel_seconds": max(spent) + extra,
            "serial_seconds": sum(spent) + extra,
            "speedup": GLOBAL_SECONDS / (max(spent) + extra) if self.global_net else None,
            "flop_ratio": 6_000_000 / work if self.global_net else None,
            "parameters_largest": max(net["parameters"] for net in local.values()),
            "parameters_total": sum(net["parameters"] for net in local.values()),
            "peak_memory_bytes": 410_000_000,
        }
        report: dict[str, Any] = {
            "dataset": self.dataset,
            "model": self.model,
            "decomposition": each.slug,
            "tiling": each.tiling.slug,
            "kind": "whole" if each.slug == "whole" else each.tiling.kind,
            "grid": list(each.tiling.grid),
            "overlap": list(each.tiling.overlap),
            "coarse_view": each.coarse_view,
            "seed": seed,
            "tiles": each.subdomains,
            "task": self.task,
            "classes": [] if self.targets else list(self.classes),
            "refit": False,
            "weights": "last",
            "methods": {
                method: {
                    **{
                        key: value
                        for s in ("val", "test")
                        for key, value in self._scores(s, by_split[s], labels[s])
                    },
                    **measured,
                }
                for method, by_split in decisions.items()
            },
            "baseline": None if self.targets else scores.majority_baseline(labels, self.classes),
            "local": local,
            "coarse": coarse,
            "overhead": {
                "start_seconds": 2.1,
                "load_seconds": 0.05,
                "tile_seconds": 0.1,
                "probabilities_seconds": 0.6,
            },
        }
        if coarse:
            report["diagnosis"] = diagnosis.measure(
                report, probabilities, labels["test"], self.task
            )
        write_json(folder / "evaluation.json", report)

    def _scores(self, split: str, p: np.ndarray, y: np.ndarray) -> list[tuple[str, float | None]]:
        measures = scores.MEASURES[self.task]
        return [(f"{name}_{split}", measure(p, y)) for name, measure in measures.items()]


def results_of(fake: FakeExperiment, results: Path) -> list[RunResult]:
    """Write its results, and read those of its runs."""
    fake.write(results)
    return [RunResult.of(run, results) for run in fake.runs]


def experiment_of(*fakes: FakeExperiment, name: str = "fake", **settings: Any) -> Experiment:
    """The experiment that has these results, with these settings among the default ones."""
    asked = {"experiment": name, "dataset": "fashion-mnist-10k"}
    entry = REGISTRY["fashion-mnist-10k"]
    datasets = {fake.dataset: replace(entry, name=fake.dataset, task=fake.task) for fake in fakes}
    runs = [run for fake in fakes for run in fake.runs]
    known = complete(asked)
    given = {
        key: known[key] | value if isinstance(known.get(key), dict) else value
        for key, value in settings.items()
    }
    return Experiment(name, known | given, datasets, {}, runs, [])


def _moment(seconds: float) -> str:
    return (FIRST_START + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


def _random(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))


def _global(probabilities: dict[str, Any]) -> dict[str, Any]:
    (only,) = probabilities.values()
    return {"global": only}


def _combined(predictions: dict[str, Any], local: dict[str, Any]) -> dict[str, Any]:
    """Methods of a regression: there is nothing to vote on."""
    best = max(local, key=lambda name: local[name]["r2_val"])
    stacks = {s: np.stack([each[s] for each in predictions.values()]) for s in ("val", "test")}
    return {
        "cnn-dnn": {s: np.median(stack, axis=0) for s, stack in stacks.items()},
        "mean": {s: stack.mean(axis=0) for s, stack in stacks.items()},
        "best-tile": {s: predictions[best][s] for s in ("val", "test")},
    }


def _methods(probabilities: dict[str, Any], local: dict[str, Any]) -> dict[str, Any]:
    best = max(local, key=lambda name: local[name]["accuracy_val"])
    decisions: dict[str, Any] = {name: {} for name in ("cnn-dnn", "mean", "vote", "best-tile")}
    for split in ("val", "test"):
        stack = np.stack([each[split] for each in probabilities.values()])
        product = np.log(stack).sum(axis=0)
        exponents = np.exp(product - product.max(axis=1, keepdims=True))
        decisions["cnn-dnn"][split] = exponents / exponents.sum(axis=1, keepdims=True)
        decisions["mean"][split] = stack.mean(axis=0)
        votes = np.eye(stack.shape[-1])[stack.argmax(axis=-1)].mean(axis=0)
        decisions["vote"][split] = votes
        decisions["best-tile"][split] = probabilities[best][split]
    return decisions
