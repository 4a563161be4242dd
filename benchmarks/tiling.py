"""Cutting 50,000 images of 32 x 32 x 3 pixels into 2 x 2 tiles, against a plain copy."""

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
from common import in_turn, seconds_of, summary, write_theme

from ddcnn.shards import write_shards
from ddcnn.tiles import Tiling

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        x = Path(folder) / "x_train.npy"
        np.save(x, rng.integers(0, 256, (options.images, 32, 32, 3), np.uint8))
        for tiling in (Tiling.of("blocks", "2x2", 0), Tiling.of("blocks", "2x2", 4)):
            pixels = tiling.num_tiles * np.prod(tiling.tile_shape((32, 32)))
            # As many bytes as the tiles have: with overlap more than the images.
            num_copied = int(options.images * pixels / 32**2)
            source = Path(folder) / f"{tiling.slug}.npy"
            np.save(source, np.resize(np.load(x), (num_copied, 32, 32, 3)))
            variants = {
                "copy": seconds_of(
                    lambda s=source, n=num_copied: copy(s, s.with_suffix(".copy"), n)
                ),
                "tile": seconds_of(
                    lambda t=tiling: write_shards(t, {"train": x}, x.parent / t.slug / "plan.json")
                ),
                "np.save of slices": seconds_of(lambda t=tiling: save_slices(x, x.parent, t)),
            }
            measured = in_turn(variants, options.repeats)
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
                        "n": options.repeats,
                    }
                )
    write_theme("tiling", rows, str(__doc__))


if __name__ == "__main__":
    main()
