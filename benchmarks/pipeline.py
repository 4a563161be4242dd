"""Wall time of whole experiments against their pure training: what starting jobs costs.

Real experiments on the embedded Fashion-MNIST without the global net, in fresh copies of the
project: from the command to its end, download and report included. Pure training: the training
loops of all local nets and the coarse solve. Bound: the larger of the critical path of pure
training (slowest local net, then the coarse solve) and pure training over the cores. Overhead per
job: (cores x wall - pure training) / jobs. The row `quickstart` is config/config.yaml as it is.
"""

import tempfile
from pathlib import Path
from typing import Any

from common import options_of, parse, spread, summary, write_theme
from project import PROJECT, make_project, run

from ddcnn.base.files import read_json
from ddcnn.commands.arguments import read_experiment
from ddcnn.experiment.job_times import measured_seconds
from ddcnn.experiment.schema import schema

KEY = "tiles_per_job"
DATASET = "fashion-mnist-10k"
# 28 pixels do not divide by 8: with an overlap of 4 the 64 tiles are as large as the 16.
GRIDS = {1: ("1x1", 0), 4: ("2x2", 0), 16: ("4x4", 0), 64: ("8x8", 4)}


def configuration(tiles: int, epochs: int, per_job: int) -> dict[str, Any]:
    """Tiny epochs, so that what is around them shows."""
    grid, overlap = GRIDS[tiles]
    chosen = {
        "dataset": DATASET,
        "width": 16,
        "grid": grid,
        "overlap": overlap,
        "coarse_view": False,
        "global_net": False,
        "methods": ["mean"],
        "local": {"epochs": epochs, "batch_size": 128, "learning_rate": 0.05, "augment": False},
    }
    return chosen | ({KEY: per_job} if per_job > 1 else {})


def measure(config: dict[str, Any] | None, cores: int) -> dict[str, float]:
    """One run: wall time, pure training, its critical path, and the number of jobs."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = make_project(Path(temporary) / "project")
        wall = run(folder, config, cores)
        results = folder / "results"
        local = [_seconds(path) for path in results.glob("local/**/metrics.json")]
        coarse = [_seconds(path) for path in results.glob("runs/**/coarse/metrics.json")]
        jobs = len(measured_seconds(results))
    return {
        "wall": wall,
        "training": sum(local) + sum(coarse),
        "path": max(local) + max(coarse, default=0.0),
        "jobs": jobs,
    }


def _seconds(metrics: Path) -> float:
    return read_json(metrics)["train_seconds"]


def row(name: str, per_job: int, found: list[dict[str, float]], cores: int) -> dict[str, object]:
    """One row of the table from all runs of a case."""
    bounds = [max(each["path"], each["training"] / cores) for each in found]
    overheads = [(cores * each["wall"] - each["training"]) / each["jobs"] for each in found]
    return {
        "tiles": name,
        "tiles per job": per_job,
        "cores": cores,
        "jobs": found[0]["jobs"],
        **spread("wall (s, median)", [each["wall"] for each in found]),
        "pure training (s)": summary([each["training"] for each in found])["median"],
        "critical path (s)": summary([each["path"] for each in found])["median"],
        "bound (s)": summary(bounds)["median"],
        "wall / bound": summary(
            [each["wall"] / bound for each, bound in zip(found, bounds, strict=True)]
        )["median"],
        "overhead per job (core s)": summary(overheads)["median"],
        "n": len(found),
    }


def cases(options: Any) -> list[tuple[str, int, dict[str, Any] | None]]:
    """Name, tiles per job and configuration of every case."""
    chosen: list[tuple[str, int, dict[str, Any] | None]] = []
    for tiles in options.tiles:
        per_job = [k for k in options.tiles_per_job if k == 1 or (tiles >= 2 * k)]
        if KEY not in schema()["properties"]:
            per_job = [1]
        chosen += [(str(tiles), k, configuration(tiles, options.epochs, k)) for k in per_job]
    if not options.no_quickstart:
        chosen.append(("quickstart", quickstart_per_job(), None))
    return chosen


def quickstart_per_job() -> int:
    """As config/config.yaml has it."""
    return read_experiment(PROJECT / "config" / "config.yaml").settings[KEY]


def main() -> None:
    # One run of each: they are long, and their times differ by few percent.
    parser = options_of(str(__doc__), repeats=1)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=1, help="of the local nets (%(default)s)")
    parser.add_argument("--tiles", type=int, nargs="+", choices=GRIDS, default=list(GRIDS))
    parser.add_argument("--tiles-per-job", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--no-quickstart", action="store_true")
    options = parse(parser)
    if options.quick:
        options.tiles, options.no_quickstart = [4], True
        options.tiles_per_job = [1, 2]
    found: dict[tuple[str, int], list[dict[str, float]]] = {}
    for _ in range(options.repeats):
        for name, per_job, config in cases(options):
            found.setdefault((name, per_job), []).append(measure(config, options.cores))
            print(name, per_job, found[name, per_job][-1], flush=True)
    rows = [row(*case, runs, options.cores) for case, runs in found.items()]
    write_theme("pipeline", rows, str(__doc__), options.quick)


if __name__ == "__main__":
    main()
