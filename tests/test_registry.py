"""The registered data sets: what is known of each, and what a configuration may change."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ddcnn.__main__ import main
from ddcnn.base.errors import InputError
from ddcnn.data.options import ReadOptions
from ddcnn.data.registry import AXES, REGISTRY, Dataset, dataset_of
from ddcnn.data.samples import ArraySamples, Collection

PROJECT = Path(__file__).parents[1]
NAMES = (
    *("fashion-mnist-10k", "fashion-mnist", "cifar10", "cifar100", "tf-flowers", "yale-b"),
    *("chest-ct", "organmnist3d", "nodulemnist3d", "orl-faces", "tecator", "osu-leaf"),
    "ct-phantom",
)
ALL = pytest.mark.parametrize("dataset", REGISTRY.values(), ids=REGISTRY)


def test_every_promised_data_set_is_there():
    assert tuple(REGISTRY) == NAMES


@ALL
def test_an_entry_says_where_from_by_whom_and_under_which_licence(dataset: Dataset):
    assert dataset.title
    assert dataset.source
    assert dataset.licence
    assert dataset.split_rule
    assert dataset.citation or dataset.synthetic
    assert dataset.public_files or dataset.nearby or dataset.phantoms


@ALL
def test_every_file_can_be_verified_or_fetched_by_hand(dataset: Dataset):
    for file in dataset.public_files:
        assert file.checksum or file.size or file.instructions, file.name
        for url in file.urls:
            assert url.startswith("http") or Path(url).is_file()


@ALL
def test_shape_classes_and_counts_agree(dataset: Dataset):
    axes = AXES[len(dataset.shape)]
    assert set(dataset.flip) <= set(axes)
    assert 0 <= dataset.shift < min(dataset.shape) / 4
    assert dataset.image_shape[-1] in (1, 3)
    assert len(set(dataset.classes)) == len(dataset.classes)
    assert dataset.counts or dataset.phantoms
    for count in dataset.counts.values():
        assert isinstance(count, int) or len(count) in (len(dataset.classes), 10, 100)
    assert set(dataset.counts) in (set(), {"all"}, {"train", "test"}, {"train", "val", "test"})


def test_the_published_numbers():
    total = {
        name: {s: n if isinstance(n, int) else sum(n) for s, n in dataset.counts.items()}
        for name, dataset in REGISTRY.items()
    }
    assert total["cifar10"] == total["cifar100"] == {"train": 50_000, "test": 10_000}
    assert total["fashion-mnist"] == {"train": 60_000, "test": 10_000}
    assert total["tf-flowers"] == {"all": 3_670}
    assert total["yale-b"] == {"all": 2_414}
    assert len(REGISTRY["yale-b"].classes) == 38
    assert total["chest-ct"] == {"train": 140, "val": 30, "test": 30}
    assert total["organmnist3d"] == {"train": 971, "val": 161, "test": 610}
    assert total["nodulemnist3d"] == {"train": 1_158, "val": 165, "test": 310}
    assert total["orl-faces"] == {"all": 400}


def test_left_and_right_are_not_exchanged_where_they_are_classes():
    assert REGISTRY["organmnist3d"].flip == ()


def test_the_registry_is_imported_without_libraries_for_images_scans_and_nets():
    code = (
        "import sys, ddcnn.data.registry as r; r.dataset_of('chest-ct').image_shape; "
        "print([m for m in ('PIL', 'nibabel', 'scipy', 'torch', 'requests') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(PROJECT / "workflow")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


@ALL
def test_the_command_line_describes_it(dataset: Dataset, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["data", "info", dataset.name]) == 0
    text = capsys.readouterr().out
    assert dataset.name in text
    assert "licence" in text
    assert main(["data", "list"]) == 0
    assert re.search(rf"^{dataset.name} +\S", capsys.readouterr().out, re.MULTILINE)


# What a configuration may change


@ALL
def test_a_name_alone_and_a_mapping_with_the_name_are_the_same(dataset: Dataset):
    assert dataset_of(dataset.name) == dataset_of({"name": dataset.name})


@pytest.mark.parametrize(
    ("entry", "shape"),
    [
        ({"name": "tf-flowers"}, (128, 128, 3)),
        ({"name": "tf-flowers", "shape": [64, 96], "channels": 1}, (64, 96, 1)),
        ({"name": "yale-b"}, (192, 168, 1)),
        ({"name": "yale-b", "shape": [96, 84]}, (96, 84, 1)),
        ({"name": "orl-faces", "shape": [56, 46], "fit": "pad"}, (56, 46, 1)),
        ({"name": "chest-ct"}, (128, 128, 64, 1)),
        ({"name": "chest-ct", "shape": [64, 64, 32], "window": [-600, 1500]}, (64, 64, 32, 1)),
        ({"name": "organmnist3d", "shape": [32, 32, 32]}, (32, 32, 32, 1)),
        ({"name": "ct-phantom", "count": 30, "shape": [16, 24, 8], "seed": 1}, (16, 24, 8, 1)),
    ],
    ids=str,
)
def test_the_shape_of_a_mapping_is_that_of_the_images(entry, shape):
    assert dataset_of(entry).image_shape == shape


def test_keys_of_a_mapping_arrive():
    dataset = dataset_of({
        "name": "chest-ct",
        "window": [-600, 1500],
        "split_seed": 3,
        "unreadable": "skip",
        "flip": ["column"],
        "shift": 1,
    })  # fmt: skip
    assert dataset.options == ReadOptions(shape=(128, 128, 64), window=(-600, 1500), split_seed=3)
    assert (dataset.unreadable, dataset.flip, dataset.shift) == ("skip", ("column",), 1)
    phantoms = dataset_of({
        "name": "ct-phantom", "count": 30, "shape": [16, 24, 8], "seed": 1, "spacing": [20, 16, 30],
    }).phantoms  # fmt: skip
    assert (phantoms.count, phantoms.shape, phantoms.seed) == (30, (16, 24, 8), 1)
    assert phantoms.spacing == (20, 16, 30)
    assert REGISTRY["ct-phantom"].phantoms.count == 200, "the registry itself does not change"


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("birds", r"'birds' is not one of fashion-mnist-10k, .*, ct-phantom; for your own data"),
        ({"name": "cifar10", "shape": [16, 16]}, r"dataset.shape: cifar10 .* split_seed"),
        ({"name": "cifar10", "channels": 1}, "dataset.channels: cifar10 does not take this key"),
        ({"name": "fashion-mnist", "window": [0, 9]}, "dataset.window"),
        ({"name": "tf-flowers", "count": 9}, "dataset.count: tf-flowers does not take"),
        ({"name": "tf-flowers", "shape": [9, 9, 9]}, r"\[9, 9, 9\]; tf-flowers has 2 axes"),
        ({"name": "chest-ct", "shape": [9, 9]}, r"\[9, 9\]; chest-ct has 3 axes"),
        ({"name": "chest-ct", "window": [400, -1000]}, "the first value must be the smaller"),
        ({"name": "chest-ct", "channels": 3}, "dataset.channels"),
        ({"name": "cifar10", "flip": ["slice"]}, "'slice' is no axis of the images of cifar10"),
        ({"name": "cifar10", "title": "mine"}, "dataset.title"),
        ({"name": "ct-phantom", "count": 3}, "at least 8"),
        ({"name": "cifar10", "path": "/data"}, "the name 'cifar10' is taken"),
        ({"name": "mine", "path": str(PROJECT), "count": 30}, "only ct-phantom takes it"),
        ({"name": "mine", "path": "/not/there"}, "'/not/there' does not exist"),
    ],
    ids=str,
)
def test_a_mapping_that_does_not_fit_is_refused(entry, words):
    with pytest.raises(InputError, match=words) as error:
        dataset_of(entry)
    print(error.value)


# What the files hold is compared with the entry


def collection(labels: dict[str, list[int]], classes: list[str]) -> Collection:
    splits = {s: ArraySamples(np.array(y), lambda: iter([]), "x") for s, y in labels.items()}
    return Collection(classes, splits)


PAIR = replace(REGISTRY["cifar10"], classes=("cat", "dog"), counts={"train": (2, 1), "test": 1})


@pytest.mark.parametrize("classes", [["0", "1"], ["cat", "dog"]])
def test_what_is_as_published_passes(classes):
    PAIR._check(collection({"train": [0, 1, 0], "test": [1]}, classes))


@pytest.mark.parametrize(
    ("labels", "classes", "words"),
    [
        ({"train": [0, 1, 1], "test": [1]}, ["0", "1"], r"\[1, 2\] images of the classes in train"),
        ({"train": [0, 1, 0], "test": [1, 1]}, ["0", "1"], "2 images in test, expected 1"),
        ({"train": [0, 1, 0]}, ["0", "1"], "0 images in test, expected 1"),
        ({"train": [0, 1, 0], "test": [1]}, ["0", "1", "2"], "3 classes, expected 2"),
        ({"train": [0, 1, 0], "test": [1]}, ["cat", "cow"], "2 classes, expected 2 .cow, dog"),
    ],
)
def test_what_is_not_as_published_is_refused(labels, classes, words):
    with pytest.raises(InputError, match=words) as error:
        PAIR._check(collection(labels, classes))
    print(error.value)
    assert "cifar-10-binary.tar.gz is another version or incomplete" in str(error.value)
