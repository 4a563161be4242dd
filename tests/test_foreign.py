"""Results of others, of other versions and of other programs: one line, or on without the file."""

import fcntl
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from ddcnn.__main__ import main
from ddcnn.commands import status as status_command
from ddcnn.experiment.configuration import load_experiment
from ddcnn.experiment.status import experiment_status
from fake_results import FakeExperiment
from test_compare import settings_of, write_finished
from test_plan import CONFIG, jobs_of, measure
from test_status import write_log

pytestmark = pytest.mark.timeout(60)  # a pipe that is opened waits for ever

CONTENTS = {
    "empty": b"",
    "binary": bytes(range(256)) * 20,
    "list": b"[1, 2]",
    "null": b"null",
    "text": b'"x"',
    "of other types": b'{"experiment": [1], "counts": 3, "report": {"margin": "x"}, "settings": 0}',
    "deep": b"[" * 100_000,
    "deep enough": b'{"a":' * 900 + b"1" + b"}" * 900,
}
KINDS = [*CONTENTS, "pipe", "device", "folder", "link to nothing"]


def replace(path: Path, kind: str) -> None:
    """Put something of another kind where a file of ours was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind in ("device", "link to nothing"):
        path.symlink_to("/dev/zero" if kind == "device" else "/nowhere")
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_bytes(CONTENTS[kind])


def refused(said, path: Path) -> None:
    """One line that names the file."""
    assert re.fullmatch(r"error: [^\n]+\n", said.err)
    assert path.name in said.err
    assert "Traceback" not in said.err


# Reports ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    for name in ("a", "b"):
        experiment = FakeExperiment(seeds=(0, 1), tilings=(("blocks", "2x2", 0, False),))
        write_finished(folder / f"{name}/results", name, experiment, settings_of(name, experiment))
    return folder


@pytest.fixture
def reports(finished, tmp_path) -> tuple[Path, Path]:
    """The reports' folders, the second one a copy to be changed."""
    shutil.copytree(finished / "b/results/reports/b", tmp_path / "b")
    return finished / "a/results/reports/a", tmp_path / "b"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["settings.json", "summary.csv", "merits.npz"])
def test_compare_refuses_a_report_of_another_kind(reports, name, kind, capsys):
    replace(reports[1] / name, kind)
    assert main(["compare", *map(str, reports)]) == 1
    refused(capsys.readouterr(), reports[1] / name)


@pytest.mark.parametrize(("column", "value"), [
    ("seed", "x"), ("seed", 0.5), ("seed", None), ("seed", 7), ("dataset", None), ("method", None),
    ("method", "other"), ("accuracy_test", "high"), ("accuracy_val", "high"),
    ("parallel_seconds", "long"), ("model", "a\x1b[2J"),
])  # fmt: skip
def test_compare_refuses_a_summary_of_other_values(reports, column, value, capsys):
    table = pd.read_csv(reports[1] / "summary.csv", dtype=object)
    table.loc[1, column] = value
    table.to_csv(reports[1] / "summary.csv", index=False)
    assert main(["compare", *map(str, reports)]) == 1
    said = capsys.readouterr()
    assert re.fullmatch(r"error: [^\n\x1b]+\n", said.err)
    assert "summary.csv" in said.err or "merits.npz" in said.err


@pytest.mark.parametrize("column", ["accuracy_val", "accuracy_test", "r2_test", "parallel_seconds"])
def test_compare_names_a_column_that_a_summary_lacks(reports, column, capsys):
    table = pd.read_csv(reports[1] / "summary.csv", dtype=object)
    table.drop(columns=column).to_csv(reports[1] / "summary.csv", index=False)
    assert main(["compare", *map(str, reports)]) == 1
    refused(capsys.readouterr(), reports[1] / "summary.csv")


def test_compare_goes_on_without_what_validation_would_choose(reports, capsys):
    for report in reports:
        table = pd.read_csv(report / "summary.csv", dtype=object)
        changed = table.assign(accuracy_val=None)
        if report == reports[1]:
            changed.to_csv(report / "summary.csv", index=False)
    assert main(["compare", *map(str, reports)]) == 0
    assert "Traceback" not in capsys.readouterr().err


