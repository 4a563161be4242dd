"""Inputs that would take more memory than there is: refused by their headers, before reading."""

import json
import struct
import tracemalloc
import zlib
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from ddcnn.__main__ import main
from ddcnn.base.errors import DamagedResult, InputError
from ddcnn.base.files import read_json, write_json
from ddcnn.base.memory import left_in_groups
from ddcnn.base.splits import SPLITS
from ddcnn.data import images, volumes
from ddcnn.data.options import ReadOptions
from own_data import pixels, save, save_volume

GRAY, RGB = 0, 2  # colours in a PNG's header


def header_of_png(path: Path, rows: int, columns: int, colour: int) -> Path:
    """A PNG that says its size and holds no pixels: whoever decodes it finds it cut off."""
    header = b"IHDR" + struct.pack(">IIBBBBB", columns, rows, 8, colour, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 1000) + b"IDAT")
    return path


@pytest.fixture(autouse=True)
def six_gigabytes_and_two_cores(monkeypatch):
    monkeypatch.setattr("ddcnn.base.memory.memory_left", lambda: 6 * 10**9)
    monkeypatch.setattr("os.sched_getaffinity", lambda _process: {0, 1})


def test_pictures_that_two_cores_cannot_decode_at_once_are_refused(tmp_path):
    paths = [header_of_png(tmp_path / f"{n}.png", 22_000, 22_000, RGB) for n in range(2)]
    with pytest.raises(
        InputError, match=r"\.png and .* 2 on as many cores: decoding needs 9\.7 GB"
    ):
        images.survey(paths, ReadOptions())
    assert images.survey(paths[:1], ReadOptions(most_megapixels=500)).shape == (22_000, 22_000)


def test_a_shape_that_no_memory_takes_is_refused(tmp_path):
    paths = [save(tmp_path / f"{n}.png", np.zeros((8, 8), np.uint8)) for n in range(2)]
    with pytest.raises(InputError, match=r"decoding needs 8\.6 GB of memory, 6\.0 GB are left"):
        images.survey(paths, ReadOptions(shape=(65_536, 65_536)))


def test_a_long_picture_is_counted_by_its_pixels(tmp_path):
    long = header_of_png(tmp_path / "a.png", 400_000_000, 1, GRAY)
    assert images.survey([long], ReadOptions(shape=(8, 8))).shape == (8, 8)
    with pytest.raises(InputError, match="most_megapixels"):
        images.survey([long], ReadOptions(shape=(8, 8), most_megapixels=100))


def test_jpegs_are_counted_as_they_are_decoded(tmp_path):
    header = images.Header((20_000, 20_000), 3)
    size = (64, 64, 3)
    whole = images.bytes_of(header, Path("a.png"), size, resized=True)
    assert images.bytes_of(header, Path("a.jpg"), size, resized=True) < whole / 50
    assert images.bytes_of(header, Path("a.jpg"), size, resized=False) == whole


def test_volumes_that_the_cores_cannot_decode_at_once_are_refused(tmp_path):
    paths = [tmp_path / f"{n}.nii" for n in range(2)]
    for path in paths:
        header = nib.Nifti1Header()
        header.set_data_shape((1000, 1000, 2000))
        header.set_data_dtype(np.uint8)
        with path.open("wb") as file:
            header["vox_offset"], header["magic"] = 352, b"n+1"
            file.write(header.binaryblock)
            file.truncate(352 + 2 * 10**9)  # without a byte on the disk
    options = ReadOptions(most_megapixels=10_000)
    with pytest.raises(InputError, match=r"volumes, 2 on as many cores: decoding needs 8\.0 GB"):
        volumes.survey(paths, options)
    with pytest.raises(InputError, match=r"decoding needs 36\.0 GB"):
        volumes.survey(paths, replace(options, shape=(1000, 1000, 2001)))
    assert volumes.survey(paths[:1], options).shape == (1000, 1000, 2000)


@pytest.mark.parametrize("shape", [None, (40, 50, 60), (120, 110, 100)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16])
def test_a_volume_takes_as_much_memory_as_its_header_says_or_a_little_more(tmp_path, shape, dtype):
    path, options = tmp_path / "a.nii", ReadOptions(shape=shape, window=(0, 200))
    save_volume(path, pixels(90, 80, 100).astype(dtype))
    needed = volumes.bytes_of(volumes.read_header(path, options), options)
    tracemalloc.start()
    volumes.decode_volume(path, options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(needed, peak)
    assert needed <= peak < 4 * needed + 10**6


def test_check_says_of_many_classes_that_their_coarse_net_takes_more_memory_than_there_is(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    classes = [str(number) for number in range(10_000)]
    counts = {split: dict.fromkeys(classes, 2) for split in SPLITS}
    card = Path("results/data/fashion-mnist-10k/card.json")
    card.parent.mkdir(parents=True)
    facts = {"classes": classes, "counts": counts, "task": "classification"}
    write_json(card, facts | {"axes": ["row", "column"], "shape": [28, 28], "channels": 1})
    Path("mine.yaml").write_text("experiment: mine\ndataset: fashion-mnist-10k\n")
    assert main(["check", "mine.yaml"]) == 0
    said = capsys.readouterr().out
    assert "warning: fashion-mnist-10k: its linear coarse net, 40,000 inputs and 10,000" in said
    assert "needs 115.2 GB of memory, 6.0 GB are left" in said


def group(folder: Path, most: str, taken: int, files: int) -> None:
    """A control group as Linux shows it (version 2); ``files``: bytes that it can give back."""
    folder.mkdir(parents=True, exist_ok=True)
    stat = f"anon {taken - files}\nfile {files}\nactive_file {files - 1}\ninactive_file 1\n"
    for name, content in {"max": most, "current": taken, "stat": stat}.items():
        (folder / f"memory.{name}").write_text(f"{content}\n")


def test_limits_of_control_groups_count_as_memory(tmp_path):
    groups, process = tmp_path / "groups", tmp_path / "cgroup"
    process.write_text("0::/slurm/job\n")
    group(groups / "slurm/job", "max", 10, 5)
    assert left_in_groups(groups, process) == []
    group(groups / "slurm", "1000", 300, 100)
    assert left_in_groups(groups, process) == [800]
    group(groups, "600", 300, 1)
    assert left_in_groups(groups, process) == [800, 301]
    process.write_text("0::/of/the/host\n")  # seen from within a container
    assert left_in_groups(groups, process) == [301]


def test_limits_of_the_older_control_groups_count_too(tmp_path):
    groups, process = tmp_path / "groups", tmp_path / "cgroup"
    process.write_text("5:memory:/job\n3:cpu,cpuacct:/job\n0::/\n")
    folder = groups / "memory/job"
    folder.mkdir(parents=True)
    (folder / "memory.limit_in_bytes").write_text("1000\n")
    (folder / "memory.usage_in_bytes").write_text("300\n")
    (folder / "memory.stat").write_text("total_active_file 40\ntotal_inactive_file 2\n")
    assert left_in_groups(groups, process) == [742]
    assert left_in_groups(groups, tmp_path / "missing") == []


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' * 5000, "9" * 5000])
def test_json_that_no_reader_takes_is_damaged(tmp_path, text):
    """Also a card.json beside an array to predict, which then counts as no card."""
    (tmp_path / "card.json").write_text(text)
    with pytest.raises(DamagedResult, match="not valid JSON"):
        read_json(tmp_path / "card.json")
    (tmp_path / "card.json").write_text(json.dumps({"a": 1}))
    assert read_json(tmp_path / "card.json") == {"a": 1}
