"""The cluster of the tests leaves other clusters alone, and nothing behind."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from slurm import cluster

# Stands for a test run: it holds the other end of the cluster's standard input.
HOLDER = """
import subprocess, sys
keeper = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, start_new_session=True)
print(keeper.pid, flush=True)
keeper.wait()
"""


@pytest.mark.parametrize("file", cluster.FILES)
def test_a_machine_with_a_slurm_of_its_own_is_left_alone(tmp_path, monkeypatch, file):
    monkeypatch.setattr(cluster, "CONFIGURATION", tmp_path)
    (tmp_path / file).write_text("ClusterName=production\n")
    assert f"{tmp_path / file} exists" in cluster.reason_against()
    assert (tmp_path / file).read_text() == "ClusterName=production\n"


def test_a_running_cluster_is_not_replaced_but_what_a_dead_one_left_is_no_obstacle(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(cluster, "CONFIGURATION", tmp_path)
    other = tmp_path / f"{cluster.PREFIX}other" / "slurm.conf"
    (tmp_path / "slurm.conf").symlink_to(other)
    assert "exists" not in (cluster.reason_against() or "")
    other.parent.mkdir()
    other.touch()
    assert "exists" in cluster.reason_against()


def test_a_configuration_elsewhere_counts_too(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "CONFIGURATION", tmp_path)
    monkeypatch.setenv("SLURM_CONF", "/opt/slurm/slurm.conf")
    assert "SLURM_CONF=/opt/slurm/slurm.conf" in cluster.reason_against()


@pytest.mark.slurm
def test_the_cluster_ends_with_tests_that_are_killed():
    if reason := cluster.reason_against():
        pytest.skip(reason)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, sys.executable, cluster.__file__],
        stdout=subprocess.PIPE,
        text=True,
    )
    keeper = psutil.Process(int(holder.stdout.readline()))
    folder = Path(holder.stdout.readline().strip())
    assert len(list(folder.glob("pids/*"))) == 3
    daemons = [psutil.Process(int(path.read_text())) for path in folder.glob("pids/*")]
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    _, alive = psutil.wait_procs([keeper], timeout=60)
    assert not alive
    assert not [each for each in daemons if cluster.is_alive(each)]
    assert not folder.exists()
    assert not [
        path for path in map(cluster.CONFIGURATION.joinpath, cluster.FILES) if path.exists()
    ]
