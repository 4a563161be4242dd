"""Shards hold what numpy cuts out, however they are streamed, and the plan says what they are."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from ddcnn.base.errors import DamagedResult, InputError
from ddcnn.base.files import read_json, write_json
from ddcnn.tiles import shards
from ddcnn.tiles.geometry import Tiling, resample
from ddcnn.tiles.shards import read_shard, write_shards, write_view

CASES = [
    ((10, 8, 1), Tiling.of("blocks", "2x2", 4)),
    ((9, 7, 3), Tiling.of("blocks", "2x3", "1x0")),
    ((8, 6, 2), Tiling.of("interleaved", "2x3")),
    ((6, 8, 5, 1), Tiling.of("blocks", "2x2x1", 2)),
    ((4, 4, 6, 1), Tiling.of("interleaved", "2x1x3")),
    ((5, 6, 1), Tiling.whole(2)),
]
BY_SLUG = pytest.mark.parametrize(
    ("shape", "tiling"), CASES, ids=lambda value: getattr(value, "slug", "")
)


def write_images(folder: Path, shape: tuple[int, ...]) -> dict[str, Path]:
    """Random images of every split in ``x_{split}.npy``."""
    rng = np.random.default_rng(0)
    paths = {}
    for split, num_images in (("train", 7), ("val", 3), ("test", 1)):
        paths[split] = folder / f"x_{split}.npy"
        np.save(paths[split], rng.integers(0, 256, (num_images, *shape), dtype=np.uint8))
    return paths


@pytest.fixture(params=[None, 1, 200], ids=["at once", "one by one", "a few at a time"])
def chunk(request, monkeypatch) -> None:
    """Stream with less memory than all images take."""
    if request.param:
        monkeypatch.setattr(shards, "CHUNK_BYTES", request.param)


@BY_SLUG
@pytest.mark.usefixtures("chunk")
def test_a_shard_is_what_numpy_cuts_out(tmp_path, shape, tiling):
    images = write_images(tmp_path, shape)
    write_shards(tiling, images, tmp_path / "out" / "plan.json")
    for tile, box in tiling.tiles(shape[:-1]).items():
        for split, path in images.items():
            shard = read_shard(tmp_path / "out" / tile / f"x_{split}.npy")
            assert shard.dtype == np.uint8
            assert shard.flags.c_contiguous
            np.testing.assert_array_equal(shard, np.load(path)[(slice(None), *box)])


@BY_SLUG
@pytest.mark.usefixtures("chunk")
def test_the_view_is_the_whole_image_in_the_shape_of_a_tile(tmp_path, shape, tiling):
    images = write_images(tmp_path, shape)
    plan = tmp_path / "out" / "plan.json"
    write_shards(tiling, images, plan)
    write_view(images, plan)
    tile_shape = tiling.tile_shape(shape[:-1])
    for split, path in images.items():
        view = read_shard(tmp_path / "out" / "view" / f"x_{split}.npy")
        np.testing.assert_array_equal(view, resample(np.load(path), tile_shape))


def test_the_plan_tells_how_the_images_are_cut(tmp_path):
    images = write_images(tmp_path, (10, 8, 1))
    plan = tmp_path / "out" / "plan.json"
    write_shards(Tiling.of("blocks", "2x1", 4), images, plan)
    found = json.loads(plan.read_text())
    assert found.pop("seconds") >= 0
    sizes = {name: entry["bytes"] for name, entry in found.pop("shards").items()}
    assert sizes == {
        f"{tile}/x_{split}.npy": (plan.parent / tile / f"x_{split}.npy").stat().st_size
        for tile in ("0-0", "1-0")
        for split in images
    }
    assert found == {
        "tiling": "blocks-2x1-overlap4",
        "kind": "blocks",
        "grid": [2, 1],
        "overlap": [4, 0],
        "shape": [10, 8],
        "tile_shape": [7, 8],
        "tiles": {
            "0-0": {"start": [0, 0], "stop": [7, 8], "step": [1, 1]},
            "1-0": {"start": [3, 0], "stop": [10, 8], "step": [1, 1]},
        },
    }


@pytest.mark.parametrize(
    ("tiling", "kind", "step"),
    [(Tiling.of("interleaved", "2x2"), "interleaved", [2, 2]), (Tiling.whole(2), "whole", [1, 1])],
)
def test_the_plan_knows_interleaved_tiles_and_the_whole_image(tmp_path, tiling, kind, step):
    write_shards(tiling, write_images(tmp_path, (10, 8, 1)), tmp_path / "out" / "plan.json")
    found = json.loads((tmp_path / "out" / "plan.json").read_text())
    assert found["kind"] == kind
    assert all(box["step"] == step for box in found["tiles"].values())


def test_the_boxes_of_the_plan_cut_the_shards_out(tmp_path):
    shape, tiling = (8, 6, 2), Tiling.of("interleaved", "2x3")
    images = write_images(tmp_path, shape)
    write_shards(tiling, images, tmp_path / "out" / "plan.json")
    for tile, box in json.loads((tmp_path / "out" / "plan.json").read_text())["tiles"].items():
        slices = map(slice, box["start"], box["stop"], box["step"])
        expected = np.load(images["train"])[(slice(None), *slices)]
        np.testing.assert_array_equal(np.load(tmp_path / "out" / tile / "x_train.npy"), expected)


@pytest.fixture
def plan(tmp_path) -> Path:
    images = write_images(tmp_path, (10, 8, 1))
    write_shards(Tiling.of("blocks", "2x2"), images, tmp_path / "out" / "plan.json")
    return tmp_path / "out" / "plan.json"


def test_the_plan_lists_every_shard_with_its_size_and_nothing_else_is_left(plan):
    listed = {name: entry["bytes"] for name, entry in read_json(plan)["shards"].items()}
    written = {
        path.relative_to(plan.parent).as_posix(): path.stat().st_size
        for path in plan.parent.rglob("*.npy")
    }
    assert listed == written
    assert not list(plan.parent.rglob(".*"))


def test_a_cut_off_shard_is_not_read(plan):
    shard = plan.parent / "1-0" / "x_train.npy"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(DamagedResult, match=r"1-0/x_train\.npy"):
        read_shard(shard)


@pytest.mark.parametrize("tile", ["1-0", "view"])
def test_a_shard_with_a_wrong_byte_is_not_read(tmp_path, plan, tile):
    write_view(write_images(tmp_path, (10, 8, 1)), plan)
    shard = plan.parent / tile / "x_train.npy"
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    read_shard(shard)
    shard.write_bytes(content)
    with pytest.raises(DamagedResult, match=rf"{tile}/x_train\.npy") as caught:
        read_shard(shard)
    # What Snakemake must miss to cut the shard again.
    assert caught.value.stands_for == plan if tile == "1-0" else shard.with_name("shards.json")


def test_images_that_are_not_those_of_the_card_are_not_cut(tmp_path):
    images = write_images(tmp_path, (10, 8, 1))
    digest = hashlib.sha256(images["train"].read_bytes()).hexdigest()
    write_json(tmp_path / "card.json", {"checksums": {"x_train.npy": f"sha256:{digest}"}})
    write_shards(Tiling.of("blocks", "2x2"), images, tmp_path / "out" / "plan.json")
    content = bytearray(images["train"].read_bytes())
    content[-1] ^= 1
    images["train"].write_bytes(content)
    with pytest.raises(DamagedResult, match=r"x_train\.npy"):
        write_shards(Tiling.of("blocks", "2x2"), images, tmp_path / "again" / "plan.json")
    assert not (tmp_path / "again").exists()


def test_a_missing_shard_is_named_with_what_to_do(tmp_path):
    with pytest.raises(
        InputError,
        match=r"1-0/x_train\.npy is damaged \(it is missing\); delete .*plan\.json and run again",
    ):
        read_shard(tmp_path / "1-0" / "x_train.npy")


def test_images_that_cannot_be_cut_leave_no_plan(tmp_path):
    images = write_images(tmp_path, (10, 8, 1))
    with pytest.raises(InputError, match="grid"):
        write_shards(Tiling.of("blocks", "2x2x2"), images, tmp_path / "out" / "plan.json")
    assert not (tmp_path / "out").exists()


@BY_SLUG
def test_a_removed_shard_is_cut_again_by_its_plan(tmp_path, shape, tiling):
    data = tmp_path / "results/data/mine"
    data.mkdir(parents=True)
    folder = tmp_path / "results/tiles/mine" / tiling.slug
    write_shards(tiling, write_images(data, shape), folder / "plan.json")
    for tile in tiling.names:
        path = folder / tile / "x_val.npy"
        before = path.read_bytes()
        path.unlink()
        read_shard(path)
        assert path.read_bytes() == before


def test_a_shard_without_its_images_stays_missing(tmp_path):
    data = tmp_path / "results/data/mine"
    data.mkdir(parents=True)
    plan = tmp_path / "results/tiles/mine/whole/plan.json"
    write_shards(Tiling.whole(2), write_images(data, (5, 6, 1)), plan)
    (plan.parent / "0-0/x_val.npy").unlink()
    (data / "x_val.npy").unlink()
    with pytest.raises(InputError, match="it is missing"):
        read_shard(plan.parent / "0-0/x_val.npy")
    with pytest.raises(InputError, match="it is missing"):
        read_shard(plan.parent / "7-7/x_val.npy")
