"""The workflow itself, run on tiny data in a project of its own."""

import csv
import html
import json
import os
import re
import shutil
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

from ddcnn.__main__ import main
from ddcnn.base import digests
from ddcnn.base.logs import read_log
from ddcnn.experiment.room import STAGES
from workflow_runs import (
    PROJECT,
    command,
    make_project,
    picture_folder,
    planned_jobs,
    small_fashion,
    snakemake,
    synthetic_volumes,
    write_config,
)

RUN = "results/runs/fashion/vgg-w8/blocks-2x2-overlap4-view/seed0"
WHOLE = "results/runs/fashion/vgg-w8/whole/seed0"
LOCAL = "results/local/fashion/vgg-w8"
AFTER = {"train_coarse", "evaluate", "bundle", "report"}  # what follows the local nets
CARRIERS = [name.removeprefix("ddcnn.").replace(".", "/") for name in sorted(digests.CARRIERS)]


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A project whose tiny experiment has run once, undisturbed."""
    folder = make_project(tmp_path_factory.mktemp("undisturbed") / "project")
    data = small_fashion(folder.parent / "fashion.npz")
    config = write_config(folder / "tiny.yaml", dataset=dataset(data))
    snakemake(folder, config)
    return folder


def dataset(path: Path, name: str = "fashion") -> dict:
    return {"name": name, "path": str(path), "flip": ["column"], "shift": 1}


def predictions(project: Path, run: str = RUN) -> bytes:
    return (project / run / "predictions.npz").read_bytes()


def test_every_method_has_a_row_in_the_summary(project):
    rows = list(csv.DictReader((project / "results/reports/tiny/summary.csv").open()))
    methods = {(row["decomposition"], row["method"]) for row in rows}
    by_default = ("cnn-dnn", "logistic", "weighted", "mean", "vote", "best-tile")
    decomposed = {("blocks-2x2-overlap4-view", method) for method in by_default}
    assert methods == {("whole", "global")} | decomposed


def test_every_decision_stands_beside_the_file_of_its_image(project):
    rows = list(csv.DictReader((project / "results/reports/tiny/predictions.csv").open()))
    (samples,) = (project / "results/data").glob("*/samples.csv")
    known = {(row["split"], row["index"]): row for row in csv.DictReader(samples.open())}
    tested = [row for row in rows if row["split"] == "test"]
    assert len(tested) == 2 * sum(split == "test" for split, _ in known)
    for row in rows:
        sample = known[row["split"], row["index"]]
        assert (row["file"], row["label"]) == (sample["file"], sample["label"])
    right = [row["global"] == row["label"] for row in tested if row["global"]]
    evaluation = (project / RUN).parents[1] / "whole/seed0/evaluation.json"
    accuracy = json.loads(evaluation.read_text())["methods"]["global"]["accuracy_test"]
    assert np.mean(right) == pytest.approx(accuracy)


def test_the_report_is_one_page_with_figures(project):
    folder = project / "results/reports/tiny"
    assert "<svg" in (folder / "report.html").read_text()
    names = {path.stem for path in (folder / "figures").glob("*.svg")}
    assert {"timeline", "mistakes", "reliability", "agreement", "cost"} <= names
    for ending in ("pdf", "png"):
        assert {path.stem for path in (folder / "figures").glob(f"*.{ending}")} == names


def test_evaluation_agrees_with_the_predictions(project):
    evaluation = json.loads((project / RUN / "evaluation.json").read_text())
    saved = np.load(project / RUN / "predictions.npz")
    for method, result in evaluation["methods"].items():
        p_NK = saved[f"test_{method}"]
        right = (p_NK.argmax(1) == saved["test_labels"]).mean()
        assert p_NK.dtype == np.float32
        assert result["accuracy_test"] == pytest.approx(right)
        np.testing.assert_allclose(p_NK.sum(axis=1), 1, atol=1e-5)


def test_parallel_time_is_the_slowest_tile_and_the_coarse_net(project):
    evaluation = json.loads((project / RUN / "evaluation.json").read_text())
    local = [net["train_seconds"] for net in evaluation["local"].values()]
    coarse = evaluation["coarse"]["train_seconds"]
    whole = json.loads((project / LOCAL / "whole/seed0/0-0/metrics.json").read_text())
    result = evaluation["methods"]["cnn-dnn"]
    assert result["parallel_seconds"] == pytest.approx(max(local) + coarse, abs=1e-3)
    assert result["serial_seconds"] == pytest.approx(sum(local) + coarse, abs=1e-3)
    assert result["speedup"] == pytest.approx(
        whole["train_seconds"] / result["parallel_seconds"], rel=1e-3
    )


def test_each_training_takes_one_thread(project):
    # As many run at a time as there are cores: Snakemake counts threads, and no training waits.
    jobs = [json.loads(p.read_text()) for p in (project / LOCAL).glob("*/seed0/*/metrics.json")]
    assert jobs
    assert {job["threads"] for job in jobs} == {1}


def test_nothing_is_left_behind(project):
    leftovers = [
        path
        for path in project.rglob("*")
        if "partial" in path.name or path.name.endswith(("checkpoint.pt", ".part", ".tmp"))
    ]
    assert leftovers == []
    # Snakemake's own: locks, marks of unfinished jobs, copies of scripts.
    for name in ("locks", "incomplete", "scripts"):
        folder = project / ".snakemake" / name
        assert not folder.exists() or [p for p in folder.rglob("*") if p.is_file()] == []
    logs = list((project / "logs").rglob("*.log"))
    assert [path for path in logs if not read_log(path).finished] == []
    assert [process.pid for process in psutil.process_iter() if works_in(process, project)] == []


def works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return Path(process.cwd()) == folder
    except psutil.Error:
        return False


def test_jobs_whose_gpus_are_not_there_hold_none_and_no_temporary_file_stays(tmp_path, monkeypatch):
    """Two devices are named that this machine does not have."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "17,18")
    project = make_project(tmp_path / "project")
    data = small_fashion(tmp_path / "fashion.npz", num_images=240)
    config = write_config(project / "tiny.yaml", dataset=dataset(data), grid="1x2", overlap=0)
    snakemake(project, config, "--resources", "gpu=2", "--until", "train_local")
    assert not [path for path in temporary.rglob("*") if path.is_file()]
    logs = list((project / "logs/train_local").rglob("*.log"))
    assert len(logs) == 4
    assert all("the job was given device 17,18, but" in log.read_text() for log in logs)


