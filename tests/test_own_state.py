"""Changes of people's own data are seen, and nothing else is taken for one."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ddcnn.data.preparation import download
from ddcnn.data.registry import dataset_of
from own_data import class_folders, pixels, save


def folder(place: Path) -> Path:
    return class_folders(place / "data")


def table(place: Path) -> Path:
    class_folders(place / "data")
    rows = [f"data/{label}/{i}.png,{label}" for label in ("cat", "dog") for i in range(5)]
    (place / "labels.csv").write_text("\n".join(["file,label", *rows]) + "\n")
    return place / "labels.csv"


def npz(place: Path) -> Path:
    np.savez(place / "a.npz", x=pixels(20, 8, 8), y=np.arange(20) % 2)
    return place / "a.npz"


def npy(place: Path) -> Path:
    np.save(place / "x.npy", pixels(20, 8, 8))
    np.save(place / "y.npy", np.arange(20) % 2)
    return place / "x.npy"


def npy_folder(place: Path) -> Path:
    return npy(place).parent


KINDS = [folder, table, npz, npy, npy_folder]


def states(make: Callable[[Path], Path], place: Path) -> tuple[Callable[[], str], Path]:
    """The state after the stage download has seen the data, as a function; and their path."""
    (place / "own").mkdir()
    path = make(place / "own")
    entry = {"name": "mine", "path": str(path)}
    download(entry, place / "raw/manifest.json")
    return lambda: dataset_of(entry).state(place / "raw"), path


def rewrite(path: Path, change: Callable[[bytes], bytes] = bytes, keep_time: bool = False) -> None:
    times = path.stat()
    path.write_bytes(change(path.read_bytes()))
    moment = times.st_mtime_ns if keep_time else times.st_mtime_ns + 10**9
    os.utime(path, ns=(times.st_atime_ns, moment))


def last_byte(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize("make", KINDS)
def test_a_touched_file_of_equal_content_is_no_change(tmp_path, make):
    state, path = states(make, tmp_path)
    before = state()
    for file in sorted((tmp_path / "own").rglob("*.*")):
        if file.is_file():
            rewrite(file)
            assert state() == before
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "own", copy)  # with times of now
    shutil.rmtree(tmp_path / "own")
    copy.rename(tmp_path / "own")
    assert path.exists()
    assert state() == before


@pytest.mark.parametrize("make", [folder, table])
def test_an_image_overwritten_in_place_is_a_change(tmp_path, make):
    state, _ = states(make, tmp_path)
    before = state()
    rewrite(tmp_path / "own/data/cat/3.png", last_byte)
    after = state()
    assert after != before
    rewrite(tmp_path / "own/data/cat/3.png", last_byte)  # what it was
    assert state() == before


@pytest.mark.parametrize("make", [folder, table])
def test_an_image_of_another_size_is_a_change_whatever_its_time(tmp_path, make):
    state, _ = states(make, tmp_path)
    before = state()
    rewrite(tmp_path / "own/data/dog/0.png", lambda content: content + b"\0", keep_time=True)
    assert state() != before


def test_new_renamed_and_removed_images_are_changes(tmp_path):
    state, path = states(folder, tmp_path)
    seen = [state()]
    (path / "cat/5.png").write_bytes((path / "cat/0.png").read_bytes())
    seen.append(state())
    (path / "cat/5.png").rename(path / "dog/5.png")
    seen.append(state())
    (path / "dog/5.png").unlink()
    assert len(set(seen)) == 3
    assert state() == seen[0]


@pytest.mark.parametrize("make", [table, npz, npy, npy_folder])
@pytest.mark.parametrize("keep_time", [False, True])
def test_labels_corrected_in_place_are_a_change(tmp_path, make, keep_time):
    """Even where size and time stay, as after ``cp --preserve`` or in an archive."""
    state, path = states(make, tmp_path)
    before = state()
    labels = path if path.suffix in (".csv", ".npz") else tmp_path / "own/y.npy"
    change = {".csv": lambda content: content.replace(b"0.png,cat", b"0.png,dog", 1)}
    rewrite(labels, change.get(labels.suffix, last_byte), keep_time=keep_time)
    assert state() != before


def test_a_column_that_is_not_used_is_no_change(tmp_path):
    state, path = states(table, tmp_path)
    lines = path.read_text().splitlines()
    before = state()
    path.write_text("\n".join(f"{line},note {i}" for i, line in enumerate(lines)))
    assert state() == before
    path.write_text("\n".join([lines[0], lines[2], lines[1], *lines[3:]]))
    assert state() != before  # another order is another split
    entry = {"name": "mine", "path": str(path), "group": "who"}
    noted = []
    for who in ("P1", "P2"):
        path.write_text("\n".join([f"{lines[0]},who", *(f"{line},{who}" for line in lines[1:])]))
        noted.append(dataset_of(entry).state())
    assert noted[0] != noted[1]


def test_files_of_a_system_and_hidden_ones_are_no_change(tmp_path):
    state, path = states(folder, tmp_path)
    before = state()
    for name in ("Thumbs.db", ".DS_Store", "cat/desktop.ini", "cat/@eaDir/0.png/thumb.jpg"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(b"x")
    save(path / "dog/.thumbnails/0.png", pixels(4, 4))
    assert state() == before


@pytest.mark.parametrize("make", KINDS)
def test_without_a_record_the_state_is_still_there(tmp_path, make):
    state, path = states(make, tmp_path)
    recorded = state()
    shutil.rmtree(tmp_path / "raw")
    assert state() == recorded == dataset_of({"name": "mine", "path": str(path)}).state()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"state": 1}', b"\xff"])
def test_a_damaged_record_is_as_none(tmp_path, content):
    state, path = states(folder, tmp_path)
    recorded = state()
    (tmp_path / "raw/contents.json").write_bytes(content)
    assert state() == recorded
    rewrite(path / "cat/0.png")
    assert state() != recorded


def test_a_table_of_missing_files_and_broken_lines_has_a_state(tmp_path):
    state, path = states(table, tmp_path)
    seen = [state()]
    path.write_text(path.read_text() + "data/cat/9.png,cat\n")
    seen.append(state())
    save(tmp_path / "own/data/cat/9.png", pixels(8, 8))
    seen.append(state())
    assert len(set(seen)) == 3


def test_published_data_have_no_state():
    assert dataset_of("fashion-mnist-10k").state() == ""
