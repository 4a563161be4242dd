"""From the start of a job's process to its first training step, by part, against `import torch`.

The job is a local net of the quickstart's size (14x14 tiles of 7,000 images, batch 128). Parts are
measured in a fresh process that does what a job does, in its order; the bare import is
`python -c "import torch"`: to the end of the import, and, as `whole process`, with its exit. All
rounds in turn, one thread. The row `under Snakemake` is what jobs of a real run report of
themselves: process start to the first step.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import in_turn, options_of, parse, ratios, spread, summary, write_theme
from workers import environment

JOB = Path(__file__).with_name("startup_job.py")
PARTS = (
    "interpreter",
    "import numpy",
    "import torch",
    "import package",
    "load data",
    "build net",
    "first step",
)
BARE, TO_STEP = "bare import torch", "start to first step done"
BARE_PROCESS, PROCESS = "bare import torch, whole process", "job of one step, whole process"
SNAKEMAKE = "under Snakemake: start to first step"


def write_data(folder: Path) -> None:
    rng = np.random.default_rng(0)
    (folder / "0-0").mkdir()
    np.save(folder / "0-0" / "x_train.npy", rng.integers(0, 256, (7000, 14, 14, 1), np.uint8))
    np.save(folder / "y_train.npy", rng.integers(0, 10, 7000))
    card = {
        "axes": ["row", "column"],
        "classes": [str(k) for k in range(10)],
        "augment": {"flip": [], "shift": 0},
        "mean": [0.5],
        "std": [0.29],
    }
    (folder / "card.json").write_text(json.dumps(card))


def started(arguments: list[str]) -> tuple[list[float], float]:
    """Seconds after the start of a process at which it printed its clock, and its whole time."""
    start = time.time()
    done = subprocess.run(
        [sys.executable, *arguments], env=environment(), capture_output=True, text=True
    )
    whole = time.time() - start
    if done.returncode:
        raise SystemExit(done.stderr)
    return [clock - start for clock in json.loads(done.stdout)], whole


def snakemake_seconds(epochs: int = 1) -> list[float]:
    """``start_seconds`` of the local nets of a real run, one job at a time."""
    from project import make_project, run

    from ddcnn.base.files import read_json

    config = {"dataset": "fashion-mnist-10k", "width": 16, "grid": "2x2", "overlap": 0}
    config |= {"coarse_view": False, "global_net": False, "methods": ["mean"]}
    local = {"epochs": epochs, "batch_size": 128, "learning_rate": 0.05, "augment": False}
    with tempfile.TemporaryDirectory() as temporary:
        folder = make_project(Path(temporary) / "project")
        run(
            folder,
            config | {"overlap": 0, "global_net": False, "methods": ["mean"], "local": local},
        )
        metrics = [read_json(path) for path in folder.glob("results/local/**/metrics.json")]
    return [each["start_seconds"] for each in metrics]


def main() -> None:
    parser = options_of(str(__doc__), repeats=11)
    parser.add_argument("--no-snakemake", action="store_true", help="without the real run")
    options = parse(parser)
    parts: dict[str, list[float]] = {name: [] for name in PARTS}
    whole: dict[str, list[float]] = {BARE_PROCESS: [], PROCESS: []}

    def job() -> float:
        clock, seconds = started([str(JOB), temporary])
        whole[PROCESS].append(seconds)
        for name, before, after in zip(PARTS, [0.0, *clock], clock, strict=False):
            parts[name].append(after - before)
        return clock[-1]

    def bare() -> float:
        text = "import torch, time; print([time.time()])"
        (clock,), seconds = started(["-c", text])
        whole[BARE_PROCESS].append(seconds)
        return clock

    with tempfile.TemporaryDirectory() as temporary:
        write_data(Path(temporary))
        measured = in_turn({BARE: bare, TO_STEP: job}, options.repeats)
    # The first round is not counted here either.
    measured |= {name: values[1:] for name, values in (parts | whole).items()}
    rows = [_row(name, measured, measured[BARE]) for name in (*PARTS, TO_STEP, BARE)]
    rows += [_row(name, measured, measured[BARE_PROCESS]) for name in (PROCESS, BARE_PROCESS)]
    if not options.no_snakemake and not options.quick:
        measured[SNAKEMAKE] = snakemake_seconds()
        # Not in turn with the bare import, so compared with its median.
        usual = [summary(measured[BARE])["median"]] * len(measured[SNAKEMAKE])
        rows.append(_row(SNAKEMAKE, measured, usual))
    write_theme("startup", rows, str(__doc__), options.quick)


def _row(name: str, measured: dict[str, list[float]], bare: list[float]) -> dict[str, object]:
    return {
        "part": name,
        **spread("seconds (median)", measured[name]),
        "times bare import torch": summary(ratios(measured[name], bare))["median"],
        "n": len(measured[name]),
    }


if __name__ == "__main__":
    main()
