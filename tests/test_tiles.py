"""Tile geometry: every property of design, on random images and grids in 1D, 2D and 3D."""

import itertools
import math
import re

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch.nn import functional as F

from ddcnn.base.errors import InputError
from ddcnn.tiles.geometry import Decomposition, Tiling, largest_overlap, parse_axes, resample

AXIS = st.tuples(
    st.integers(1, 24), st.integers(1, 6), st.integers(0, 12)
)  # pixels, tiles, overlap


@st.composite
def any_blocks(draw) -> tuple[Tiling, tuple[int, ...]]:
    """Blocks that the check accepts, and the image's shape; sizes that divide and that do not."""
    shape, grid, overlap = zip(*draw(st.lists(AXIS, min_size=1, max_size=3)), strict=True)
    tiling = Tiling("blocks", grid, overlap)
    try:
        tiling.check(shape)
    except InputError:
        assume(False)
    return tiling, shape


@st.composite
def regular_blocks(draw) -> tuple[Tiling, tuple[int, ...]]:
    """Blocks whose starts are evenly spaced: the image is made to fit the tiles."""
    axis = st.tuples(st.integers(1, 5), st.integers(0, 4), st.integers(1, 4))
    axes = draw(st.lists(axis, min_size=1, max_size=3))
    shape = tuple(overlap + step * tiles for tiles, overlap, step in axes)
    return Tiling("blocks", tuple(a[0] for a in axes), tuple(a[1] for a in axes)), shape


@st.composite
def interleaved(draw) -> tuple[Tiling, tuple[int, ...]]:
    axes = draw(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=3))
    grid = tuple(tiles for tiles, _ in axes)
    return Tiling("interleaved", grid, (0,) * len(grid)), tuple(p * size for p, size in axes)


def pixels_of(shape: tuple[int, ...]) -> np.ndarray:
    """An image in which every pixel has its own value."""
    return np.arange(math.prod(shape)).reshape(shape)


def test_starts_and_sizes_are_those_of_the_formula():
    # 28 pixels, 2 tiles, overlap 4: size (28 + 4) / 2 = 16, starts 0 and 12.
    assert Tiling.of("blocks", "2x2", 4).tiles((28, 28)) == {
        "0-0": (slice(0, 16, 1), slice(0, 16, 1)),
        "0-1": (slice(0, 16, 1), slice(12, 28, 1)),
        "1-0": (slice(12, 28, 1), slice(0, 16, 1)),
        "1-1": (slice(12, 28, 1), slice(12, 28, 1)),
    }
    # 10 pixels, 3 tiles, overlap 1: size ceil(12 / 3) = 4, starts 0, 3, 6.
    # 10 pixels, 3 tiles, overlap 0: size ceil(10 / 3) = 4, starts 0, 4, and 8 moved back to 6.
    assert list(Tiling.of("blocks", "3", 1).tiles((10,)).values()) == [
        (slice(0, 4, 1),),
        (slice(3, 7, 1),),
        (slice(6, 10, 1),),
    ]
    assert Tiling.of("blocks", "3", 0).tiles((10,))["2"] == (slice(6, 10, 1),)


@given(any_blocks())
def test_tiles_lie_inside_have_equal_shapes_and_cover_the_image(case):
    tiling, shape = case
    tiles = tiling.tiles(shape)
    covered = np.zeros(shape, dtype=bool)
    for box in tiles.values():
        covered[box] = True
        assert all(0 <= s.start < s.stop <= n for s, n in zip(box, shape, strict=True))
        assert covered[box].shape == tiling.tile_shape(shape)
    assert covered.all()
    assert len(tiles) == tiling.num_tiles == math.prod(tiling.grid)


@given(any_blocks())
def test_tiles_are_all_different(case):
    tiling, shape = case
    boxes = {tuple((s.start, s.stop) for s in box) for box in tiling.tiles(shape).values()}
    assert len(boxes) == tiling.num_tiles


@given(any_blocks())
def test_neighbours_share_the_overlap_and_no_more_where_it_divides(case):
    tiling, shape = case
    tiles, image = tiling.tiles(shape), pixels_of(shape)
    for index in np.ndindex(*tiling.grid):
        for axis, (n, p, d) in enumerate(zip(shape, tiling.grid, tiling.overlap, strict=True)):
            if index[axis] + 1 == p:
                continue
            neighbour = tuple(i + (a == axis) for a, i in enumerate(index))
            one, other = (image[tiles["-".join(map(str, i))]] for i in (index, neighbour))
            shared = len(np.intersect1d(one, other)) // (one.size // one.shape[axis])
            assert shared >= d
            assert (n + (p - 1) * d) % p or shared == d


@given(regular_blocks())
def test_blocks_are_those_of_torch_unfold(case):
    tiling, shape = case
    image = pixels_of(shape)
    unfolded = torch.from_numpy(image)
    for axis, (size, d) in enumerate(zip(tiling.tile_shape(shape), tiling.overlap, strict=True)):
        unfolded = unfolded.unfold(axis, size, size - d)
    assert unfolded.shape[: len(shape)] == tiling.grid
    expected = unfolded.reshape(-1, *tiling.tile_shape(shape)).numpy()
    tiles = [image[box] for box in tiling.tiles(shape).values()]
    np.testing.assert_array_equal(np.stack(tiles), expected)