CUT = "blobs/vgg-w16/blocks-2x2-overlap0/seed0/cnn-dnn"


@pytest.mark.parametrize(("name", "array"), [
    ("blobs", None), ("blobs/groups", None), (CUT, None),
    ("blobs", np.array(3)), ("blobs", np.array(["a"] * 400)), ("blobs", np.zeros(0, np.int64)),
    ("blobs/groups", np.zeros(7, np.int64)), ("blobs/groups", np.full(400, "a")),
    (CUT, np.zeros(7, bool)), (CUT, np.full(400, "a")), (CUT, np.zeros((400, 2), bool)),
    (CUT, np.full(400, np.nan)),
])  # fmt: skip
def test_compare_refuses_merits_of_other_arrays(reports, name, array, capsys):
    path = reports[1] / "merits.npz"
    arrays = dict(np.load(path))
    arrays = {key: value for key, value in arrays.items() if key != name or array is not None}
    np.savez(path, **(arrays if array is None else arrays | {name: array}))
    assert main(["compare", *map(str, reports)]) == 1
    refused(capsys.readouterr(), path)


def test_compare_does_not_unpack_merits_of_any_size(reports, capsys):
    """A packed file of 100 kB that holds 100 MB."""
    path = reports[1] / "merits.npz"
    np.savez_compressed(path, **dict(np.load(path)), more=np.zeros(10**8, np.int8))
    assert main(["compare", *map(str, reports)]) == 1
    refused(capsys.readouterr(), path)


