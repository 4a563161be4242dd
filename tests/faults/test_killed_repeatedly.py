"""Snakemake and its jobs killed at random moments, again and again."""

import subprocess
import sys
from pathlib import Path

import pytest

from fault_runs import small_project


@pytest.mark.faults
def test_three_kills_change_no_bit(tmp_path):
    config = small_project(tmp_path / "project") / "small.yaml"
    script = Path(__file__).with_name("kill_repeatedly.py")
    words = [sys.executable, str(script), "--config", str(config), "--kills", "3", "--seed", "1"]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("same ") == 1
    assert "0 runs differ, 0 temporary files are left" in done.stdout