DRIVER = """
extern "C" int cuInit(unsigned) { return 0; }
extern "C" int cuDeviceGetCount(int *number) { *number = 1; return 0; }
"""


def test_no_more_jobs_start_than_have_a_place_on_a_gpu(tmp_path, monkeypatch):
    """The driver of a machine with one GPU is simulated; the trainings compute on the CPU."""
    (tmp_path / "driver.cpp").write_text(DRIVER)
    made = ["c++", "-shared", "-fPIC", "-o", tmp_path / "libcuda.so.1", tmp_path / "driver.cpp"]
    subprocess.run(made, check=True)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    project = make_project(tmp_path / "project")
    data = small_fashion(tmp_path / "fashion.npz", num_images=240)
    config = write_config(project / "tiny.yaml", dataset=dataset(data), grid="1x2", overlap=0)
    said = snakemake(project, config, "--until", "train_local", "--verbose").stdout
    provided = r"Provided resources: gpu=\D*{}\b"
    assert re.search(provided.format(1), said)
    jobs = [json.loads(path.read_text()) for path in project.rglob("local/**/metrics.json")]
    spans = sorted((job["started"], job["finished"]) for job in jobs)
    assert len(spans) == 4
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    monkeypatch.setenv("DDCNN_JOBS_PER_GPU", "2")
    again = ("--until", "tile", "--forcerun", "tile", "--verbose")
    assert re.search(provided.format(2), snakemake(project, config, *again).stdout)
    asked = snakemake(project, config, *again, "--resources", "gpu=3").stdout
    assert re.search(provided.format(3), asked)


def test_every_job_has_a_log(project):
    log = project / "logs/train_local/fashion/vgg-w8/blocks-2x2-overlap4/seed0/0-1.log"
    lines = log.read_text().splitlines()
    assert sum("/4: loss" in line for line in lines) == 4


