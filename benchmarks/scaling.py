"""How time and memory grow with ten times the images and ten times the tiles.

Tiling, the training of one local net (one epoch) and the linear coarse solve, each in a fresh
process with one thread: colour images of 32x32 pixels, 2x2 tiles and 5x8 tiles, no overlap, the
width of a local net by the proportional rule. Memory: peak of the process; `grown by` is what lies
above its state after the imports.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import nets
import numpy as np
from common import in_turn, options_of, parse, peak_mib, ratios, spread, summary, write_theme
from synthetic import coarse_seconds, write_local_probabilities
from workers import Worker, environment

FEW, MANY = "2x2", "5x8"
SIDE = 32
CASES = {
    "once": (1, FEW),
    "10 x images": (10, FEW),
    "10 x tiles": (1, MANY),
}


def tile(images: int, grid: str, folder: Path) -> tuple[float, float]:
    """Seconds and peak MiB beyond the imports; run in a process of its own."""
    import time

    from ddcnn.tiles.geometry import Tiling
    from ddcnn.tiles.shards import write_shards

    before, start = peak_mib(), time.perf_counter()
    source = {"train": folder / f"x_{images}.npy"}
    write_shards(Tiling.of("blocks", grid), source, folder / f"tiles-{images}-{grid}" / "plan.json")
    return time.perf_counter() - start, peak_mib() - before


def solve(images: int, grid: str, folder: Path) -> tuple[float, float]:
    """The same of a coarse solve."""
    import torch

    import ddcnn.coarse.stage  # noqa: F401

    torch.set_num_threads(1)
    before = peak_mib()
    return coarse_seconds(folder / f"coarse-{images}-{grid}", "linear"), peak_mib() - before


def train(images: int, grid: str, folder: Path) -> tuple[float, float]:
    """The same of one epoch of a local net."""
    whole = replace(nets.GLOBAL_COLOUR, images=images)
    with Worker("ddcnn", nets.Job.of_tile(whole, grid, images)) as worker:
        before = worker.facts["imported_mib"]
        first = worker.epoch()
        # The first epoch allocates; of few images it would count too much.
        return min(first, worker.epoch()), worker.peak_mib - before


STAGES = {"tiling": tile, "training": train, "coarse": solve}
# Images of the small case.
IMAGES = {"tiling": 5000, "training": 2048, "coarse": 2000}


def in_child(stage: str, images: int, grid: str, folder: Path) -> tuple[float, float]:
    arguments = json.dumps([stage, images, grid, str(folder)])
    done = subprocess.run(
        [sys.executable, __file__, "--work", arguments],
        env=environment(),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return tuple(json.loads(done.stdout.splitlines()[-1]))


def measure(stage: str, images: int, folder: Path, repeats: int) -> list[dict[str, object]]:
    """Rows of one stage."""
    memory: dict[str, list[float]] = {name: [] for name in CASES}
    variants = {}
    for name, (times, grid) in CASES.items():
        num_images = images * times
        if stage == "tiling":
            rng = np.random.default_rng(0)
            x = rng.integers(0, 256, (num_images, SIDE, SIDE, 3), np.uint8)
            np.save(folder / f"x_{num_images}.npy", x)
        if stage == "coarse":
            target = folder / f"coarse-{num_images}-{grid}"
            write_local_probabilities(target, grid, num_images)

        def once(name: str = name, n: int = num_images, grid: str = grid) -> float:
            # A training has a process of its own anyway.
            own = train if stage == "training" else partial(in_child, stage)
            seconds, mib = own(n, grid, folder)
            memory[name].append(mib)
            return seconds

        variants[name] = once
    measured = in_turn(variants, repeats)
    memory = {name: values[1:] for name, values in memory.items()}
    return [
        {
            "stage": stage,
            "case": name,
            "images": images * times,
            "grid": grid,
            **spread("seconds (median)", measured[name]),
            "times the first": summary(ratios(measured[name], measured["once"]))["median"],
            "memory grown by (MiB)": summary(memory[name])["median"],
            "memory times the first": summary(ratios(memory[name], memory["once"]))["median"],
            "n": repeats,
        }
        for name, (times, grid) in CASES.items()
    ]


def main() -> None:
    parser = options_of(str(__doc__), repeats=3)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parse(parser)
    if options.work:
        stage, images, grid, folder = json.loads(options.work)
        print(json.dumps(STAGES[stage](images, grid, Path(folder))))
        return
    rows = []
    for stage, images in IMAGES.items():
        images = 256 if options.quick else images
        with tempfile.TemporaryDirectory() as folder:
            rows += measure(stage, images, Path(folder), options.repeats)
    write_theme("scaling", rows, str(__doc__), options.quick)


if __name__ == "__main__":
    main()
