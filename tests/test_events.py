"""TensorBoard's event files, read back by TensorBoard itself."""

import csv
import logging
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ddcnn.base import events
from ddcnn.base.errors import InputError
from ddcnn.base.logs import log_to
from ddcnn.experiment.configuration import load_experiment
from ddcnn.training.device import choose_device
from ddcnn.training.loop import run, training
from ddcnn.training.samples import Features
from ddcnn.training.settings import Settings, write_history

CONFIG = {"experiment": "watched", "dataset": "fashion-mnist-10k", "log": "tensorboard"}
ROW = {"epoch": 1, "step": 55, "learning_rate": 0.05, "loss_train": 1.5, "accuracy_val": 0.25}


def read(folder) -> dict[str, list[tuple[int, float]]]:
    """Epochs and values of every tag."""
    found = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    found.Reload()
    tags = found.Tags()["scalars"]
    return {tag: [(each.step, each.value) for each in found.Scalars(tag)] for tag in tags}


def log_epochs(folder, *epochs: int) -> None:
    """What a training logs from one start to its end."""
    handler = events.EpochEvents(folder)
    for epoch in epochs:
        record = logging.makeLogRecord({events.ROW: {**ROW, "epoch": epoch}})
        handler.emit(record)
    handler.close()


@pytest.fixture
def in_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(events.VARIABLE, str(events.FOLDER))
    return tmp_path


def train() -> list[dict[str, float]]:
    """A net of one layer, three epochs."""
    torch.manual_seed(0)
    samples = Features(torch.randn(40, 3), torch.arange(40) % 2)
    settings = Settings(
        epochs=3, batch_size=8, optimizer="sgd", learning_rate=0.1, weight_decay=0, momentum=0.9
    )
    net = torch.nn.Linear(3, 2)
    return run(
        training(net, samples, samples, settings, 0, choose_device(gpus=0, threads=1))
    ).history


def test_a_writer_that_fails_at_the_end_does_not_take_the_training_along(in_project, monkeypatch):
    with log_to("logs/train_local/blobs/vgg-w8/whole/seed0/0-0.log"):
        history = train()
        (handler,) = (
            h for h in logging.getLogger("ddcnn").handlers if isinstance(h, events.EpochEvents)
        )
        monkeypatch.setattr(handler.writer, "close", lambda: Path("/dev/full").write_text("x"))
    assert len(history) == 3


def test_events_hold_what_history_holds(in_project):
    with log_to("logs/train_local/blobs/vgg-w8/whole/seed0/0-0.log"):
        history = train()
    write_history(history, in_project / "history.csv")
    with (in_project / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = read("results/tensorboard/train_local/blobs/vgg-w8/whole/seed0/0-0")
    columns = {
        "loss/train": "loss_train",
        "loss/val": "loss_val",
        "accuracy/train": "accuracy_train",
        "accuracy/val": "accuracy_val",
        "learning_rate": "learning_rate",
        "seconds": "seconds",
    }
    assert set(found) == set(columns)
    for tag, column in columns.items():
        expected = [(int(row["epoch"]), float(row[column])) for row in rows]
        assert [step for step, _ in found[tag]] == [step for step, _ in expected] == [1, 2, 3]
        values = [value for _, value in found[tag]]
        assert values == pytest.approx([value for _, value in expected], rel=1e-4, abs=1e-4)


def test_an_epoch_is_seen_as_soon_as_it_ends(tmp_path):
    handler = events.EpochEvents(tmp_path)
    for epoch in (1, 2):
        handler.emit(logging.makeLogRecord({events.ROW: {**ROW, "epoch": epoch}}))
        assert read(tmp_path)["loss/train"][-1] == (epoch, 1.5)
    handler.close()


def test_a_resumed_training_goes_on_and_another_one_begins_anew(tmp_path):
    log_epochs(tmp_path, 1, 2)
    log_epochs(tmp_path, 3)
    assert [step for step, _ in read(tmp_path)["accuracy/val"]] == [1, 2, 3]
    log_epochs(tmp_path, 1)
    assert [step for step, _ in read(tmp_path)["accuracy/val"]] == [1]


def test_nothing_is_written_that_nobody_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(events.VARIABLE, raising=False)
    with log_to("logs/train_local/a.log"):
        train()
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["a.log"]


def test_a_training_goes_on_where_events_cannot_be_written(in_project, caplog):
    (in_project / "results").write_text("a file in the place of the folder")
    with log_to("logs/train_local/a.log"):
        assert len(train()) == 3
    text = (in_project / "logs/train_local/a.log").read_text()
    assert text.count("no more TensorBoard events") == 1
    assert "epoch 3" in text


def test_a_missing_package_is_told_before_any_job(monkeypatch):
    assert load_experiment(CONFIG).settings["log"] == "tensorboard"
    monkeypatch.setattr(events, "is_installed", lambda: False)
    with pytest.raises(InputError, match=r"log: tensorboard .*not installed; install .*log: none"):
        load_experiment(CONFIG)
    load_experiment(CONFIG | {"log": "none"})