@given(interleaved())
def test_interleaved_tiles_are_a_partition_into_equal_shapes(case):
    tiling, shape = case
    image = pixels_of(shape)
    tiles = [image[box] for box in tiling.tiles(shape).values()]
    assert {tile.shape for tile in tiles} == {tiling.tile_shape(shape)}
    np.testing.assert_array_equal(
        np.sort(np.concatenate([t.ravel() for t in tiles])), image.ravel()
    )


def test_an_interleaved_tile_takes_every_pth_pixel():
    tiles = Tiling.of("interleaved", "2x3").tiles((4, 6))
    np.testing.assert_array_equal(pixels_of((4, 6))[tiles["1-2"]], [[8, 11], [20, 23]])


@pytest.mark.parametrize("num_axes", [1, 2, 3])
def test_the_tiling_whole_is_the_image(num_axes):
    shape = (5, 6, 7)[:num_axes]
    whole = Tiling.whole(num_axes)
    assert whole.slug == "whole"
    ((name, box),) = whole.tiles(shape).items()
    assert name == "-".join("0" * num_axes)
    np.testing.assert_array_equal(pixels_of(shape)[box], pixels_of(shape))


def test_names_are_grid_indices_row_by_row():
    assert Tiling.of("blocks", "2x3").names == ["0-0", "0-1", "0-2", "1-0", "1-1", "1-2"]
    assert Tiling.of("blocks", "1x2x2").names == ["0-0-0", "0-0-1", "0-1-0", "0-1-1"]


@pytest.mark.parametrize(
    ("kind", "grid", "overlap", "slug"),
    [
        ("blocks", "2x2", 4, "blocks-2x2-overlap4"),
        ("blocks", "2x2", "4x0", "blocks-2x2-overlap4x0"),
        ("blocks", "2x2x1", "4x4x0", "blocks-2x2x1-overlap4"),
        ("blocks", "2x2x2", "4x4x0", "blocks-2x2x2-overlap4x4x0"),
        ("interleaved", "2x2", 4, "interleaved-2x2"),
        ("interleaved", "1x1", 0, "whole"),
        ("blocks", "1x1", 3, "whole"),
    ],
)
def test_slugs(kind, grid, overlap, slug):
    assert Tiling.of(kind, grid, overlap).slug == slug


def small_tilings() -> list[Tiling]:
    overlaps = [0, 1, 2, "0x1", "1x0", "1x1", "1x2", "2x1", "2x2"]
    grids = ["1x1", "1x2", "2x1", "2x2", "1x3", "3x2"]
    return [
        Tiling.of(*case) for case in itertools.product(["blocks", "interleaved"], grids, overlaps)
    ]


def test_equal_slugs_mean_equal_tiles():
    tiles = {}
    for tiling in small_tilings():
        boxes = str(tiling.tiles((12, 12)))
        assert tiles.setdefault(tiling.slug, boxes) == boxes
    assert len(tiles) > 20


@pytest.mark.parametrize("tiling", small_tilings(), ids=str)
def test_a_slug_read_back_gives_the_same_tiles(tiling):
    kind, *parts = tiling.slug.split("-")
    if kind == "whole":
        kind, parts = "blocks", ["1x1"]
    overlap = parts[1].removeprefix("overlap") if len(parts) == 2 else 0
    again = Tiling.of(kind, parts[0], overlap)
    assert again.slug == tiling.slug
    assert again.tiles((12, 12)) == tiling.tiles((12, 12))


def test_a_decomposition_adds_the_view_as_the_last_subdomain():
    tiling = Tiling.of("blocks", "1x2", 2)
    assert Decomposition(tiling).subdomains == ["0-0", "0-1"]
    assert Decomposition(tiling, coarse_view=True).subdomains == ["0-0", "0-1", "view"]
    assert Decomposition(tiling, coarse_view=True).slug == "blocks-1x2-overlap2-view"


@pytest.mark.parametrize(
    ("kind", "grid", "overlap", "words"),
    [
        ("blocks", "2x2x2", 0, ["grid", "2x2x2", "3 axes", "28x28"]),
        ("blocks", "2", 0, ["grid", "2 has 1 axes", "28x28"]),
        ("blocks", "29x1", 0, ["grid", "29 tiles", "28 pixels"]),
        ("blocks", "2x2", 28, ["overlap", "28", "not smaller", "28 pixels", "fits is 26"]),
        ("blocks", "2x2", 10**400, ["overlap", "000", "not smaller"]),
        ("blocks", "20x1", 0, ["grid", "20 tiles", "coincide", "most 14 tiles", "overlap of 8"]),
        ("interleaved", "3x2", 0, ["grid", "3x2", "does not divide", "1, 2, 4, 7, 14, 28"]),
        ("blocks", "2x2", "4x4x4", ["overlap", "4x4x4", "3 axes", "2x2"]),
        ("blocks", "0x2", 0, ["grid", "0x2"]),
        ("blocks", "2x", 0, ["grid", "2x"]),
        ("blocks", "2x2", -1, ["overlap", "-1"]),
        ("blocks", "2x2", "", ["overlap"]),
        ("stripes", "2x2", 0, ["kind", "stripes", "blocks", "interleaved"]),
    ],
)
def test_what_cannot_be_cut_is_refused_with_a_reason(kind, grid, overlap, words):
    with pytest.raises(InputError) as caught:
        Tiling.of(kind, grid, overlap).tiles((28, 28))
    assert all(word in str(caught.value) for word in words), caught.value


