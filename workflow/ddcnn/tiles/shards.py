"""The stage tile: cut prepared images into one contiguous file per tile and stored part.

The parts are the splits, or the folds of a cross-validation: see :mod:`ddcnn.base.splits`.
"""

import logging
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ddcnn.base.errors import DamagedResult, InputError
from ddcnn.base.files import check_prepared, read_json, write_aside, write_json
from ddcnn.base.reading import reading
from ddcnn.tiles.geometry import VIEW, Tiling, resample
from ddcnn.tiles.staging import staged

log = logging.getLogger(__name__)

CHUNK_BYTES = 8 * 2**20
# Sizes and checksums of the view's shards; those of the tiles are in the plan.
VIEW_RECORD = "shards.json"


def write_shards(tiling: Tiling, images: dict[str, Path], plan: str | Path) -> None:
    """Write ``{tile}/x_{part}.npy`` for every tile beside ``plan``, then the plan itself.

    Args:
        tiling: how to cut.
        images: for each part a file of images ``N, *spatial, C``, whose type the shards keep.
        plan: the path of ``plan.json``; it is written last, so that it stands for complete shards.

    Raises:
        DamagedResult: the images are not those of ``card.json`` beside them.
    """
    start = time.perf_counter()
    folder = Path(plan).parent
    for source in images.values():
        check_prepared(Path(source))
    shape = np.load(next(iter(images.values())), mmap_mode="r").shape[1:-1]
    shards = {}
    for tile, box in tiling.tiles(shape).items():
        for part, source in images.items():
            path = folder / tile / f"x_{part}.npy"
            shards[f"{tile}/{path.name}"] = _write_array(
                path, source, tiling.tile_shape(shape), lambda x, box=box: x[:, *box]
            )
        log.info("tile %s of %s", tile, tiling.slug)
    seconds = round(time.perf_counter() - start, 3)
    write_json(plan, plan_of(tiling, shape) | {"shards": shards, "seconds": seconds})


def write_view(images: dict[str, Path], plan: str | Path) -> None:
    """Write ``view/x_{part}.npy`` beside ``plan``: whole images resampled to the tile's shape."""
    tile_shape = tuple(read_json(plan)["tile_shape"])
    folder, shards = Path(plan).parent / VIEW, {}
    for part, source in images.items():
        check_prepared(Path(source))
        target = folder / f"x_{part}.npy"
        shards[target.name] = _write_array(
            target, source, tile_shape, lambda x: resample(x, tile_shape)
        )
    write_json(folder / VIEW_RECORD, shards)
    log.info("coarse view of %s", "x".join(map(str, tile_shape)))


def read_shard(path: str | Path) -> np.ndarray:
    """A shard's images, uint8 (signals: float32) ``N, *tile_shape, C``, in memory.

    They are compared with their checksum. A shard that was removed to save room (``ddcnn room``)
    is cut again.

    Raises:
        DamagedResult: the file is missing, or not what the stage tile wrote.
    """
    path = Path(path)
    if not path.exists():
        _cut_again(path)
    record, _ = _record_of(path)
    try:
        copy = staged(path)
        return _verified_copy(path, copy) if copy != path else _verified(path, path)
    except FileNotFoundError as error:
        raise DamagedResult(path, "it is missing", stands_for=record) from error


def _verified_copy(path: Path, copy: Path) -> np.ndarray:
    """What a node's copy of a shard holds; whatever is wrong with it, the original is not."""
    try:
        return _verified(path, copy)
    except (InputError, FileNotFoundError) as error:
        log.warning("warning: reading %s and not its copy: %s", path, error)
        copy.unlink(missing_ok=True)
        return _verified(path, path)


def _verified(path: Path, copy: Path) -> np.ndarray:
    """What ``copy`` holds, compared with the checksum of the shard ``path``."""
    record, name = _record_of(path)
    with reading(copy, record):
        shard = np.load(copy, allow_pickle=False)
    expected = _checksums(record).get(name)
    if expected is not None and expected["crc32"] != zlib.crc32(shard.data):
        raise DamagedResult(copy, "its checksum is wrong", stands_for=record)
    return shard


def _record_of(path: Path) -> tuple[Path, str]:
    """The file with a shard's checksum, and the shard's name in it."""
    if path.parent.name == VIEW:
        return path.with_name(VIEW_RECORD), path.name
    return path.parents[1] / "plan.json", f"{path.parent.name}/{path.name}"


def _checksums(record: Path) -> dict[str, Any]:
    content = read_json(record) if record.is_file() else {}
    return content.get("shards", content)


def _cut_again(path: Path) -> None:
    """Write one shard, where the plan and the prepared images say how; else leave it missing."""
    results, dataset, plan = path.parents[4], path.parents[2].name, path.parents[1] / "plan.json"
    images = results / "data" / dataset / path.name
    if not plan.is_file() or not images.is_file():
        return
    facts = read_json(plan)
    box = planned(facts).tiles(tuple(facts["shape"])).get(path.parent.name)
    if box is not None:
        log.info("cutting %s again, which was removed", path)
        _write_array(path, images, tuple(facts["tile_shape"]), lambda x: x[:, *box])


def _write_array(
    path: Path,
    source: Path,
    tile_shape: tuple[int, ...],
    cut: Callable[[np.ndarray], np.ndarray],
) -> dict[str, int]:
    """Stream ``cut(images)`` into an ``.npy`` file, a bounded number of images at a time.

    Returns:
        ``bytes`` of the file, and ``crc32`` of the pixels in it.
    """
    images = np.load(source, mmap_mode="r")
    num_images, image = len(images), images[:1]
    chunk = max(1, CHUNK_BYTES // max(1, image.nbytes))
    checksum = 0
    with write_aside(path) as aside, aside.open("wb") as file:
        shape = (num_images, *tile_shape, image.shape[-1])
        descr = np.lib.format.dtype_to_descr(images.dtype)
        np.lib.format.write_array_header_1_0(
            file, {"descr": descr, "fortran_order": False, "shape": shape}
        )
        for first in range(0, num_images, chunk):
            # Mapped anew for every chunk, or the pages of the whole file would count as ours.
            images = np.load(source, mmap_mode="r")[first : first + chunk]
            # A contiguous copy in memory, then one write: np.save of a slice is far slower.
            pixels = np.ascontiguousarray(cut(images))
            file.write(pixels.data)
            checksum = zlib.crc32(pixels.data, checksum)
    return {"bytes": path.stat().st_size, "crc32": checksum}


def planned(facts: Mapping[str, Any]) -> Tiling:
    """The tiling that a plan describes."""
    kind = "blocks" if facts["kind"] == "whole" else facts["kind"]
    return Tiling(kind, tuple(facts["grid"]), tuple(facts["overlap"]))


def plan_of(tiling: Tiling, shape: tuple[int, ...]) -> dict[str, Any]:
    """What a plan says of the tiles of images of ``shape``."""
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
    }
