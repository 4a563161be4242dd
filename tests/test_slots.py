"""Places on devices, claimed by real processes; the devices are simulated, only names count."""

import os
import re
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


def locks_in(tmp_path: Path) -> Path:
    folder = tmp_path / f"ddcnn-devices-{os.geteuid()}"
    folder.mkdir(mode=0o700)
    return folder


@pytest.mark.parametrize("how", ["link", "hard link", "pipe", "folder"])
def test_what_is_no_lock_is_refused_and_nothing_is_emptied(tmp_path, monkeypatch, how):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    path, precious = locks_in(tmp_path) / "machine-0-0.lock", tmp_path / "precious"
    precious.write_text("all my work")
    make = {
        "link": lambda: path.symlink_to(precious),
        "hard link": lambda: path.hardlink_to(precious),
    }
    make |= {"pipe": lambda: os.mkfifo(path, 0o600), "folder": path.mkdir}
    make[how]()
    with pytest.raises(InputError, match=r"machine-0-0\.lock"):
        claim_slot(["0"])
    assert precious.read_text() == "all my work"


@pytest.mark.parametrize("how", ["link", "open to others", "foreign", "file"])
def test_a_folder_that_is_not_ours_alone_is_refused(tmp_path, how):
    folder = tmp_path / f"ddcnn-devices-{os.geteuid()}"
    (tmp_path / "elsewhere").mkdir()
    if how == "link":
        folder.symlink_to("elsewhere")
    elif how == "file":
        folder.touch()
    else:
        folder.mkdir()
        folder.chmod(0o777 if how == "open to others" else 0o755)
        if how == "foreign" and os.geteuid():
            pytest.skip("only root gives folders away")
        if how == "foreign":
            os.chown(folder, 65534, 65534)
    with pytest.raises(InputError, match="ddcnn-devices"):
        claim_slot(["0"])
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("job", ["../../elsewhere/x", "/elsewhere/x", "..", "a/b"])
def test_the_name_of_a_slurm_job_leads_nowhere_else(tmp_path, monkeypatch, job):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setenv("SLURM_JOB_ID", job)
    slot = claim_slot(["../0"])
    folder = tmp_path / f"ddcnn-devices-{os.geteuid()}"
    assert [path.parent for path in tmp_path.rglob("*.lock")] == [folder]
    assert slot.device == "../0"


def test_who_waits_is_told_who_holds_the_device_and_since_when(monkeypatch, caplog):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    holder = hold(2, "0")
    while not holds_a_lock(holder):
        time.sleep(0.02)
    time.sleep(0.2)
    with caplog.at_level("INFO", "ddcnn"):
        claim_slot(["0"])
    assert re.search(
        rf"machine-0-0 by process {holder.pid} since \d{{4}}-\d\d-\d\d \d\d:", caplog.text
    )
    holder.communicate()


@pytest.mark.parametrize("text", ["0", "-1", "two", ""])
def test_a_wrong_number_of_jobs_per_device_is_one_clear_error(monkeypatch, text):
    monkeypatch.setenv("DDCNN_JOBS_PER_GPU", text)
    with pytest.raises(InputError, match="DDCNN_JOBS_PER_GPU"):
        claim_slot(["0"])
