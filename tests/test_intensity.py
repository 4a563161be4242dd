"""What becomes black and white: the rules, how one is chosen, and what is said of odd images."""

import json
import logging
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from ddcnn.base.errors import InputError
from ddcnn.data import intensity, volumes
from ddcnn.data.intensity import own_window
from ddcnn.data.options import ReadOptions
from ddcnn.data.preparation import download, prepare
from ddcnn.data.registry import dataset_of
from ddcnn.data.values import Sampler, is_hounsfield
from own_data import save, save_volume

SHAPE = (12, 10, 8)


def body(seed: int, *shape: int) -> np.ndarray:
    """A scan without a unit, float: noise and a bright half."""
    values = np.random.default_rng(seed).normal(0.4, 0.05, shape or SHAPE)
    values[: len(values) // 2] += 0.3
    return values


def ct(seed: int, *shape: int) -> np.ndarray:
    """Hounsfield units: air around soft tissue, with bone in it."""
    rng = np.random.default_rng(seed)
    values = rng.normal(-1000, 8, shape or SHAPE)
    inner = tuple(slice(size // 5, size - size // 5) for size in values.shape)
    values[inner] = rng.normal(40, 15, values[inner].shape)
    values[tuple(size // 2 for size in values.shape)] = 900
    return values.round().astype(np.int16)


def prepared(folder: Path, path: Path, **keys) -> tuple[dict, Path]:
    """The card of people's own data, and the folder of the prepared arrays."""
    entry = {"name": "own", "path": str(path), **keys}
    manifest, card = folder / "raw/manifest.json", folder / "card.json"
    download(entry, manifest)
    prepare(entry, manifest, card)
    return json.loads(card.read_text()), folder


def table_of(folder: Path, scans: dict[str, tuple[np.ndarray, str]]) -> Path:
    """Volumes by name with their splits, as a table; classes change from one to the next."""
    rows = ["file,label,split"]
    for number, (name, (values, split)) in enumerate(scans.items()):
        save_volume(folder / name, values)
        rows.append(f"{name},{'ab'[number % 2]},{split}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder / "labels.csv"


def splits(count: int) -> list[str]:
    return ["train", "train", "train", "train", "val", "val", "test", "test"] * (count // 8)


def set_of(folder: Path, make, count: int = 8) -> Path:
    parts = splits(count)
    return table_of(folder, {f"{i}.nii.gz": (make(i), parts[i]) for i in range(count)})


# The window of one image


@given(
    arrays.arrays(np.int16, st.integers(2, 400), elements=st.integers(-3000, 3000)),
    st.floats(0.01, 100), st.floats(-1000, 1000), st.sampled_from(intensity.PER_IMAGE),
)  # fmt: skip
def test_an_own_window_follows_the_scale_of_the_scanner(values, factor, offset, rule):
    low, high = own_window(values.astype(float), rule)
    scaled = own_window(values * factor + offset, rule)
    if low == values.min() and high == low + 1:
        assert values.min() == values.max()  # a constant image has no scale
        return
    np.testing.assert_allclose(scaled, (low * factor + offset, high * factor + offset), rtol=1e-6,
                               atol=1e-6 * factor * 6000)  # fmt: skip
    assert low < high


def test_percentiles_are_those_of_the_sorted_values_without_the_background():
    values = np.concatenate([np.zeros(500), np.arange(1, 1002)])  # a third is background
    ranked = sorted(v for v in values if v > 0)
    assert own_window(values, "percentile") == (ranked[5], ranked[995])
    spread = sum((v - 501) ** 2 for v in ranked) / len(ranked)
    np.testing.assert_allclose(
        own_window(values, "z-score"), [501 - 3 * spread**0.5, 501 + 3 * spread**0.5]
    )
    few = np.arange(1001.0)  # the lowest value once: no background
    assert own_window(few, "percentile") == (5, 995)


def test_an_object_smaller_than_the_tails_is_not_lost():
    values = np.zeros(10_000)
    values[17:20] = 7
    assert own_window(values, "percentile") == (0, 7)
    assert own_window(np.full(100, 3.0), "percentile") == (3, 4)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(1, 60))
def test_a_sampler_takes_every_kth_value_however_the_parts_are_cut(sizes, most):
    values = np.arange(sum(sizes))
    sampler = Sampler(len(values), most)
    for part in np.split(values, np.cumsum(sizes)[:-1]):
        sampler.add(part)
    step = -(-len(values) // most)
    np.testing.assert_array_equal(sampler.values(), values[::step])
    assert len(sampler.values()) <= most


# Hounsfield units


def uniform(low: int, high: int) -> np.ndarray:
    return np.random.default_rng(0).integers(low, high, 20_000)


OTHERS = {
    "8 bit": uniform(0, 256),
    "MRI": (body(0) * 4000).astype(np.int16),
    "phase": uniform(-4096, 4096),
    "noise": uniform(-3900, 3900),
    "from 0 to 1": (ct(0) + 1000) / 2000,
    "fractions": ct(0) + 0.25,
    "air alone": np.full(100, -1000),
    "no air": uniform(-100, 300),
}
SCANS = {
    "CT": ct(0),
    "float": ct(0).astype(np.float32),
    "clipped": np.clip(ct(0), -1000, 400),
    "padded": np.concatenate([np.full(900, -3024), ct(0).ravel()]),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_values_are_no_hounsfield_units(name):
    assert not is_hounsfield(OTHERS[name].ravel())


@pytest.mark.parametrize("name", SCANS)
def test_hounsfield_units_are_recognised(name):
    assert is_hounsfield(SCANS[name].ravel())


def test_computed_chest_scans_are_hounsfield_units_and_a_real_mr_image_is_none(tmp_path):
    manifest = tmp_path / "raw/manifest.json"
    entry = {"name": "ct-phantom", "count": 20, "shape": [32, 32, 16]}
    download(entry, manifest)
    for archive in (tmp_path / "raw").glob("*.zip"):
        shutil.unpack_archive(archive, tmp_path / archive.stem)
    paths = sorted(tmp_path.rglob("*.nii.gz"))
    assert all(is_hounsfield(volumes.sample(path, ReadOptions())) for path in paths)
    assert len(paths) == 20
    real = Path(nib.__file__).parent / "tests/data/anatomical.nii"
    assert not real.exists() or not is_hounsfield(volumes.sample(real, ReadOptions()))


def test_the_window_of_ct_is_the_percentiles_of_the_training_split_without_padding():
    scans = [np.where(ct(seed) > 800, -3024, ct(seed)).ravel() for seed in range(4)]
    low, high = intensity.training_window(scans)
    reference = np.concatenate(scans)
    expected = np.percentile(reference[reference > -2000], [0.5, 99.5])
    np.testing.assert_allclose((low, high), expected, atol=1)


# Whole sets of scans, through the preparation


@pytest.mark.parametrize("rule", [None, "percentile", "z-score"])
def test_scans_of_three_scanners_are_alike_after_the_preparation(tmp_path, rule):
    """The reference reads with nibabel and computes each volume's own window with NumPy."""
    scales, types = (1, 255, 4000), (np.float32, np.int16, np.float64)
    made = lambda i: (body(i) * scales[i % 3]).astype(types[i % 3])  # noqa: E731
    path = set_of(tmp_path / "scans", made, 24)
    card, folder = prepared(tmp_path / "out", path, **({"intensity": rule} if rule else {}))
    assert card["intensity"]["rule"] == (rule or "percentile")
    assert card["intensity"]["window"] is None
    assert card["warnings"] == []
    assert card["values"]["dtypes"] == ["float32", "float64", "int16"]
    x = np.load(folder / "x_test.npy")[..., 0]
    for found, number in zip(x, [i for i in range(24) if splits(24)[i] == "test"], strict=True):
        values = nib.load(tmp_path / f"scans/{number}.nii.gz").get_fdata()
        low, high = np.percentile(values, [0.5, 99.5])
        if rule == "z-score":
            low, high = values.mean() - 3 * values.std(), values.mean() + 3 * values.std()
        gray = np.clip((values - low) / (high - low) * 255, 0, 255)
        expected = gray[::-1, ::-1].swapaxes(0, 1)
        np.testing.assert_allclose(found, expected, atol=0.51)
    # What a scanner's scale is cannot be seen any more.
    means = x.reshape(len(x), -1).mean(axis=1)
    assert np.ptp(means) < 12


def test_ct_gets_the_window_of_its_training_split_alone(tmp_path):
    """Validation and test scans with metal in every voxel would move a window of all."""
    parts = splits(8)
    made = lambda i: ct(i) if parts[i] == "train" else np.where(ct(i) > 0, 3000, ct(i))  # noqa: E731
    card, _ = prepared(tmp_path / "out", set_of(tmp_path / "scans", made))
    train = np.concatenate([
        nib.load(tmp_path / f"scans/{i}.nii.gz").get_fdata().ravel()
        for i in range(8) if parts[i] == "train"
    ])  # fmt: skip
    assert card["intensity"]["rule"] == "window"
    np.testing.assert_allclose(
        card["intensity"]["window"], np.percentile(train, [0.5, 99.5]), atol=1
    )
    assert "Hounsfield" in card["intensity"]["why"]
    assert card["values"]["hounsfield"] is True


def test_a_window_of_the_user_stays(tmp_path):
    path = set_of(tmp_path / "scans", ct)
    card, folder = prepared(tmp_path / "out", path, window=[-1000, 400])
    assert card["intensity"]["window"] == [-1000, 400]
    values = nib.load(tmp_path / "scans/6.nii.gz").get_fdata()[::-1, ::-1].swapaxes(0, 1)
    found = np.load(folder / "x_test.npy")[0, ..., 0]
    np.testing.assert_allclose(found, np.clip((values + 1000) * 255 / 1400, 0, 255), atol=0.51)


def test_8_bit_scans_stay_as_they_are(tmp_path):
    made = lambda i: np.clip(body(i) * 255, 0, 255).astype(np.uint8)  # noqa: E731
    card, folder = prepared(tmp_path / "out", set_of(tmp_path / "scans", made))
    assert card["intensity"]["rule"] is None
    found = np.load(folder / "x_test.npy")[0, ..., 0]
    np.testing.assert_array_equal(found, made(6)[::-1, ::-1].swapaxes(0, 1))


def test_a_window_beside_another_rule_is_refused(tmp_path):
    entry = {"name": "own", "path": str(set_of(tmp_path, ct)), "window": [0, 1]}
    with pytest.raises(InputError, match=r"dataset.intensity: 'z-score', but window: \[0, 1\]"):
        dataset_of(entry | {"intensity": "z-score"})


# Images above 8 bit


def deep_set(folder: Path, white: int, dtype: type = np.uint16) -> Path:
    for i in range(20):
        image = body(i, 9, 8) / 0.9 * white
        save(folder / "ab"[i % 2] / f"{i}.tif", np.clip(image, 0, white).astype(dtype))
    return folder


@pytest.mark.parametrize(("white", "rule"), [(65535, None), (20000, None), (4095, "percentile")])
def test_16_bit_images_that_use_few_of_their_bits_are_not_black(tmp_path, white, rule):
    card, folder = prepared(tmp_path / "out", deep_set(tmp_path / "in", white))
    assert card["intensity"]["rule"] == rule
    brightest = np.load(folder / "x_train.npy").reshape(14, -1).max(axis=1)
    assert brightest.min() > (60 if white == 20000 else 200)
    notes = " ".join(card["notes"])
    assert ("65535 scaled to 255" in notes) == (rule is None)


def test_floats_get_their_own_black_and_white(tmp_path):
    card, folder = prepared(tmp_path / "out", deep_set(tmp_path / "in", 1, np.float32))
    assert card["intensity"]["rule"] == "percentile"
    found = np.load(folder / "x_test.npy")
    originals = [np.asarray(Image.open(p)) for p in sorted((tmp_path / "in").rglob("*.tif"))]
    grays = []
    for values in originals:
        low, high = np.percentile(values.astype(float), [0.5, 99.5])
        grays.append(np.clip((values - low) / (high - low) * 255, 0, 255))
    for image in found[..., 0]:
        assert min(np.abs(image - gray).max() for gray in grays) < 0.52


def test_8_bit_pictures_take_no_rule(tmp_path):
    for i in range(10):
        save(tmp_path / "in" / "ab"[i % 2] / f"{i}.png", (body(i, 9, 8) * 255).astype(np.uint8))
    card, _ = prepared(tmp_path / "out", tmp_path / "in")
    assert card["intensity"]["rule"] is None
    assert "values" not in card
    with pytest.raises(InputError, match="8 bit and stay as they are"):
        prepared(tmp_path / "two", tmp_path / "in", intensity="percentile")


# Arrays


def test_arrays_take_a_rule_for_each_image(tmp_path):
    x = np.stack([body(i, 9, 8) * 10.0 ** (i % 4) for i in range(40)])
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(40) % 2)
    with pytest.raises(InputError, match="intensity: percentile"):
        prepared(tmp_path / "none", tmp_path / "a.npz")
    card, folder = prepared(tmp_path / "out", tmp_path / "a.npz", intensity="percentile")
    assert card["intensity"]["rule"] == "percentile"
    low, high = np.percentile(x, [0.5, 99.5], axis=(1, 2), keepdims=True)
    grays = np.rint(np.clip((x - low) / (high - low) * 255, 0, 255))
    for image in np.load(folder / "x_train.npy")[..., 0]:
        assert np.abs(grays - image).max(axis=(1, 2)).min() <= 1


@pytest.mark.parametrize("key", [{"frame": 0}, {"spacing": [1, 1, 1]}])
def test_keys_of_scans_are_refused_for_others(tmp_path, key):
    np.savez(tmp_path / "a.npz", x=np.zeros((20, 9, 8), np.uint8), y=np.arange(20) % 2)
    with pytest.raises(InputError, match=f"dataset.{next(iter(key))}: .* is no NIfTI volume"):
        prepared(tmp_path / "out", tmp_path / "a.npz", **key)
    for i in range(8):
        save(tmp_path / "in" / "ab"[i % 2] / f"{i}.png", np.full((9, 8), i, np.uint8))
    with pytest.raises(InputError, match="is no NIfTI volume"):
        prepared(tmp_path / "out", tmp_path / "in", **key)


# What a person is told


def warned(caplog, card: dict) -> str:
    """The warnings of the card, all of which reached the terminal."""
    said = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert all(f"warning: {text}" in said for text in card["warnings"])
    return "\n".join(card["warnings"])


def test_white_images_are_named(tmp_path, caplog):
    """Values up to 255 and a window of [0, 1]."""
    x = np.stack([body(i, 9, 8) * 255 for i in range(40)]).astype(np.float32)
    x[:, :3] = 0  # a quarter of every image is black, as it should be
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(40) % 2)
    card, _ = prepared(tmp_path / "out", tmp_path / "a.npz", window=[0, 1])
    text = warned(caplog, card)
    assert text.startswith("40 of 40 images are white for more than 10%")
    assert "a.npz: x[0], " in text


def test_black_and_constant_volumes_are_named(tmp_path, caplog):
    made = lambda i: {3: np.full(SHAPE, 2.0), 5: body(i) / 100}.get(i, body(i) * 100)  # noqa: E731
    path = set_of(tmp_path / "scans", lambda i: made(i).astype(np.float32))
    card, folder = prepared(tmp_path / "out", path, window=[20, 100])
    constant, dark = warned(caplog, card).splitlines()[:2]
    assert constant.startswith("1 of 8 volumes is of one value only")
    assert "(3.nii.gz)" in constant
    assert dark.startswith("1 of 8 volumes is black for more than 10%")
    assert "(5.nii.gz)" in dark
    caplog.clear()
    card, folder = prepared(tmp_path / "own", path)
    assert "1 of 8 volumes is of one value only" in warned(caplog, card)
    assert not np.load(folder / "x_train.npy")[3].any()  # black


def test_darkness_that_the_window_made_is_no_background(tmp_path, caplog):
    path = set_of(tmp_path / "scans", lambda i: (body(i) * 100).astype(np.float32))
    card, _ = prepared(tmp_path / "out", path, window=[50, 200])
    assert "8 of 8 volumes are black for more than 10%" in warned(caplog, card)


def test_air_and_padding_of_ct_are_background(tmp_path):
    def padded(i: int) -> np.ndarray:
        values = ct(i)
        values[:2] = -2048
        return values

    card, _ = prepared(tmp_path / "out", set_of(tmp_path / "scans", padded), window=[-990, 1000])
    assert card["warnings"] == []


def test_8_bit_beside_hounsfield_units_is_named(tmp_path, caplog):
    made = lambda i: (body(i) * 255).astype(np.uint8) if i == 2 else ct(i)  # noqa: E731
    card, _ = prepared(tmp_path / "out", set_of(tmp_path / "scans", made))
    assert (
        "1 of 8 volumes holds other values, all others Hounsfield units (CT) (2.nii.gz)"
        in warned(caplog, card)
    )
    assert card["intensity"]["rule"] == "percentile"
    assert "only 3 of 4 measured images look like Hounsfield" in card["intensity"]["why"]
