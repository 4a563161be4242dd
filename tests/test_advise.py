"""``ddcnn advise``: from results that a test writes, and from steps that it measures."""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ddcnn.base.amounts import bandwidth, latency, memory
from ddcnn.experiment.configuration import load_experiment
from ddcnn.experiment.paths import folder_of, place_of
from ddcnn.parallel import WAYS
from test_report_others import metrics_of

CONFIG = {
    "experiment": "small",
    "dataset": "fashion-mnist-10k",
    "width": 4,
    "grid": "2x2",
    "local": {"epochs": 1, "batch_size": 700},
}


def advise(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ddcnn", "advise", *arguments],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip


@pytest.fixture
def project(tmp_path) -> Path:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.yaml").write_text(yaml.safe_dump(CONFIG))
    return tmp_path


@pytest.fixture
def trained(project) -> Path:
    """The global net took 100 s for 5 of its 10 steps; tiles 10 to 40 s, the coarse net 3 s."""
    for run in load_experiment(CONFIG).runs:
        tiles = {name: 10.0 * place for place, name in enumerate(run.decomposition.subdomains, 1)}
        for tile, seconds in tiles.items():
            place = place_of("train_local", run.wildcards | {"tile": tile})
            facts = {"train_seconds": 50.0 if run.is_global else seconds, "steps": 10}
            facts |= {"peak_memory_bytes": 2e9 if run.is_global else 1e9}
            facts["steps"] = 5 if run.is_global else 10
            write(folder_of("train_local", place, project / "results") / "metrics.json", facts)
        if not run.is_global:
            place = place_of("train_coarse", run.wildcards | {"combination": "coarse"})
            folder = folder_of("train_coarse", place, project / "results")
            write(folder / "metrics.json", {"train_seconds": 3.0})
        method = "global" if run.is_global else "cnn-dnn"
        scores = {"methods": {method: {"accuracy_test": 0.75 if run.is_global else 0.5}}}
        folder = folder_of("evaluate", place_of("evaluate", run.wildcards), project / "results")
        write(folder / "evaluation.json", scores)
    return project


def write(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def rows(output: str) -> dict[str, list[str]]:
    """Cells of every row of the table, by its first one."""
    lines = [re.split(r"  +", line.strip()) for line in output.splitlines()]
    return {line[0]: line[1:] for line in lines if len(line) > 3}


def test_one_device_trains_the_tiles_one_after_the_other(trained):
    done = advise(trained, "--devices", "1", "--memory", "1.5GB")
    assert done.returncode == 0, done.stderr
    found = rows(done.stdout)
    assert found["one device"] == ["1", "1 min 40 s", "too much: 2.0 GB", "0 B", "0.7500"]
    tiles = found["tiles: blocks-2x2-overlap0"]
    assert tiles == ["1", "1 min 43 s", "1.0 GB", "0 B", "0.5000"]  # 10 + 20 + 30 + 40 + 3 s
    assert "Fastest: tiles: blocks-2x2-overlap0, 1 min 43 s, 1.0 times" in done.stdout
    assert "synthetic" not in done.stdout


def test_several_devices_train_tiles_side_by_side_and_the_other_ways_are_modelled(trained):
    done = advise(trained, "--devices", "2", "--link", "100Mbit", "--latency", "1ms")
    assert done.returncode == 0, done.stderr
    found = rows(done.stdout)
    # 10 and 30 s on one device, 20 and 40 s on the other; then the coarse net.
    assert found["tiles: blocks-2x2-overlap0"][:2] == ["2", "1 min 3 s"]
    for way in ("data", "data-synchronised", "spatial", "pipeline"):
        assert found[way][0] == "2"
        assert found[way][3] != "0 B"
    said = " ".join(done.stdout.split())
    assert "spatial, pipeline: a model of steps with synthetic pixels measured here" in said
    assert "Measured trainings in results: whole, blocks-2x2-overlap0." in said


def test_trainings_by_several_workers_are_taken_from_the_results(trained):
    run = next(run for run in load_experiment(CONFIG).runs if run.is_global)
    for way in WAYS:
        place = place_of("train_parallel", run.wildcards | {"way": way, "workers": "2"})
        folder = folder_of("train_parallel", place, trained / "results")
        write(folder / "metrics.json", metrics_of(way, step=0.5))
    done = advise(trained, "--devices", "2", "--link", "1Gbit", "--latency", "1ns")
    assert done.returncode == 0, done.stderr
    found = rows(done.stdout)
    for way in WAYS:
        assert found[way][:3] == ["2", "5.0 s", "400.0 MB"]  # 10 steps
    assert "synthetic" not in done.stdout
    assert "a model of the trainings in results" in " ".join(done.stdout.split())


def test_a_link_is_no_faster_than_the_programs_at_its_ends(trained):
    done = advise(trained, "--devices", "2", "--link", "900Tbit")
    assert done.returncode == 0, done.stderr
    assert re.search(r"send each other [0-9.]+ Gbit/s and no more", " ".join(done.stdout.split()))


def test_nets_that_were_never_trained_are_measured_for_a_moment(project):
    done = advise(project, "--devices", "1", "--memory", "1MB")
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "A short measurement here, with synthetic pixels: whole, blocks-2x2-overlap0." in said
    assert "None of these fits into 1.0 MB." in said
    assert "Accuracies are known of trainings in the results alone" in said


@pytest.mark.parametrize("text", ["[]", "{}", '{"train_seconds": "x", "steps": 1}', "{", "\0"])
def test_results_of_others_that_say_nothing_are_one_line(trained, text):
    (path, *_) = trained.glob("results/local/*/*/whole/seed0/*/metrics.json")
    path.write_text(text)
    done = advise(trained, "--devices", "2")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert str(path.relative_to(trained)) in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "--devices"),
        (("--devices", "0"), "'0' is not a whole number from 1"),
        (("--devices", "2", "--memory", "16"), "'16' is not an amount such as 16GB"),
        (("--devices", "2", "--link", "10GB"), "'10GB' is not an amount such as 10Gbit"),
        (("--devices", "2", "missing.yaml"), "error: missing.yaml cannot be read"),
    ],
)
def test_a_mistake_is_one_line(project, arguments, words):
    done = advise(project, *arguments)
    assert done.returncode in (1, 2)
    assert words in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (memory, "16GB", 16e9),
        (memory, "1.5 GiB", 1.5 * 2**30),
        (memory, "512mb", 512e6),
        (memory, "7b", 7.0),
        (bandwidth, "10Gbit", 1e10),
        (bandwidth, "100 Mbit/s", 1e8),
        (bandwidth, "25GB/s", 2e11),
        (latency, "50us", 50e-6),
        (latency, "1e-1ms", 1e-4),
        (latency, "2s", 2.0),
    ],
)
def test_amounts_have_the_units_that_people_write(read, text, value):
    assert read(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "GB", "16", "0GB", "-1GB", "1.2.3GB", "16XB", "infGB"])
def test_other_amounts_are_refused_with_an_example(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is not an amount such as 16GB"):
        memory(text)