@pytest.mark.parametrize("kind", KINDS)
def test_compare_refuses_settings_beside_a_configuration(
    reports, kind, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(reports[1], tmp_path / "results/reports/b")
    replace(tmp_path / "results/reports/b/settings.json", kind)
    config = {"experiment": "b", "dataset": "fashion-mnist-10k", "width": 16}
    Path("b.yaml").write_text(yaml.safe_dump(config))
    assert main(["compare", str(reports[0]), "b.yaml"]) == 1
    assert re.fullmatch(r"error: [^\n]+\n", capsys.readouterr().err)


# Jobs ---------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """An experiment all of whose jobs were measured."""
    measure(tmp_path, list(jobs_of().values()))
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.yaml").write_text(yaml.safe_dump(CONFIG))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def a_training(place: str = "blocks-2x2-overlap0"):
    return next(j for j in jobs_of().values() if j.rule == "train_local" and place in j.name)


MEASURED = ["-4.8", "nan", "inf", "1e400", "", "x", "1,5"]


@pytest.mark.parametrize("command", [["status"], ["plan"], ["room", "--remove", "data", "--yes"]])
@pytest.mark.parametrize("kind", [*KINDS, *MEASURED])
def test_a_benchmark_of_another_kind_is_left_out(project, command, kind, capsys, caplog):
    path = project / a_training().benchmark
    (project / "results/data/d").mkdir(parents=True)
    (project / "results/data/d/x_train.npy").touch()
    if kind in KINDS:
        replace(path, kind)
    else:
        path.write_text(f"s\th:m:s\n{kind}\t0:00:00\n")
    assert main(command) == 0
    said = capsys.readouterr()
    assert "-" not in re.findall(r"critical path.*?: (.)", said.out)
    if kind not in ("empty", "folder", "link to nothing"):
        (message,) = caplog.messages
        assert path.name in message
        assert message.endswith("it is left out")
    assert len(caplog.messages) <= 1


METRICS = {"multiply_adds": 0, "images": "x", "epochs": None, "train_seconds": -1.0}
METRICS |= {"architecture": 3, "settings": [], "settings.epochs": 0}


@pytest.mark.parametrize("kind", [*KINDS, *METRICS])
def test_metrics_of_another_kind_are_left_out(project, kind, capsys, caplog):
    path = project / "results/local" / a_training().place / "metrics.json"
    if kind in KINDS:
        replace(path, kind)
    else:
        facts = json.loads(path.read_text())
        place, _, key = kind.rpartition(".")
        (facts[place] if place else facts)[key] = METRICS[kind]
        path.write_text(json.dumps(facts))
    assert main(["plan"]) == 0
    assert "jobs," in capsys.readouterr().out
    is_file = kind not in ("pipe", "device", "folder", "link to nothing")
    assert [m for m in caplog.messages if "metrics.json" in m] == caplog.messages
    assert len(caplog.messages) == is_file


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", ["plan", "check"])
def test_a_card_of_another_kind_is_one_line(project, command, kind, capsys):
    card = project / "results/data/fashion-mnist-10k/card.json"
    replace(card, kind)
    status = main([command])
    said = capsys.readouterr()
    if status:
        refused(said, card)
    else:  # no file is no card
        assert kind in ("pipe", "device", "folder", "link to nothing")


@pytest.mark.parametrize("counts", [3, {"train": 3}, {"train": [1]}, {"train": {"a": "b"}}])
@pytest.mark.parametrize("command", ["plan", "check"])
def test_a_card_with_other_counts_is_one_line(project, command, counts, capsys):
    card = project / "results/data/fashion-mnist-10k/card.json"
    card.parent.mkdir(parents=True)
    card.write_text(json.dumps({"counts": counts, "axes": ["row", "column"]}))
    assert main([command]) == 1
    refused(capsys.readouterr(), card)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", [["status"], ["room", "--remove", "data", "--yes"]])
def test_a_log_of_another_kind_is_no_log(project, command, kind, capsys):
    replace(project / a_training().log, kind)
    assert main(command) == 0
    assert "Traceback" not in capsys.readouterr().err


LINES = {
    "more than all": "epoch 9/8: accuracy 0.5",
    "long": f"epoch {'9' * 5000}/8: accuracy 0.5",
    "two points": "epoch 2/8: accuracy 0.9.9",
    "a point": "epoch 2/8: accuracy .",
    "escape": "\x1b[2Jepoch 2/8: accuracy 0.5",
    "not the epoch": "x" * 10**7,
}


@pytest.mark.parametrize("every", [10, -3600], ids=["clock forth", "clock back"])
@pytest.mark.parametrize("line", [*LINES, "no time"])
def test_lines_of_a_log_that_no_training_wrote(project, line, every, capsys):
    """Of a job that runs, and of the same one after its death."""
    job = a_training()
    lines = ["training 0-0", "epoch 1/8: accuracy 0.4"]
    path = write_log(project, job, *lines, *([LINES[line]] if line in LINES else []), every=every)
    with path.open("a") as file:
        if line == "no time":
            file.write("epoch 2/8: accuracy 0.5\n")
            file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        (running,) = experiment_status(load_experiment(CONFIG)).of("running")
        assert main(["status"]) == 0
    assert running.seconds >= 0
    assert running.seconds_left >= 0
    assert main(["status"]) == 0
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err
    assert len(max(said.out.splitlines(), key=len)) < 400
    assert not re.search(r"-\d+(\.\d)? s", said.out)


@pytest.mark.parametrize("every", ["nan", "inf", "-1", "0", "1e300"])
def test_no_such_time_between_two_looks(project, every, capsys, monkeypatch):
    monkeypatch.setattr(status_command.time, "sleep", lambda seconds: pytest.fail("it waited"))
    assert main(["status", "--watch", "--every", every]) == 1
    assert "--every" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["compare", "b"], ["plan", "--measured"]])
@pytest.mark.parametrize("name", ["a" * 5000, f"{'a' * 5000}/b", "config/config.yaml/b"])
def test_a_folder_that_cannot_be(project, command, name, capsys):
    assert main([*command, name]) == 1
    assert re.fullmatch(r"error: [^\n]+\n", capsys.readouterr().err)


@pytest.mark.parametrize("arguments", [
    ["--cores", "9" * 5000], ["--gpus", "1" + "0" * 400], ["--queue-seconds", "1e308"],
    ["--start-seconds", "nan"],
])  # fmt: skip
def test_no_such_machine(project, arguments, capsys):
    with pytest.raises(SystemExit):
        main(["plan", *arguments])
    assert arguments[0] in capsys.readouterr().err


def test_jobs_that_take_no_time_at_all(project, capsys):
    for path in project.rglob("*.tsv"):
        path.write_text("s\th:m:s\n0.0\t0:00:00\n")
    assert main(["plan", "--start-seconds", "0"]) == 0
    assert "critical path" in capsys.readouterr().out
