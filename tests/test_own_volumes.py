"""NIfTI volumes of one's own: orientation, window, scaling, resampling, spacing, memory."""

import gzip
import tracemalloc
from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from ddcnn.data import own, scaling, volumes
from ddcnn.data.options import ReadOptions
from own_data import CT, decoded, read, save_volume, snapshot

SHAPE = (6, 5, 4)


def hounsfield(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1100, 600, shape).astype(np.int16)


def decode(path: Path, **options) -> np.ndarray:
    return volumes.decode_volume(path, ReadOptions(**options))


def windowed(values: np.ndarray, low=-1000.0, high=400.0) -> np.ndarray:
    return np.clip((values - low) * 255 / (high - low), 0, 255)


# Orientation


@pytest.mark.parametrize("axes", [
    "".join(pair[sign] for pair, sign in zip(order, signs, strict=True))
    for order in permutations(["RL", "AP", "SI"]) for signs in product([0, 1], repeat=3)
])  # fmt: skip
def test_every_orientation_shows_the_same_patient(tmp_path, axes):
    """The same body in all 48 ways to store it; the reference is nibabel's canonical image."""
    codes = nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(tuple(axes))
    body = np.zeros(SHAPE, np.uint8)
    body[-1], body[:, -1], body[:, :, -1] = 10, 50, 90  # right, anterior, superior faces
    turn = nib.orientations.ornt_transform(*codes)
    stored = nib.orientations.apply_orientation(body, turn)
    affine = nib.orientations.inv_ornt_aff(turn, body.shape)
    path = save_volume(tmp_path / "a.nii", stored, affine)
    assert "".join(nib.aff2axcodes(nib.load(path).affine)) == axes
    canonical = np.asarray(nib.as_closest_canonical(nib.load(path)).dataobj)
    found = decode(path)[..., 0]
    np.testing.assert_array_equal(found, canonical[::-1, ::-1].swapaxes(0, 1))
    assert (found[0, 1:, :-1] == 50).all()  # first row: anterior
    assert (found[1:, 0, :-1] == 10).all()  # first column: the patient's right
    assert (found[..., -1] == 90).all()  # last slice: superior


def test_oblique_scan_takes_the_closest_axes(tmp_path):
    angle = np.deg2rad(20)
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    volume = np.random.default_rng(0).integers(0, 255, SHAPE, dtype=np.uint8)
    found = decode(save_volume(tmp_path / "a.nii", volume, affine))
    np.testing.assert_array_equal(found[..., 0], volume[::-1, ::-1].swapaxes(0, 1))


def test_a_file_without_orientation_is_noted(tmp_path):
    for label, i in product("ab", range(4)):
        image = nib.Nifti1Image(np.full(SHAPE, i, np.uint8), None)
        (tmp_path / label).mkdir(exist_ok=True)
        image.to_filename(tmp_path / label / f"{i}.nii")
    assert read(tmp_path).notes[0].startswith("8 of 8 volumes: no orientation in the file")


# Values


def test_window_and_slope_and_types(tmp_path):
    values = hounsfield(*SHAPE)
    expected = windowed(values)[::-1, ::-1].swapaxes(0, 1)
    for suffix, dtype in product([".nii", ".nii.gz"], ["<i2", ">i2", "<i4", "<f4", ">f8"]):
        path = save_volume(tmp_path / f"a{suffix}", values.astype(dtype))
        np.testing.assert_allclose(decode(path, **CT)[..., 0], expected, atol=0.51)


def test_slope_and_intercept_count(tmp_path):
    stored = np.random.default_rng(0).integers(0, 800, SHAPE).astype(np.int16)
    image = nib.Nifti1Image(stored, np.eye(4))
    image.header.set_slope_inter(2, -1024)
    image.to_filename(tmp_path / "a.nii.gz")
    assert nib.load(tmp_path / "a.nii.gz").dataobj.slope == 2
    reference = np.asarray(nib.as_closest_canonical(nib.load(tmp_path / "a.nii.gz")).dataobj)
    expected = windowed(reference)[::-1, ::-1].swapaxes(0, 1)
    np.testing.assert_allclose(decode(tmp_path / "a.nii.gz", **CT)[..., 0], expected, atol=0.51)


def test_8_bit_volumes_need_no_window(tmp_path):
    volume = np.random.default_rng(0).integers(0, 255, SHAPE, dtype=np.uint8)
    found = decode(save_volume(tmp_path / "a.nii", volume))
    np.testing.assert_array_equal(found[..., 0], volume[::-1, ::-1].swapaxes(0, 1))


def test_nifti_2_and_a_last_axis_of_one(tmp_path):
    volume = np.random.default_rng(0).integers(0, 255, (*SHAPE, 1), dtype=np.uint8)
    nib.Nifti2Image(volume, np.eye(4)).to_filename(tmp_path / "a.nii")
    found = decode(tmp_path / "a.nii")
    np.testing.assert_array_equal(found, volume[::-1, ::-1].swapaxes(0, 1))


def test_gzip_is_recognised_by_content(tmp_path):
    volume = np.ones(SHAPE, np.uint8)
    path = save_volume(tmp_path / "a.nii.gz", volume).rename(tmp_path / "a.nii")
    assert decode(path).all()
    path.write_bytes(gzip.decompress(path.read_bytes()))
    assert decode(path.rename(tmp_path / "b.nii.gz")).all()


