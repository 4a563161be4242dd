"""The embedded data set: what it holds, and that its script makes it and nothing else."""

import gzip
import hashlib
import importlib.util
import re
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

EMBEDDED = Path(__file__).parents[1] / "workflow" / "ddcnn" / "data" / "embedded"
ARCHIVE = EMBEDDED / "fashion-mnist-10k.npz"
PUBLISHED = Path("/usr/share/datasets/fashion-mnist")  # Debian package dataset-fashion-mnist
COUNTS = {"train": 7000, "val": 1000, "test": 2000}


@pytest.fixture(scope="module")
def script():
    """The script as a module: it is run by hand and imported by nothing else."""
    path = Path(__file__).with_name("make_fashion_mnist_10k.py")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def arrays():
    with np.load(ARCHIVE, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write_idx(folder: Path, name: str, array: np.ndarray) -> str:
    """Write ``array`` as ``folder/name.gz`` and return the checksum of the unpacked content."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    content = header + array.tobytes()
    (folder / f"{name}.gz").write_bytes(gzip.compress(content, compresslevel=1))
    return sha256(content)


def test_checksum_and_size_are_those_of_the_readme():
    content = ARCHIVE.read_bytes()
    readme = (EMBEDDED / "README.md").read_text(encoding="utf-8")
    size, checksum = re.search(r"([\d,]+) bytes, sha256 `(\w+)`", readme).groups()
    assert (f"{len(content):,}", sha256(content)) == (size, checksum)
    assert len(content) <= 5_000_000


def test_arrays_have_the_documented_types_and_shapes(arrays):
    assert set(arrays) == {f"{axis}_{split}" for axis in "xy" for split in COUNTS}
    assert all(array.dtype == np.uint8 for array in arrays.values())
    for split, n in COUNTS.items():
        assert arrays[f"x_{split}"].shape == (n, 28, 28)
        assert arrays[f"y_{split}"].shape == (n,)


def test_classes_are_balanced_as_the_readme_says(arrays):
    readme = (EMBEDDED / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \d \| [^|]+ \| (\d+) \| (\d+) \| (\d+) \|$", readme, flags=re.MULTILINE)
    documented = np.array(rows, dtype=int)  # classes x splits
    counted = np.stack([np.bincount(arrays[f"y_{split}"], minlength=10) for split in COUNTS], 1)
    np.testing.assert_array_equal(counted, documented)
    share = counted / counted.sum(0)
    assert share.min() > 0.08
    assert share.max() < 0.12


def test_images_are_images_and_no_split_holds_one_of_another(arrays):
    images = {split: {image.tobytes() for image in arrays[f"x_{split}"]} for split in COUNTS}
    assert sum(map(len, images.values())) == 10_000  # no image twice
    assert len(set.union(*images.values())) == 10_000
    assert 60 < arrays["x_train"].mean() < 85  # 72.9 over all of Fashion-MNIST


def test_made_up_source_is_cut_at_the_documented_places(script, tmp_path):
    rng = np.random.default_rng(0)
    source, checksums = {}, {}
    for origin, n in (("train", 8100), ("t10k", 2100)):
        for kind, shape in (("images-idx3", (n, 3, 2)), ("labels-idx1", (n,))):
            name = f"{origin}-{kind}-ubyte"
            source[name] = rng.integers(0, 256, shape, dtype=np.uint8)
            checksums[name] = write_idx(tmp_path, name, source[name])
    cut = script.cut_splits(tmp_path, checksums)
    for array, kind in (("x", "images-idx3"), ("y", "labels-idx1")):
        train, test = source[f"train-{kind}-ubyte"], source[f"t10k-{kind}-ubyte"]
        np.testing.assert_array_equal(cut[f"{array}_train"], train[:7000])
        np.testing.assert_array_equal(cut[f"{array}_val"], train[7000:8000])
        np.testing.assert_array_equal(cut[f"{array}_test"], test[:2000])


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="needs the package dataset-fashion-mnist")
def test_rebuild_gives_the_same_bytes(script, arrays, tmp_path):
    rebuilt = tmp_path / "rebuilt.npz"
    script.main(["--source", str(PUBLISHED), "--output", str(rebuilt)])
    with np.load(rebuilt, allow_pickle=False) as archive:
        for name, array in arrays.items():
            np.testing.assert_array_equal(archive[name], array)
    # zlib-ng packs the same content otherwise, and Python before 3.11.4 writes other headers.
    if "ng" not in zlib.ZLIB_RUNTIME_VERSION and sys.version_info >= (3, 11, 4):
        assert rebuilt.read_bytes() == ARCHIVE.read_bytes()


def damage_nothing_there(path: Path) -> None:
    path.unlink()


def damage_not_gzip(path: Path) -> None:
    path.write_bytes(b"<html>404</html>")


def damage_cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def damage_other_content(path: Path) -> None:
    path.write_bytes(gzip.compress(b"\x00\x00\x08\x01" + struct.pack(">I", 3) + b"abc"))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (damage_nothing_there, "is missing"),
        (damage_not_gzip, "cannot be unpacked"),
        (damage_cut_short, "cannot be unpacked"),
        (damage_other_content, "is not the published file"),
    ],
)
def test_wrong_source_ends_in_one_clear_line(script, tmp_path, damage, said):
    for name in script.SOURCE_SHA256:
        write_idx(tmp_path, name, np.arange(100, dtype=np.uint8))
    first = tmp_path / "train-images-idx3-ubyte.gz"
    damage(first)
    output = tmp_path / "out.npz"
    with pytest.raises(SystemExit) as stop:
        script.main(["--source", str(tmp_path), "--output", str(output)])
    message = str(stop.value)
    assert message.startswith(f"make_fashion_mnist_10k: {first}")
    assert said in message
    assert "\n" not in message
    assert not output.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x00\x00\x0d\x01" + struct.pack(">I", 1) + b"abcd", "not an IDX file of bytes"),
        (b"\x00\x00\x08\x01" + struct.pack(">I", 4) + b"abc", r"holds 3 elements.*\(4,\)"),
    ],
)
def test_broken_idx_is_refused(script, content, said):
    with pytest.raises(ValueError, match=said):
        script.parse_idx(content, "some-file")
