"""A net trained by workers on both nodes of a real SLURM: as on one node, and after a death."""

import os
import re
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from slurm.runs import finish, metrics, slurm_jobs, start_on_slurm
from workflow_runs import make_project, small_fashion, snakemake, write_config

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(600)]

PLACE = "parallel/fashion/vgg-w8/whole/seed0/data-2"
TARGET = f"results/{PLACE}/model.safetensors"
WORKER = re.compile(r"worker (\d) is process (\d+) of node (\w+)")


@pytest.fixture(scope="module")
def one_node(tmp_path_factory) -> Path:
    """A project whose global net two workers of this machine trained, by data."""
    project = make_project(tmp_path_factory.mktemp("one-node") / "project")
    data = small_fashion(project.parent / "fashion.npz")
    entry = {"name": "fashion", "path": str(data)}
    config = write_config(
        project / "tiny.yaml", dataset=entry, local={"epochs": 20}, parallel="data", workers=2
    )
    snakemake(project, config, "--until", "train_parallel")
    return project


@pytest.fixture(scope="module")
def two_nodes(cluster, one_node, tmp_path_factory) -> Path:
    """A copy, where workers on two nodes trained the net again; the second was killed once."""
    project = shutil.copytree(one_node, tmp_path_factory.mktemp("two-nodes") / "project")
    shutil.rmtree((project / TARGET).parent)
    log_of(project).unlink()
    profile = project / "profiles/slurm/config.yaml"
    text = profile.read_text()
    assert text.count("nodes: 1 #") == 1
    profile.write_text(text.replace("nodes: 1 #", "nodes: 2 #"))
    running = start_on_slurm(project, project / "tiny.yaml", TARGET)
    try:
        kill_second_after_an_epoch(log_of(project), running)
        finish(project, running)
    finally:
        running.kill()
    return project


def log_of(project: Path) -> Path:
    return project / f"logs/train_{PLACE}.log"


def kill_second_after_an_epoch(log: Path, running) -> None:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        assert running.poll() is None, "Snakemake ended before the first epoch"
        if log.exists() and "epoch 2/" in log.read_text():
            pids = {rank: int(pid) for rank, pid, _ in WORKER.findall(log.read_text())}
            os.kill(pids["1"], signal.SIGKILL)
            return
        time.sleep(0.01)
    raise AssertionError(f"no second epoch in {log}")


def test_workers_are_tasks_of_one_job_on_both_nodes(two_nodes):
    found = WORKER.findall(log_of(two_nodes).read_text())
    assert sorted((rank, node) for rank, _, node in found) == [("0", "n1"), ("1", "n2")]
    training = [job for job in slurm_jobs() if job.name.startswith("rule_train_parallel")]
    assert [job.node for job in training] == ["n[1-2]"] * 2, "two attempts, on both nodes each"


def test_one_dead_worker_ends_all_with_one_message_and_the_next_attempt_goes_on(two_nodes):
    said = (two_nodes / "snakemake.txt").read_text()
    assert len(re.findall(r"error: worker 1 died on node n2", said)) == 1
    assert metrics((two_nodes / TARGET).parent)["resumed"][0]["epoch"] >= 1


def test_the_net_is_that_of_one_node_bit_for_bit(one_node, two_nodes):
    assert (two_nodes / TARGET).read_bytes() == (one_node / TARGET).read_bytes()
    name = f"results/{PLACE}/probabilities.npz"
    with np.load(one_node / name) as alone, np.load(two_nodes / name) as apart:
        for key in set(alone.files) - {"seconds"}:
            np.testing.assert_array_equal(alone[key], apart[key], err_msg=key)


def test_as_much_was_sent_as_on_one_node(one_node, two_nodes):
    alone, apart = (metrics((each / TARGET).parent)["parallel"] for each in (one_node, two_nodes))
    for key in ("bytes_per_step", "messages_per_step"):
        assert apart[key] == alone[key]
