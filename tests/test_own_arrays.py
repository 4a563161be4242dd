"""Arrays of one's own: names, types, shapes, and streams with bounded memory."""

import tracemalloc

import numpy as np
import pytest
from PIL import Image

from ddcnn.data import own
from ddcnn.data.options import ReadOptions
from own_data import decoded, pixels, read, snapshot

LABELS = np.arange(20) % 4
IMAGES = pixels(20, 8, 6)


def splits(images=IMAGES, labels=LABELS, names=("x_{}", "y_{}"), keys=("train", "val", "test")):
    pairs = zip(names, (images, labels), strict=True)
    return {name.format(key): array for name, array in pairs for key in keys}


def test_npz_without_splits(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=IMAGES, y=LABELS)
    collection = read(path)
    assert collection.classes == ["0", "1", "2", "3"]
    np.testing.assert_array_equal(decoded(collection.splits["all"])[..., 0], IMAGES)
    np.testing.assert_array_equal(collection.splits["all"].labels, LABELS)
    assert collection.splits["all"].name(3) == f"{path}: x[3]"
    assert own.image_shape(path, ReadOptions()) == (8, 6, 1)


def test_npz_with_splits_and_class_names(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", **splits(), classes=["a", "b", "<c>", "été"])
    collection = read(tmp_path / "a.npz")
    assert collection.classes == ["a", "b", "<c>", "été"]
    assert list(collection.splits) == ["train", "val", "test"]


def test_train_and_test_alone(tmp_path):
    np.savez(tmp_path / "a.npz", **splits(keys=("train", "test")))
    assert list(read(tmp_path / "a.npz").splits) == ["train", "test"]


def test_medmnist_names_and_labels(tmp_path):
    volumes = pixels(20, 7, 7, 7)
    names = ("{}_images", "{}_labels")
    np.savez_compressed(tmp_path / "a.npz", **splits(volumes, LABELS[:, None], names))
    collection = read(tmp_path / "a.npz")
    np.testing.assert_array_equal(decoded(collection.splits["val"])[..., 0], volumes)
    assert own.image_shape(tmp_path / "a.npz", ReadOptions()) == (7, 7, 7, 1)


def test_npy_pair(tmp_path):
    np.save(tmp_path / "x.npy", IMAGES)
    np.save(tmp_path / "y.npy", LABELS)
    for path in (tmp_path / "x.npy", tmp_path):
        np.testing.assert_array_equal(decoded(read(path).splits["all"])[..., 0], IMAGES)


def test_npy_with_splits_in_a_folder(tmp_path):
    for name, array in splits().items():
        np.save(tmp_path / f"{name}.npy", array)
    np.save(tmp_path / "classes.npy", np.array(["a", "b", "c", "d"]))
    before = snapshot(tmp_path)
    for path in (tmp_path, tmp_path / "x_train.npy"):
        collection = read(path)
        assert list(collection.splits) == ["train", "val", "test"]
        assert collection.classes == ["a", "b", "c", "d"]
        assert decoded(collection.splits["test"]).shape == (20, 8, 6, 1)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("dtype", ["uint16", ">i2", "int32", "float32", "float64"])
def test_other_types_through_a_window(tmp_path, dtype):
    values = (np.random.default_rng(0).random((20, 8, 6)) * 1000).astype(dtype)
    np.savez(tmp_path / "a.npz", x=values, y=LABELS)
    found = decoded(read(tmp_path / "a.npz", window=(100, 600)).splits["all"])
    expected = np.clip((values.astype(float) - 100) * 255 / 500, 0, 255)
    np.testing.assert_allclose(found[..., 0], expected, atol=0.51)


def test_channels(tmp_path):
    colour = pixels(20, 8, 6, 3)
    np.savez(tmp_path / "colour.npz", x=colour, y=LABELS)
    np.savez(tmp_path / "gray.npz", x=IMAGES, y=LABELS)
    np.savez(tmp_path / "four.npz", x=pixels(20, 8, 6, 4), y=LABELS)
    gray = decoded(read(tmp_path / "colour.npz", channels=1).splits["all"])
    expected = [np.asarray(Image.fromarray(image).convert("L")) for image in colour]
    np.testing.assert_allclose(gray[..., 0], expected, atol=1)
    three = decoded(read(tmp_path / "gray.npz", channels=3).splits["all"])
    np.testing.assert_array_equal(three, np.repeat(IMAGES[..., None], 3, axis=-1))
    assert decoded(read(tmp_path / "four.npz").splits["all"]).shape == (20, 8, 6, 4)


def test_a_target_shape_says_which_axes_are_spatial(tmp_path):
    np.savez(tmp_path / "a.npz", x=pixels(20, 16, 16, 3), y=LABELS)
    assert own.image_shape(tmp_path / "a.npz", ReadOptions()) == (16, 16, 3)
    volumes = ReadOptions(shape=(16, 16, 3))
    assert own.image_shape(tmp_path / "a.npz", volumes) == (16, 16, 3, 1)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_images_are_fitted(tmp_path, fit):
    np.savez(tmp_path / "a.npz", x=pixels(20, 8, 6, 3), y=LABELS)
    found = decoded(read(tmp_path / "a.npz", shape=(4, 4), fit=fit).splits["all"])
    assert found.shape == (20, 4, 4, 3)


def test_volumes_are_resampled(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.full((20, 9, 8, 7), 77, np.uint8), y=LABELS)
    found = decoded(read(tmp_path / "a.npz", shape=(4, 12, 3)).splits["all"])
    assert found.shape == (20, 4, 12, 3, 1)
    assert (found == 77).all()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_memory_does_not_grow_with_the_array(tmp_path, save):
    """128 MB of images stream through in a few blocks of 16 MB, from a compressed file as well."""
    save(tmp_path / "a.npz", x=np.zeros((2000, 256, 256), np.uint8), y=np.arange(2000) % 2)
    collection = read(tmp_path / "a.npz")
    tracemalloc.start()
    count = sum(len(chunk.index) for chunk in collection.splits["all"].chunks())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(f"131 MB of images, peak {peak / 1e6:.0f} MB")
    assert count == 2000
    assert peak < 64 * 2**20