def test_real_scan_of_nibabels_own_files(tmp_path):
    """A real MR image; the reference reads it with nibabel alone."""
    path = Path(nib.__file__).parent / "tests" / "data" / "anatomical.nii"
    if not path.exists():
        pytest.skip("this nibabel came without its test files")
    values = np.asarray(nib.as_closest_canonical(nib.load(path)).dataobj)
    window = (float(values.min()), float(values.max()))
    expected = windowed(values, *window)[::-1, ::-1].swapaxes(0, 1)
    np.testing.assert_allclose(decode(path, window=window)[..., 0], expected, atol=0.51)
    assert decode(path, window=window, shape=(16, 20, 12)).shape == (16, 20, 12, 1)


# Resampling


@pytest.mark.parametrize(("size_in", "size_out"), [(50, 7), (7, 50), (64, 32), (9, 9), (5, 1)])
def test_weights_are_pillows_bilinear(size_in, size_out):
    row = np.random.default_rng(0).random(size_in, dtype=np.float32)[None]
    resized = Image.fromarray(row).resize((size_out, 1), Image.Resampling.BILINEAR)
    found = row[0] @ scaling.weights(size_in, size_out).T
    np.testing.assert_allclose(found, np.asarray(resized)[0], atol=1e-5)


@pytest.mark.parametrize("axes", ["RAS", "SPL", "ILA"])
def test_resampling_does_not_depend_on_the_stored_order(tmp_path, axes):
    values = hounsfield(40, 30, 20)
    plain = save_volume(tmp_path / "plain.nii.gz", values)
    turn = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(tuple(axes))
    )
    affine = nib.orientations.inv_ornt_aff(turn, values.shape)
    turned = save_volume(
        tmp_path / "turned.nii", nib.orientations.apply_orientation(values, turn), affine
    )
    first, second = (decode(p, **CT, shape=(16, 12, 8)) for p in (plain, turned))
    assert first.shape == (16, 12, 8, 1)
    assert np.abs(first.astype(int) - second).max() <= 1  # float32 sums in another order


def test_resampling_averages_instead_of_picking(tmp_path):
    checks = np.indices((32, 32, 32)).sum(axis=0) % 2 * 255
    path = save_volume(tmp_path / "a.nii", checks.astype(np.uint8))
    inner = decode(path, shape=(8, 8, 8))[1:-1, 1:-1, 1:-1]
    assert np.abs(inner.astype(int) - 128).max() <= 2


def test_memory_is_the_results_not_the_scans(tmp_path):
    """32 MB of voxels (128 MB as the float64 that plain reading makes) in a few MB."""
    values = np.tile(hounsfield(256, 256, 16), (1, 1, 16))
    path = save_volume(tmp_path / "a.nii.gz", values)
    decode(path, **CT, shape=(32, 32, 16))
    tracemalloc.start()
    decode(path, **CT, shape=(32, 32, 16))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(f"{values.nbytes / 1e6:.0f} MB of voxels, peak {peak / 1e6:.1f} MB")
    assert peak < values.nbytes / 8


# Whole sets


def scans(folder: Path, shapes=((12, 10, 8),)) -> Path:
    for label, i in product(["CT-0", "CT-23"], range(4)):
        affine = np.diag([0.5 + 0.1 * i, 0.6, 2.0 + i, 1.0])
        volume = hounsfield(*shapes[i % len(shapes)], seed=10 * i + len(label))
        save_volume(folder / label / f"study_{i}.nii.gz", volume, affine)
    return folder


def test_folder_of_scans_with_window_shape_and_spacing(tmp_path):
    path = scans(tmp_path, shapes=((12, 10, 8), (14, 10, 9)))
    before = snapshot(path)
    collection = read(path, **CT, shape=(8, 8, 4))
    assert collection.classes == ["CT-0", "CT-23"]
    assert decoded(collection.splits["all"]).shape == (8, 8, 8, 4, 1)
    assert collection.facts["spacing_mm"] == {
        "min": [0.6, 0.5, 2.0], "median": [0.6, 0.65, 3.5], "max": [0.6, 0.8, 5.0],
    }  # fmt: skip
    assert "sizes in the files: 10 x 12 x 8 to 10 x 14 x 9" in " ".join(collection.notes)
    assert own.image_shape(path, ReadOptions(**CT, shape=(8, 8, 4))) == (8, 8, 4, 1)
    assert own.image_shape(path, ReadOptions(**CT)) == (10, 12, 8, 1)
    assert snapshot(path) == before


def test_spacing_in_metres_and_micrometres(tmp_path):
    for label, (i, unit) in product("ab", enumerate(["mm", "meter", "micron", "unknown"])):
        factor = {"meter": 1e-3, "micron": 1e3}.get(unit, 1)
        image = nib.Nifti1Image(np.zeros(SHAPE, np.uint8), np.diag([2, 2, 2, 1 / factor]) * factor)
        image.header.set_xyzt_units(unit)
        (tmp_path / label).mkdir(exist_ok=True)
        image.to_filename(tmp_path / label / f"{i}.nii")
    spacing = read(tmp_path).facts["spacing_mm"]
    np.testing.assert_allclose([spacing["min"], spacing["max"]], 2, rtol=1e-4)


def test_table_of_scans(tmp_path):
    scans(tmp_path)
    rows = [f"{label}/study_{i}.nii.gz,{label}" for label in ("CT-0", "CT-23") for i in range(4)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *rows]))
    collection = read(tmp_path / "labels.csv", **CT)
    assert decoded(collection.splits["all"]).shape == (8, 10, 12, 8, 1)
