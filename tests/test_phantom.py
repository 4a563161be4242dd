"""Synthetic chest CT: files of the right kind, the same for the same seed, and no easy answer."""

import gzip
import time
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pytest

from ddcnn.base.errors import InputError
from ddcnn.base.files import read_json
from ddcnn.data.phantom import Phantoms
from ddcnn.data.preparation import download, prepare

SMALL = Phantoms(count=12, shape=(16, 16, 8), seed=3)


def prepared(folder: Path, **entry) -> tuple[dict, dict[str, np.ndarray]]:
    """Card and arrays of ct-phantom."""
    entry = {"name": "ct-phantom"} | entry
    download(entry, folder / "raw/manifest.json")
    prepare(entry, folder / "raw/manifest.json", folder / "card.json")
    arrays = {path.stem: np.load(path) for path in folder.glob("*.npy")}
    return read_json(folder / "card.json"), arrays


def best_threshold(values: np.ndarray, labels: np.ndarray) -> float:
    """Accuracy of the best single threshold on the data that it is chosen on."""
    shares = [((values > threshold) == labels).mean() for threshold in values]
    return max(max(shares), 1 - min(shares))


# Files


def test_archives_have_the_layout_of_the_real_ones(tmp_path):
    paths = SMALL.write(tmp_path)
    assert [path.name for path in paths] == ["CT-0.zip", "CT-23.zip"]
    for path in paths:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        assert len(names) == 6
        assert all(name.startswith(f"{path.stem}/study_") for name in names)
        assert all(name.endswith(".nii.gz") for name in names)
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


def test_scans_are_int16_in_hounsfield_units_with_a_real_affine(tmp_path):
    path = SMALL.write(tmp_path)[1]
    with zipfile.ZipFile(path) as archive:
        content = gzip.decompress(archive.read(archive.namelist()[0]))
    image = nibabel.Nifti1Image.from_bytes(content)
    values = np.asarray(image.dataobj)
    assert values.dtype == np.int16
    assert values.min() >= -1024
    assert 100 < values.max() < 1500
    assert values[0, 0, 0] < -850, "a corner is air"
    assert -1000 < np.median(values[4:12, 4:12]) < 100, "the middle is lung and tissue"
    assert image.header.get_xyzt_units()[0] == "mm"
    # 390 mm across and 290 mm along the body, both changed by up to a tenth.
    size = np.array(image.header.get_zooms()) * values.shape
    assert (np.abs(size / [390, 390, 290] - 1) <= 0.101).all()
    # The middle of the volume is the origin.
    middle = image.affine @ [*(np.array(values.shape) - 1) / 2, 1]
    np.testing.assert_allclose(middle, [0, 0, 0, 1], atol=1e-4)


def test_size_spacing_and_direction_differ_from_scan_to_scan():
    scans = [SMALL.scan(index) for index in range(40)]
    assert {values.shape[:2] for values, _ in scans} == {(16, 16)}
    assert len({values.shape[2] for values, _ in scans}) > 1
    assert len({round(abs(affine[0, 0]), 3) for _, affine in scans}) == 40
    directions = {"".join(nibabel.aff2axcodes(affine)) for _, affine in scans}
    assert directions == {"LPS", "RAS", "LAS"}


def test_rows_columns_and_slices_have_their_own_number_and_spacing():
    phantoms = Phantoms(shape=(12, 20, 16), spacing=(8.0, 6.0, 10.0))
    for index in range(8):
        values, affine = phantoms.scan(index)
        assert values.shape[:2] == (20, 12), "NIfTI has columns first"
        columns, rows, slices = np.abs(np.diag(affine))[:3]
        assert np.abs(rows / 8 - 1) <= 0.1
        assert columns / rows == pytest.approx(6 / 8)
        assert np.abs(slices * values.shape[2] / 160 - 1) <= 0.101


