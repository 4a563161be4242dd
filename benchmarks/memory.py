"""Peak memory of the largest training job, global against tiles, and of prepare and tile."""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import nets
import numpy as np
from common import in_turn, options_of, parse, peak_mib, spread, summary, write_theme
from PIL import Image
from workers import Worker

SIDE = 96
# Each process holds the pixels of its tile of the whole training split, and trains on some of them.
TRAININGS = {
    "2D": (
        replace(nets.GLOBAL_COLOUR, name="1x1", images=256, held=45_000),
        ("2x2", "4x4"),
    ),
    "3D": (replace(nets.GLOBAL_3D, name="1x1x1", images=32, held=1000), ("2x2x2",)),
}
TRAINING_TEXT = """Peak memory of the largest training job: the global net, or one local net (all
are alike), without overlap. Each in fresh processes, in turn, one thread; the training split is in
memory as uint8, as in a job. The row `torch alone` is a process that has only multiplied two small
matrices: what every job needs."""
PREPARATION_TEXT = f"""Peak memory of prepare and tile with 1,000 and with 10,000 images, and below
a memory limit. Images of {SIDE} x {SIDE} x 3 random pixels (synthetic); limit: RLIMIT_DATA."""


def write_png_folder(folder: Path, num_images: int) -> Path:
    """Noise images, which do not compress: decoding costs what it costs."""
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        (folder / name).mkdir(parents=True)
    for i in range(num_images):
        pixels = rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        Image.fromarray(pixels).save(folder / ("one", "two")[i % 2] / f"{i}.png", compress_level=1)
    return folder


def write_npz(path: Path, num_images: int) -> Path:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (num_images, SIDE, SIDE, 3), np.uint8)
    np.savez(path, x=x, y=np.arange(num_images) % 2)
    return path


def work(entry: dict, folder: Path, limit: int) -> None:
    """The child: prepare and tile, then print its peak memory and that of its own children."""
    if limit:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    from ddcnn.data.preparation import download, prepare
    from ddcnn.tiles.geometry import Tiling
    from ddcnn.tiles.shards import write_shards

    download(entry, folder / "raw" / "manifest.json")
    prepare(entry, folder / "raw" / "manifest.json", folder / "card.json")
    images = {split: folder / f"x_{split}.npy" for split in ("train", "val", "test")}
    write_shards(Tiling.of("blocks", "2x2", 4), images, folder / "tiles" / "plan.json")
    peaks = [peak_mib(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024]
    print(json.dumps(peaks))


def measure(path: Path, folder: Path, limit: int = 0) -> list[float]:
    """MiB of the process itself, and of its largest decoding process."""
    entry = {"name": "noise", "path": str(path)}
    done = subprocess.run(
        [sys.executable, __file__, "--work", json.dumps([entry, str(folder), limit])],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def preparation(num_few: int, quick: bool) -> None:
    """The table of prepare and tile."""
    rows = []
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        for kind, write in (("folder of PNG", write_png_folder), (".npz", write_npz)):
            peaks = []
            for num_images in (num_few, 10 * num_few):
                path = write(
                    folder / f"{kind[-3:]}-{num_images}{kind if kind[0] == '.' else ''}", num_images
                )
                own, child = measure(path, folder / f"out-{kind[-3:]}-{num_images}")
                peaks.append(own)
                rows.append(
                    {
                        "data": kind,
                        "images": num_images,
                        "MB of pixels": round(num_images * SIDE * SIDE * 3 / 1e6),
                        "limit (MiB)": "none",
                        "peak (MiB)": round(own),
                        "largest decoder (MiB)": round(child),
                        "times the smaller": round(own / peaks[0], 3),
                    }
                )
        own, child = measure(path, folder / "out-limit", limit := 240 * 2**20)
        rows.append(
            rows[-1]
            | {
                "limit (MiB)": limit // 2**20,
                "peak (MiB)": round(own),
                "largest decoder (MiB)": round(child),
                "times the smaller": round(own / peaks[0], 3),
            }
        )
    write_theme("memory-of-preparation", rows, PREPARATION_TEXT, quick)


def peak_of_training(job: nets.Job, way: str = "ddcnn") -> float:
    """MiB of a fresh process that trains two epochs."""
    with Worker(way, job) as worker:
        worker.epoch()
        worker.epoch()
        return worker.peak_mib


def training(repeats: int, quick: bool) -> None:
    """The table of the training jobs."""
    tiny = replace(nets.LOCAL_GREY, name="torch alone", images=16, batch=16)
    jobs = [tiny]
    for whole, grids in TRAININGS.values():
        jobs += [whole, *(nets.Job.of_tile(whole, grid) for grid in grids)]
    jobs = [job.quick() if quick else job for job in jobs]
    ways = {job.name: "matrix product" if job.name == tiny.name else "ddcnn" for job in jobs}
    variants = {job.name: lambda j=job: peak_of_training(j, ways[j.name]) for job in jobs}
    measured = in_turn(variants, repeats)
    alone = summary(measured[tiny.name])["median"]
    rows, whole = [], 0.0
    for job in jobs:
        median = summary(measured[job.name])["median"]
        if job.name in ("1x1", "1x1x1"):
            whole = median
        rows.append(
            {
                "grid": job.name,
                "input": "none" if job.name == tiny.name else job.words,
                "batch": job.batch,
                "images": job.held,
                "MB of pixels": round(job.held_bytes / 1e6),
                **spread("peak (MiB, median)", measured[job.name]),
                "above torch alone (MiB)": median - alone,
                "share of the global net's": median / whole if whole else "",
                "n": repeats,
            }
        )
    write_theme("memory", rows, TRAINING_TEXT, quick)


def main() -> None:
    parser = options_of(str(__doc__), repeats=3)
    parser.add_argument("--images", type=int, default=1000, help="the smaller number of images")
    parser.add_argument("--only", choices=("training", "preparation"))
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parse(parser)
    if options.work:
        entry, folder, limit = json.loads(options.work)
        work(entry, Path(folder), limit)
        return
    if options.only != "preparation":
        training(options.repeats, options.quick)
    if options.only != "training":
        preparation(40 if options.quick else options.images, options.quick)


if __name__ == "__main__":
    main()
