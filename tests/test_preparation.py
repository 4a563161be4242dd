"""Preparation as a stream: splits, left-out files, duplicates and checks."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from ddcnn.base.errors import InputError
from ddcnn.base.files import read_json, write_json
from ddcnn.base.splits import SPLITS
from ddcnn.data import samples as samples_module
from ddcnn.data.card import PixelStatistics, duplicates_across
from ddcnn.data.options import ReadOptions
from ddcnn.data.preparation import choose_splits, prepare
from ddcnn.data.samples import ArraySamples, FileSamples


def read_number(path: Path, shape: tuple[int, ...] = (4, 5, 1)) -> np.ndarray:
    """A stand-in for a decoder: the file holds the gray value of its image, or nonsense."""
    text = path.read_text()
    if not text.isdecimal():
        raise InputError(f"{path.name} is no image")
    return np.full(shape, int(text), np.uint8)


def write_numbers(folder: Path, texts: list[str]) -> list[Path]:
    paths = [folder / f"{i:03}.txt" for i in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return paths


@pytest.mark.parametrize("workers", [1, 2])
def test_files_come_in_order_and_unreadable_ones_are_named(tmp_path, monkeypatch, workers):
    monkeypatch.setattr(samples_module, "CHUNK_BYTES", 60)
    texts = [str(i) if i % 7 else "oops" for i in range(50)]
    samples = FileSamples(
        np.zeros(50, np.int64), write_numbers(tmp_path, texts), read_number, tmp_path, workers
    )
    chunks = list(samples.chunks())
    index = np.concatenate([chunk.index for chunk in chunks])
    pixels = np.concatenate([chunk.images for chunk in chunks if len(chunk.index)])
    assert index.tolist() == [i for i in range(50) if i % 7]
    assert (pixels[:, 0, 0, 0] == index).all()
    assert max(len(chunk.index) for chunk in chunks) <= 3
    names = [item.name for chunk in chunks for item in chunk.unreadable]
    assert names == [f"{i:03}.txt" for i in range(0, 50, 7)]


def test_arrays_with_more_labels_than_images_are_refused():
    samples = ArraySamples(np.zeros(3, np.int64), lambda: iter([np.zeros((2, 4, 4, 1))]), "x.npy")
    with pytest.raises(InputError, match=r"x.npy has 3 labels, but 2 images"):
        list(samples.chunks())


def test_a_split_by_class_has_the_shares_in_every_class_and_one_image_at_least():
    labels = np.repeat([0, 1, 2], [100, 40, 3])
    choice = choose_splits("all", labels, False, ReadOptions())
    counts = [np.bincount(choice[labels == k], minlength=3).tolist() for k in range(3)]
    assert counts == [[70, 15, 15], [28, 6, 6], [1, 1, 1]]
    assert (choice == choose_splits("all", labels, False, ReadOptions())).all()
    other = choose_splits("all", labels, False, ReadOptions(split_seed=1))
    assert (choice != other).any()


def test_a_train_split_gives_validation_images_where_there_are_none():
    labels = np.repeat([0, 1], 85)
    choice = choose_splits("train", labels, False, ReadOptions())
    assert np.bincount(choice).tolist() == [140, 30]
    assert set(choose_splits("train", labels, True, ReadOptions())) == {SPLITS.index("train")}
    assert set(choose_splits("test", labels, False, ReadOptions())) == {SPLITS.index("test")}


def test_pixel_statistics_equal_numpys(monkeypatch):
    monkeypatch.setattr("ddcnn.data.card.BLOCK_PIXELS", 7)
    images = np.random.default_rng(0).integers(0, 256, (20, 5, 6, 3), np.uint8)
    statistics = PixelStatistics()
    for part in np.array_split(images, 3):
        statistics.add(part)
    mean, std = statistics.mean_and_std()
    np.testing.assert_allclose(mean, (images / 255).mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(std, (images / 255).std(axis=(0, 1, 2)))


def test_duplicates_between_splits_are_named():
    hashes = {"train": np.array([5, 6, 7], np.uint64), "test": np.array([9, 6], np.uint64)}
    names = {"train": "abc".__getitem__, "test": "xy".__getitem__}
    found = duplicates_across(hashes, names)
    assert found == {"count": 1, "examples": [["train: b", "test: y"]]}


def own_folder(tmp_path: Path, make_image, num_images: int = 30) -> dict:
    """A configuration entry for a folder of real images, one folder per class."""
    from PIL import Image

    for name in ("left", "right"):
        (tmp_path / "mine" / name).mkdir(parents=True)
    for i in range(num_images):
        image = Image.fromarray(make_image(i))
        image.save(tmp_path / "mine" / ("left", "right")[i % 2] / f"{i:02}.png")
    return {"name": "mine", "path": str(tmp_path / "mine")}


def noise(i: int) -> np.ndarray:
    return np.random.default_rng(i).integers(0, 256, (8, 9), np.uint8)


def prepare_entry(entry: dict, folder: Path) -> dict:
    raw = folder / "raw"
    raw.mkdir(parents=True)
    write_json(raw / "manifest.json", {"files": [{"path": entry["path"]}]})
    prepare(entry, raw / "manifest.json", folder / "card.json")
    return read_json(folder / "card.json")


def test_a_few_unreadable_images_are_left_out_with_a_warning(tmp_path, caplog):
    entry = own_folder(tmp_path, noise)
    (tmp_path / "mine/left/00.png").write_bytes(b"")
    with caplog.at_level("INFO", "ddcnn"):
        card = prepare_entry(entry, tmp_path / "out")
    print(caplog.text)
    (warning,) = card["warnings"]
    assert warning == "1 of 30 images is left out: 1 empty: left/00.png"
    assert f"warning: {warning}" in caplog.text
    assert card["left_out"]["count"] == 1
    (kind,) = card["left_out"]["kinds"]
    assert (kind["kind"], kind["files"]) == ("empty", ["left/00.png"])
    assert kind["reason"] == "00.png is empty (0 bytes); replace or remove it"
    assert sum(sum(split.values()) for split in card["counts"].values()) == 29
    total = sum(len(np.load(tmp_path / f"out/x_{split}.npy")) for split in SPLITS)
    assert total == sum(len(np.load(tmp_path / f"out/y_{split}.npy")) for split in SPLITS) == 29


def test_unreadable_error_stops_and_writes_nothing(tmp_path):
    entry = own_folder(tmp_path, noise)
    (tmp_path / "mine/left/00.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"00\.png") as error:
        prepare_entry(entry | {"unreadable": "error"}, tmp_path / "out")
    print(error.value)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["raw"]


def test_many_unreadable_images_are_no_accident(tmp_path):
    entry = own_folder(tmp_path, noise)
    for i in range(0, 10, 2):
        (tmp_path / f"mine/left/{i:02}.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"5 of 30 images cannot be used") as error:
        prepare_entry(entry, tmp_path / "out")
    print(error.value)


def test_the_same_image_in_two_splits_is_a_warning(tmp_path, caplog):
    entry = own_folder(tmp_path, lambda i: noise(0))
    with caplog.at_level("INFO", "ddcnn"):
        card = prepare_entry(entry, tmp_path / "out")
    print(caplog.text)
    assert card["duplicates_across_splits"]["count"] > 0
    assert "stand in more than one split" in caplog.text
    assert ".png" in caplog.text


def test_prepared_arrays_are_the_files_pixels(tmp_path):
    entry = own_folder(tmp_path, partial(noise))
    card = prepare_entry(entry, tmp_path / "out")
    assert card["shape"] == [8, 9]
    assert card["channels"] == 1
    found = {}
    for split in SPLITS:
        x, y = np.load(tmp_path / f"out/x_{split}.npy"), np.load(tmp_path / f"out/y_{split}.npy")
        assert x.dtype == np.uint8
        assert y.dtype == np.int64
        found |= {image.tobytes(): int(label) for image, label in zip(x, y, strict=True)}
    assert found == {noise(i).tobytes(): i % 2 for i in range(30)}
