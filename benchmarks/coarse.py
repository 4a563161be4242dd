"""The coarse solve, linear (L-BFGS) and mlp (two dense layers), on real local probabilities.

Four local nets (2x2 tiles, no overlap) are trained by the workflow on the embedded Fashion-MNIST;
then both solvers work in turn on the same cached probabilities, one thread. The share is that of
the slowest local net's training.
"""

import csv
import tempfile
from pathlib import Path

import numpy as np
import torch
from common import in_turn, options_of, parse, spread, summary, write_theme
from project import make_project, run
from synthetic import coarse_seconds

from ddcnn.base.files import read_json

DATASET = "fashion-mnist-10k"


def train_local_nets(folder: Path, epochs: int) -> Path:
    """Run the workflow; the folder of the local nets, with labels and card beside them."""
    config = {"dataset": DATASET, "width": 16, "grid": "2x2", "overlap": 0, "coarse_view": False}
    local = {"epochs": epochs, "batch_size": 128, "learning_rate": 0.05, "augment": False}
    run(make_project(folder), config | {"global_net": False, "methods": ["mean"], "local": local})
    (nets,) = (folder / "results" / "local" / DATASET).glob("*/*/seed0")
    for path in (folder / "results" / "data" / DATASET).iterdir():
        if path.name.startswith(("y_", "card")):
            (nets / path.name).symlink_to(path)
    return nets


def accuracy(out: Path, nets: Path) -> float:
    """Of the test split."""
    with np.load(out / "probabilities.npz") as arrays:
        return float((arrays["test"].argmax(1) == np.load(nets / "y_test.npy")).mean())


def main() -> None:
    parser = options_of(str(__doc__), repeats=7)
    parser.add_argument("--epochs", type=int, default=8, help="of the local nets (%(default)s)")
    options = parse(parser)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        nets = train_local_nets(folder / "project", 1 if options.quick else options.epochs)
        metrics = [read_json(path) for path in nets.glob("*/metrics.json")]
        slowest = max(each["train_seconds"] for each in metrics)
        variants = {
            solver: lambda s=solver: coarse_seconds(nets, s, folder / s)
            for solver in ("linear", "mlp")
        }
        measured = in_turn(variants, options.repeats)
        rows = []
        for solver, seconds in measured.items():
            with (folder / solver / "history.csv").open() as file:
                tried = len(list(csv.DictReader(file)))
            rows.append(
                {
                    "solver": solver,
                    **spread("seconds (median)", seconds),
                    "share of slowest local net": summary(seconds)["median"] / slowest,
                    "slowest local net (s)": slowest,
                    "images": metrics[0]["images"],
                    "tiles": len(metrics),
                    "rows of its history": tried,
                    "test accuracy": accuracy(folder / solver, nets),
                    "n": options.repeats,
                }
            )
    write_theme("coarse", rows, str(__doc__), options.quick)


if __name__ == "__main__":
    main()
