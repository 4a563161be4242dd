"""Cutting 50,000 images of 32 x 32 x 3 pixels into 2 x 2 tiles, against a plain copy.

The peak memory is that of a process of its own, beyond its imports.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import in_turn, options_of, parse, peak_mib, seconds_of, summary, write_theme
from workers import environment

from ddcnn.tiles.geometry import Tiling
from ddcnn.tiles.shards import write_shards

CHUNK = 20_000


def copy(images: Path, target: Path, num_images: int) -> None:
    """The reference: contiguous chunks, memory-mapped as the tiles are, written and synced once."""
    array = np.load(images, mmap_mode="r")
    with target.open("wb") as file:
        for first in range(0, num_images, CHUNK):
            part = array[first : min(first + CHUNK, num_images)]
            file.write(np.ascontiguousarray(part).data)
        file.flush()
        os.fsync(file.fileno())


def save_slices(images: Path, folder: Path, tiling: Tiling) -> None:
    """What one would write first: np.save of every slice."""
    array = np.load(images, mmap_mode="r")
    for name, box in tiling.tiles(array.shape[1:-1]).items():
        np.save(folder / f"{name}.npy", array[:, *box])


def variants_of(source: Path, whole: Path, tiling: Tiling, num_copied: int) -> dict:
    """What is compared: the name of each, and a function without arguments."""
    return {
        "copy": lambda: copy(source, source.with_suffix(".copy"), num_copied),
        "tile": lambda: write_shards(
            tiling, {"train": whole}, whole.parent / tiling.slug / "plan.json"
        ),
        "np.save of slices": lambda: save_slices(whole, whole.parent, tiling),
    }


def grown_mib(name: str, source: Path, whole: Path, overlap: int, num_copied: int) -> float:
    """Peak memory of one variant in a process of its own, beyond its imports."""
    arguments = json.dumps([name, str(source), str(whole), overlap, num_copied])
    done = subprocess.run(
        [sys.executable, __file__, "--work", arguments],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def work(arguments: str) -> None:
    """The child of :func:`grown_mib`."""
    name, source, whole, overlap, num_copied = json.loads(arguments)
    tiling = Tiling.of("blocks", "2x2", overlap)
    before = peak_mib()
    variants_of(Path(source), Path(whole), tiling, num_copied)[name]()
    print(peak_mib() - before)


def main() -> None:
    parser = options_of(str(__doc__), repeats=7)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parse(parser)
    if options.work:
        work(options.work)
        return
    if options.quick:
        options.images = 500
    rng = np.random.default_rng(0)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        x = Path(folder) / "x_train.npy"
        np.save(x, rng.integers(0, 256, (options.images, 32, 32, 3), np.uint8))
        for overlap in (0, 4):
            tiling = Tiling.of("blocks", "2x2", overlap)
            pixels = tiling.num_tiles * np.prod(tiling.tile_shape((32, 32)))
            # As many bytes as the tiles have: with overlap more than the images.
            num_copied = int(options.images * pixels / 32**2)
            source = Path(folder) / f"{tiling.slug}.npy"
            np.save(source, np.resize(np.load(x), (num_copied, 32, 32, 3)))
            variants = variants_of(source, x, tiling, num_copied)
            timed = {name: seconds_of(function) for name, function in variants.items()}
            measured = in_turn(timed, options.repeats)
            reference = np.array(measured["copy"])
            for name, values in measured.items():
                ratio = summary((np.array(values) / reference).tolist())
                rows.append(
                    {
                        "tiling": tiling.slug,
                        "variant": name,
                        "megabytes": round(num_copied * 3072 / 1e6),
                        "seconds (median)": summary(values)["median"],
                        "times the copy (median)": ratio["median"],
                        "least": ratio["min"],
                        "most": ratio["max"],
                        "peak memory (MiB)": grown_mib(name, source, x, overlap, num_copied),
                        "n": options.repeats,
                    }
                )
    write_theme("tiling", rows, str(__doc__), options.quick)


if __name__ == "__main__":
    main()