@given(st.integers(2, 40), st.data())
def test_what_is_advised_where_tiles_coincide_fits(num_pixels, data):
    num_tiles, overlap = data.draw(st.integers(2, num_pixels)), data.draw(st.integers(0, 3))
    try:
        Tiling("blocks", (num_tiles,), (overlap,)).check((num_pixels,))
    except InputError as error:
        fewer = re.search(r"at most (\d+) tiles", str(error))
        larger = re.search(r"or an overlap of (\d+)", str(error))
        if fewer:
            Tiling.of("blocks", fewer[1], overlap).check((num_pixels,))
        if larger:
            Tiling("blocks", (num_tiles,), (int(larger[1]),)).check((num_pixels,))


@given(st.integers(1, 30), st.data())
def test_the_largest_overlap_fits_and_no_larger_one_does(num_pixels, data):
    num_tiles = data.draw(st.integers(1, num_pixels))
    largest = largest_overlap(num_pixels, num_tiles)
    assert Tiling.of("blocks", str(num_tiles), largest).tiles((num_pixels,))
    if num_tiles > 1:
        for overlap in range(largest + 1, num_pixels + 2):
            with pytest.raises(InputError):
                Tiling.of("blocks", str(num_tiles), overlap).check((num_pixels,))


@given(st.text(alphabet="0123x-. ", max_size=6))
def test_only_numbers_joined_by_x_are_axes(text):
    parts = text.split("x")
    if all(part.isdigit() for part in parts):
        assert parse_axes(text, "grid") == tuple(map(int, parts))
    else:
        with pytest.raises(InputError, match="grid"):
            parse_axes(text, "grid")


def area_average(images: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Exact: pixels repeated to the least common multiple, then the mean of whole blocks."""
    out = images.astype(np.float64)
    for axis, num_out in enumerate(shape, start=1):
        num_in = out.shape[axis]
        common = math.lcm(num_in, num_out)
        out = np.repeat(out, common // num_in, axis=axis)
        blocks = (*out.shape[:axis], num_out, common // num_out, *out.shape[axis + 1 :])
        out = out.reshape(blocks).mean(axis=axis + 1)
    return out


@st.composite
def images_and_shape(draw) -> tuple[np.ndarray, tuple[int, ...]]:
    spatial = draw(st.lists(st.integers(1, 9), min_size=1, max_size=3))
    shape = draw(st.tuples(*[st.integers(1, 9)] * len(spatial)))
    size = (draw(st.integers(1, 2)), *spatial, draw(st.integers(1, 3)))
    return draw(arrays(np.uint8, size)), shape


@given(images_and_shape())
def test_the_coarse_view_is_the_exact_area_average(case):
    images, shape = case
    view = resample(images, shape)
    assert view.shape == (len(images), *shape, images.shape[-1])
    assert view.dtype == np.uint8
    # Half a gray level is the rounding; nothing else is lost.
    np.testing.assert_allclose(view, area_average(images, shape), atol=0.5 + 1e-9, rtol=0)


@pytest.mark.parametrize(("shape", "factor"), [((12, 8), 2), ((9, 9), 3), ((8, 4, 12), 4)])
def test_the_coarse_view_by_an_integer_factor_is_average_pooling(shape, factor):
    images = np.random.default_rng(0).integers(0, 256, (3, *shape, 2), dtype=np.uint8)
    pool = F.avg_pool2d if len(shape) == 2 else F.avg_pool3d
    pooled = pool(torch.from_numpy(images).double().movedim(-1, 1), factor).movedim(1, -1)
    view = resample(images, tuple(n // factor for n in shape))
    np.testing.assert_array_equal(view, np.rint(pooled.numpy()))


@given(st.integers(0, 255), st.tuples(*[st.integers(1, 40)] * 4))
@example(255, (28, 28, 16, 15))
def test_the_coarse_view_of_a_constant_image_is_constant(value, sizes):
    images = np.full((1, *sizes[:2], 1), value, dtype=np.uint8)
    assert (resample(images, sizes[2:]) == value).all()


def test_the_coarse_view_in_the_same_shape_is_the_image():
    images = np.random.default_rng(0).integers(0, 256, (2, 7, 5, 3), dtype=np.uint8)
    np.testing.assert_array_equal(resample(images, (7, 5)), images)
