"""Signals and regression as data: own arrays and tables, .ts files, cards, and clear errors."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ddcnn.base.errors import InputError
from ddcnn.base.splits import SPLITS
from ddcnn.data.download import SourceFile
from ddcnn.data.preparation import download, prepare
from ddcnn.data.registry import REGISTRY, dataset_of, nearby
from ddcnn.data.series import read_series
from ddcnn.experiment.configuration import load_experiment
from own_data import class_folders, decoded, pixels, read, table

LABELS = np.arange(40) % 3


def signals(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(1000, 0.01, shape)


def save(path: Path, **arrays) -> Path:
    np.savez(path, **arrays)
    return path


def prepared(entry: str | dict, folder: Path) -> tuple[dict, dict[str, tuple]]:
    """The card, and images and labels of every split."""
    download(entry, folder / "raw/manifest.json")
    prepare(entry, folder / "raw/manifest.json", folder / "card.json")
    arrays = {s: tuple(np.load(folder / f"{a}_{s}.npy") for a in "xy") for s in SPLITS}
    return json.loads((folder / "card.json").read_text()), arrays


def all_decoded(path: Path, **options) -> list[np.ndarray]:
    return [decoded(samples) for samples in read(path, **options).splits.values()]


def refused(words: str | list[str], path: Path, **options) -> None:
    """Reading and decoding fail with one line that holds the words."""
    with pytest.raises(InputError) as caught:
        all_decoded(path, **options)
    print(message := str(caught.value))
    for word in [words] if isinstance(words, str) else words:
        assert word in message
    assert "\n" not in message


@pytest.mark.parametrize("shape", [(40, 30), (40, 30, 2)])
@pytest.mark.parametrize("dtype", ["float64", "float32", "int16"])
def test_signals_stay_what_they_are(tmp_path, shape, dtype):
    x = (signals(*shape) * 7).astype(dtype)
    entry = {"name": "s", "path": str(save(tmp_path / "a.npz", x=x, y=LABELS)), "shape": [30]}
    assert dataset_of(entry).image_shape == (30, (*shape, 1)[2])
    card, arrays = prepared(entry, tmp_path / "out")
    assert (card["task"], card["axes"], card["dtype"]) == ("classification", ["time"], "float32")
    assert (card["shape"], card["channels"]) == ([30], (*shape, 1)[2])
    together = np.concatenate([arrays[split][0] for split in SPLITS])
    assert together.dtype == np.float32
    expected = x.astype(np.float32).reshape(40, 30, -1)
    assert sorted(map(bytes, together)) == sorted(map(bytes, expected))
    train = arrays["train"][0].astype(np.float64)
    np.testing.assert_allclose(card["mean"], train.mean((0, 1)), rtol=1e-12)
    np.testing.assert_allclose(card["std"], train.std((0, 1)), rtol=1e-6)


def test_signals_of_another_length_are_resampled(tmp_path):
    ramp = np.linspace(0, 1, 60)[None].repeat(40, axis=0)
    path = save(tmp_path / "a.npz", x=ramp, y=LABELS)
    found = decoded(read(path, shape=(20,)).splits["all"])
    assert found.shape == (40, 20, 1)
    inner = slice(1, -1)
    np.testing.assert_allclose(
        found[0, inner, 0], ramp[0].reshape(20, 3).mean(axis=1)[inner], rtol=1e-5
    )


def test_images_are_not_taken_for_signals(tmp_path):
    """Gray images N, rows, columns have the shape of signals with channels: the option decides."""
    path = save(tmp_path / "a.npz", x=pixels(40, 8, 6), y=LABELS)
    assert decoded(read(path).splits["all"]).shape == (40, 8, 6, 1)
    as_signals = decoded(read(path, shape=(8,)).splits["all"])
    assert (as_signals.shape, as_signals.dtype) == ((40, 8, 6), np.float32)


@pytest.mark.parametrize("num_targets", [0, 1, 2])
def test_targets_of_arrays(tmp_path, num_targets):
    y = signals(40, num_targets or 1)
    path = save(tmp_path / "a.npz", x=pixels(40, 8, 6), y=y if num_targets else y[:, 0])
    entry = {"name": "s", "path": str(path), "task": "regression"}
    card, arrays = prepared(entry, tmp_path / "out")
    assert (card["task"], card["classes"], card["dtype"]) == ("regression", [], "uint8")
    assert card["targets"] == (["target 1", "target 2"] if num_targets == 2 else ["target"])
    assert card["counts"] == {
        "train": {"samples": 28}, "val": {"samples": 6}, "test": {"samples": 6},
    }  # fmt: skip
    together = np.concatenate([arrays[split][1] for split in SPLITS])
    assert (together.dtype, together.shape) == (np.float32, (40, num_targets or 1))
    np.testing.assert_array_equal(np.sort(together, axis=0), np.sort(y.astype("f4"), axis=0))
    train = arrays["train"][1].astype(np.float64)
    np.testing.assert_allclose(card["target_mean"], train.mean(axis=0))
    np.testing.assert_allclose(card["target_std"], train.std(axis=0))


def test_the_random_split_of_targets_depends_on_its_seed_alone(tmp_path):
    path = save(tmp_path / "a.npz", x=pixels(40, 8, 6), y=signals(40), targets=["heat"])
    chosen = []
    for number, seed in enumerate((0, 0, 1)):
        entry = {"name": "s", "path": str(path), "task": "regression", "split_seed": seed}
        card, arrays = prepared(entry, tmp_path / str(number))
        assert (card["targets"], card["split_seed"]) == (["heat"], seed)
        chosen.append(arrays["test"][1].tobytes())
    assert chosen[0] == chosen[1] != chosen[2]


def rows(column: str = "target", separator: str = ",") -> str:
    lines = [f"{c}{i}.png{separator}{i + 0.5}" for c in "ab" for i in range(5)]
    return "\n".join([f"file{separator}{column}", *lines]) + "\n"


def test_a_table_says_by_its_columns_that_it_holds_targets(tmp_path):
    path = table(tmp_path, rows())
    collection = read(path)
    assert (collection.task, collection.targets, collection.classes) == (
        "regression", ["target"], [],
    )  # fmt: skip
    expected = np.tile(np.arange(5) + 0.5, 2)[:, None]
    np.testing.assert_array_equal(collection.splits["all"].labels, expected)
    assert dataset_of({"name": "s", "path": str(path)}).task == "regression"


def test_a_table_of_several_targets(tmp_path):
    lines = [
        f"{c}{i}.png;{i + more};{-i - more};{split}"
        for c, more in (("a", 0), ("b", 10))
        for i, split in enumerate(["train"] * 4 + ["test"])
    ]
    text = "\n".join(["file;target_x;target_age in years;split", *lines]) + "\n"
    collection = read(table(tmp_path, text))
    assert collection.targets == ["x", "age in years"]
    np.testing.assert_array_equal(collection.splits["test"].labels, [[4, -4], [14, -14]])


@pytest.mark.parametrize(("text", "options", "words"), [
    (rows().replace("1.5", "warm"), {}, ["line 3", "'warm'", "finite numbers"]),
    (rows().replace("1.5", "nan"), {}, ["line 3", "'nan'", "finite numbers"]),
    (rows().replace("1.5", "inf"), {}, ["line 3", "'inf'", "finite numbers"]),
    (rows().replace("1.5", "1e300"), {}, ["inf", "finite numbers"]),
    (rows().replace("1.5", ""), {}, ["line 3", "target is missing"]),
    (rows("target,label").replace(".5", ".5,x"), {}, ["both label and target", "keep label"]),
    (rows(), {"task": "classification"}, ["task: classification", "name the column label"]),
    (rows("label"), {"task": "regression"}, ["task: regression", "target"]),
    (rows("label"), {}, ["too few images", "name the table's column target"]),
    ("file,target\n" + "".join(f"a{i}.png,3\n" for i in range(5)), {}, ["is 3 for every"]),
])  # fmt: skip
def test_bad_targets_of_tables(tmp_path, text, options, words):
    refused(["labels.csv", *words], table(tmp_path, text), **options)


REGRESSION = {"task": "regression"}


@pytest.mark.parametrize(("arrays", "options", "words"), [
    ({"x": pixels(40, 30), "y": LABELS}, {}, ["for signals", "shape: [30]"]),
    ({"x": pixels(40, 5, 6, 7), "y": LABELS}, {"shape": (5,)}, ["(40, 5, 6, 7)", "N, time"]),
    ({"x": signals(40, 30), "y": LABELS}, {"shape": (30,), "window": (0.0, 1.0)}, ["window"]),
    ({"x": signals(40, 30), "y": LABELS}, {"shape": (30,), "channels": 3}, ["channels"]),
    ({"x": pixels(40, 8, 6), "y": LABELS / 2}, {}, ["float64", "integers from 0", "regression"]),
    ({"x": pixels(40, 8, 6), "y": LABELS - 1}, {}, ["is -1", "integers from 0"]),
    ({"x": pixels(40, 8, 6), "y": LABELS, "classes": ["a", "b"]}, {}, ["2 names, but label 2"]),
    ({"x": pixels(40, 8, 6), "y": LABELS.astype(str)}, REGRESSION, ["accepted", "numbers"]),
    ({"x": pixels(40, 8, 6), "y": LABELS[:30] / 2}, REGRESSION, ["(30,) for 40 images"]),
    ({"x": pixels(40, 8, 6), "y": np.full(40, 2.5)}, REGRESSION, ["2.5 for every", "remove"]),
    ({"x": pixels(40, 8, 6), "y": np.r_[np.nan, LABELS[1:]]}, REGRESSION, ["nan", "finite"]),
    ({"x": pixels(40, 8, 6), "y": np.r_[LABELS[1:], np.inf]}, REGRESSION, ["sample 39", "inf"]),
    ({"x": pixels(2, 8, 6), "y": np.arange(2.0)}, REGRESSION, ["at least 4 are needed"]),
    ({"x": pixels(40, 8, 6), "y": LABELS, "targets": ["a", "b"]}, REGRESSION, ["1 targets"]),
])  # fmt: skip
def test_bad_signals_and_targets_of_arrays(tmp_path, arrays, options, words):
    refused(words, save(tmp_path / "a.npz", **arrays), **options)


@pytest.mark.parametrize("split", ["val", "test"])
@pytest.mark.parametrize("count", [1, 9])
def test_targets_that_never_change_in_a_split_are_refused_before_training(tmp_path, split, count):
    arrays = {}
    for name in SPLITS:
        num = count if name == split else 20
        arrays |= {f"x_{name}": pixels(num, 8, 6), f"y_{name}": signals(num, 2)}
    arrays[f"y_{split}"][:, 1] = 2.5
    words = ["target 2 is 2.5", f"split {split} ({count})", "R²", "split_seed"]
    if count == 1:
        words[0] = "the target target 1 is"
    refused(words, save(tmp_path / "a.npz", **arrays), **REGRESSION)


def test_folders_are_classes(tmp_path):
    refused(["folders are classes", "file,target"], class_folders(tmp_path / "f"), **REGRESSION)


def test_label_smoothing_needs_labels(tmp_path):
    path = save(tmp_path / "a.npz", x=pixels(40, 8, 6), y=signals(40))
    entry = {"name": "s", "path": str(path), "task": "regression"}
    config = {"experiment": "e", "dataset": entry, "local": {"label_smoothing": 0.1}}
    with pytest.raises(InputError, match=r"local\.label_smoothing: 0\.1.*regression"):
        load_experiment(config)
    load_experiment({"experiment": "e", "dataset": entry, "grid": "2x1"})
    config["local"] = {"class_weights": "balanced"}
    with pytest.raises(InputError, match=r"local\.class_weights: balanced.*regression"):
        load_experiment(config)


SERIES = "# made up\n@problemName x\n@univariate {}\n{}\n@data\n"


def ts_file(path: Path, x: np.ndarray, labels: list, header: str = "@targetLabel true") -> Path:
    lines = [
        ":".join([*(",".join(map(str, channel)) for channel in each.T), str(label)])
        for each, label in zip(x, labels, strict=True)
    ]
    path.write_text(SERIES.format("true", header) + "\n".join(lines) + "\n")
    return path


def test_series_of_several_channels(tmp_path):
    x = signals(6, 9, 2).astype(np.float32)
    path = ts_file(tmp_path / "a.ts", x, list("abcabc"), "@classLabel true c b a")
    found, labels, classes = read_series(path)
    np.testing.assert_array_equal(found, x)
    assert (labels, classes) == (list("abcabc"), ["c", "b", "a"])


@pytest.mark.parametrize(("text", "words"), [
    ("nothing", "no line @data"),
    ("@timestamps true\n@data\n1,2:3\n", "time stamps"),
    ("@univariate true\n@data\n1,2:3\n1,2,3:3\n", "different lengths"),
    ("@univariate true\n@data\n1,?:3\n", "series 0"),
    ("@univariate true\n@data\n1,nan:3\n", "series 0"),
])  # fmt: skip
def test_bad_series(tmp_path, text, words):
    (tmp_path / "a.ts").write_text(text)
    with pytest.raises(InputError, match=words):
        read_series(tmp_path / "a.ts")


def series_package(site: Path, monkeypatch) -> None:
    """An installed package as pip leaves it, with made-up spectra in the real names and layout."""
    info, names, files = site / "sktime-1.2.0.dist-info", [], []
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sktime\nVersion: 1.2.0\n")
    for split, count in {"TRAIN": 172, "TEST": 43}.items():
        name = f"sktime/datasets/data/Tecator/Tecator_{split}.ts"
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        x = signals(count, 100, 1, seed=count)
        if split == "TRAIN":  # as in the real files: 22 repeat others, some of them of the test
            x[150:160], x[160:] = x[:10], signals(43, 100, 1, seed=43)[:12]
        content = ts_file(site / name, x, x.mean((1, 2)).tolist()).read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        files.append(SourceFile(Path(name).name, (), f"sha256:{sha256}", len(content)))
        names.append(name)
    (info / "RECORD").write_text("".join(f"{name},,\n" for name in names))
    changed = replace(REGISTRY["tecator"], public_files=tuple(files))
    monkeypatch.setitem(REGISTRY, "tecator", changed)
    monkeypatch.syspath_prepend(site)


def test_spectra_from_an_installed_package(monkeypatch, tmp_path):
    series_package(tmp_path / "site", monkeypatch)
    card, arrays = prepared("tecator", tmp_path / "out")
    assert card["counts"] == {
        "train": {"samples": 112}, "val": {"samples": 38}, "test": {"samples": 43},
    }  # fmt: skip
    assert (card["targets"], card["shape"]) == (["fat content in percent"], [100])
    assert card["duplicates_across_splits"]["count"] == 0
    assert card["notes"] == ["22 series of train that repeat others are left out"]
    x, y = arrays["test"]
    np.testing.assert_allclose(x.mean((1, 2)), y[:, 0], rtol=1e-6)


def test_series_without_their_package_say_how_to_install_it(monkeypatch, tmp_path):
    def missing(name):
        raise nearby.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(nearby.metadata, "files", missing)
    assert dataset_of("osu-leaf").image_shape == (427, 1), "a configuration can be checked"
    with pytest.raises(InputError, match=r"--no-deps sktime==1\.2\.0"):
        download("tecator", tmp_path / "manifest.json")
