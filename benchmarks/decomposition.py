"""How much faster a local net trains than the global one, against the ratio of their work.

The time per image of the global net over that of one local net with the same batch size, without
overlap; one thread, in turn. An epoch of a local net has eight times as many images (column
images), so that its first steps, after the other net has used the processor, weigh as little as
those of the global one. The coarse solve is linear, on the local probabilities of as many images as
the global net has; a training passes over its images several times, the coarse solve is done once.
FLOP ratio: of multiply-adds for one image, the ideal speed-up.
"""

import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import nets
from common import in_turn, options_of, parse, ratios, spread, summary, write_theme
from synthetic import coarse_seconds, write_local_probabilities
from workers import Worker

EPOCHS = 8  # as the quickstart
LOCAL_IMAGES = 8  # times those of the global net
CASES = {
    "2D": (replace(nets.GLOBAL_GREY, name="1x1", images=2048), ("2x2", "3x3", "4x4")),
    # Half as many steps, whose fixed cost is a larger part of the local net's time.
    "2D, large batch": (
        replace(nets.GLOBAL_GREY, name="1x1", images=2048, batch=256),
        ("2x2",),
    ),
    "3D": (replace(nets.GLOBAL_3D, name="1x1x1", images=256), ("2x2x2",)),
    "3D, large batch": (replace(nets.GLOBAL_3D, name="1x1x1", images=256, batch=32), ("2x2x2",)),
    # The width of the published net.
    "3D, published": (replace(nets.GLOBAL_3D, name="1x1x1", width=64, images=16), ("2x2x2",)),
    # Local nets of 16 channels, which fill a vector register of 512 bits.
    "3D, wide": (
        replace(nets.GLOBAL_3D, name="1x1x1", model="vgg", width=44, images=16, batch=4),
        ("2x2x2",),
    ),
}


def measure(whole: nets.Job, grids: tuple[str, ...], repeats: int) -> list[dict[str, object]]:
    """Rows of one global net and its local nets."""
    with ExitStack() as stack:
        more = LOCAL_IMAGES * whole.images
        jobs = [whole, *(nets.Job.of_tile(whole, grid, more) for grid in grids)]
        workers = {job.name: stack.enter_context(Worker("ddcnn", job)) for job in jobs}
        folders = {
            grid: write_local_probabilities(
                Path(stack.enter_context(tempfile.TemporaryDirectory())), grid, whole.images
            )
            for grid in grids
        }
        variants = {grid: worker.epoch for grid, worker in workers.items()}
        variants |= {
            f"coarse {grid}": lambda f=folder: coarse_seconds(f, "linear")
            for grid, folder in folders.items()
        }
        measured = in_turn(variants, repeats)
        work = {grid: worker.facts["multiply_adds"] for grid, worker in workers.items()}
    rows = []
    for job in jobs:
        grid = job.name
        # Of as many images as the global net has.
        seconds = [each * whole.images / job.images for each in measured[grid]]
        coarse = measured.get(f"coarse {grid}", [0.0] * repeats)
        ideal = work[whole.name] / work[grid]
        speedups = ratios(measured[whole.name], seconds)
        with_coarse = ratios(
            [EPOCHS * s for s in measured[whole.name]],
            [EPOCHS * s + c for s, c in zip(seconds, coarse, strict=True)],
        )
        rows.append(
            {
                "grid": grid,
                "input": job.words,
                "batch": job.batch,
                "ms per image (median)": 1e3 * summary(seconds)["median"] / whole.images,
                "FLOP ratio": ideal,
                **spread("speed-up (median)", speedups),
                "speed-up / FLOP ratio": summary(speedups)["median"] / ideal,
                "coarse solve (s)": summary(coarse)["median"],
                f"speed-up with it, {EPOCHS} epochs": summary(with_coarse)["median"],
                "images": job.images,
                "n": repeats,
            }
        )
    return rows


def main() -> None:
    options = parse(options_of(str(__doc__), repeats=5))
    rows = []
    for whole, grids in CASES.values():
        job = whole.quick() if options.quick else whole
        rows += measure(job, grids, options.repeats)
    write_theme("decomposition", rows, str(__doc__), options.quick)


if __name__ == "__main__":
    main()
