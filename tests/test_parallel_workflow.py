"""The other ways of parallel training as a part of the workflow: rows, repeated jobs, and kills."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

from ddcnn.base.errors import InputError
from ddcnn.evaluation.methods import WORKER_KEYS
from ddcnn.experiment.configuration import load_experiment
from ddcnn.experiment.parameters import parallel_trainings
from ddcnn.parallel import WAYS
from ddcnn.parallel.check import check_ways
from workflow_runs import (
    command,
    make_project,
    planned_jobs,
    small_fashion,
    snakemake,
    write_config,
)

SMALL = {"width": 4, "grid": "1x2", "overlap": 0, "coarse_view": False, "methods": ["mean"]}
PLACE = "parallel/fashion/vgg-w4/whole/seed0"
RUN = Path("results/runs/fashion/vgg-w4/whole/seed0")


def config_of(project: Path, epochs: int, **changes) -> Path:
    data = project.parent / "fashion.npz"
    if not data.exists():
        small_fashion(data, 120)
    dataset = {"name": "fashion", "path": str(data), "shape": [8, 8]}
    name = f"{len(changes)}-{epochs}.yaml"
    local = {"epochs": epochs, "batch_size": 16, "checkpoint_seconds": 0}
    return write_config(project / name, dataset=dataset, local=local, **SMALL, **changes)


def test_each_way_is_a_row_beside_the_global_net_and_repeats_nothing_else(tmp_path):
    project = make_project(tmp_path / "project")
    config = config_of(project, epochs=2)
    snakemake(project, config)
    asked = config_of(project, epochs=2, parallel=["data", "spatial"])
    added = {"train_parallel": 2, "evaluate": 1, "bundle": 1, "report": 1}
    assert planned_jobs(project, asked) == added
    snakemake(project, asked)
    assert planned_jobs(project, asked) == {}
    found = json.loads((project / RUN / "evaluation.json").read_text())["methods"]
    assert list(found) == ["global", "data-2", "spatial-2"]
    table = pd.read_csv(project / "results/reports/tiny/summary.csv").set_index("method")
    compared = pd.read_csv(project / "results/reports/tiny/comparison.csv").set_index("method")
    page = (project / "results/reports/tiny/report.html").read_text()
    for method in ("data-2", "spatial-2"):
        folder = project / "results" / PLACE / method
        net = json.loads((folder / "metrics.json").read_text())
        row, spent = table.loc[method], net["parallel"]
        assert (row["kernels"], row["workers"]) == ("torch", 2)
        assert row["parallel_seconds"] == pytest.approx(net["train_seconds"], abs=1e-4)
        assert row["serial_seconds"] == pytest.approx(2 * net["train_seconds"], abs=1e-3)
        assert row["flop_ratio"] == 2
        assert row["peak_memory_bytes"] == max(spent["peak_memory_bytes"])
        for key in WORKER_KEYS:
            assert row[key] == pytest.approx(max(spent[key])), key
            assert compared.loc[method, key] == pytest.approx(max(spent[key]), rel=1e-5), key
        said = np.load(folder / "probabilities.npz")["test"].argmax(axis=1)
        labels = np.load(project / RUN / "predictions.npz")["test_labels"]
        assert row["accuracy_test"] == pytest.approx((said == labels).mean())
        low, high = compared.loc[method, ["accuracy_test_low", "accuracy_test_high"]]
        assert low < row["accuracy_test"] < high
        assert f'<th scope="row">{method}</th>' in page
    assert table.loc[["global", "mean"], ["workers", *WORKER_KEYS]].isna().all(axis=None)
    assert "data-2, spatial-2: the global net trained by so many workers" in page
    # Only the trainings by workers hold the code of their engine.
    engine = project / "workflow/ddcnn/parallel/door.py"
    engine.write_text(engine.read_text() + "\nANOTHER = 1\n")
    assert planned_jobs(project, asked) == added


def running_workers(snakemake_process: psutil.Process) -> list[psutil.Process]:
    children = snakemake_process.children(recursive=True)
    return [each for each in children if "ddcnn.parallel" in " ".join(each.cmdline())]


def kill_at_epoch(running: subprocess.Popen, log: Path, victims: str) -> None:
    """SIGKILL one worker, all, or Snakemake with all below it, once the second epoch is done."""
    deadline = time.monotonic() + 300
    while running.poll() is None and time.monotonic() < deadline:
        if log.exists() and "epoch 2/" in log.read_text():
            if victims == "snakemake":
                os.killpg(running.pid, signal.SIGKILL)
                return
            workers = running_workers(psutil.Process(running.pid))
            for process in workers[1:] if victims == "worker" else workers:
                process.kill()
            return
        time.sleep(0.005)
    raise AssertionError("the training ended before it could be killed")


def gone(pids: list[int]) -> bool:
    return not any(psutil.pid_exists(pid) for pid in pids)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    """The project of a training that nobody killed, alone."""
    project = make_project(tmp_path_factory.mktemp("undisturbed") / "project")
    config = config_of(project, epochs=30, parallel=["data-synchronised"])
    snakemake(project, config, "--until", "train_parallel")
    return project


@pytest.mark.faults
@pytest.mark.parametrize("victims", ["worker", "all", "snakemake"])
def test_a_killed_training_by_workers_goes_on_to_the_same_bits(undisturbed, tmp_path, victims):
    project = make_project(tmp_path / "killed")
    (tmp_path / "fashion.npz").write_bytes((undisturbed.parent / "fashion.npz").read_bytes())
    config = config_of(project, epochs=30, parallel=["data-synchronised"])
    folder = project / "results" / PLACE / "data-synchronised-2"
    log = project / f"logs/train_{PLACE}/data-synchronised-2.log"
    running = subprocess.Popen(
        [*command(config), "--until", "train_parallel"],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    kill_at_epoch(running, log, victims)
    workers = [int(pid) for pid in re.findall(r"worker \d is process (\d+)", log.read_text())]
    output, _ = running.communicate(timeout=300)
    assert running.returncode != 0, output
    deadline = time.monotonic() + 60
    while not gone(workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert gone(workers)
    if victims != "snakemake":
        assert len(re.findall(r"error: worker \d died by SIGKILL", log.read_text())) == 1
    assert (folder / "checkpoint.pt").exists()
    assert not (folder / "model.safetensors").exists()

    if victims == "snakemake":
        snakemake(project, config, "--unlock")
    snakemake(project, config, "--until", "train_parallel")
    assert not (folder / "checkpoint.pt").exists()
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["resumed"][0]["epoch"] >= 1
    whole = undisturbed / "results" / PLACE / "data-synchronised-2"
    assert (folder / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    with np.load(folder / "probabilities.npz") as ours:
        theirs = np.load(whole / "probabilities.npz")
        for key in set(theirs.files) - {"seconds"}:
            np.testing.assert_array_equal(ours[key], theirs[key], err_msg=key)


BASE = {"experiment": "e", "dataset": "fashion-mnist-10k", "parallel": list(WAYS)}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"parallel": "model"}, "parallel.*'model'.*data, data-synchronised, spatial, pipeline"),
        ({"workers": 1}, "workers.*1.*at least 2"),
        ({"global_net": False}, "parallel: data, .*global_net is false"),
        ({"refit": True}, "parallel: data, .*refit: true"),
        ({"model": "lda"}, "parallel: data, .*lda has none"),
        ({"workers": [2, 64], "local": {"batch_size": 32}}, "workers: 64 for batches of 32"),
        ({"parallel": "spatial", "model": "vit"}, "computes something of its own"),
        ({"parallel": "spatial", "workers": 400}, "too few for the grid"),
        ({"parallel": "pipeline", "workers": 90}, "90 workers, but the net can be cut"),
    ],
)
def test_what_cannot_be_trained_by_workers_is_one_line_before_any_job(changes, words):
    with pytest.raises(InputError, match=words) as error:
        check_ways(parallel_trainings(load_experiment(BASE | changes)))
    assert "\n" not in str(error.value)


def test_ways_and_numbers_of_workers_make_a_product_for_the_global_net_of_every_seed():
    found = parallel_trainings(load_experiment(BASE | {"workers": [2, 4], "seed": [0, 1]}))
    assert [(each["way"], each["workers"]) for each in found] == [
        (way, number) for way in WAYS for number in (2, 4)
    ]
    assert parallel_trainings(load_experiment(BASE | {"parallel": []})) == []
    check_ways(found)
