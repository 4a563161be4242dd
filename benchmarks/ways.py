"""Two cores, one thread each: one epoch of the global net in every way, and of 2x1 and 2x2 tiles.

All variants in turn, in one run, with torch's kernels and with those of ddcnn told apart: the other
ways of parallel training compute with torch's alone. Steps alone are measured, of synthetic pixels;
starting processes, reading and the coarse net are not in it, and a study has the accuracies.
"""

import math
import statistics
from dataclasses import dataclass, replace
from functools import partial

from common import in_turn, options_of, parse, ratios, spread, write_theme

from ddcnn import nets
from ddcnn.parallel import WAYS
from ddcnn.parallel.probe import Probe, take_steps
from ddcnn.parallel.workers import run_workers
from ddcnn.tiles.geometry import Tiling

CORES = 2
KERNELS = ("torch", "own")


@dataclass(frozen=True)
class Subject:
    """A global net, the grids it is compared with, and the images of an epoch."""

    name: str
    net: Probe
    grids: tuple[str, ...]
    images: int


SUBJECTS = (
    Subject("vgg-w16, 28x28", Probe("vgg", 16, (28, 28, 1), 10, 32), ("2x1", "2x2"), 7000),
    Subject("vgg-w16, 32x32x16", Probe("vgg", 16, (32, 32, 16, 1), 2, 16), ("2x1x1", "2x2x1"), 320),
)


def variants_of(subject: Subject, steps: int) -> dict[tuple[str, str], list[list[Probe]]]:
    """What each of some processes does, by way and kernels; those of a way talk to each other."""
    base = replace(subject.net, steps=steps)
    found = {("one process", kernels): [[replace(base, kernels=kernels)]] for kernels in KERNELS}
    found |= {(way, "torch"): [[replace(base, way=way)]] * CORES for way in WAYS}
    for grid in subject.grids:
        tiling = Tiling.of("blocks", grid, 0)
        shape = (*tiling.tile_shape(base.shape[:-1]), base.shape[-1])
        width = nets.local_width(base.width, tiling.num_tiles)
        tile = replace(base, shape=shape, width=width)
        for kernels in KERNELS:
            own = [replace(tile, kernels=kernels)] * (tiling.num_tiles // CORES)
            found[f"tiles {grid}", kernels] = [own] * CORES
    return found


def epoch_seconds(work: list[list[Probe]]) -> float:
    """Seconds of all steps on the slowest core."""
    found = run_workers(take_steps, (work[0],), len(work))
    return max(math.fsum(math.fsum(taken.seconds) for taken in each) for each in found)


def rows_of(subject: Subject, repeats: int, quick: bool) -> list[dict[str, object]]:
    """A row for each way and kernels."""
    steps = 2 if quick else subject.images // subject.net.batch
    variants = variants_of(subject, steps)
    measured = in_turn(
        {key: partial(epoch_seconds, work) for key, work in variants.items()}, repeats
    )
    data = measured["data", "torch"]
    return [
        {
            "net": subject.name,
            "way": way,
            "kernels": kernels,
            "processes": len(variants[way, kernels]),
            **spread("seconds", seconds),
            # Round by round, so that both were measured side by side.
            "times as fast as data": statistics.median(ratios(data, seconds)),
        }
        for (way, kernels), seconds in measured.items()
    ]


def main() -> None:
    options = parse(options_of(__doc__.split("\n")[0], repeats=5))
    rows = [row for each in SUBJECTS for row in rows_of(each, options.repeats, options.quick)]
    text = (
        f"Seconds of the steps of one epoch on {CORES} cores, one thread a process, without "
        f"starting and reading: medians of {options.repeats} rounds, with their least and most; "
        "all variants in turn. Tiles are trained side by side, two on a core for a grid of four; "
        "the coarse net comes on top. Times as fast as data: within a "
        "round. Pixels are synthetic; accuracies are in benchmarks/study-parallel."
    )
    write_theme("ways", rows, text, options.quick)


if __name__ == "__main__":
    main()