# --- what a change re-runs -------------------------------------------------------------------


def test_a_second_run_has_nothing_to_do(project):
    assert planned_jobs(project, project / "tiny.yaml") == {}


def test_other_packs_of_tiles_repeat_no_training(project):
    assert planned_jobs(project, project / "tiny.yaml", "--config", "tiles_per_job=3") == {
        "report": 1
    }


def test_a_job_that_trains_a_pack_of_tiles_makes_the_same_files(project, tmp_path):
    packed = make_project(tmp_path / "project")
    data = small_fashion(tmp_path / "fashion.npz")
    config = write_config(packed / "tiny.yaml", dataset=dataset(data), tiles_per_job=3)
    rule, last = "train_local_blocks_2x2_overlap4_0", "train_local_blocks_2x2_overlap4_1"
    # What is asked for train_local holds for packs.
    asked = ("train_local:gpu=0", "train_local:mem_mb=500 * attempt")
    snakemake(packed, config, "--until", rule, last, "--set-resources", *asked)
    tiling = f"{LOCAL}/blocks-2x2-overlap4/seed0"
    log = packed / "logs/train_local/fashion/vgg-w8/blocks-2x2-overlap4/seed0/0-0..1-0.log"
    assert "no GPU is granted" in log.read_text()
    for tile in ("0-0", "0-1", "1-0", "1-1"):
        alone, together = project / tiling / tile, packed / tiling / tile
        files = {path.name for path in alone.iterdir()}
        assert {path.name for path in together.iterdir()} == files
        name = "model.safetensors"
        assert (together / name).read_bytes() == (alone / name).read_bytes()
        with (
            np.load(alone / "probabilities.npz") as a,
            np.load(together / "probabilities.npz") as b,
        ):
            assert all(np.array_equal(a[key], b[key]) for key in a if key != "seconds")


def test_another_overlap_keeps_data_and_global_net(project):
    jobs = planned_jobs(project, project / "tiny.yaml", "--config", "overlap=2")
    assert jobs == {
        "tile": 1, "coarse_view": 1, "train_local": 5,
        "train_coarse": 1, "evaluate": 1, "bundle": 1, "report": 1,
    }  # fmt: skip


def test_without_the_view_its_local_nets_are_shared(project):
    jobs = planned_jobs(project, project / "tiny.yaml", "--config", "coarse_view=false")
    assert jobs == dict.fromkeys(AFTER, 1)


def test_who_watches_a_training_does_not_repeat_it(project):
    jobs = planned_jobs(project, project / "tiny.yaml", "--config", "log=tensorboard")
    assert jobs == {"report": 1}


def test_another_seed_keeps_the_tiles(project):
    jobs = planned_jobs(project, project / "tiny.yaml", "--config", "seed=1")
    assert "tile" not in jobs
    assert jobs["train_local"] == 6


def test_coarse_epochs_rerun_the_coarse_net_only(project):
    data = project.parent / "fashion.npz"
    config = write_config(project / "coarse.yaml", dataset=dataset(data), coarse={"epochs": 4})
    assert planned_jobs(project, config) == dict.fromkeys(AFTER, 1)


def test_local_epochs_rerun_the_trainings_but_not_the_tiles(project):
    data = project.parent / "fashion.npz"
    config = write_config(project / "local.yaml", dataset=dataset(data), local={"epochs": 5})
    jobs = planned_jobs(project, config)
    assert jobs["train_local"] == 6
    assert not {"download", "prepare", "tile", "coarse_view"} & set(jobs)


@pytest.mark.parametrize(
    ("module", "rerun"),
    [
        ("coarse/problem.py", AFTER),
        ("training/loop.py", {"train_local", *AFTER}),
        ("nets/vgg.py", {"train_local", *AFTER}),
        ("nets/resnet.py", set()),
        ("evaluation/stage.py", {"evaluate", "bundle", "report"}),
        ("nets/kernels/loss.cpp", {"train_local", *AFTER}),
        ("training/optimizers.py", {"train_local", *AFTER}),
        ("report/page.py", {"report"}),
        ("bundle/card.py", {"bundle"}),
        ("bundle/model.py", set()),
        *((f"{module}.py", set()) for module in CARRIERS),
    ],
)
def test_an_edit_reruns_what_stands_on_the_module(project, module, rerun):
    path = project / "workflow/ddcnn" / module
    before = path.read_text()
    path.write_text(before + ("\nedited = 1\n" if path.suffix == ".py" else "\n// edited\n"))
    try:
        assert set(planned_jobs(project, project / "tiny.yaml")) == rerun
    finally:
        path.write_text(before)


