"""The cluster, and one undisturbed run on it beside one on this machine."""

import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from slurm import cluster as cluster_script
from slurm.runs import PLUGIN, make_tiny, on_slurm
from workflow_runs import snakemake


@pytest.fixture(scope="session")
def cluster() -> Iterator[Path]:
    """The folder of a running cluster; its process stops it when this one ends, however it does."""
    reason = cluster_script.reason_against()
    if reason is None and find_spec(PLUGIN) is None:
        reason = f"the Python package {PLUGIN.replace('_', '-')} is not installed"
    if reason is not None:
        pytest.skip(reason)
    keeper = subprocess.Popen(
        [sys.executable, cluster_script.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for the tests, whose end it then sees
    )
    folder = keeper.stdout.readline().strip()
    assert folder, "the cluster did not start; see the error above"
    yield Path(folder)
    keeper.communicate(timeout=60)
    assert keeper.returncode == 0


@pytest.fixture(scope="session")
def local_run(tmp_path_factory) -> Path:
    """A project whose tiny experiment has run on this machine, without SLURM."""
    project, config = make_tiny(tmp_path_factory.mktemp("local"))
    snakemake(project, config)
    return project


@pytest.fixture(scope="session")
def slurm_run(cluster, tmp_path_factory) -> Path:
    """The same on the cluster."""
    project, config = make_tiny(tmp_path_factory.mktemp("slurm"))
    on_slurm(project, config)
    return project
