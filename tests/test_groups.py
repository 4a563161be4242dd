"""Groups, columns and names of classes: what stays together, and what is warned about."""

import csv
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import GroupShuffleSplit, StratifiedGroupKFold
from sklearn.neighbors import KNeighborsClassifier

from ddcnn.__main__ import main
from ddcnn.base.division import divide
from ddcnn.base.errors import InputError
from ddcnn.base.files import read_json, write_json
from ddcnn.base.listing import read_groups
from ddcnn.base.splits import SPLITS
from ddcnn.bundle.expected import Expected
from ddcnn.bundle.inputs import Inputs
from ddcnn.data.card import split_in_words
from ddcnn.data.likely import FurtherColumns
from ddcnn.data.options import ReadOptions
from ddcnn.data.preparation import prepare
from ddcnn.data.registry import dataset_of
from ddcnn.data.splitting import choose_splits
from own_data import class_folders, decoded, pixels, read, save

PATIENTS = 40


def patients(folder: Path, more: str = "") -> Path:
    """A table of 40 patients with 5 pictures each; the label is one of the patient's."""
    rng = np.random.default_rng(3)
    rows = [f"file,label,patient,age{more and ',split'}"]
    for patient in range(PATIENTS):
        label = rng.integers(2)
        for k in range(5):
            name = f"images/p{patient:02}_{k}.png"
            save(folder / name, pixels(8, 8, seed=10 * patient + k))
            split = more and "," + more.split()[patient % len(more.split())]
            rows.append(f"{name},{label},P{patient:03},{rng.integers(20, 80)}{split}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder / "labels.csv"


def prepared(path: Path, out: Path, **options) -> dict:
    write_json(out / "raw/manifest.json", {"files": [{"path": str(path)}]})
    entry = {"name": "mine", "path": str(path), **options}
    prepare(entry, out / "raw/manifest.json", out / "card.json")
    return read_json(out / "card.json")


def listed(out: Path) -> list[dict[str, str]]:
    with (out / "samples.csv").open(newline="") as file:
        return list(csv.DictReader(file))


# --- the division ----------------------------------------------------------------------------


def grouped_sets() -> list[tuple[np.ndarray, np.ndarray]]:
    """Labels and groups as people have them: pure and mixed groups, of one size and of many."""
    rng = np.random.default_rng(0)
    pure = np.repeat(np.arange(60), 5)
    sizes = rng.geometric(0.15, 80)
    mixed = np.repeat(np.arange(80), sizes)
    rare = np.repeat(np.arange(50), 4)
    return [
        (rng.integers(0, 2, 60)[pure], pure),
        (rng.integers(0, 4, len(mixed)), mixed),
        ((np.arange(50) < 4).astype(int)[rare], rare),
        (rng.integers(0, 3, 80)[mixed], mixed * 7 + 3),
    ]


@pytest.mark.parametrize("case", range(4))
@pytest.mark.parametrize("seed", range(5))
def test_a_group_stays_in_one_part_and_every_class_is_in_every_part(case, seed):
    labels, groups = grouped_sets()[case]
    parts = divide(labels, (0.7, 0.15, 0.15), seed, groups)
    for group in np.unique(groups):
        assert len(np.unique(parts[groups == group])) == 1
    for part in range(3):
        assert set(labels[parts == part]) == set(labels)
    np.testing.assert_array_equal(parts, divide(labels, (0.7, 0.15, 0.15), seed, groups))
    assert (parts != divide(labels, (0.7, 0.15, 0.15), seed + 100, groups)).any()


def deviation(labels: np.ndarray, parts: np.ndarray, shares: np.ndarray) -> float:
    """The largest difference between a part's share of a class and what it should be."""
    return max(
        abs(np.mean(parts[labels == label] == part) - share)
        for label in np.unique(labels)
        for part, share in enumerate(shares)
    )


@pytest.mark.parametrize("case", range(4))
def test_folds_of_groups_are_as_even_as_those_of_scikit_learn(case):
    labels, groups = grouped_sets()[case]
    shares = np.full(5, 0.2) if case != 2 else np.full(4, 0.25)
    ours, theirs = [], []
    for seed in range(10):
        ours.append(deviation(labels, divide(labels, tuple(shares), seed, groups), shares))
        parts = np.empty(len(labels), int)
        folds = StratifiedGroupKFold(len(shares), shuffle=True, random_state=seed)
        for fold, (_, test) in enumerate(folds.split(labels, labels, groups)):
            parts[test] = fold
        theirs.append(deviation(labels, parts, shares))
    print(f"largest deviation, mean of 10: {np.mean(ours):.4f}, scikit-learn {np.mean(theirs):.4f}")
    assert np.mean(ours) <= np.mean(theirs) + 0.02


@pytest.mark.parametrize("case", range(4))
def test_shares_are_kept_better_than_by_a_choice_that_does_not_look_at_classes(case):
    labels, groups = grouped_sets()[case]
    shares = np.array([0.85, 0.15])
    ours, theirs = [], []
    for seed in range(10):
        ours.append(deviation(labels, divide(labels, tuple(shares), seed, groups), shares))
        ((_, test),) = GroupShuffleSplit(1, test_size=0.15, random_state=seed).split(
            labels, groups=groups
        )
        theirs.append(deviation(labels, np.isin(np.arange(len(labels)), test), shares))
    print(f"largest deviation, mean of 10: {np.mean(ours):.4f}, by groups {np.mean(theirs):.4f}")
    assert np.mean(ours) < np.mean(theirs)


def test_groups_of_one_image_are_divided_in_the_shares():
    labels = np.repeat([0, 1], [100, 40])
    parts = divide(labels, (0.7, 0.15, 0.15), 0, np.arange(140))
    counts = [np.bincount(parts[labels == k]).tolist() for k in (0, 1)]
    assert counts == [[70, 15, 15], [28, 6, 6]]


def test_large_groups_are_not_always_in_one_part():
    """Twelve patients of 30 images and many of one: where the large ones go is chance."""
    groups = np.concatenate([np.repeat(np.arange(12), 30), np.arange(12, 400)])
    labels = np.zeros(len(groups), np.int64)
    seen = Counter()
    for seed in range(40):
        parts = divide(labels, (0.7, 0.15, 0.15), seed, groups)
        seen.update(parts[group * 30] for group in range(12))
    assert min(seen[part] for part in (1, 2)) >= 0.5 * 0.15 * 40 * 12


def test_train_gives_groups_to_validation():
    labels, groups = grouped_sets()[0]
    parts = choose_splits("train", labels, False, ReadOptions(), groups)
    assert set(parts) == {SPLITS.index("train"), SPLITS.index("val")}
    assert not set(groups[parts == 0]) & set(groups[parts == 1])


# --- groups of tables, folders and arrays ----------------------------------------------------


def by_group(rows: list[dict[str, str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row["group"], set()).add(row["split"])
    return found


def test_a_patient_of_a_table_is_in_one_split(tmp_path):
    table = patients(tmp_path / "data")
    card = prepared(table, tmp_path / "out", group="patient")
    assert card["group"] == "patient"
    assert card["split_rule"] == "made here: 70/15/15 % of every class in whole groups at random"
    assert split_in_words(card).endswith("at random; seed 0")
    assert card["warnings"] == []
    rows = listed(tmp_path / "out")
    with table.open(newline="") as file:
        wanted = {row["file"]: (row["label"], row["patient"]) for row in csv.DictReader(file)}
    assert {row["file"]: (row["label"], row["group"]) for row in rows} == wanted
    assert {len(splits) for splits in by_group(rows).values()} == {1}
    for split, share in {"train": 0.7, "val": 0.15, "test": 0.15}.items():
        of_split = [row for row in rows if row["split"] == split]
        assert abs(len(of_split) - share * 200) <= 10
        y = np.load(tmp_path / f"out/y_{split}.npy")
        assert [int(row["index"]) for row in of_split] == list(range(len(y)))
        assert [row["label"] for row in of_split] == [str(label) for label in y]
        ids = read_groups(tmp_path / "out/samples.csv", [split])
        names = [row["group"] for row in of_split]
        assert all((ids == ids[i]).sum() == names.count(names[i]) for i in range(len(ids)))


@pytest.mark.parametrize(
    ("splits", "rule"),
    [
        ("train val test", "given by the table"),
        (
            "train test",
            "test given by the table; validation made here: 17.6 % of every class of train at "
            "random; seed 3",
        ),
    ],
)
def test_the_card_says_which_split_was_given_and_which_was_made(tmp_path, splits, rule):
    names, rows = splits.split(), ["file,label,split"]
    for i in range(36):
        save(tmp_path / f"{i}.png", pixels(6, 6, seed=i))
        rows.append(f"{i}.png,{'ab'[i // 3 % 2]},{names[i % len(names)]}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    card = prepared(tmp_path / "labels.csv", tmp_path / "out", split_seed=3, group="none")
    assert split_in_words(card) == rule


def test_check_counts_classes_and_groups_once_the_data_are_prepared(tmp_path, monkeypatch, capsys):
    table, out = patients(tmp_path / "data"), tmp_path / "results/data/mine"
    monkeypatch.chdir(tmp_path)
    text = f"experiment: e\ndataset: {{name: mine, path: {table}, group: patient}}\n"
    (tmp_path / "mine.yaml").write_text(text + "grid: 1x2\noverlap: 0\n")
    assert main(["check", "mine.yaml"]) == 0
    assert "mine, train" not in capsys.readouterr().out
    prepared(table, out, group="patient")
    assert main(["check", "mine.yaml"]) == 0
    said = capsys.readouterr().out.splitlines()
    for split in ("train", "val", "test"):
        rows = [row for row in listed(out) if row["split"] == split]
        labels = Counter(row["label"] for row in rows)
        counts = ", ".join(f"{labels[label]} {label}" for label in sorted(labels))
        groups = len({row["group"] for row in rows})
        assert f"mine, {split}: {counts}, in {groups} groups" in said


def leaky(shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """40 patients with 5 noisy images each of one texture; labels say nothing but who it is."""
    rng = np.random.default_rng(0)
    texture = rng.normal(128, 45, (PATIENTS, 1, *shape))
    x = (texture + rng.normal(0, 12, (PATIENTS, 5, *shape))).clip(0, 255).astype(np.uint8)
    y, patient = np.repeat(rng.permutation(PATIENTS) % 2, 5), np.repeat(np.arange(PATIENTS), 5)
    return {"x": x.reshape(-1, *shape), "y": y, "patient": patient}


@pytest.mark.parametrize("shape", [(12, 12), (8, 8, 8)])
def test_labels_drawn_for_each_patient_cannot_be_learned_with_groups(tmp_path, shape):
    """The nearest training image is another one of the patient, or of nobody in particular."""
    np.savez(tmp_path / "a.npz", **leaky(shape))
    scores: dict[str, list[float]] = {"none": [], "patient": []}
    for group, found in scores.items():
        for seed in range(5):
            out = tmp_path / f"{group}{seed}"
            prepared(tmp_path / "a.npz", out, group=group, split_seed=seed, shape=list(shape))
            x = {s: np.load(out / f"x_{s}.npy").reshape(-1, np.prod(shape)) for s in SPLITS}
            y = {s: np.load(out / f"y_{s}.npy") for s in SPLITS}
            nearest = KNeighborsClassifier(1).fit(x["train"], y["train"])
            found.append(nearest.score(x["test"], y["test"]))
    print({group: np.mean(found) for group, found in scores.items()})
    assert np.mean(scores["none"]) > 0.95
    # About 6 patients a seed are tested: three standard errors of 30 fair coins.
    assert abs(np.mean(scores["patient"]) - 0.5) < 3 * 0.5 / 30**0.5


def test_a_rule_finds_groups_in_the_names_of_a_table(tmp_path):
    table = patients(tmp_path / "data")
    prepared(table, tmp_path / "out", group="(p[0-9]+)_")
    rows = listed(tmp_path / "out")
    assert all(row["file"] == f"images/{row['group']}_{row['file'][-5]}.png" for row in rows)
    assert {len(splits) for splits in by_group(rows).values()} == {1}


@pytest.mark.parametrize("split", ["", "Training ", "train ", "test "])
def test_a_rule_finds_groups_below_class_folders(tmp_path, split):
    for label in "ab":
        for patient in range(6):
            for k in range(3):
                parts = ("train", "test") if split else ("",)
                part = parts[patient % len(parts)]
                name = f"{part}/{label}/p{patient}{label}/x_{k}.png".removeprefix("/")
                save(tmp_path / "data" / name, pixels(8, 8, seed=100 * patient + k))
    prepared(tmp_path / "data", tmp_path / "out", group="^([^/]+)/")
    rows = listed(tmp_path / "out")
    assert len(rows) == 36
    assert all(f"/{row['group']}/" in row["file"] for row in rows)
    assert {len(splits) for splits in by_group(rows).values()} == {1}


def test_groups_of_arrays(tmp_path):
    site = np.repeat([f"s{k}" for k in range(12)], 4)
    x, y = pixels(48, 8, 8), np.repeat(np.arange(12) % 2, 4)
    np.savez(tmp_path / "a.npz", x=x, y=y, site=site)
    prepared(tmp_path / "a.npz", tmp_path / "out", group="site")
    rows = listed(tmp_path / "out")
    places = [int(row["file"].removeprefix("a.npz: x[").removesuffix("]")) for row in rows]
    assert sorted(places) == list(range(48))
    assert [row["group"] for row in rows] == site[places].tolist()
    assert {len(splits) for splits in by_group(rows).values()} == {1}
    stored = np.concatenate([np.load(tmp_path / f"out/x_{split}.npy") for split in SPLITS])
    np.testing.assert_array_equal(stored[..., 0], x[places])


def test_without_groups_every_image_stands_for_itself(tmp_path):
    prepared(class_folders(tmp_path / "data", count=10), tmp_path / "out")
    assert {row["group"] for row in listed(tmp_path / "out")} == {""}
    assert read_groups(tmp_path / "out/samples.csv", ["train"]).tolist() == list(range(14))


def refused(path: Path, *words: str, **options) -> None:
    with pytest.raises(InputError) as error:
        read(path, **options)
    print(error.value)
    assert "\n" not in str(error.value)
    assert all(word in str(error.value) for word in words), error.value


def test_a_group_in_two_given_splits_is_refused_with_its_files(tmp_path):
    table = patients(tmp_path, "train test train")
    read(table, group="patient")
    text = table.read_text().replace("p01_3.png,0,P001", "p01_3.png,0,P000")
    table.write_text(text.replace("p01_3.png,1,P001", "p01_3.png,1,P000"))
    refused(table, "'P000' (patient)", "in train (images/p00_0.png)", "test (images/p01_3.png)",
            group="patient")  # fmt: skip


def test_a_group_in_two_split_folders_is_refused(tmp_path):
    for split in ("Train", "TEST"):
        for label in "ab":
            for k in range(4):
                save(tmp_path / split / label / f"{label}{k}_{split}.png", pixels(8, 8))
    assert set(read(tmp_path, group="none").splits) == {"train", "test"}
    refused(tmp_path, "'a0'", "train (Train/a/a0_Train.png)", "test (TEST/a/a0_TEST.png)",
            "and 7 more", group="^([^_]+)_")  # fmt: skip


def test_classes_in_too_few_groups_are_refused(tmp_path):
    for label, number in {"a": 5, "b": 2}.items():
        for k in range(10):
            save(tmp_path / "data" / label / f"{label}{k % number}_{k}.png", pixels(8, 8, seed=k))
    with pytest.raises(InputError, match=r"class 'b' has 2 groups only .*'b0', 'b1'") as error:
        prepared(tmp_path / "data", tmp_path / "out", group="^([^_]+)_")
    print(error.value)
    assert not (tmp_path / "out/card.json").exists()


@pytest.mark.parametrize(
    ("group", "words"),
    [
        ("pateint", ["dataset.group: the column 'pateint'", "its columns: 'file', 'label'"]),
        ("(", ["dataset.group: '('", "accepted: a regular expression"]),
        ("(a)(b)", ["has 2 such pairs"]),
        ("(q[0-9]+)", ["finds nothing in 'images/p00_0.png'"]),
    ],
)  # fmt: skip
def test_groups_that_are_not_there(tmp_path, group, words):
    refused(patients(tmp_path), *words, group=group)


@pytest.mark.parametrize(
    ("make", "group"), [(class_folders, "patient"), (patients, "(("), (patients, "pateint")]
)
def test_a_wrong_group_is_refused_before_any_job(tmp_path, make, group):
    path = make(tmp_path / "data")
    with pytest.raises(InputError, match=r"dataset\.group"):
        dataset_of({"name": "mine", "path": str(path), "group": group}).image_shape  # noqa: B018


def test_an_image_without_a_group_is_refused(tmp_path):
    table = patients(tmp_path)
    table.write_text(table.read_text().replace(",P002,", ",,", 1))
    refused(table, "line 12: the group is missing", group="patient")


def test_a_folder_takes_a_rule_and_arrays_a_name(tmp_path):
    refused(class_folders(tmp_path / "data"), "'patient' has 0 such pairs", group="patient")
    np.savez(tmp_path / "a.npz", x=pixels(20, 8, 8), y=np.arange(20) % 2)
    refused(tmp_path / "a.npz", "has no array 'patient'", "x, y", group="patient")


# --- warnings --------------------------------------------------------------------------------


def test_a_column_that_looks_like_groups_is_warned_about(tmp_path, caplog):
    card = prepared(patients(tmp_path / "data"), tmp_path / "out")
    (warning,) = card["warnings"]
    assert "labels.csv: 'patient' may name groups" in warning
    assert "group: patient" in warning
    assert "'age'" not in warning
    assert str(tmp_path) not in warning
    assert [r.message for r in caplog.records if r.levelname == "WARNING"] == [
        f"warning: {warning}"
    ]


def test_names_of_files_that_look_like_groups_are_warned_about(tmp_path):
    for patient in range(12):
        for k in range(4):
            save(tmp_path / "ab"[patient % 2] / f"p{patient}_{k}.png", pixels(8, 8))
    (warning,) = read(tmp_path).warnings
    print(warning)
    assert "12 groups of 48 images, 'p0' is one" in warning
    rule = warning.split("group: '")[1].split("'")[0]
    groups = read(tmp_path, group=rule).groups
    assert sorted(groups.names) == sorted(f"p{k}" for k in range(12))
    assert read(tmp_path, group="none").warnings == []


def test_folders_of_patients_are_warned_about(tmp_path):
    for patient in range(12):
        for k in range(4):
            save(tmp_path / "ab"[patient % 2] / f"p{patient}" / f"{k}.png", pixels(8, 8))
    (warning,) = read(tmp_path).warnings
    assert "group: '^([^/]+)/'" in warning


def test_an_array_that_looks_like_groups_is_warned_about(tmp_path):
    arrays = leaky((8, 8))
    np.savez(tmp_path / "a.npz", **arrays, age=np.random.default_rng(0).integers(20, 80, 200))
    (warning,) = read(tmp_path / "a.npz").warnings
    assert "a.npz: 'patient' may name groups" in warning
    assert "(40 groups of 200 images" in warning
    order = np.random.default_rng(0).permutation(200)
    parts = {f"{k}_train": v[order[:150]] for k, v in arrays.items()}
    parts |= {f"{k}_test": v[order[150:]] for k, v in arrays.items()}
    np.savez(tmp_path / "b.npz", **parts)
    (warning,) = read(tmp_path / "b.npz").warnings
    assert "group: patient to dataset" in warning
    refused(tmp_path / "b.npz", "(patient) is in train", "and in test", group="patient")


def test_subjects_of_bids_are_warned_about(tmp_path):
    for subject in range(10):
        for session in (1, 2):
            name = f"sub-{subject:02}/ses-{session}/anat/sub-{subject:02}_ses-{session}_T1w.png"
            save(tmp_path / "ab"[subject % 2] / name, pixels(8, 8))
    (warning,) = read(tmp_path).warnings
    assert "10 groups of 20 images, 'sub-00' is one" in warning


def test_measurements_of_a_long_table_are_not_kept(tmp_path):
    """Further columns of many different values would fill the memory."""
    columns = FurtherColumns({"volume": 0, "patient": 1, "site": 2})
    for i in range(3000):
        columns.add("all", [str(i / 7), f"P{i // 2}", "ab"[i % 2]])
    found = columns.groups()
    assert list(found) == ["patient", "site"]
    assert len(found["patient"].names) == 1500


@pytest.mark.parametrize("header", ["label,site", "label,sex", "label,score", "label,note"])
def test_other_columns_are_no_groups(tmp_path, header):
    """Few values, one for each image, or numbers that do not go with the classes."""
    draw = random.Random(0)
    values = {
        "site": lambda i: draw.choice(["Berlin", "Köln"]),
        "sex": lambda i: draw.choice("fm"),
        "score": lambda i: draw.randint(0, 30),
        "note": lambda i: f"image {i}",
    }[header.split(",")[1]]
    rows = [f"file,{header}"]
    for i in range(120):
        save(tmp_path / f"{i}.png", pixels(8, 8, seed=i))
        rows.append(f"{i}.png,{draw.choice('ab')},{values(i)}")
    (tmp_path / "t.csv").write_text("\n".join(rows))
    assert read(tmp_path / "t.csv").warnings == []


@pytest.mark.parametrize(
    "name",
    ["{i}.png", "IMG_{i:04}.png", "{label}_{i}.png", "{label}-{i:03}.png", "{i}_{label}.png"],
)
def test_usual_names_of_files_are_no_groups(tmp_path, name):
    for i in range(60):
        label = ("cat", "dog", "cow")[i % 3]
        save(tmp_path / label / name.format(i=i, label=label), pixels(8, 8))
    assert read(tmp_path).warnings == []


def numbered(folder: Path, name: str, counts: dict[str, int]) -> Path:
    """A table of files whose names count the images of each class, in each split from 0 on."""
    rows = ["file,label,split"]
    for split, part in (("train", 1), ("test", 4)):
        for label, count in counts.items():
            for k in range(count // part):
                file = name.format(split=split, label=label, k=k)
                save(folder / file, pixels(4, 4))
                rows.append(f"{file},{label},{split}")
    (folder / "t.csv").write_text("\n".join(rows))
    return folder / "t.csv"


@pytest.mark.parametrize(
    "name",
    [
        *("{split}/{k:04}_{label}.png", "{split}/{label}_{k:04}.png", "{split}/{label}/{k}.png"),
        *("{split}_{label}_{k}.png", "{split}-{k}-{label}.png", "{split}/img_{k}_{label}.png"),
        "{label}_{k}_{split}.png",
    ],
)
def test_classes_splits_and_running_numbers_are_no_groups(tmp_path, name):
    """Classes of one word and of two, as those of CIFAR-100: what is cut off differs."""
    classes = ["maple_tree", "oak_tree", "polar_bear", "sea", "lamp", "girl"]
    assert read(numbered(tmp_path, name, dict.fromkeys(classes, 16))).warnings == []


def test_measurements_of_a_frequent_class_are_no_groups(tmp_path):
    """Images of one value are of one class by chance, as most images are."""
    draw, rows = random.Random(0), ["file,label,score"]
    for i in range(300):
        save(tmp_path / f"{i}.png", pixels(4, 4))
        rows.append(f"{i}.png,{'ill' if i < 6 else 'well'},{draw.randint(0, 60)}")
    (tmp_path / "t.csv").write_text("\n".join(rows))
    assert read(tmp_path / "t.csv").warnings == []


def test_numbers_of_patients_are_warned_about_beside_the_class(tmp_path):
    rows = ["file,label"]
    for patient in range(12):
        for label in ("healthy", "tumour"):
            for k in range(3):
                rows.append(f"{label}_{patient:03}_{k}.png,{label}")
                save(tmp_path / rows[-1].split(",")[0], pixels(4, 4))
    (tmp_path / "t.csv").write_text("\n".join(rows))
    (warning,) = read(tmp_path / "t.csv").warnings
    assert "24 groups of 72 images, 'healthy_000' is one" in warning


def test_given_splits_that_divide_no_group_bring_no_warning(tmp_path):
    for patient in range(30):
        for k in range(4):
            split = ("train", "val", "test")[patient // 2 % 3]
            save(tmp_path / split / "ab"[patient % 2] / f"p{patient}_{k}.png", pixels(8, 8))
    assert read(tmp_path).warnings == []
    for k in range(4):
        save(tmp_path / "test/a" / f"p0_9{k}.png", pixels(8, 8))
    assert len(read(tmp_path).warnings) == 1


def test_an_unused_column_that_looks_like_a_split_is_warned_about(tmp_path):
    table = patients(tmp_path, "Train TEST Train")
    table.write_text(table.read_text().replace(",split", ",Set", 1))
    warnings = read(table, group=None).warnings
    assert any("'Set' looks like a split" in w and "{split: Set}" in w for w in warnings)
    splits = read(table, columns={"split": "Set"}, group="patient").splits
    assert set(splits) == {"train", "test"}


# --- columns and classes ---------------------------------------------------------------------


def renamed_table(folder: Path, header: str = "id,path,diagnosis,fold,label") -> Path:
    rows = [header]
    for i in range(20):
        save(folder / f"{i}.png", pixels(8, 8, seed=i))
        rows.append(f"{i},{i}.png,{i % 2},{('train', 'test')[i // 10]},free text")
    (folder / "t.csv").write_text("\n".join(rows))
    return folder / "t.csv"


def test_columns_of_other_names(tmp_path):
    columns = {"file": "path", "label": "diagnosis", "split": "fold"}
    collection = read(renamed_table(tmp_path), columns=columns, group="none")
    assert collection.classes == ["0", "1"]
    for split, first in {"train": 0, "test": 10}.items():
        samples = collection.splits[split]
        assert [samples.name(i) for i in range(10)] == [f"{first + i}.png" for i in range(10)]
        assert samples.labels.tolist() == [0, 1] * 5
        expected = [pixels(8, 8, seed=first + i) for i in range(10)]
        np.testing.assert_array_equal(decoded(samples)[..., 0], expected)


def test_targets_of_other_names(tmp_path):
    columns = {"file": "path", "target_age": "diagnosis", "target_id": "id", "split": "fold"}
    collection = read(renamed_table(tmp_path), columns=columns, group="none", task="regression")
    assert collection.targets == ["id", "age"]
    assert collection.splits["train"].labels.tolist() == [[i, i % 2] for i in range(10)]


def test_a_prediction_reads_the_same_columns(tmp_path):
    table = renamed_table(tmp_path)
    expected = Expected((8, 8), 1, ReadOptions(columns={"file": "path"}))
    (files,) = Inputs.find([table], expected).sources
    assert [path.name for path in files] == [f"{i}.png" for i in range(20)]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"label": "diagnosis"}, ["no column 'file' among 'id', 'path'", "columns: {label: NAME}"]),
        ({"file": "paht"}, ["dataset.columns.file: the column 'paht'", "is not there", "'path'"]),
        ({"image": "path"}, ["dataset.columns: 'image' is not one of file, label, split, target"]),
        ({"file": "path", "label": "diagnosis", "target": "id"}, ["both label and target"]),
    ],
)
def test_columns_that_do_not_fit(tmp_path, columns, words):
    refused(renamed_table(tmp_path), *words, columns=columns)


def test_a_column_twice_matters_only_where_it_is_used(tmp_path):
    table = renamed_table(tmp_path, "note,file,label,note,")
    assert read(table, group="none").classes == ["0", "1"]
    table = renamed_table(tmp_path, "note,file,label,label,")
    refused(table, "line 1: a column twice")


def test_names_of_classes(tmp_path):
    names = {"1": "benign", "10": "malignant", "2": "benign"}
    class_folders(tmp_path / "folders", ["1", "2", "10", "3"])
    collection = read(tmp_path / "folders", classes=names)
    assert collection.classes == [
        "benign",
        "3",
        "malignant",
    ]  # in the order of the data: 1, 2, 3, 10
    samples = collection.splits["all"]
    folders = [samples.name(i).split("/")[0] for i in range(20)]
    found = [collection.classes[label] for label in samples.labels]
    assert found == [names.get(folder, folder) for folder in folders]
    refused(tmp_path / "folders", "no class '4'", "'1', '2', '3', '10'", classes={"4": "x"})


def test_names_of_classes_of_arrays_and_in_the_configuration(tmp_path):
    y = np.arange(40) % 2
    np.savez(tmp_path / "a.npz", x=pixels(40, 8, 8), y=y)
    card = prepared(tmp_path / "a.npz", tmp_path / "out", classes={0: "benign", 1: "malignant"})
    assert card["classes"] == ["benign", "malignant"]
    assert card["counts"]["train"] == {"benign": 14, "malignant": 14}
