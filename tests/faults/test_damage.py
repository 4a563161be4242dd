"""Files cut off or with a wrong byte: never read as good, and made again by the next run."""

import os
import shutil
from pathlib import Path

import pytest

from fault_runs import LOCAL, RUN, TILES, recovered, run, same_results


def cut_off(content: bytes) -> bytes:
    return content[: len(content) // 2]


def empty(content: bytes) -> bytes:
    return b""


def wrong_byte(content: bytes) -> bytes:
    place = len(content) * 3 // 4
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def damage(path: Path, how) -> None:
    """Change a file behind Snakemake's back: its time stays."""
    times = path.stat()
    path.write_bytes(how(path.read_bytes()))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


EVALUATION = f"{RUN}/evaluation.json"
# What is damaged; a result that must be made again, so that a job reads the damaged file; what
# Snakemake misses then.
FAULTS = [
    (f"{LOCAL}/0-0/probabilities.npz", cut_off, f"{RUN}/coarse", ""),
    (f"{LOCAL}/1-0/metrics.json", cut_off, EVALUATION, ""),
    (f"{LOCAL}/0-0/model.safetensors", wrong_byte, f"{RUN}/ddcnn.safetensors", ""),
    (f"{TILES}/0-0/x_train.npy", wrong_byte, f"{LOCAL}/0-0", f"{TILES}/plan.json"),
    (f"{TILES}/plan.json", empty, EVALUATION, ""),
    ("results/data/fashion/x_train.npy", wrong_byte, TILES, ""),
]


@pytest.mark.parametrize(
    ("file", "how", "made_again", "missed"),
    [FAULTS[0], *(pytest.param(*fault, marks=pytest.mark.faults) for fault in FAULTS[1:])],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_damaged_file_is_put_aside_and_made_again(
    project, undisturbed, file, how, made_again, missed
):
    missed = missed or file
    damage(project / file, how)
    remove(project / made_again)
    remove(project / EVALUATION)  # a lost result between two others that exist is not missed
    status, output = run(project)
    assert status != 0
    assert f"error: {file} is damaged" in output
    assert "run the same command again" in output
    assert "Traceback" not in output
    assert not (project / missed).exists()
    assert (project / f"{missed}.damaged").exists()
    recovered(project)
    assert (project / missed).exists()
    assert same_results(project, undisturbed)
