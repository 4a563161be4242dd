"""Folders, tables and signals as people have them: what is read rightly, noted or refused."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
import yaml

from ddcnn.base.errors import InputError
from ddcnn.bundle.expected import Expected
from ddcnn.bundle.inputs import Inputs
from ddcnn.commands.arguments import read_experiment
from ddcnn.data.options import ReadOptions
from ddcnn.data.registry import dataset_of
from own_data import class_folders, decoded, good_rows, pixels, read, save, table


def refused(path: Path, *words: str, **options) -> None:
    with pytest.raises(InputError) as error:
        read(path, **options)
    print(error.value)
    assert "\n" not in str(error.value)
    assert all(word in str(error.value) for word in words), error.value


# --- splits ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        {"Training": "train", "Testing": "test"},
        {"TRAIN": "train", "Valid": "val", "Test": "test"},
        {"training": "train", "Validation": "val", "testing": "test"},
    ],
)
def test_splits_under_their_usual_names(tmp_path, names):
    for number, name in enumerate(names):
        for label, word in enumerate(("none", "tumor")):
            for i in range(4 + number):
                save(tmp_path / name / word / f"{i}.png", pixels(8, 8, seed=9 * i + label))
    collection = read(tmp_path)
    assert collection.classes == ["none", "tumor"]
    sizes = {split: len(samples.labels) for split, samples in collection.splits.items()}
    assert sizes == {split: 2 * (4 + i) for i, split in enumerate(names.values())}
    first = next(iter(names))
    assert collection.splits["train"].name(0) == f"{first}/none/0.png"


def test_two_folders_for_one_split(tmp_path):
    for name in ("train", "Training", "test"):
        class_folders(tmp_path / name)
    refused(tmp_path, "several folders for training (Training, train)", "keep one")


def test_splits_of_a_table_in_any_case(tmp_path):
    words = ["Train", "TRAIN", "training", "Test", "Testing"]
    rows = [f"{c}{i}.png,class {c},{words[i]}" for c in "ab" for i in range(5)]
    splits = read(table(tmp_path, "file,label,split\n" + "\n".join(rows))).splits
    assert {split: len(samples.labels) for split, samples in splits.items()} == {
        "train": 6,
        "test": 4,
    }


# --- what lies beside and below --------------------------------------------------------------


@pytest.mark.parametrize("place", ["@eaDir/0.png", ".thumbnails", "@__thumb", "#recycle", ".@tmp"])
def test_thumbnails_are_no_images(tmp_path, place):
    class_folders(tmp_path)
    for label in ("cat", "dog"):
        save(tmp_path / label / place / "SYNOPHOTO_THUMB_M.jpg", pixels(4, 4))
        (tmp_path / label / "Thumbs.db").write_bytes(b"x")
    collection = read(tmp_path)
    assert len(collection.splits["all"].labels) == 10
    assert (collection.notes, collection.warnings) == ([], [])


def test_masks_beside_images_are_warned_about(tmp_path):
    for label in ("ill", "normal"):
        for i in range(10):
            save(tmp_path / label / "images" / f"{i}.png", pixels(8, 8, seed=i))
            save(tmp_path / label / "masks" / f"{i}.png", pixels(8, 8, seed=50 + i))
    (warning,) = read(tmp_path).warnings
    print(warning)
    assert "images (20), masks (20)" in warning
    assert "move it elsewhere" in warning


def test_folders_inside_class_folders_are_noted(tmp_path):
    class_folders(tmp_path)
    for i in range(3):
        save(tmp_path / "cat/garden/deep" / f"{i}.png", pixels(8, 8, seed=i))
    collection = read(tmp_path)
    assert [note for note in collection.notes if "garden (3)" in note]
    assert collection.warnings == []


def test_texts_beside_images_are_no_missed_images(tmp_path):
    class_folders(tmp_path)
    for label in ("cat", "dog"):
        for i in range(5):
            (tmp_path / label / f"{i}.json").write_text("{}")
    collection = read(tmp_path)
    assert collection.warnings == []
    assert any("10 .json" in note for note in collection.notes)


def test_a_prediction_names_files_of_other_kinds_and_sees_no_thumbnails(tmp_path):
    class_folders(tmp_path)
    save(tmp_path / "cat/@eaDir/0.png/thumb.jpg", pixels(4, 4))
    for name in ("cat/a.heic", "dog/b.svg", "dog/notes.txt", "dog/Thumbs.db"):
        (tmp_path / name).write_bytes(b"x")
    inputs = Inputs.find([tmp_path], Expected((8, 8), 1, ReadOptions()))
    assert len(inputs) == 10
    (note,) = inputs.notes()
    assert "2 files of other kinds left out (cat/a.heic, dog/b.svg)" in note


# --- labels that are missing -----------------------------------------------------------------


@pytest.mark.parametrize("word", ["nan", "NaN", "None", "null", "NA", "n/a", "<NA>"])
def test_a_missing_label_written_as_text_is_refused(tmp_path, word):
    path = table(tmp_path, "file,label\n" + good_rows().replace("class b", word))
    refused(path, f"line 7: the label is {word!r}", f"classes: {{{word}: NAME}}")
    assert set(read(path, classes={word: "no finding"}).classes) == {"class a", "no finding"}


def test_a_class_folder_of_missing_labels(tmp_path):
    refused(class_folders(tmp_path / "one", ["cat", "nan"]), "one/nan: the label is 'nan'")
    assert read(class_folders(tmp_path / "two", ["cat", "none"])).classes == ["cat", "none"]


@pytest.mark.parametrize("text", ["1_5", "nan", "1,5"])
def test_targets_that_python_alone_reads_as_numbers(tmp_path, text):
    rows = good_rows().replace("class a", "1").replace("class b", "2")
    rows = rows.replace("a2.png,1", f'a2.png,"{text}"')
    refused(table(tmp_path, "file,target\n" + rows), "line 4: target is", "finite numbers")


# --- CSV -------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n", "\r\r\n"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_line_ends_of_every_system(tmp_path, end, start):
    text = "file,label,who\n" + good_rows().replace("\n", ',"Möwe, M."\n')
    path = table(tmp_path, (start + text.replace("\n", end)).encode())
    collection = read(path, group="who")
    with io.StringIO(text, newline="") as file:
        expected = [(row["file"], row["label"]) for row in csv.DictReader(file)]
    samples = collection.splits["all"]
    found = [(samples.name(i), collection.classes[y]) for i, y in enumerate(samples.labels)]
    assert found == expected
    assert collection.groups.names == ["Möwe, M."]
    expected = [pixels(8, 8, seed=i) for i in range(10)]
    np.testing.assert_array_equal(decoded(samples)[..., 0], expected)


def test_the_line_of_a_mistake_in_a_csv_of_an_old_mac(tmp_path):
    text = ("file,label\n" + good_rows()).replace("\n", "\r").encode()
    refused(table(tmp_path, text.replace(b"a2.png,class a", b"a2.png,")), "line 4: the label is")
    refused(table(tmp_path, text.replace(b"a2.png,class a", b"a2.png,\xe9")), "line 4 is not UTF-8")


# --- signals ---------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(48, 1, 60), (48, 3, 60), (48, 3, 100)])
def test_signals_with_channels_first_are_refused(tmp_path, shape):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    np.savez(tmp_path / "s.npz", x=x, y=np.arange(48) % 2)
    refused(tmp_path / "s.npz", f"has the shape {shape}", "channels before time", "moveaxis(x, 1",
            shape=(60,))  # fmt: skip
    np.savez(tmp_path / "s.npz", x=np.moveaxis(x, 1, 2), y=np.arange(48) % 2)
    found = decoded(read(tmp_path / "s.npz", shape=(shape[2],)).splits["all"])
    np.testing.assert_array_equal(found, np.moveaxis(x, 1, 2))


def test_signals_of_more_channels_than_steps(tmp_path):
    x = np.random.default_rng(0).normal(size=(48, 20, 64)).astype(np.float32)
    np.savez(tmp_path / "s.npz", x=x, y=np.arange(48) % 2)
    np.testing.assert_array_equal(decoded(read(tmp_path / "s.npz", shape=(20,)).splits["all"]), x)


# --- configuration ---------------------------------------------------------------------------


def experiment(folder: Path, text: str) -> Path:
    path = folder / "c.yaml"
    path.write_text("experiment: e\ndataset: fashion-mnist-10k\n" + text)
    return path


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("overlap: 0x4", 3),
        ("grid: 2x2\noverlap: [0, 0x10]", 4),
        ("seed: 010", 3),
        ("overlap: 1:30", 3),
        ("local:\n  epochs: 0b11", 4),
    ],
)
def test_numbers_that_yaml_reads_as_others_are_refused(tmp_path, text, line):
    written = text.split()[-1].strip("[],")
    path = experiment(tmp_path, text)
    with pytest.raises(InputError) as error:
        read_experiment(path)
    print(error.value)
    value = yaml.safe_load(written)
    assert f"c.yaml, line {line}: YAML reads {written} as the number {value};" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("overlap", ['"0x4"', "'0x4'"])
def test_an_overlap_of_each_axis_in_quotes(tmp_path, overlap):
    (run, *_) = [
        run
        for run in read_experiment(experiment(tmp_path, f"overlap: {overlap}")).runs
        if not run.is_global
    ]
    assert run.tiling.tile_shape((28, 28)) == (14, 16)


def test_groups_columns_and_classes_of_a_configuration(tmp_path):
    rows = good_rows().replace("class a", "0").replace("class b", "1").splitlines()
    text = "\n".join(["path,finding,who", *(f"{row},P{i}" for i, row in enumerate(rows))])
    path = table(tmp_path, text)
    options = "group: who, columns: {file: path, label: finding}, classes: {0: good, 1: bad}"
    config = experiment(tmp_path, "width: 4")
    config.write_text(f"experiment: e\ndataset: {{name: mine, path: {path}, {options}}}\n")
    (entry,) = read_experiment(config).entries.values()
    found = dataset_of(entry).options
    assert found.group == "who"
    assert found.columns == {"file": "path", "label": "finding"}
    assert found.classes == {"0": "good", "1": "bad"}
    config.write_text(config.read_text().replace("bad", "yes"))
    with pytest.raises(InputError, match=r"classes.*True is not accepted") as error:
        read_experiment(config)
    print(error.value)
