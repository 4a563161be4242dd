"""Local probabilities out of nothing: what a coarse solve needs, of any size."""

import tempfile
from pathlib import Path

import numpy as np

from ddcnn.base.files import read_json, write_json, write_npz
from ddcnn.tiles.geometry import Tiling

COARSE_KEYS = ("solver", "hidden", "dropout", "input", "fit_on")


def write_local_probabilities(folder: Path, grid: str, num_images: int, classes: int = 10) -> Path:
    """Card, labels and ``{tile}/probabilities.npz`` of local nets that are right in most cases.

    Args:
        folder: where to write.
        grid: one local net for each tile.
        num_images: of the training split; the others have a quarter of it.
        classes: number of classes K.
    """
    rng = np.random.default_rng(0)
    names = [f"class{k}" for k in range(classes)]
    write_json(folder / "card.json", {"classes": names, "task": "classification"})
    labels = {s: rng.integers(0, classes, max(32, num_images // 4)) for s in ("val", "test")}
    labels["train"] = rng.integers(0, classes, num_images)
    for split, y in labels.items():
        np.save(folder / f"y_{split}.npy", y)
    for tile in Tiling.of("blocks", grid).names:
        arrays = {}
        for split, y in labels.items():
            logits = rng.normal(size=(len(y), classes)) + 2 * np.eye(classes)[y]
            exponents = np.exp(logits)
            arrays[split] = (exponents / exponents.sum(1, keepdims=True)).astype(np.float32)
            arrays[f"{split}_logits"] = logits.astype(np.float32)
        write_npz(folder / tile / "probabilities.npz", **arrays)
    return folder


def coarse_seconds(folder: Path, solver: str, out: Path | None = None) -> float:
    """Seconds of the coarse solve as the pipeline does it by default, reading and writing aside.

    Args:
        folder: with ``card.json``, ``y_{split}.npy`` and ``{tile}/probabilities.npz``.
        solver: ``linear`` or ``mlp``.
        out: for its files; nowhere without it.
    """
    from ddcnn.coarse.settings import CoarseSettings
    from ddcnn.coarse.stage import train_coarse
    from ddcnn.experiment.schema import complete
    from ddcnn.training.settings import Settings

    chosen = complete({"experiment": "bench", "dataset": "bench", "grid": "2x2"})["coarse"]
    net = CoarseSettings(**{key: chosen[key] for key in COARSE_KEYS} | {"solver": solver})
    others = (*COARSE_KEYS, "folds")
    settings = Settings(**{key: value for key, value in chosen.items() if key not in others})
    with tempfile.TemporaryDirectory() as temporary:
        target = out or Path(temporary)
        train_coarse(
            {path.parent.name: path for path in sorted(folder.glob("*/probabilities.npz"))},
            {split: folder / f"y_{split}.npy" for split in ("train", "val")},
            folder / "card.json",
            *(net, 0, settings, 0, target),
        )
        return read_json(target / "metrics.json")["train_seconds"]
