"""Scripts of profiles/cluster-generic: what has become of a job."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from workflow_runs import PROJECT

PROFILE = PROJECT / "profiles/cluster-generic"


@pytest.fixture
def submitted(tmp_path, monkeypatch):
    """Submits a script to the local queue from a folder that is left behind, and returns the job's
    folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DDCNN_QUEUE_GRACE", "0")

    def submit(script: str) -> Path:
        path = tmp_path / "snakemakes.sh"
        path.write_text(script)
        folder = ask("submit.sh", "a_rule", "1", "100", "10", "0", path)
        path.unlink()  # as Snakemake does, perhaps before the job begins
        return Path(folder)

    return submit


def ask(script: str, *arguments: str | Path) -> str:
    done = subprocess.run(
        [PROFILE / script, *arguments], capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout.strip()


def status_at_the_end(folder: Path) -> str:
    deadline = time.monotonic() + 30
    while (status := ask("status.sh", folder)) == "running":
        assert time.monotonic() < deadline, list(folder.iterdir())
        time.sleep(0.05)
    return status


def group_of(folder: Path) -> int:
    return int((folder / "number").read_text().split()[0])


@pytest.mark.parametrize(("script", "status"), [("true", "success"), ("exit 3", "failed")])
def test_a_job_is_judged_by_what_it_returned(submitted, script, status):
    folder = submitted(script)
    assert status_at_the_end(folder) == status
    assert ask("status.sh", folder) == status


def test_a_job_runs_until_it_has_ended(submitted, tmp_path):
    folder = submitted(f"until [ -e {tmp_path}/end ]; do sleep 0.05; done; echo done")
    for _ in range(3):
        assert ask("status.sh", folder) == "running"
    (tmp_path / "end").touch()
    assert status_at_the_end(folder) == "success"
    assert (folder / "log").read_text() == "done\n"


def test_a_killed_job_has_failed(submitted):
    folder = submitted("sleep 60")
    assert ask("status.sh", folder) == "running"
    os.killpg(group_of(folder), signal.SIGKILL)
    assert status_at_the_end(folder) == "failed"


def test_a_cancelled_job_has_failed_and_ended(submitted):
    folder, other = submitted("sleep 60"), submitted("sleep 60")
    ask("cancel.sh", folder, other)
    for each in (folder, other):
        assert status_at_the_end(each) == "failed"
        assert (each / "status").read_text() == f"{128 + signal.SIGTERM}\n"


def test_a_later_process_of_the_same_number_is_no_job(submitted):
    folder = submitted("sleep 60")
    os.killpg(group_of(folder), signal.SIGKILL)
    (folder / "number").write_text(f"{os.getpid()} 1")
    assert status_at_the_end(folder) == "failed"


def test_the_word_of_a_job_may_come_after_its_end(submitted, monkeypatch):
    monkeypatch.setenv("DDCNN_QUEUE_GRACE", "3600")
    folder = submitted("true")
    assert status_at_the_end(folder) == "success"
    late = (folder / "status").rename(folder / "late")
    assert ask("status.sh", folder) == "running"
    late.rename(folder / "status")
    assert ask("status.sh", folder) == "success"


def test_a_queue_that_does_not_answer_fails_no_job(submitted, tmp_path):
    folder = submitted("exit 0")
    assert status_at_the_end(folder) == "success"
    (folder / "status").unlink()
    profile = shutil.copytree(PROFILE, tmp_path / "profile")
    with (profile / "queues/local.sh").open("a") as queue:
        queue.write("queue_state() { echo unsure; }\n")
    for _ in range(3):
        done = subprocess.run([profile / "status.sh", folder], capture_output=True, text=True)
        assert done.stdout == "running\n"
