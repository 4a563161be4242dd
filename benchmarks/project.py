"""A copy of the workflow in a folder of its own, and runs of it."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).parents[1]


def make_project(folder: Path) -> Path:
    """What a clone has, without results."""
    for name in ("workflow", "profiles", "config", "envs"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / name, folder / name, ignore=ignored)
    shutil.copy(PROJECT / "Snakefile", folder)
    return folder


def run(folder: Path, config: dict[str, Any] | None = None, cores: int = 1) -> float:
    """Wall time of Snakemake in a copy of the project, with its own configuration or another."""
    command = [sys.executable, "-m", "snakemake", "--cores", str(cores), "--quiet", "all"]
    if config is not None:
        path = folder / "config" / "bench.yaml"
        path.write_text(yaml.safe_dump({"experiment": "bench", "seed": 0} | config))
        command += ["--configfile", str(path)]
    environment = os.environ | {"PYTHONPATH": str(folder / "workflow"), "CUDA_VISIBLE_DEVICES": ""}
    # Jobs are named by what is on the path: snakemake starts python from there.
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    start = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise SystemExit(done.stdout)
    return time.perf_counter() - start
