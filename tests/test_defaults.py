"""Settings that say ``auto``: what the rule makes of data of every size, and where it is said."""

import json

import pytest

from ddcnn.__main__ import main
from ddcnn.base.defaults import KINDS, Facts, chosen
from ddcnn.experiment.chosen import chosen_settings, facts_of
from ddcnn.experiment.configuration import load_experiment
from ddcnn.experiment.schema import complete

KEYS = ("epochs", "batch_size", "optimizer", "learning_rate", "weight_decay", "label_smoothing")
AUTO = dict.fromkeys(KEYS, "auto")
SIZES = [4, 20, 63, 112, 160, 200, 280, 1000, 1258, 2569, 7000, 12_800, 55_000, 10**6]
CONFIG = {"experiment": "e", "dataset": "fashion-mnist-10k"}


def steps(num_images: int, kind: str, part: str = "local", **given) -> tuple[int, int, int]:
    """Epochs, images in a step, and steps in all, counted batch by batch."""
    settings = AUTO | given
    settings |= chosen(settings, Facts(num_images, kind, "classification"), part)
    batches = 0
    for first in range(0, num_images, settings["batch_size"]):
        batches += first + settings["batch_size"] <= num_images
    epochs = settings["epochs"]
    return epochs, settings["batch_size"], epochs * max(1, batches)


@pytest.mark.parametrize("kind", KINDS.values())
@pytest.mark.parametrize("num_images", SIZES)
def test_every_training_has_enough_steps_and_epochs(kind, num_images):
    least = {"volume": 300, "image": 600, "signal": 1200}[kind]
    epochs, batch_size, count = steps(num_images, kind)
    assert epochs >= 8
    assert count >= least
    assert batch_size in (16, 32, 64, 128)
    # Not longer than needed: one epoch less were too few steps or too few epochs.
    assert epochs == 8 or count - count // epochs < least


@pytest.mark.parametrize("part", ["local", "transfer", "coarse"])
def test_more_images_need_no_more_epochs_and_no_smaller_steps(part):
    found = [steps(num_images, "image", part) for num_images in SIZES]
    assert [f[0] for f in found] == sorted((f[0] for f in found), reverse=True)
    assert [f[1] for f in found] == sorted(f[1] for f in found)


def test_images_that_the_issue_was_about():
    assert steps(200, "image")[:2] == (100, 32)
    assert steps(7000, "image")[:2] == (8, 32)


def test_epochs_are_those_of_the_batch_size_that_was_given():
    assert steps(1000, "image", batch_size=100)[::2] == (60, 600)
    assert steps(1000, "image", batch_size=500)[::2] == (300, 600)


def test_what_is_given_stays():
    given = {"epochs": 3, "batch_size": 7, "label_smoothing": 0.0}
    given |= {"optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 0.0}
    facts = Facts(200, "image", "classification")
    assert chosen(given, facts) == {}
    assert set(chosen(AUTO | {"epochs": 3}, facts)) == set(KEYS) - {"epochs"}


def test_learning_rate_and_decay_are_those_of_the_optimizer():
    facts = Facts(200, "image", "classification")
    found = chosen(AUTO | {"optimizer": "adamw"}, facts)
    assert (found["learning_rate"], found["weight_decay"]) == (0.003, 0.01)
    found = chosen(AUTO, facts)
    assert (found["optimizer"], found["learning_rate"], found["weight_decay"]) == (
        "sgd",
        0.05,
        5e-4,
    )
    found = chosen(AUTO, Facts(112, "signal", "regression"))
    assert (found["optimizer"], found["learning_rate"], found["weight_decay"]) == (
        *("adamw", 0.003, 0.01),
    )
    assert chosen(AUTO, facts, "transfer")["learning_rate"] == 0.01


def test_targets_of_a_regression_are_not_smoothed():
    assert chosen(AUTO, Facts(112, "signal", "regression"))["label_smoothing"] == 0
    assert chosen(AUTO, Facts(112, "signal", "classification"))["label_smoothing"] == 0.1


def test_only_parts_that_train_in_steps_are_named():
    facts = Facts(200, "image", "classification")
    local = {f"local.{key}" for key in KEYS}
    assert set(chosen_settings(complete(CONFIG), facts)) == local
    both = complete(CONFIG | {"coarse": {"solver": "mlp"}, "methods": ["transfer"]})
    assert set(chosen_settings(both, facts)) == local | {
        "transfer.epochs",
        "transfer.learning_rate",
        "coarse.epochs",
        "coarse.batch_size",
    }


def test_the_number_of_images_is_the_cards_before_the_registrys(tmp_path):
    dataset = load_experiment(CONFIG).datasets["fashion-mnist-10k"]
    assert facts_of(dataset, tmp_path) == Facts(7000, "image", "classification")
    card = tmp_path / "data" / "fashion-mnist-10k" / "card.json"
    card.parent.mkdir(parents=True)
    counts = {"train": {"a": 30, "b": 12}}
    axes = ["row", "column"]
    card.write_text(
        json.dumps(
            {"counts": counts, "axes": axes, "task": "classification", "classes": ["a", "b"]}
        )
    )
    assert facts_of(dataset, tmp_path) == Facts(42, "image", "classification")


@pytest.mark.parametrize(
    ("name", "num_images"),
    [("fashion-mnist", 55_000), ("cifar10", 45_000), ("orl-faces", 280), ("organmnist3d", 971)],
)
def test_a_validation_split_is_taken_off_the_published_training_split(name, num_images, tmp_path):
    from ddcnn.data.registry import REGISTRY

    assert facts_of(REGISTRY[name], tmp_path).num_images == num_images


def checked(tmp_path, monkeypatch, capsys, text: str) -> str:
    """What ``ddcnn check`` prints of a configuration."""
    path = tmp_path / "config.yaml"
    path.write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["ddcnn", "check", str(path)])
    main()
    return capsys.readouterr().out


