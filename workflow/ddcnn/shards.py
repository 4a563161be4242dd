"""The stage tile: cut prepared images into one contiguous file per tile and split."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ddcnn.errors import InputError
from ddcnn.files import read_json, write_aside, write_json
from ddcnn.tiles import VIEW, Tiling, resample

log = logging.getLogger(__name__)

CHUNK_BYTES = 8 * 2**20


def write_shards(tiling: Tiling, images: dict[str, Path], plan: str | Path) -> None:
    """Write ``{tile}/x_{split}.npy`` for every tile beside ``plan``, then the plan itself.

    Args:
        tiling: how to cut.
        images: for each split a file of uint8 images ``N, *spatial, C``.
        plan: the path of ``plan.json``; it is written last, so that it stands for complete shards.
    """
    start = time.perf_counter()
    folder = Path(plan).parent
    shape = np.load(images["train"], mmap_mode="r").shape[1:-1]
    shards = {}
    for tile, box in tiling.tiles(shape).items():
        for split, source in images.items():
            path = folder / tile / f"x_{split}.npy"
            _write_array(path, source, tiling.tile_shape(shape), lambda x, box=box: x[:, *box])
            shards[f"{tile}/{path.name}"] = {"bytes": path.stat().st_size}
        log.info("tile %s of %s", tile, tiling.slug)
    write_json(plan, _plan(tiling, shape, shards, time.perf_counter() - start))


def write_view(images: dict[str, Path], plan: str | Path) -> None:
    """Write ``view/x_{split}.npy`` beside ``plan``: whole images resampled to the tile's shape."""
    tile_shape = tuple(read_json(plan)["tile_shape"])
    for split, source in images.items():
        target = Path(plan).parent / VIEW / f"x_{split}.npy"
        _write_array(target, source, tile_shape, lambda x: resample(x, tile_shape))
    log.info("coarse view of %s", "x".join(map(str, tile_shape)))


def read_shard(path: str | Path) -> np.ndarray:
    """A shard's images, uint8 ``N, *tile_shape, C``, in memory.

    A shard that was removed to save room (``python -m ddcnn room``) is cut again.

    Raises:
        InputError: the file is missing or damaged.
    """
    if not Path(path).exists():
        _cut_again(Path(path))
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"shard {path} is missing or damaged ({error}); cut the tiles again: "
            f"snakemake --cores all --forcerun tile"
        ) from error


def _cut_again(path: Path) -> None:
    """Write one shard, where the plan and the prepared images say how; else leave it missing."""
    results, dataset, plan = path.parents[4], path.parents[2].name, path.parents[1] / "plan.json"
    images = results / "data" / dataset / path.name
    if not plan.is_file() or not images.is_file():
        return
    facts = read_json(plan)
    kind = "blocks" if facts["kind"] == "whole" else facts["kind"]
    tiling, shape = Tiling(kind, *map(tuple, (facts["grid"], facts["overlap"]))), facts["shape"]
    box = tiling.tiles(tuple(shape)).get(path.parent.name)
    if box is not None:
        log.info("cutting %s again, which was removed", path)
        _write_array(path, images, tuple(facts["tile_shape"]), lambda x: x[:, *box])


def _write_array(
    path: Path,
    source: Path,
    tile_shape: tuple[int, ...],
    cut: Callable[[np.ndarray], np.ndarray],
) -> None:
    """Stream ``cut(images)`` into an ``.npy`` file, a bounded number of images at a time."""
    images = np.load(source, mmap_mode="r")
    num_images, image = len(images), images[:1]
    chunk = max(1, CHUNK_BYTES // max(1, image.nbytes))
    with write_aside(path) as aside, aside.open("wb") as file:
        shape = (num_images, *tile_shape, image.shape[-1])
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": shape}
        )
        for first in range(0, num_images, chunk):
            # Mapped anew for every chunk, or the pages of the whole file would count as ours.
            images = np.load(source, mmap_mode="r")[first : first + chunk]
            # A contiguous copy in memory, then one write: np.save of a slice is far slower.
            file.write(np.ascontiguousarray(cut(images)).data)


def _plan(
    tiling: Tiling, shape: tuple[int, ...], shards: dict[str, Any], seconds: float
) -> dict[str, Any]:
    return {
        "tiling": tiling.slug,
        "kind": "whole" if tiling.num_tiles == 1 else tiling.kind,
        "grid": list(tiling.grid),
        "overlap": list(tiling.overlap),
        "shape": list(shape),
        "tile_shape": list(tiling.tile_shape(shape)),
        "tiles": {
            name: {
                "start": [s.start for s in box],
                "stop": [s.stop for s in box],
                "step": [s.step for s in box],
            }
            for name, box in tiling.tiles(shape).items()
        },
        "shards": shards,
        "seconds": round(seconds, 3),
    }
