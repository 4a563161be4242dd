"""Linear coarse net against an MLP on the local nets of the studies: accuracy over seeds, and time.

Both are fitted anew on the local probabilities that ``results/local`` holds, one after the other on
the same ones. Runs after ``config/study-overlap.yaml`` and ``config/study-grid.yaml``.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

import numpy as np
import torch
from common import write_theme
from scipy import stats

from ddcnn.base.files import read_json, read_npz
from ddcnn.coarse.settings import CoarseSettings
from ddcnn.coarse.stage import train_coarse
from ddcnn.experiment.configuration import load_experiment
from ddcnn.training.settings import Settings

DATASET, MODEL = "fashion-mnist-10k", "vgg-w16"
SOLVERS = ("linear", "mlp")
NO_SETTINGS = ("solver", "input", "hidden", "dropout", "fit_on", "folds")


def defaults() -> dict:
    """The settings of the coarse net that nobody changed."""
    config = {"experiment": "x", "dataset": DATASET, "grid": "2x2"}
    return load_experiment(config).settings["coarse"]


def solve(tiles: list[Path], data: Path, solver: str, seed: int) -> tuple[float, float]:
    """Test accuracy and seconds."""
    settings = defaults()
    coarse = CoarseSettings(
        *(solver, settings["hidden"], settings["dropout"], settings["input"], settings["fit_on"])
    )
    training = Settings(**{k: v for k, v in settings.items() if k not in NO_SETTINGS})
    labels = {split: data / f"y_{split}.npy" for split in ("train", "val")}
    with tempfile.TemporaryDirectory() as out:
        local = {tile.name: tile / "probabilities.npz" for tile in tiles}
        train_coarse(local, labels, data / "card.json", coarse, 0, training, seed, out)
        decided = read_npz(Path(out) / "probabilities.npz")["test"].argmax(1)
        seconds = read_json(Path(out) / "metrics.json")["train_seconds"]
    return float((decided == np.load(data / "y_test.npy")).mean()), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = options.results / "data" / DATASET
    rows = []
    for tiling in sorted((options.results / "local" / DATASET / MODEL).iterdir()):
        found: dict[str, list[tuple[float, float]]] = {solver: [] for solver in SOLVERS}
        slowest = []
        for seed in sorted(tiling.glob("seed?")):
            tiles = sorted(t for t in seed.iterdir() if t.name != "view")
            if len(tiles) < 2:
                continue
            slowest.append(max(read_json(t / "metrics.json")["train_seconds"] for t in tiles))
            for solver in SOLVERS:
                found[solver].append(solve(tiles, data, solver, int(seed.name[4:])))
        if len(slowest) < 2:
            continue
        accuracy = {s: np.array([a for a, _ in found[s]]) for s in SOLVERS}
        seconds = {s: np.array([t for _, t in found[s]]) for s in SOLVERS}
        points = 100 * (accuracy["linear"] - accuracy["mlp"])
        half = stats.t.ppf(0.975, len(points) - 1) * stats.sem(points)
        rows.append(
            {"tiling": tiling.name, "seeds": len(points)}
            | {f"test accuracy, {s}": f"{accuracy[s].mean():.4f}" for s in SOLVERS}
            | {"linear - mlp, points (95 %)": f"{points.mean():+.2f} ± {half:.2f}"}
            | {f"seconds, {s}": statistics.median(seconds[s]) for s in SOLVERS}
            | {
                f"share of the slowest local net, {s}": statistics.median(
                    seconds[s] / np.array(slowest)
                )
                for s in SOLVERS
            }
        )
    if not rows:
        parser.error(
            f"{options.results}/local has no local nets of several seeds; run Snakemake with "
            "config/study-overlap.yaml and config/study-grid.yaml first"
        )
    write_theme("coarse-solvers", rows, str(__doc__))


if __name__ == "__main__":
    main()
