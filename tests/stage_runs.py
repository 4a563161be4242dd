"""A run made by the stages themselves, one after the other in this process, without Snakemake."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ddcnn.base.files import read_npz
from ddcnn.base.splits import SPLITS
from ddcnn.bundle.stage import bundle_run
from ddcnn.coarse.settings import CoarseSettings
from ddcnn.coarse.stage import train_coarse
from ddcnn.data.preparation import download, prepare
from ddcnn.data.registry import dataset_of
from ddcnn.evaluation.stage import Trained, evaluate_run
from ddcnn.local.stage import write_features
from ddcnn.local.subdomain import Subdomain, trainer_of
from ddcnn.tiles.geometry import Decomposition, Tiling
from ddcnn.tiles.shards import write_shards, write_view
from ddcnn.training.settings import Settings

SETTINGS = Settings(6, 16, "adamw", 0.01, 0.01)


@dataclass(frozen=True)
class StageRun:
    """What to compute, and where everything then lies.

    Attributes:
        results: the folder that is ``results`` of a project.
        entry: ``dataset`` of a configuration, with a path.
        tiling, view: the decomposition.
        coarse_input: what the coarse net sees of a tile.
        architecture: of the nets.
        settings: of their training and the coarse net's.
        refit: whether the local nets are trained again with the validation split.
    """

    results: Path
    entry: dict[str, Any]
    tiling: Tiling
    view: bool = False
    coarse_input: str = "log-probabilities"
    architecture: str = "vgg"
    settings: Settings = SETTINGS
    refit: bool = False

    @property
    def name(self) -> str:
        return self.entry["name"]

    @property
    def data(self) -> Path:
        return self.results / "data" / self.name

    @property
    def folder(self) -> Path:
        """Of the run."""
        return self.results / "runs" / self.name / "net-w8" / self.decomposition.slug / "seed0"

    @property
    def model(self) -> Path:
        return self.folder / "ddcnn.safetensors"

    @property
    def decomposition(self) -> Decomposition:
        return Decomposition(self.tiling, self.view)

    @property
    def is_whole(self) -> bool:
        return self.tiling.num_tiles == 1

    def predictions(self, split: str = "test") -> np.ndarray:
        method = "global" if self.is_whole else "cnn-dnn"
        return read_npz(self.folder / "predictions.npz")[f"{split}_{method}"]

    def write(self) -> "StageRun":
        """Compute everything, from the preparation to the bundle."""
        card, plan = self._prepare()
        labels = {s: self.data / f"y_{s}.npy" for s in SPLITS}
        fitted = {s: labels[s] for s in ("train", "val")}
        local = {tile: self._train(tile, card, fitted) for tile in self.decomposition.subdomains}
        coarse = None
        if not self.is_whole:
            coarse = self.folder / "coarse"
            found = {tile: folder / "probabilities.npz" for tile, folder in local.items()}
            net = CoarseSettings("linear", [], 0.0, self.coarse_input)
            train_coarse(found, fitted, card, net, 0, self.settings, 0, coarse)
        run = {"dataset": self.name, "model": "net-w8", "decomposition": self.decomposition.slug}
        run |= {"coarse_view": self.view, "seed": 0}
        evaluate_run(run, [], Trained(local, coarse=coarse), plan, labels, card, self.folder)
        reading = asdict(dataset_of(self.entry).options)
        bundle_run(local, coarse, plan, card, self.folder, reading, "abc", self.model)
        return self

    def _prepare(self) -> tuple[Path, Path]:
        manifest, card = self.data / "raw/manifest.json", self.data / "card.json"
        download(self.entry, manifest)
        prepare(self.entry, manifest, card)
        images = {s: self.data / f"x_{s}.npy" for s in SPLITS}
        plan = self.results / "tiles" / self.name / self.tiling.slug / "plan.json"
        write_shards(self.tiling, images, plan)
        if self.view:
            write_view(images, plan)
        return card, plan

    def _train(self, tile: str, card: Path, labels: dict[str, Path]) -> Path:
        slug = self.tiling.slug
        subdomain = Subdomain(self.name, slug, tile, "net-w8", self.architecture, 4, 0.0, 0)
        out = self.results / "local" / self.name / "net-w8" / slug / "seed0" / tile
        tiles = self.results / "tiles"
        trainer = trainer_of(self.architecture)
        settings = self.settings if trainer.SETTINGS is Settings else trainer.SETTINGS()
        trainer.train_local([subdomain], tiles, labels, card, settings, [out], refit=self.refit)
        if self.coarse_input == "features":
            weights = out / "model.safetensors"
            write_features(subdomain, tiles, card, weights, out / "features.npz")
        return out
