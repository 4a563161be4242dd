"""The workflow on a real SLURM: the same bits as on one machine, and after every kind of loss."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from slurm.cluster import kill_node
from slurm.runs import (
    finish,
    hold_after_first_epoch,
    metrics,
    slurm_jobs,
    start_on_slurm,
)
from workflow_runs import snakemakes_log

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(1200)]

RUNS = "results/runs/fashion/vgg-w8"
LOCAL = "results/local/fashion/vgg-w8"
TILES = f"{LOCAL}/blocks-2x2-overlap4/seed0"

# --- undisturbed -----------------------------------------------------------------------------


@pytest.mark.parametrize("run", ["whole", "blocks-2x2-overlap4-view"])
def test_predictions_are_those_of_the_local_run_bit_for_bit(slurm_run, local_run, run):
    file = f"{RUNS}/{run}/seed0/predictions.npz"
    assert (slurm_run / file).read_bytes() == (local_run / file).read_bytes()


def test_every_training_had_a_device_of_its_own(slurm_run):
    jobs = [metrics(path.parent) for path in (slurm_run / LOCAL).glob("*/seed0/*/metrics.json")]
    assert len(jobs) == 6
    assert {job["given"]["node"] for job in jobs} == {"n1", "n2"}
    assert {job["given"]["devices"] for job in jobs} == {"0", "1"}
    assert len({job["given"]["slurm_job"] for job in jobs}) == 6
    together = [(a, b) for i, a in enumerate(jobs) for b in jobs[:i] if overlap(span(a), span(b))]
    same_node = [(a, b) for a, b in together if a["given"]["node"] == b["given"]["node"]]
    assert same_node, "no two trainings ran at a time on one node: this test saw nothing"
    for a, b in same_node:
        assert a["given"]["devices"] != b["given"]["devices"]


def span(job: dict) -> tuple[datetime, datetime]:
    """From the start of the process, which has its device by then."""
    before = timedelta(seconds=job["start_seconds"])
    return datetime.fromisoformat(job["started"]) - before, datetime.fromisoformat(job["finished"])


def overlap(a: tuple[datetime, datetime], b: tuple[datetime, datetime]) -> bool:
    return a[0] < b[1] and b[0] < a[1]


def test_jobs_ask_for_what_the_profile_says(slurm_run):
    numbers = re.findall(r"SLURM jobid (\d+)", snakemakes_log(slurm_run))
    jobs = slurm_jobs(*numbers)
    assert {job.state for job in jobs} == {"COMPLETED"}
    training = [job for job in jobs if job.name.startswith("rule_train_local")]
    assert {(job.minutes, job.memory) for job in training} == {("8:00:00", "4000M")}
    assert {job.gpus for job in training} == {"gres:gpu:1"}
    # The coarse net is a linear one, which numpy solves.
    assert {job.gpus for job in set(jobs) - {*training}} == {"N/A"}


def test_what_needs_the_network_or_next_to_nothing_stays_with_snakemake(slurm_run):
    submitted = set(re.findall(r"slurm/rule_(\w+)/", snakemakes_log(slurm_run)))
    assert submitted == {
        *("prepare", "tile", "coarse_view"),
        *("train_local", "train_coarse"),
    }


# --- jobs and nodes that are lost ------------------------------------------------------------


@dataclass(frozen=True)
class Disturbed:
    """A run in whose middle every training was hit.

    Attributes:
        project: its folder.
        hit: for every fault the tiles whose training it hit.
        output: what Snakemake said.
    """

    project: Path
    hit: dict[str, list[str]]
    output: str


@pytest.fixture(scope="module")
def disturbed(cluster, local_run, tmp_path_factory) -> Disturbed:
    """Four tiles' nets are trained anew, two on each node: one is cancelled, one gets SIGTERM, and
    the other node goes down with two."""
    project = shutil.copytree(local_run, tmp_path_factory.mktemp("disturbed") / "project")
    config = project / "tiny.yaml"
    tiles = ["0-0", "0-1", "1-0", "1-1"]
    for tile in tiles:
        shutil.rmtree(project / TILES / tile)
        log_of(project, tile).unlink()
    # Asked for by name: what stands on these files is there, so nothing else would need them.
    targets = [f"{TILES}/{tile}/model.safetensors" for tile in tiles]
    running = start_on_slurm(project, config, *targets)
    try:
        held = hold_after_first_epoch({tile: log_of(project, tile) for tile in tiles}, running)
        jobs = {tile: job_of(tile) for tile in tiles}
        cancelled, terminated = [tile for tile in tiles if jobs[tile].node == "n1"]
        lost = [tile for tile in tiles if jobs[tile].node == "n2"]

        subprocess.run(["scancel", jobs[cancelled].number], check=True)
        subprocess.run(["scancel", "--signal=TERM", jobs[terminated].number], check=True)
        held[terminated].resume()
        kill_node(cluster, "n2")
        output = finish(project, running)
    finally:
        running.kill()
        subprocess.run(["slurmd", "-N", "n2"], check=False)  # up again for who comes next
    hit = {"cancelled": [cancelled], "terminated": [terminated], "lost": lost}
    return Disturbed(project, hit, output)


def log_of(project: Path, tile: str) -> Path:
    return project / f"logs/train_local/fashion/vgg-w8/blocks-2x2-overlap4/seed0/{tile}.log"


def job_of(tile: str):
    """The running SLURM job that trains a tile."""
    (job,) = [
        job
        for job in slurm_jobs()
        if job.state == "RUNNING" and re.search(rf"train_local_.*_{tile}$", job.name)
    ]
    return job


@pytest.mark.parametrize(
    ("fault", "state"),
    [("cancelled", "CANCELLED"), ("terminated", "FAILED"), ("lost", "NODE_FAIL")],
)
def test_a_training_goes_on_from_its_checkpoint_and_ends_with_the_same_bits(
    disturbed, local_run, fault, state
):
    assert f"SLURM status is: '{state}'" in disturbed.output
    assert disturbed.hit[fault]
    for tile in disturbed.hit[fault]:
        folder = disturbed.project / TILES / tile
        assert "resumed after epoch" in log_of(disturbed.project, tile).read_text()
        assert metrics(folder)["resumed"][0]["epoch"] >= 1
        weights = (folder / "model.safetensors").read_bytes()
        assert weights == (local_run / TILES / tile / "model.safetensors").read_bytes()
        assert not (folder / "checkpoint.pt").exists()


def test_a_terminated_training_says_so(disturbed):
    assert "stopped by SIGTERM" in disturbed.output


def test_the_second_attempt_asks_for_more_time_and_memory(disturbed):
    (tile,) = disturbed.hit["terminated"]
    numbers = re.findall(r"SLURM jobid (\d+)", snakemakes_log(disturbed.project))
    jobs = [job for job in slurm_jobs(*numbers) if job.name.endswith(f"_{tile}")]
    assert sorted((job.minutes, job.memory) for job in jobs) == [
        ("16:00:00", "8000M"),
        ("8:00:00", "4000M"),
    ]
