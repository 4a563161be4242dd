"""One undisturbed run that all faults are compared with."""

from pathlib import Path

import pytest

from fault_runs import copy_project, recovered, small_project


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory) -> Path:
    """A project whose small experiment has run once, up to the evaluation."""
    project = small_project(tmp_path_factory.mktemp("undisturbed") / "project")
    recovered(project)
    return project


@pytest.fixture
def project(undisturbed, tmp_path) -> Path:
    """A copy of it, with all its results, that a test may harm."""
    return copy_project(undisturbed, tmp_path / "project")
