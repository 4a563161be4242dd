"""Helpers of the tests under tests/faults: a small experiment, and its results bit for bit."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from workflow_runs import command, make_project, small_fashion, write_config

RUN = "results/runs/fashion/vgg-w4/blocks-2x1-overlap0/seed0"
LOCAL = "results/local/fashion/vgg-w4/blocks-2x1-overlap0/seed0"
LOGS = "logs/train_local/fashion/vgg-w4/blocks-2x1-overlap0/seed0"
TILES = "results/tiles/fashion/blocks-2x1-overlap0"
PREDICTIONS = f"{RUN}/predictions.npz"


def small_project(folder: Path, **changes) -> Path:
    """The smallest experiment with every stage: two tiles, no global net, few epochs."""
    make_project(folder)
    data = small_fashion(folder / "fashion.npz", num_images=240)
    small = {"experiment": "small", "width": 4, "grid": "2x1", "overlap": 0, "coarse_view": False}
    small |= {"global_net": False, "dataset": {"name": "fashion", "path": str(data)}}
    small["local"] = {"epochs": 40, **changes.pop("local", {})}
    write_config(folder / "small.yaml", **small | changes)
    return folder


def copy_project(source: Path, folder: Path) -> Path:
    """The project with its results as if they had been computed in ``folder``."""
    shutil.copytree(source, folder, symlinks=True)

    return folder


def start(project: Path, *arguments: str, **options) -> subprocess.Popen:
    """Snakemake in a process group of its own."""
    return subprocess.Popen(
        command(project / "small.yaml", "--until", "bundle", *arguments),
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        **options,
    )


def run(project: Path, *arguments: str, **options) -> tuple[int, str]:
    """Exit status and output of Snakemake."""
    running = start(project, *arguments, **options)
    output, _ = running.communicate(timeout=600)
    return running.returncode, output


def recovered(project: Path, *arguments: str) -> str:
    """Output of the run after a fault; it must succeed. A lock that a killed run left is taken."""
    status, output = run(project, *arguments)
    if "--unlock" in output:
        run(project, "--unlock")
        status, output = run(project, *arguments)
    assert status == 0, output
    return output


def wait_until(
    happened: Callable[[], bool], running: subprocess.Popen, seconds: float = 120
) -> None:
    """Wait for a state of a running workflow; the end of the workflow before it is an error."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        assert running.poll() is None, running.communicate()[0]
        time.sleep(0.01)


def trainings(running: subprocess.Popen) -> list[psutil.Process]:
    """Processes of the running trainings: the innermost ones with a script of a train rule."""
    found = []
    for process in psutil.Process(running.pid).children(recursive=True):
        try:
            words = process.cmdline()
            if "python" in Path(words[0]).name and any("train_local" in word for word in words):
                found.append(process)
        except (psutil.Error, IndexError):
            continue
    return found


def restart_trainings(project: Path) -> subprocess.Popen:
    """Train all nets of a finished project anew; returns when both have done some epochs."""
    shutil.rmtree(project / LOCAL)
    shutil.rmtree(project / "logs")
    running = start(project)
    logs = [project / f"{LOGS}/{tile}.log" for tile in ("0-0", "1-0")]
    wait_until(lambda: all("epoch 3/" in text_of(log) for log in logs), running)
    return running


def same_results(project: Path, undisturbed: Path) -> bool:
    return (project / PREDICTIONS).read_bytes() == (undisturbed / PREDICTIONS).read_bytes()


def kill_group(running: subprocess.Popen, number: int = signal.SIGKILL) -> str:
    """Signal Snakemake and all its jobs at once, and return what it said."""
    os.killpg(running.pid, number)
    return running.communicate(timeout=120)[0]


def text_of(path: Path) -> str:
    return path.read_text() if path.exists() else ""
