"""One policy for what cannot be used, whatever the data are: a few are left out, many stop."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from ddcnn.__main__ import main
from ddcnn.base.errors import InputError
from ddcnn.base.files import read_json, write_json
from ddcnn.bundle.expected import Expected
from ddcnn.bundle.inputs import Inputs
from ddcnn.data import look
from ddcnn.data.options import ReadOptions
from ddcnn.data.preparation import prepare
from own_data import class_folders, pixels, save_volume

COUNT = 40  # good ones of each of two classes; up to 8 of 88 are at most a tenth


def folder(tmp_path: Path, number: int) -> tuple[Path, list[str]]:
    """A folder per class: links to nothing, files cut short, empty ones, others than images."""
    path = class_folders(tmp_path / "data", count=COUNT)
    content = (path / "cat/0.png").read_bytes()
    for i in range(0, number, 4):
        (path / f"cat/a{i}.png").symlink_to(path / "gone.png")
        (path / f"cat/b{i}.png").write_bytes(content[:60])
        (path / f"dog/c{i}.png").write_bytes(b"")
        (path / f"dog/d{i}.heic").write_bytes(b"x")
    names = ["cat/a0.png", "cat/b0.png", "dog/c0.png", "dog/d0.heic"]
    return path, [f"missing: {names[0]}", names[1], f"empty: {names[2]}", f"read: {names[3]}"]


def table(tmp_path: Path, number: int) -> tuple[Path, list[str]]:
    """A CSV that names files: not there, cut short, of another kind and format."""
    path = class_folders(tmp_path, count=COUNT)
    rows = [f"{label}/{i}.png,{label}" for label in ("cat", "dog") for i in range(COUNT)]
    content = (path / "cat/0.png").read_bytes()
    for i in range(0, number, 4):
        (path / f"b{i}.png").write_bytes(content[:60])
        (path / f"c{i}.heic").write_bytes(b"ftypheic")
        rows += [f"a{i}.png,cat", f"b{i}.png,cat", f"c{i}.heic,dog", f"d{i}.png,dog"]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *rows]))
    return tmp_path / "labels.csv", ["missing: a0.png", "b0.png", "of another format: c0.heic"]


def volumes(tmp_path: Path, number: int) -> tuple[Path, list[str]]:
    """Scans: cut short, NaN in one, a series."""
    for label in "ab":
        for i in range(COUNT):
            save_volume(tmp_path / label / f"{i}.nii", np.full((8, 8, 4), i, np.uint8))
    content = (tmp_path / "a/0.nii").read_bytes()
    for i in range(0, number, 2):
        (tmp_path / f"a/x{i}.nii").write_bytes(content[:-60])
        save_volume(tmp_path / f"b/y{i}.nii", np.zeros((8, 8, 4, 3), np.uint8))
    return tmp_path, ["truncated or broken: a/x0.nii", "b/y0.nii"]


def arrays(tmp_path: Path, number: int) -> tuple[Path, list[str]]:
    """Signals with NaN or an infinite value in some."""
    x = np.random.default_rng(0).normal(size=(2 * COUNT + number, 16))
    x[2 : 2 + number, 5] = np.nan
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(len(x)) % 2)
    return tmp_path / "a.npz", ["with NaN or infinite values: ", "x[2], ", "x[9]"]


def images(tmp_path: Path, number: int) -> tuple[Path, list[str]]:
    """Images as an array, with values that a window cannot show."""
    x = pixels(2 * COUNT + number, 8, 8).astype(np.float32)
    x[2 : 2 + number, 5, 1] = np.inf
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(len(x)) % 2)
    return tmp_path / "a.npz", ["with NaN or infinite values: ", "x[2], ", "x[9]"]


OPTIONS = {arrays: {"shape": [16]}, images: {"window": [0, 255]}}
Maker = Callable[[Path, int], tuple[Path, list[str]]]


@pytest.fixture(params=[folder, table, volumes, arrays, images], ids=lambda make: make.__name__)
def make(request) -> Maker:
    return request.param


def entry_of(make: Maker, path: Path, **changes) -> dict:
    return {"name": "mine", "path": str(path), "group": "none"} | OPTIONS.get(make, {}) | changes


def prepared(entry: dict, out: Path) -> dict:
    (out / "raw").mkdir(parents=True)
    write_json(out / "raw/manifest.json", {"files": [{"path": entry["path"]}]})
    prepare(entry, out / "raw/manifest.json", out / "card.json")
    return read_json(out / "card.json")


def checked(entry: dict, tmp_path: Path, monkeypatch, capsys) -> tuple[int, str]:
    """What ``ddcnn check`` returns and prints of it."""
    (tmp_path / "work").mkdir(exist_ok=True)
    monkeypatch.chdir(tmp_path / "work")
    config = {"experiment": "mine", "dataset": entry, "overlap": 0}
    Path("mine.yaml").write_text(yaml.safe_dump(config))
    status = main(["check", "mine.yaml"])
    told = capsys.readouterr()
    return status, told.out + told.err


def test_a_few_are_left_out_and_named(make, tmp_path, monkeypatch, capsys):
    (tmp_path / "data").mkdir()
    path, names = make(tmp_path / "data", 8)
    card = prepared(entry_of(make, path), tmp_path / "out")
    (warning,) = card["warnings"][:1]
    print(warning)
    noun = {volumes: "volumes", arrays: "signals"}.get(make, "images")
    assert warning.startswith(f"8 of 88 {noun} are left out: ")
    assert [name for name in names if name not in warning] == []
    assert card["left_out"]["count"] == 8
    assert sum(len(np.load(tmp_path / f"out/y_{s}.npy")) for s in ("train", "val", "test")) == 80
    status, told = checked(entry_of(make, path), tmp_path, monkeypatch, capsys)
    assert (status, f"mine: {warning}\n" in told) == (0, True), told


@pytest.mark.parametrize(("number", "rule"), [(8, "error"), (12, "skip")])
def test_too_many_stop_the_preparation_and_the_check(
    make, number, rule, tmp_path, monkeypatch, capsys
):
    (tmp_path / "data").mkdir()
    path, names = make(tmp_path / "data", number)
    entry = entry_of(make, path, unreadable=rule)
    with pytest.raises(InputError) as error:
        prepared(entry, tmp_path / "out")
    said = str(error.value)
    print(said)
    assert f"{number} of {80 + number} " in said
    assert [name for name in names if name not in said] == []
    assert ("more than 10%" in said, "unreadable: skip" in said) == (number == 12, number == 8)
    assert not (tmp_path / "out/card.json").exists()
    status, told = checked(entry, tmp_path, monkeypatch, capsys)
    assert (status, said in told) == (1, True), told


def test_check_says_so_where_nothing_is_left_out(make, tmp_path, monkeypatch, capsys):
    (tmp_path / "data").mkdir()
    path, _ = make(tmp_path / "data", 0)
    status, told = checked(entry_of(make, path), tmp_path, monkeypatch, capsys)
    assert (status, "all of 80 " in told) == (0, True), told


def test_of_large_data_check_reads_the_headers_and_says_so(tmp_path, monkeypatch, capsys):
    """Empty and missing files show by their headers; one cut short in its pixels does not."""
    monkeypatch.setattr(look, "MOST_BYTES", 100)
    path, _ = folder(tmp_path, 4)
    status, told = checked(entry_of(folder, path), tmp_path, monkeypatch, capsys)
    assert status == 0
    assert "mine: 3 of 84 images are left out: " in told
    assert "cat/a0.png" in told
    assert "cat/b0.png" not in told
    assert "only headers were read" in told


def test_a_class_of_which_no_file_is_there_is_an_error(tmp_path):
    """It must not vanish from the classes without a word."""
    class_folders(tmp_path, count=COUNT)
    rows = [f"{label}/{i}.png,{label}" for label in ("cat", "dog") for i in range(COUNT)]
    rows += [f"gone{i}.png,bird" for i in range(5)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *rows]))
    entry = entry_of(table, tmp_path / "labels.csv")
    with pytest.raises(InputError, match="class 'bird' has 0 training images"):
        prepared(entry, tmp_path / "out")


def test_an_array_that_is_cut_short_is_an_error_as_a_whole(tmp_path):
    path, _ = arrays(tmp_path, 0)
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(InputError, match=r"is not a readable \.npz"):
        prepared(entry_of(arrays, path), tmp_path / "out")


def test_a_prediction_names_them_and_goes_on(tmp_path):
    path, _ = arrays(tmp_path, 2)
    np.save(tmp_path / "x.npy", np.load(path)["x"])
    inputs = Inputs.find([tmp_path / "x.npy"], Expected((16,), 1, ReadOptions(shape=(16,))))
    found = [name for batch in inputs.batches(7) for name in batch.names]
    assert len(found) == 80
    assert [name.rsplit("x", 1)[1] for name in found[:3]] == [".npy[0]", ".npy[1]", ".npy[4]"]
    assert ["x.npy[2] holds NaN" in inputs.failures[0], len(inputs.failures)] == [True, 2]
