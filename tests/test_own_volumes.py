"""NIfTI volumes of one's own: orientation, window, scaling, resampling, spacing, memory."""

import gzip
import tracemalloc
from dataclasses import replace
from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from ddcnn.base.errors import InputError
from ddcnn.base.files import read_json, write_json
from ddcnn.data import own, scaling, volumes
from ddcnn.data.left_out import left_out_in_words
from ddcnn.data.options import ReadOptions
from ddcnn.data.preparation import prepare
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


# Series of volumes


def series(path: Path, dtype: str = "<i2", slope: float = 1, frames: int = 5) -> Path:
    values = np.random.default_rng(0).integers(0, 100, (*SHAPE, frames)).astype(dtype)
    image = nib.Nifti1Image(values, np.diag([-1, -1, 1, 1]))
    if slope != 1:
        image.header.set_slope_inter(slope, -10)
    image.to_filename(path)
    return path


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize(("dtype", "slope"), [("<i2", 1), (">f4", 1), ("u1", 1), ("<i2", 0.5)])
@pytest.mark.parametrize("frame", [0, 3, "mean"])
def test_one_volume_of_a_series_or_their_mean(tmp_path, suffix, dtype, slope, frame):
    """The reference reads the whole series with nibabel."""
    path = series(tmp_path / f"a{suffix}", dtype, slope)
    values = nib.load(path).get_fdata()
    values = values.mean(axis=3) if frame == "mean" else values[..., frame]
    expected = np.clip((values + 10) * 255 / 110, 0, 255).swapaxes(0, 1)
    window = {"window": (-10.0, 100.0)}
    found = decode(path, frame=frame, **window)[..., 0]
    np.testing.assert_allclose(found, expected, atol=0.51)
    if suffix == ".nii":
        box = (slice(1, 5, 2), slice(0, 6), slice(2, 4))
        part = volumes.decode_box(path, ReadOptions(frame=frame, **window), box)[..., 0]
        np.testing.assert_array_equal(part, found[box])


def test_a_series_without_a_choice_names_the_key(tmp_path):
    path = series(tmp_path / "a.nii.gz")
    with pytest.raises(InputError, match=r"series of 5 volumes \(6 x 5 x 4 x 5\); add frame: 0"):
        decode(path, **CT)
    with pytest.raises(
        InputError, match=r"has 5 volumes, but frame: 5 .* accepted: 0 to 4, or mean"
    ):
        decode(path, **CT, frame=5)
    single = save_volume(tmp_path / "b.nii", hounsfield(*SHAPE))
    for frame in (0, "mean"):  # a set may hold both
        np.testing.assert_array_equal(decode(single, **CT, frame=frame), decode(single, **CT))
    with pytest.raises(InputError, match="has 1 volume, but frame: 1"):
        decode(single, **CT, frame=1)


def test_a_truncated_series_is_refused_even_if_its_first_volume_is_whole(tmp_path):
    path = series(tmp_path / "a.nii")
    path.write_bytes(path.read_bytes()[: 352 + 3 * 2 * 120])
    with pytest.raises(InputError, match="truncated"):
        decode(path, **CT, frame=0)


def test_a_chosen_volume_is_noted(tmp_path):
    for i in range(8):
        (tmp_path / "ab"[i % 2]).mkdir(exist_ok=True)
        series(tmp_path / "ab"[i % 2] / f"{i}.nii")
    assert "8 of 8 volumes: mean of a series" in read(tmp_path, frame="mean").notes[0]


# Target spacing


