"""Make ``fashion-mnist-10k.npz``, the quickstart's data, from the published Fashion-MNIST files.

    python make_fashion_mnist_10k.py --source /usr/share/datasets/fashion-mnist

The source folder holds ``{train,t10k}-{images-idx3,labels-idx1}-ubyte.gz`` as published, for
example from the Debian package dataset-fashion-mnist. The same source gives the same bytes.
"""

import argparse
import gzip
import hashlib
import math
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ddcnn.base.errors import InputError
from ddcnn.base.files import write_aside

# SHA-256 of the unpacked files: the publisher's archives and Debian's hold the same content, but
# Debian wrote other gzip headers, so the published MD5 sums of the archives fit only the former.
SOURCE_SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}

# Which images of which published split make a split of ours.
SPLITS = {
    "train": ("train", slice(0, 7000)),
    "val": ("train", slice(7000, 8000)),
    "test": ("t10k", slice(0, 2000)),
}

EMBEDDED = Path(__file__).parents[1] / "workflow" / "ddcnn" / "data" / "embedded"
OUTPUT = EMBEDDED / "fashion-mnist-10k.npz"


def read_verified(source: Path, name: str, sha256: str) -> bytes:
    """Return the unpacked content of ``source/name.gz``.

    Raises InputError if the file is missing, is not gzip or has another content.
    """
    path = source / f"{name}.gz"
    try:
        content = gzip.decompress(path.read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing: --source must hold the four .gz files") from error
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be unpacked ({error}): fetch it again") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise InputError(f"{path} is not the published file: sha256 {found}, expected {sha256}")
    return content


def parse_idx(content: bytes, name: str) -> np.ndarray:
    """Return the uint8 array of an IDX file: images as ``N, 28, 28``, labels as ``N``.

    IDX: two zero bytes, element type (8: uint8), number of axes, each length as big-endian uint32,
    then the elements, last axis fastest.
    """
    if content[:3] != b"\x00\x00\x08":
        raise InputError(f"{name} is not an IDX file of bytes: it starts with {content[:3].hex()}")
    start = 4 + 4 * content[3]
    shape = tuple(int(n) for n in np.frombuffer(content[4:start], dtype=">u4"))
    if len(content) - start != math.prod(shape):
        raise InputError(f"{name} holds {len(content) - start} elements, its header says {shape}")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def cut_splits(source: Path, sha256: Mapping[str, str] = SOURCE_SHA256) -> dict[str, np.ndarray]:
    """Return for the three splits ``x_{split}`` (uint8 ``N, 28, 28``) and ``y_{split}`` (``N``)."""
    published = {
        name: parse_idx(read_verified(source, name, expected), name)
        for name, expected in sha256.items()
    }
    arrays = {}
    for split, (origin, part) in SPLITS.items():
        arrays[f"x_{split}"] = published[f"{origin}-images-idx3-ubyte"][part]
        arrays[f"y_{split}"] = published[f"{origin}-labels-idx1-ubyte"][part]
    return arrays


def main(arguments: list[str] | None = None) -> None:
    """Read the command line, make the file, print its checksum for the README beside it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, required=True, help="folder of the published files")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="default: beside this script")
    options = parser.parse_args(arguments)
    try:
        arrays = cut_splits(options.source)
    except InputError as error:
        sys.exit(f"make_fashion_mnist_10k: {error}")
    with write_aside(options.output) as aside:
        np.savez_compressed(aside, **arrays)  # dates every member 1980-01-01, not by the clock
    content = options.output.read_bytes()
    print(f"{options.output}: {len(content):,} bytes, sha256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main()
