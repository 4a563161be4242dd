"""From published files, or a user's own, to arrays and a card."""

import json
from pathlib import Path

import numpy as np
import pytest

from ddcnn.base.errors import InputError
from ddcnn.base.splits import SPLITS
from ddcnn.data.download import file_sha256
from ddcnn.data.preparation import download, prepare
from ddcnn.data.registry import REGISTRY, dataset_of

SHAPES = [(10, 12), (10, 12, 3), (6, 8, 9), (6, 8, 9, 2)]  # gray, colour, 3D, 3D with channels


def make_images(shape: tuple[int, ...], num_images: int, classes: int = 3, seed: int = 0) -> tuple:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (num_images, *shape), dtype=np.uint8)
    return x, rng.permutation(np.arange(num_images) % classes)


def with_splits(shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    arrays = {}
    for seed, (split, num_images) in enumerate(zip(SPLITS, (12, 5, 7), strict=True)):
        arrays[f"x_{split}"], arrays[f"y_{split}"] = make_images(shape, num_images, seed=seed)
    return arrays


def make_entry(path: Path, **arrays: np.ndarray) -> dict[str, str]:
    np.savez(path, **arrays)
    return {"name": path.stem, "path": str(path)}


def run(entry, folder: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """The card and the arrays that the stages download and prepare make of an entry."""
    download(entry, folder / "raw" / "manifest.json")
    prepare(entry, folder / "raw" / "manifest.json", folder / "card.json")
    arrays = {f"{a}_{s}": np.load(folder / f"{a}_{s}.npy") for a in "xy" for s in SPLITS}
    return json.loads((folder / "card.json").read_text(encoding="utf-8")), arrays


# The embedded data set


@pytest.fixture(scope="module")
def fashion(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fashion")
    return folder, *run("fashion-mnist-10k", folder)


def test_the_embedded_data_are_prepared_as_they_are(fashion):
    _, card, arrays = fashion
    with np.load(REGISTRY["fashion-mnist-10k"].files[0].urls[0]) as published:
        for name, array in arrays.items():
            expected = published[name][..., None] if name[0] == "x" else published[name]
            np.testing.assert_array_equal(array, expected)
    assert (arrays["x_train"].dtype, arrays["y_train"].dtype) == (np.uint8, np.int64)
    assert (card["shape"], card["channels"], card["axes"]) == ([28, 28], 1, ["row", "column"])


def test_the_card_counts_every_class_and_measures_every_channel(fashion):
    _, card, arrays = fashion
    assert card["classes"][:2] == ["T-shirt/top", "Trouser"]
    for split, counts in card["counts"].items():
        for label, name in enumerate(card["classes"]):
            assert counts[name] == (arrays[f"y_{split}"] == label).sum()
    assert {split: sum(counts.values()) for split, counts in card["counts"].items()} == {
        "train": 7000,
        "val": 1000,
        "test": 2000,
    }
    values = arrays["x_train"] / 255
    np.testing.assert_allclose(card["mean"], [values.mean()], rtol=1e-9)
    np.testing.assert_allclose(card["std"], [values.std()], rtol=1e-9)
    for split, found in card["per_image"].items():
        pixels = arrays[f"x_{split}"].reshape(sum(card["counts"][split].values()), -1)
        for key, by_image in (("mean", pixels.mean(axis=1)), ("std", pixels.std(axis=1))):
            np.testing.assert_allclose(found[key], [by_image.mean()], rtol=1e-9)
            np.testing.assert_allclose(found[f"{key}_spread"], [by_image.std()], rtol=1e-9)


def test_the_card_says_where_the_data_are_from_and_what_they_allow(fashion):
    _, card, _ = fashion
    assert card["licence"].startswith("MIT")
    assert "1708.07747" in card["citation"]
    assert card["synthetic"] is False
    assert card["augment"] == {"flip": ["column"], "shift": 2}


def test_checksums_are_those_of_the_files(fashion):
    folder, card, arrays = fashion
    assert set(card["checksums"]) == {*(f"{name}.npy" for name in arrays), "samples.csv"}
    for name, checksum in card["checksums"].items():
        assert checksum == f"sha256:{file_sha256(folder / name)}"
    (file,) = json.loads((folder / "raw" / "manifest.json").read_text())["files"]
    assert f"sha256:{file['sha256']}" == REGISTRY["fashion-mnist-10k"].files[0].checksum
    assert (folder / "raw" / file["path"]).stat().st_size == file["bytes"]


# A user's own data


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_own_data_with_splits_stay_as_they_are(tmp_path, shape):
    own = with_splits(shape)
    card, arrays = run(make_entry(tmp_path / "own.npz", **own), tmp_path / "out")
    for name, array in arrays.items():
        np.testing.assert_array_equal(array.reshape(own[name].shape), own[name])
    three_axes = shape[0] == 6
    assert card["axes"] == ["row", "column", "slice"][: 2 + three_axes]
    assert card["shape"] == list(shape[: 2 + three_axes])
    assert arrays["x_train"].shape[1:] == (*card["shape"], card["channels"])
    assert card["split_seed"] is None


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_statistics_are_those_of_numpy_over_the_training_split(tmp_path, shape):
    card, arrays = run(make_entry(tmp_path / "own.npz", **with_splits(shape)), tmp_path / "out")
    by_channel = (arrays["x_train"] / 255).reshape(-1, card["channels"])
    np.testing.assert_allclose(card["mean"], by_channel.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(card["std"], by_channel.std(axis=0), rtol=1e-9)


def test_a_channel_without_contrast_can_be_normalised(tmp_path):
    own = with_splits((4, 4, 2))
    own["x_train"][..., 1] = 9
    card, _ = run(make_entry(tmp_path / "own.npz", **own), tmp_path / "out")
    assert card["std"][1] > 0


@pytest.mark.parametrize("shape", [(4, 4), (3, 4, 5)], ids=str)
def test_own_data_without_splits_are_split_by_class_and_nothing_is_lost(tmp_path, shape):
    y = np.repeat([0, 1, 2], [100, 40, 20])
    x = make_images(shape, len(y))[0]
    x.reshape(len(y), -1)[:, 0] = np.arange(len(y))  # the first pixel tells the image
    card, arrays = run(make_entry(tmp_path / "own.npz", x=x, y=y), tmp_path / "out")
    assert card["counts"] == {
        "train": {"0": 70, "1": 28, "2": 14},
        "val": {"0": 15, "1": 6, "2": 3},
        "test": {"0": 15, "1": 6, "2": 3},
    }
    index = [arrays[f"x_{split}"].reshape(-1, np.prod(shape))[:, 0] for split in SPLITS]
    assert sorted(np.concatenate(index)) == list(range(len(y)))
    for split, images in zip(SPLITS, index, strict=True):
        np.testing.assert_array_equal(arrays[f"y_{split}"], y[images])
        np.testing.assert_array_equal(arrays[f"x_{split}"][..., 0].reshape(-1), x[images].ravel())
    assert card["split_seed"] == 0


def test_a_split_is_random_and_the_same_every_time(tmp_path):
    x, y = make_images((4, 4), 100, classes=2)
    entry = make_entry(tmp_path / "own.npz", x=x, y=y)
    card, arrays = run(entry, tmp_path / "one")
    again, _ = run(entry, tmp_path / "two")
    assert card["checksums"] == again["checksums"]
    of_class, chosen = x[y == 0], arrays["x_train"][arrays["y_train"] == 0]
    assert not np.array_equal(chosen[..., 0], of_class[: len(chosen)])


def test_classes_are_named_by_the_file_or_by_their_labels(tmp_path):
    x, y = make_images((4, 4), 30)
    card, _ = run(make_entry(tmp_path / "a.npz", x=x, y=y), tmp_path / "a")
    assert card["classes"] == ["0", "1", "2"]
    names = np.array(["cat", "dog", "Übung"])
    card, _ = run(make_entry(tmp_path / "b.npz", x=x, y=y, classes=names), tmp_path / "b")
    assert card["classes"] == ["cat", "dog", "Übung"]
    assert sum(card["counts"]["train"].values()) == 21


def test_labels_of_any_integer_type_become_int64(tmp_path):
    x, y = make_images((4, 4), 30)
    _, arrays = run(make_entry(tmp_path / "a.npz", x=x, y=y.astype(np.uint8)), tmp_path / "a")
    assert arrays["y_train"].dtype == np.int64


def test_what_the_entry_says_is_on_the_card(tmp_path):
    entry = make_entry(tmp_path / "own.npz", **with_splits((4, 4)))
    entry |= {"title": "Birds", "licence": "CC0", "flip": ["row"], "shift": 1, "synthetic": True}
    card, _ = run(entry, tmp_path / "out")
    assert (card["name"], card["title"], card["licence"]) == ("own", "Birds", "CC0")
    assert card["augment"] == {"flip": ["row"], "shift": 1}
    assert card["synthetic"] is True


def test_own_files_are_read_where_they_lie_and_not_touched(tmp_path):
    entry = make_entry(tmp_path / "own.npz", **with_splits((4, 4)))
    before = (tmp_path / "own.npz").read_bytes()
    (tmp_path / "own.npz").chmod(0o444)
    run(entry, tmp_path / "out")
    assert (tmp_path / "own.npz").read_bytes() == before
    raw = sorted(file.name for file in (tmp_path / "out" / "raw").iterdir())
    assert raw == ["contents.json", "manifest.json"]


def test_the_shape_is_known_before_the_data_are_prepared(tmp_path):
    for shape in SHAPES:
        entry = make_entry(tmp_path / "own.npz", **with_splits(shape))
        card, _ = run(entry, tmp_path / "out")
        assert list(dataset_of(entry).image_shape) == [*card["shape"], card["channels"]]


def test_a_file_with_and_without_splits_is_known_as_it_is_read(tmp_path):
    x, y = make_images((6, 6), 30)
    entry = make_entry(tmp_path / "own.npz", x=x, y=y, **with_splits((4, 4)))
    card, _ = run(entry, tmp_path / "out")
    assert list(dataset_of(entry).shape) == card["shape"]


# What is wrong with a file is said with its name.

GOOD = with_splits((4, 4))
X, Y = make_images((4, 4), 30)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"a": X}, ["x_train", "y_train"]),
        ({"x": X}, ["lacks", "y"]),
        ({k: v for k, v in GOOD.items() if k != "y_val"}, ["lacks", "y_val"]),
        ({"x": X.astype(np.float32), "y": Y}, ["x", "float32", "window"]),
        ({"x": X[:, 0], "y": Y}, ["x", "(30, 4)", "rows, columns"]),
        ({"x": X[:, :, :, None, None, None], "y": Y}, ["x", "(30, 4, 4, 1, 1, 1)"]),
        ({"x": X, "y": Y[:-1]}, ["30 images", "(29,)"]),
        ({"x": X, "y": Y - 1}, ["y", "integers from 0"]),
        ({"x": X, "y": Y + 0.5}, ["y", "integers from 0"]),
        ({"x": X[:0], "y": Y[:0]}, ["y", "at least one"]),
        ({"x": X, "y": Y, "classes": np.array(["a", "b"])}, ["label 2", "2 names"]),
        (GOOD | {"x_val": GOOD["x_val"][:, :3]}, ["x_val 3 x 4", "x_train 4 x 4"]),
        (GOOD | {"x_test": GOOD["x_test"][..., None].repeat(3, -1)}, ["x_test 4 x 4 x 3"]),
    ],
    ids=lambda value: "" if isinstance(value, dict) else " ".join(value),
)
def test_arrays_that_do_not_fit_are_refused_with_the_file_s_name(tmp_path, arrays, words):
    entry = make_entry(tmp_path / "own.npz", **arrays)
    with pytest.raises(InputError) as caught:
        run(entry, tmp_path / "out")
    assert all(word in str(caught.value) for word in ["own.npz", *words]), caught.value
    assert not (tmp_path / "out" / "card.json").exists()


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": X, "y": Y * 0}, ["one class only"]),
        ({"x": X, "y": Y * 2}, ["label 1 does not occur"]),
        ({"x": X[:4], "y": np.array([0, 0, 1, 1])}, ["too few images"]),
    ],
)
def test_data_that_cannot_be_learned_from_are_refused_with_the_data_set_s_name(
    tmp_path, arrays, words
):
    entry = make_entry(tmp_path / "own.npz", **arrays)
    with pytest.raises(InputError) as caught:
        run(entry, tmp_path / "out")
    assert all(word in str(caught.value) for word in ["own", *words]), caught.value


@pytest.mark.parametrize("name", ["x", "y", "classes"])
def test_objects_are_refused_and_never_unpickled(tmp_path, name):
    class Malicious:
        def __reduce__(self):
            return (Path.write_text, (tmp_path / "victim", "harmed"))

    arrays = {"x": X, "y": Y} | {name: np.array([Malicious()] * 30)}
    entry = make_entry(tmp_path / "own.npz", **arrays)
    with pytest.raises(InputError, match=r"own\.npz"):
        run(entry, tmp_path / "out")
    assert not (tmp_path / "victim").exists()


@pytest.mark.parametrize("share", [0, 0.3, 0.9])
def test_a_cut_off_file_is_refused_with_its_name(tmp_path, share):
    entry = make_entry(tmp_path / "own.npz", x=X, y=Y)
    content = (tmp_path / "own.npz").read_bytes()
    (tmp_path / "own.npz").write_bytes(content[: int(share * len(content))])
    for ask in (lambda: dataset_of(entry).shape, lambda: run(entry, tmp_path / "out")):
        with pytest.raises(InputError, match=r"own\.npz"):
            ask()