def interpolated(values: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """Linear interpolation axis by axis at the centres of the new voxels."""
    for axis, size in enumerate(sizes):
        old = np.arange(values.shape[axis])
        places = (np.arange(size) + 0.5) * values.shape[axis] / size - 0.5
        values = np.apply_along_axis(lambda row: np.interp(places, old, row), axis, values)  # noqa: B023
    return values


def test_a_target_spacing_makes_lengths_alike_and_the_middle_is_kept(tmp_path):
    values = np.random.default_rng(0).integers(0, 255, (10, 12, 8), dtype=np.uint8)
    path = save_volume(tmp_path / "a.nii.gz", values, np.diag([-2.0, -1, 3, 1]))
    body = values.swapaxes(0, 1)  # rows of 1 mm, columns of 2 mm, slices of 3 mm
    full = interpolated(body.astype(float), (12, 20, 24))
    found = decode(path, spacing=(1.0, 1.0, 1.0), shape=(12, 20, 24))[..., 0]
    np.testing.assert_allclose(found, full, atol=0.51)
    found = decode(path, spacing=(1.0, 1.0, 1.0), shape=(14, 15, 24))[..., 0]
    np.testing.assert_allclose(found[1:13], full[:, 2:17], atol=0.51)
    assert not found[0].any()
    assert not found[13].any()
    # A ball stays a ball: 10 voxels of 0.75 mm are 8 of 1 mm.
    fine = save_volume(tmp_path / "b.nii", np.ones((10, 10, 10), np.uint8), np.eye(4) * 0.75)
    assert volumes.read_header(fine, ReadOptions(spacing=(1.0, 1.0, 1.0))).shape == (8, 8, 8)


def test_different_spacings_are_reported_and_a_target_makes_one_shape(tmp_path):
    for i in range(8):
        step = 1 + i % 2
        volume = np.full((12 // step, 10, 8), i, np.uint8)
        save_volume(tmp_path / "ab"[i // 4] / f"{i}.nii", volume, np.diag([step, 1, 1, 1]))
    notes = " ".join(read(tmp_path, shape=(8, 8, 8)).notes)
    assert "spacings in the files: 1 x 1 x 1 to 1 x 2 x 1 mm" in notes
    assert "spacing: [rows, columns, slices]" in notes
    collection = read(tmp_path, spacing=(1.0, 1.0, 1.0))
    assert decoded(collection.splits["all"]).shape == (8, 10, 12, 8, 1)
    (sizes, spacings) = collection.notes
    assert sizes == (
        "sizes in the files: 10 x 6 x 8 to 10 x 12 x 8 (rows, columns, slices); "
        "resampled by spacing: 10 x 12 x 8"
    )
    assert "resampled to 1 x 1 x 1 mm" in spacings
    (sizes, _) = read(tmp_path, spacing=(1.0, 1.0, 2.0), shape=(8, 8, 8)).notes
    assert sizes.endswith(
        "resampled by spacing: 10 x 12 x 4; middle cut, or padded with black, to 8 x 8 x 8"
    )
    shape = own.image_shape(tmp_path, ReadOptions(spacing=(1.0, 1.0, 1.0)))
    assert shape == (10, 12, 8, 1)
    same = scans(tmp_path / "same", shapes=((12, 10, 8),))
    assert "resampled to" not in " ".join(read(same, **CT).notes)


def test_spacing_that_makes_different_sizes_asks_for_a_shape_before_any_job(tmp_path):
    for i in range(8):
        affine = np.diag([1 + i % 2, 1, 1, 1])
        save_volume(tmp_path / "ab"[i // 4] / f"{i}.nii", np.full((12, 10, 8), i, np.uint8), affine)
    options = ReadOptions(spacing=(1.0, 1.0, 2.0))
    for read_some in (own.image_shape, lambda path, _: read(path, spacing=options.spacing)):
        with pytest.raises(InputError) as caught:
            read_some(tmp_path, options)
        said = str(caught.value)
        assert "different sizes, once spacing: [1, 1, 2] has resampled them: " in said
        assert "a/0.nii is 10 x 12 x 4, " in said
        assert "a/1.nii is 10 x 24 x 4 (rows, columns, slices); give shape: [rows" in said
    shape = own.image_shape(tmp_path, replace(options, shape=(8, 8, 4)))
    assert shape == (8, 8, 4, 1)


@pytest.mark.parametrize(("size_in", "size_out"), [(9, 4), (8, 5), (4, 9), (5, 8), (6, 6)])
def test_cut_or_padded_keeps_the_middle(size_in, size_out):
    image = np.arange(1, size_in + 1, dtype=np.uint8)[:, None]
    found = scaling.cut_or_padded(image, (size_out,))[:, 0].tolist()
    first = abs(size_in - size_out) // 2
    if size_out <= size_in:
        assert found == list(range(first + 1, first + 1 + size_out))
    else:
        after = size_out - size_in - first
        assert found == [0] * first + list(range(1, size_in + 1)) + [0] * after


# Where the standard leaves room, see docs/reference/scans.md


def patched(path: Path, **fields) -> Path:
    """A volume of 0 to 119 with other fields in its header."""
    values = np.arange(120, dtype=np.int16).reshape(SHAPE)
    nib.Nifti1Image(values, np.diag([-1, -1, 1, 1])).to_filename(path)
    content = bytearray(path.read_bytes())
    header = np.frombuffer(content, nib.Nifti1Header.template_dtype, 1)
    header.flags.writeable = True
    for name, value in fields.items():
        header[name] = value
    path.write_bytes(content)
    return path


def test_a_quaternion_a_rounding_above_1_is_read(tmp_path):
    """The reference is the same rotation, its quaternion made as long as 1."""
    rounded = (0.70711, 0.70711, 0.0)  # the squares add up to 1.000009
    fields = dict(zip(("quatern_b", "quatern_c", "quatern_d"), rounded, strict=True))
    path = patched(tmp_path / "a.nii", sform_code=0, qform_code=1, **fields)
    with pytest.raises(ValueError, match="w2 should be positive"):
        nib.load(path)
    exact = nib.Nifti1Header()
    exact.set_data_shape(SHAPE)
    exact.set_qform(np.array([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, -1, 0], [0, 0, 0, 1.0]]), 1)
    values = np.arange(120, dtype=np.int16).reshape(SHAPE)
    image = nib.Nifti1Image(values, exact.get_qform())
    canonical = np.asarray(nib.as_closest_canonical(image).dataobj)
    found = decode(path, window=(0.0, 255.0))[..., 0]
    np.testing.assert_array_equal(found, canonical[::-1, ::-1].swapaxes(0, 1))
    broken = patched(
        tmp_path / "b.nii", sform_code=0, qform_code=1, quatern_b=1, quatern_c=0.5, quatern_d=0
    )
    with pytest.raises(InputError, match=r"quatern_b, quatern_c, quatern_d add up to 1\.25"):
        decode(broken, **CT)


@pytest.mark.parametrize("slope", [0.0, np.nan])
def test_an_intercept_without_a_slope_is_ignored_and_noted(tmp_path, slope):
    path = patched(tmp_path / "a.nii", scl_slope=slope, scl_inter=5)
    found = decode(path, window=(0.0, 255.0))[..., 0]
    np.testing.assert_array_equal(found, np.arange(120).reshape(SHAPE).swapaxes(0, 1))
    assert "intercept 5 without a slope" in str(
        volumes.read_header(path, ReadOptions(**CT)).changes
    )
    plain = patched(tmp_path / "b.nii", scl_slope=slope, scl_inter=0)
    assert not volumes.read_header(plain, ReadOptions(**CT)).changes


def test_a_slope_with_an_intercept_that_is_no_number_is_refused(tmp_path):
    path = patched(tmp_path / "a.nii", scl_slope=2, scl_inter=np.nan)
    with pytest.raises(InputError, match="slope 2, but the intercept nan; set scl_inter"):
        decode(path, **CT)


def test_the_spacing_of_the_sform_counts(tmp_path):
    image = nib.Nifti1Image(np.zeros(SHAPE, np.uint8), None)
    image.header.set_sform(np.diag([-2.0, -3, 4, 1]), 1)
    nib.save(image, tmp_path / "a.nii")
    assert nib.load(tmp_path / "a.nii").header.get_zooms() == (1, 1, 1)
    header = volumes.read_header(tmp_path / "a.nii", ReadOptions())
    assert "pixdim has another spacing than the sform" in str(header.changes)
    assert header.spacing == (3, 2, 4)


@pytest.mark.parametrize(
    ("values", "intent", "words"),
    [
        (np.zeros((*SHAPE, 1, 3), np.float32), 1007, "vectors or matrices (6 x 5 x 4 x 1 x 3"),
        (np.zeros((*SHAPE, 1, 3), np.float32), 0, "accepted: one number a voxel"),
        (np.zeros((*SHAPE, 3), np.float32), 1007, "intent 1007"),
        (np.zeros(SHAPE, np.complex64), 0, "complex64 voxels; accepted: integers and real"),
        (np.zeros(SHAPE, [(c, "u1") for c in "RGB"]), 0, "accepted: integers and real numbers"),
        (np.zeros(SHAPE[:2], np.uint8), 0, "has 2 axes"),
    ],
)
def test_what_holds_no_single_number_a_voxel_is_refused(tmp_path, values, intent, words):
    image = nib.Nifti1Image(values, np.eye(4))
    image.header["intent_code"] = intent
    image.to_filename(tmp_path / "a.nii")
    with pytest.raises(InputError) as caught:
        decode(tmp_path / "a.nii", **CT, frame=0)
    assert words in str(caught.value)


def test_what_is_left_out_is_named_kind_by_kind(tmp_path, caplog):
    """12 series, which only ``frame`` reads, and one truncated file among 140."""
    data, out = tmp_path / "scans", tmp_path / "out"
    for label, i in product("ab", range(70)):
        shape = (*SHAPE, 3) if i >= 64 else SHAPE
        save_volume(data / label / f"{i:02}.nii", np.full(shape, i, np.uint8))
    whole = (data / "a/00.nii").read_bytes()
    (data / "a/00.nii").write_bytes(whole[:-60])
    (out / "raw").mkdir(parents=True)
    write_json(out / "raw/manifest.json", {"files": [{"path": str(data)}]})
    entry = {"name": "scans", "path": str(data)}
    with caplog.at_level("INFO", "ddcnn"):
        prepare(entry, out / "raw/manifest.json", out / "card.json")
    left_out = read_json(out / "card.json")["left_out"]
    assert left_out["count"] == 13
    assert left_out_in_words(left_out) == [
        "1 truncated or broken: a/00.nii",
        "12 series (4D) without dataset.frame, which frame: 0 or frame: mean would read: a/64.nii, "
        "a/65.nii, a/66.nii, a/67.nii, a/68.nii, a/69.nii, b/64.nii, b/65.nii, b/66.nii, b/67.nii "
        "and 2 more",
    ]
    assert "13 of 140 volumes are left out: 1 truncated or broken: a/00.nii; 12 s" in caplog.text