def test_a_message_mended_in_the_training_repeats_nothing(project):
    path = project / "workflow/ddcnn/training/loop.py"
    before = path.read_text()
    changed = before.replace("the training diverged", "the net diverged")
    assert changed != before
    path.write_text(changed + "\n# an edit\n")
    try:
        assert planned_jobs(project, project / "tiny.yaml") == {}
    finally:
        path.write_text(before)


def test_another_time_between_checkpoints_repeats_no_training(project):
    data = project.parent / "fashion.npz"
    local = {"checkpoint_seconds": 60}
    config = write_config(project / "clock.yaml", dataset=dataset(data), local=local)
    assert planned_jobs(project, config) == {"report": 1}


def test_changed_data_of_the_user_are_prepared_again(project):
    data = project.parent / "fashion.npz"
    content, times = data.read_bytes(), data.stat()
    try:
        small_fashion(data, num_images=400)
        jobs = planned_jobs(project, project / "tiny.yaml")
        assert {"download", "prepare", "tile", "train_local"} <= set(jobs)
    finally:
        data.write_bytes(content)
        os.utime(data, ns=(times.st_atime_ns, times.st_mtime_ns))


# --- commands on real results ----------------------------------------------------------------


def ddcnn(project: Path, *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "ddcnn", *arguments],
        cwd=project, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL,
    ).stdout  # fmt: skip


def test_status_says_that_all_is_done(project):
    assert "all is done" in ddcnn(project, "status", "tiny.yaml")


def test_the_makespan_of_the_run_is_planned_from_its_own_times(project):
    lines = ddcnn(project, "plan", "tiny.yaml", "--cores", "2").splitlines()
    assert any(line.endswith(" measured") for line in lines)
    assert "report/tiny" in lines[-1]


@pytest.mark.parametrize("stage", ["tiles", "runs", "local", "data", "logs"])
def test_a_removed_stage_is_made_again_for_a_new_report(project, tmp_path, stage):
    other = tmp_path / "project"
    shutil.copytree(project, other, symlinks=True)
    ddcnn(other, "room", "--remove", stage, "reports", "--yes")
    # The tiny experiment has no folds and no workers, looks at no features, trains no nets as one.
    unused = {"train_fold", "train_coherent", "train_parallel", "local_features"}
    expected = {"report", *STAGES[stage].made_again} - unused
    assert set(planned_jobs(other, other / "tiny.yaml")) == expected


def test_nothing_is_made_again_that_nothing_needs(project, tmp_path):
    other = tmp_path / "project"
    shutil.copytree(project, other, symlinks=True)
    ddcnn(other, "room", "--remove", "tiles", "benchmarks", "logs", "--yes")
    assert planned_jobs(other, other / "tiny.yaml") == {}


def test_a_new_seed_trains_on_removed_tiles(project, tmp_path):
    other = tmp_path / "project"
    shutil.copytree(project, other, symlinks=True)
    ddcnn(other, "room", "--remove", "tiles", "--yes")
    config = other / "tiny.yaml"
    target = f"{LOCAL}/blocks-2x2-overlap4/seed1/0-1/probabilities.npz"
    snakemake(other, config, "--config", "seed=1", "log=tensorboard", "--", target)
    assert (other / target).is_file()
    events = "results/tensorboard/train_local/fashion/vgg-w8/blocks-2x2-overlap4/seed1/0-1"
    assert len(list((other / events).glob("events.out.tfevents.*"))) == 1
    shards = (other / "results/tiles").glob("*/*/0-1/*.npy")
    assert sorted(path.name for path in shards) == ["x_test.npy", "x_train.npy", "x_val.npy"]