def test_check_says_what_auto_becomes(tmp_path, monkeypatch, capsys):
    text = "experiment: e\ndataset: [fashion-mnist-10k, tecator]\ngrid: 2x2\n"
    text = text.replace(", tecator", "")
    found = checked(tmp_path, monkeypatch, capsys, text)
    assert (
        "fashion-mnist-10k: for 7,000 training images (auto): local.epochs 8, "
        "local.batch_size 32, local.optimizer sgd, local.learning_rate 0.05, "
        "local.weight_decay 0.0005, local.label_smoothing 0.1\n"
    ) in found


def test_check_says_that_it_is_decided_later(tmp_path, monkeypatch, capsys):
    from workflow_runs import small_fashion

    small_fashion(tmp_path / "own.npz", 100)
    given = "{label_smoothing: 0, optimizer: sgd, learning_rate: 0.1, weight_decay: 0}"
    text = f"experiment: e\ndataset: {{name: own, path: own.npz}}\nlocal: {given}\n"
    found = checked(tmp_path, monkeypatch, capsys, text)
    expected = "own: decided when the data are prepared (auto): local.epochs, local.batch_size\n"
    assert expected in found


def test_check_is_silent_where_nothing_is_automatic(tmp_path, monkeypatch, capsys):
    given = "epochs: 1, batch_size: 8, optimizer: sgd, learning_rate: 1, weight_decay: 0"
    local = f"local: {{{given}, label_smoothing: 0}}\n"
    text = "experiment: e\ndataset: fashion-mnist-10k\n" + local
    assert "auto" not in checked(tmp_path, monkeypatch, capsys, text)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("", "own: augmentation: none, as the data set allows none"),
        (", flip: [column], shift: 2", "own: augmentation: flips along column, shifts up to 2 pix"),
    ],
)
def test_check_says_what_augmentation_does(more, said, tmp_path, monkeypatch, capsys):
    from workflow_runs import small_fashion

    small_fashion(tmp_path / "own.npz", 100)
    text = f"experiment: e\ndataset: {{name: own, path: own.npz{more}}}\n"
    assert "augmentation" not in checked(tmp_path, monkeypatch, capsys, text)
    assert said in checked(tmp_path, monkeypatch, capsys, text + "local: {augment: true}\n")


def images_card(num_images: int, flip: list[str], shift: int) -> dict:
    return {
        "counts": {"train": {"a": num_images - 1, "b": 1}},
        "axes": ["row", "column"],
        "task": "classification",
        "classes": ["a", "b"],
        "augment": {"flip": flip, "shift": shift},
    }


def test_augmentation_says_what_it_does_and_is_off_where_it_does_nothing(caplog):
    from ddcnn.local.stage import fitting_settings
    from ddcnn.training.settings import Settings

    asked = Settings(**AUTO, augment=True)
    with caplog.at_level("INFO"):
        used = fitting_settings(asked, images_card(200, ["column"], 2))
    assert (used.epochs, used.batch_size, used.augment) == (100, 32, True)
    assert "augmentation: flips along column, shifts up to 2 pixels" in caplog.text
    assert "chosen for these data (auto): epochs 100, batch_size 32, optimizer sgd" in caplog.text
    with caplog.at_level("INFO"):
        used = fitting_settings(asked, images_card(200, [], 0))
    assert not used.augment
    assert "augmentation: none" in caplog.text


def test_nets_that_are_trained_already_get_fewer_epochs():
    from ddcnn.local.stage import fitting_settings
    from ddcnn.training.settings import Settings

    asked = Settings(**AUTO)
    assert fitting_settings(asked, images_card(7000, [], 0), "transfer").epochs == 3
    assert fitting_settings(asked, images_card(200, [], 0), "transfer").epochs == 38


def test_a_report_says_what_auto_became():
    from ddcnn.report.page import settings_shown

    cards = {"many": images_card(7000, [], 0), "few": images_card(200, [], 0)}
    settings = complete(CONFIG)
    shown = dict(settings_shown(settings, cards))
    assert shown["local.epochs"] == "auto: 8 (many), 100 (few)"
    assert shown["local.batch_size"] == "auto: 32"
    assert shown["local.precision"] == "auto"  # of the machine, not of the data
    assert shown["coarse.epochs"] == "auto"  # nothing is trained by it
    assert shown["local.learning_rate"] == "auto: 0.05"
    assert shown["local.dropout"] == "0.2"
