"""Places on devices, claimed by real processes; the devices are simulated, only names count."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ddcnn.base.errors import InputError
from ddcnn.training.slots import claim_slot

HOLD = """
import sys, time
from ddcnn.training.slots import claim_slot
slot = claim_slot(sys.argv[2].split(","))
start = time.monotonic()
time.sleep(float(sys.argv[1]))
print(slot.device, slot.number, start, time.monotonic(), flush=True)
"""


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path, monkeypatch):
    """Locks of this test only."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.delenv("DDCNN_JOBS_PER_GPU", raising=False)


def hold(seconds: float, devices: str = "0,1,2,3") -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(seconds), devices], stdout=subprocess.PIPE, text=True
    )


def spans(jobs: list[subprocess.Popen]) -> list[tuple[str, float, float]]:
    lines = [job.communicate(timeout=60)[0].split() for job in jobs]
    return [(device, float(start), float(end)) for device, _, start, end in lines]


def most_at_a_time(held: list[tuple[str, float, float]]) -> dict[str, int]:
    return {
        device: max(
            sum(d == device and start <= moment < end for d, start, end in held)
            for _, moment, _ in held
        )
        for device, _, _ in held
    }


def test_eight_jobs_on_four_devices_never_share_one():
    held = spans([hold(0.4) for _ in range(8)])
    assert most_at_a_time(held) == dict.fromkeys("0123", 1)


def test_two_jobs_per_device_share_it_and_no_third(monkeypatch):
    monkeypatch.setenv("DDCNN_JOBS_PER_GPU", "2")
    held = spans([hold(1.0, "a,b") for _ in range(6)])
    assert most_at_a_time(held) == {"a": 2, "b": 2}


def test_a_killed_holder_gives_its_device_back():
    holder = hold(60, "0")
    while not holds_a_lock(holder):
        time.sleep(0.02)
    waiting = hold(0, "0")
    time.sleep(0.5)
    assert waiting.poll() is None
    os.kill(holder.pid, signal.SIGKILL)
    assert spans([waiting])[0][0] == "0"
    holder.communicate()


def holds_a_lock(process: subprocess.Popen) -> bool:
    return f" {process.pid} " in Path("/proc/locks").read_text()


def test_jobs_of_different_slurm_jobs_do_not_wait_for_each_other(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    first = claim_slot(["0"])
    monkeypatch.setenv("SLURM_JOB_ID", "2")
    second = claim_slot(["0"])
    assert first.device == second.device == "0"


@pytest.mark.parametrize("text", ["0", "-1", "two", ""])
def test_a_wrong_number_of_jobs_per_device_is_one_clear_error(monkeypatch, text):
    monkeypatch.setenv("DDCNN_JOBS_PER_GPU", text)
    with pytest.raises(InputError, match="DDCNN_JOBS_PER_GPU"):
        claim_slot(["0"])