@pytest.mark.parametrize(("run", "method"), [(RUN, "cnn-dnn"), (WHOLE, "global")])
def test_the_model_in_one_file_predicts_what_the_pipeline_did(project, tmp_path, run, method):
    images = project / "results/data/fashion/x_test.npy"
    arguments = [project / run / "ddcnn.safetensors", images, "--csv", tmp_path / "out.csv"]
    assert main(["predict", *map(str, arguments), "--device", "cpu"]) == 0
    found = pd.read_csv(tmp_path / "out.csv").iloc[:, 2:].to_numpy()
    expected = np.load(project / run / "predictions.npz")[f"test_{method}"]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert "# Model card: vgg-w8 on fashion" in (project / run / "ddcnn.md").read_text()


# --- the same bits ---------------------------------------------------------------------------


def test_the_same_seed_in_another_folder_gives_the_same_bits(project, tmp_path):
    other = make_project(tmp_path / "elsewhere" / "project")
    data = small_fashion(tmp_path / "fashion.npz")
    config = write_config(other / "tiny.yaml", dataset=dataset(data), seed=[0, 1])
    snakemake(other, config)
    assert predictions(other) == predictions(project)
    assert predictions(other, RUN.replace("seed0", "seed1")) != predictions(project)


def test_a_killed_training_resumes_and_ends_with_the_same_bits(project, tmp_path):
    other = make_project(tmp_path / "killed")
    data = small_fashion(tmp_path / "fashion.npz")
    config = write_config(other / "tiny.yaml", dataset=dataset(data))
    log = other / "logs/train_local/fashion/vgg-w8/whole/seed0/0-0.log"
    running = subprocess.Popen(
        command(config), cwd=other, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    kill_training_after_epoch(running, log, epoch=2)
    output, _ = running.communicate(timeout=600)
    assert running.returncode != 0, output

    snakemake(other, config)
    assert "resumed after epoch" in log.read_text()
    metrics = json.loads((other / LOCAL / "whole/seed0/0-0/metrics.json").read_text())
    assert metrics["resumed"][0]["epoch"] >= 2
    assert predictions(other) == predictions(project)
    assert predictions(other, WHOLE) == predictions(project, WHOLE)


def kill_training_after_epoch(running: subprocess.Popen, log: Path, epoch: int) -> None:
    """SIGKILL the process that writes ``log`` as soon as it has finished ``epoch``."""
    deadline = time.monotonic() + 120
    while running.poll() is None and time.monotonic() < deadline:
        if log.exists() and f"epoch {epoch}/" in log.read_text():
            for process in psutil.Process(running.pid).children(recursive=True):
                if holds_open(process, log):
                    process.kill()
                    return
        time.sleep(0.005)
    raise AssertionError("the training ended before it could be killed")


def holds_open(process: psutil.Process, path: Path) -> bool:
    try:
        return any(file.path == str(path) for file in process.open_files())
    except psutil.Error:
        return False


# --- settings that the data decide -------------------------------------------------------------


def trained_settings(project: Path) -> list[dict]:
    found = (project / "results/local").rglob("metrics.json")
    return [json.loads(path.read_text()) for path in found]


def test_auto_is_decided_by_the_images_and_more_of_them_train_again(tmp_path):
    project = make_project(tmp_path / "project")
    data = small_fashion(tmp_path / "fashion.npz", 100)
    options = {"width": 4, "grid": "1x2", "overlap": 0, "coarse_view": False, "global_net": False}
    config = write_config(
        project / "auto.yaml",
        dataset={"name": "fashion", "path": str(data), "shape": [8, 8]},
        local={"epochs": "auto", "batch_size": "auto", "augment": True},
        **options,
    )
    snakemake(project, config, "--until", "train_local")
    for net in trained_settings(project):
        counts = json.loads((project / "results/data/fashion/card.json").read_text())["counts"]
        num_images = sum(counts["train"].values())
        assert net["images"] == num_images < 96
        used = net["settings"]
        assert (used["epochs"], used["batch_size"], used["label_smoothing"]) == (300, 32, 0.1)
        assert used["augment"] is False  # people's own data allow none unless they say so
        assert net["steps"] == 600
    logs = list((project / "logs/train_local").rglob("*.log"))
    assert len(logs) == 2
    for log in logs:
        assert "(auto): epochs 300, batch_size 32, optimizer sgd" in log.read_text()
        assert "augmentation: none, as the data set allows none" in log.read_text()
    small_fashion(data, 200)
    jobs = planned_jobs(project, config, "--until", "train_local")
    assert (jobs["prepare"], jobs["tile"], jobs["train_local"]) == (1, 1, 2)
    snakemake(project, config, "--until", "train_local")
    assert [net["settings"]["epochs"] for net in trained_settings(project)] == [150, 150]


def test_refit_trains_every_net_twice_and_switching_it_off_trains_again(tmp_path):
    project = make_project(tmp_path / "project")
    data = small_fashion(tmp_path / "fashion.npz", 100)
    options = {"width": 4, "grid": "1x2", "overlap": 0, "coarse_view": False, "global_net": False}
    options |= {"dataset": {"name": "fashion", "path": str(data), "shape": [8, 8]}}
    config = write_config(project / "refit.yaml", **options, local={"epochs": 2}, refit=True)
    snakemake(project, config, "--until", "train_local")
    counts = json.loads((project / "results/data/fashion/card.json").read_text())["counts"]
    train, val = (sum(counts[split].values()) for split in ("train", "val"))
    for net in trained_settings(project):
        assert (net["images"], net["refit"]["images"]) == (train, train + val)
    off = write_config(project / "refit.yaml", **options, local={"epochs": 2})
    assert planned_jobs(project, off, "--until", "train_local")["train_local"] == 2


# --- three dimensions, and errors ------------------------------------------------------------


def test_the_same_rules_serve_three_dimensions(tmp_path):
    project = make_project(tmp_path / "project")
    data = synthetic_volumes(tmp_path / "volumes.npz")
    with np.load(data) as arrays:
        np.savez(data, **arrays, patient=np.arange(len(arrays["y"])) // 3)
    entry = {"name": "volumes", "path": str(data), "synthetic": True}
    config = write_config(
        project / "tiny3d.yaml",
        experiment="tiny3d",
        dataset=entry,
        grid="2x2x1",
        overlap="2x2x0",
        coarse_view=False,
        local={"epochs": 6, "batch_size": 16, "augment": False},
    )
    said = snakemake(project, config).stdout
    run = project / "results/runs/volumes/vgg-w8/blocks-2x2x1-overlap2/seed0"
    evaluation = json.loads((run / "evaluation.json").read_text())
    assert evaluation["grid"] == [2, 2, 1]
    assert evaluation["methods"]["cnn-dnn"]["accuracy_test"] > 0.7
    shard = np.load(project / "results/tiles/volumes/blocks-2x2x1-overlap2/1-0-0/x_train.npy")
    whole = np.load(project / "results/data/volumes/x_train.npy")
    np.testing.assert_array_equal(shard, whole[:, 5:12, 0:9])
    # Nobody has said that three scans are of one patient: whoever looks at a result is told.
    warning = "volumes.npz: 'patient' may name groups, such as several images of one patient"
    page = (project / "results/reports/tiny3d/report.html").read_text()
    assert said.count(warning) == 2  # when the data are prepared, and beside the last figures
    for text in (html.unescape(page), (run / "ddcnn.md").read_text()):
        assert text.count(warning) == 1


def test_a_folder_of_pictures_is_one_entry_of_the_configuration(tmp_path):
    project = make_project(tmp_path / "project")
    pictures = picture_folder(tmp_path / "my pictures")
    before = sorted((p, p.stat().st_mtime_ns) for p in pictures.rglob("*"))
    entry = {"name": "mine", "path": str(pictures), "shape": [20, 24]}
    config = write_config(project / "mine.yaml", experiment="mine", dataset=entry)
    said = snakemake(project, config, "--until", "prepare").stdout
    card = json.loads((project / "results/data/mine/card.json").read_text())
    assert len(card["notes"]) == len(card["warnings"]) == 1
    assert said.splitlines().count(f"note: {card['notes'][0]}") == 1
    assert said.splitlines().count(f"warning: {card['warnings'][0]}") == 2  # again at the end
    assert card["classes"] == ["<b>bold<∕b>", "Möwe"]
    assert card["shape"] == [20, 24]
    assert [each["files"] for each in card["left_out"]["kinds"]] == [["Möwe/broken.png"]]
    assert not (project / "results/tiles").exists()
    assert before == sorted((p, p.stat().st_mtime_ns) for p in pictures.rglob("*"))

    (pictures / "Möwe/1.png").touch()
    assert planned_jobs(project, config, "--until", "prepare") == {}
    (pictures / "Möwe/new.png").write_bytes((pictures / "Möwe/0.png").read_bytes())
    assert "prepare" in planned_jobs(project, config, "--until", "prepare")


EXPERIMENTS = sorted((PROJECT / "config").glob("*.yaml"))


@pytest.mark.parametrize("config", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_of_the_repository_can_be_planned(tmp_path, config):
    jobs = planned_jobs(make_project(tmp_path / "project"), config)
    assert {"download", "prepare", "tile", "train_coarse", "report"} <= set(jobs)
    assert any(rule.startswith("train_local") for rule in jobs)  # packs are rules of their own


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"overlpa": 4}, "overlpa: unknown key; did you mean 'overlap'?"),
        ({"grid": "2x2x2"}, "grid: 2x2x2 has 3 axes, but the images (28x28 pixels) have 2"),
        ({"overlap": 28}, "overlap: 28 is not smaller than the tile"),
        ({"grid": "14x14", "overlap": 0}, "needs at least 4 pixels on every axis"),
        ({"dataset": "fashion-mnits"}, "dataset: 'fashion-mnits' is not one of fashion-mnist-10k"),
        ({"seed": -1}, "seed: -1 is not accepted"),
        ({"dataset": {"name": "mine", "path": "/nowhere.npz"}}, "/nowhere.npz"),
    ],
)
def test_a_wrong_configuration_is_one_clear_error_before_any_job(tmp_path, changes, words):
    project = make_project(tmp_path / "project")
    config = write_config(project / "wrong.yaml", **{"dataset": "fashion-mnist-10k", **changes})
    done = snakemake(project, config, check=False)
    assert done.returncode != 0
    assert words in done.stdout
    assert "Traceback" not in done.stdout
    assert 'File "' not in done.stdout
    assert not (project / "results").exists()