def test_the_same_seed_gives_the_same_bytes_and_a_scan_keeps_its_content(tmp_path):
    for name, phantoms in {
        "one": SMALL,
        "two": SMALL,
        "other": Phantoms(count=12, shape=(16, 16, 8), seed=4),
    }.items():
        (tmp_path / name).mkdir()
        phantoms.write(tmp_path / name)
    content = {p.parent.name: p.read_bytes() for p in tmp_path.glob("*/CT-0.zip")}
    assert content["one"] == content["two"] != content["other"]
    more = Phantoms(count=400, shape=(16, 16, 8), seed=3)
    np.testing.assert_array_equal(SMALL.scan(7)[0], more.scan(7)[0])


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"count": 7}, "count: 7; at least 8"),
        ({"shape": (64, 64)}, r"shape: \[64, 64\]; phantoms need three axes"),
        ({"shape": (64, 64, 4)}, "at least 8 voxels"),
        ({"spacing": (1.0, 1.0)}, "spacing.*three lengths"),
        ({"spacing": (1.0, 1.0, 0.0)}, "above 0"),
    ],
)
def test_impossible_phantoms_are_refused(keys, words):
    with pytest.raises(InputError, match=words) as error:
        Phantoms(**keys)
    print(error.value)


def test_a_second_takes_many_small_phantoms():
    phantoms = Phantoms()
    phantoms._nifti(0)
    start = time.process_time()
    for index in range(20):
        phantoms._nifti(index)
    speed = 20 / (time.process_time() - start)
    print(f"{speed:.0f} phantoms of 64 x 64 x 32 per second of one core")
    assert speed > 8, "20 and more on an idle core; processor time varies on a busy one"


# Read back


def test_they_are_read_back_by_the_reader_of_real_scans(tmp_path):
    card, arrays = prepared(tmp_path, count=21, shape=[16, 12, 8], seed=1)
    assert (card["shape"], card["channels"], card["synthetic"]) == ([16, 12, 8], 1, True)
    assert card["classes"] == ["normal", "opacities"]
    assert card["counts"] == {
        "train": {"normal": 8, "opacities": 7},
        "val": {"normal": 2, "opacities": 2},
        "test": {"normal": 1, "opacities": 1},
    }
    assert card["duplicates_across_splits"]["count"] == 0
    rows, columns, slices = card["spacing_mm"]["median"]
    assert rows == columns == pytest.approx(390 / 12, rel=0.1)
    assert slices == pytest.approx(290 / 8, rel=0.3)
    assert arrays["x_train"].dtype == np.uint8
    assert arrays["x_train"].min() == 0, "air"
    assert arrays["x_train"].max() > 190, "tissue and bone"


def test_all_lie_in_the_same_direction_when_they_are_read(tmp_path):
    _, arrays = prepared(tmp_path, count=40, shape=[24, 24, 12])
    x = arrays["x_train"][..., 0].astype(float)
    upper, lower = x[..., 8:].mean(axis=(1, 2, 3)), x[..., :4].mean(axis=(1, 2, 3))
    assert (lower > upper).mean() > 0.9, "the belly is denser than the lungs, slices go upwards"
    front = x[:, 6:12, :, 3:7].mean(axis=(1, 3))  # where the heart is, from right to left
    left, right = front[:, 12:18].mean(axis=1), front[:, 6:12].mean(axis=1)
    assert (left > right).mean() > 0.8, "the heart is on the patient's left"


def test_opacities_are_in_the_lungs_and_faint():
    dense, far = [], []
    for seed in range(10):
        scans = [Phantoms(seed=seed, shape=(32, 32, 16)).scan(i)[0].astype(float) for i in (0, 1)]
        share = [((s > -750) & (s < -250)).sum() / ((s > -950) & (s < -250)).sum() for s in scans]
        dense.append(share)
        far += [scan.max() for scan in scans]
    dense = np.array(dense)
    assert dense[:, 1].mean() > dense[:, 0].mean()
    assert max(far) < 1000


def test_no_mean_and_no_share_of_dark_voxels_tells_the_class(tmp_path):
    _, arrays = prepared(tmp_path, count=300, shape=[32, 32, 16])
    x, y = arrays["x_train"][..., 0], arrays["y_train"]
    numbers = {
        "mean": x.mean(axis=(1, 2, 3)),
        "standard deviation": x.std(axis=(1, 2, 3)),
        "brightest": x.max(axis=(1, 2, 3)),
        "share between lung and tissue": ((x > 60) & (x < 130)).mean(axis=(1, 2, 3)),
    }
    accuracies = {name: best_threshold(values, y) for name, values in numbers.items()}
    print(", ".join(f"{name} {accuracy:.3f}" for name, accuracy in accuracies.items()))
    assert accuracies["mean"] < 0.65
    assert max(accuracies.values()) < 0.9
