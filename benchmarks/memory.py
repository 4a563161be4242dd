"""Peak memory of prepare and tile with 1,000 and with 10,000 images, and below a memory limit."""

import argparse
import json
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import write_theme
from PIL import Image

SIDE = 96


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
    from ddcnn.data import download, prepare
    from ddcnn.shards import write_shards
    from ddcnn.tiles import Tiling

    download(entry, folder / "raw" / "manifest.json")
    prepare(entry, folder / "raw" / "manifest.json", folder / "card.json")
    images = {split: folder / f"x_{split}.npy" for split in ("train", "val", "test")}
    write_shards(Tiling.of("blocks", "2x2", 4), images, folder / "tiles" / "plan.json")
    # VmHWM, not ru_maxrss: that one starts with the peak of the process that started this one.
    status = Path("/proc/self/status").read_text()
    own = int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) / 1024
    peaks = [own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024]
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1000, help="the smaller number of images")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        entry, folder, limit = json.loads(options.work)
        work(entry, Path(folder), limit)
        return
    rows = []
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        for kind, write in (("folder of PNG", write_png_folder), (".npz", write_npz)):
            peaks = []
            for num_images in (options.images, 10 * options.images):
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
    text = (
        f"{__doc__}\n\nImages of {SIDE} x {SIDE} x 3 random pixels (synthetic); limit: RLIMIT_DATA."
    )
    write_theme("memory-of-preparation", rows, text)


if __name__ == "__main__":
    main()