@pytest.mark.slow
def test_every_method_and_control_runs_in_one_workflow(tmp_path):
    """Also out-of-fold decisions and what the coarse net sees beside probabilities."""
    project = make_project(tmp_path / "project")
    methods = ["mean", "vote", "best-tile", "weighted", "logistic"]
    methods += ["coherent", "transfer", "small", "ensemble"]
    config = write_config(
        project / "methods.yaml",
        dataset=dataset(small_fashion(project / "fashion.npz", 240)),
        grid="1x2",
        coarse_view=False,
        methods=methods,
        local={"epochs": 2},
        coarse={"fit_on": "out-of-fold", "folds": 2, "input": "features"},
        transfer={"epochs": 1},
    )
    snakemake(project, config)
    folder = next(project.glob("results/runs/fashion/vgg-w8/blocks-1x2-*/seed0"))
    evaluation = json.loads((folder / "evaluation.json").read_text())
    assert set(evaluation["methods"]) == {*methods, "cnn-dnn"}
    table = pd.read_csv(project / "results/reports/tiny/summary.csv")
    assert set(table["method"]) == {*methods, "cnn-dnn", "global"}
    # The control has a local net's width, and so at most its parameters in the whole image's net.
    local = next(iter(evaluation["local"].values()))
    assert evaluation["methods"]["small"]["parameters_total"] == local["parameters"]
    # Transfer begins where the coarse net ended, up to rounding.
    start = json.loads((folder / "transfer/metrics.json").read_text())["loss_val_at_start"]
    end = json.loads((folder / "coarse/metrics.json").read_text())["loss_val"]
    assert start == pytest.approx(end, abs=1e-5)
    comparison = pd.read_csv(project / "results/reports/tiny/comparison.csv")
    assert comparison["difference_to_global"].notna().sum() == len(methods) + 1
    page = (project / "results/reports/tiny/report.html").read_text()
    assert "Diagnosis" in page
