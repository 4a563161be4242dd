"""What stages take and what removing them removes, on files that a test writes."""

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from ddcnn.base.errors import InputError
from ddcnn.experiment.room import STAGES, refuse_while_running, remove, room_by_stage

FILES = {
    "results/data/d/raw/images.zip": "raw",
    "results/data/d/raw/folder/a.png": "raw",
    "results/data/d/x_train.npy": "data",
    "results/data/d/card.json": "data",
    "results/tiles/d/blocks-2x2-overlap4/0-0/x_train.npy": "tiles",
    "results/tiles/d/blocks-2x2-overlap4/1-0/x_val.npy": "tiles",
    "results/local/d/m/t/seed0/0-0/model.safetensors": "local",
    "results/local/d/m/t/seed0/0-0/checkpoint.pt": "checkpoints",
    "results/local/d/m/t/seed0/0-0/.model.77.partial.safetensors": "partial",
    "results/data/d/.x_train.77.partial.npy": "partial",
    "results/tiles/d/t/0-0/.x_train.77.partial.npy": "partial",
    "results/runs/d/m/t/seed0/evaluation.json": "runs",
    "results/reports/e/figures/a.svg": "reports",
    "results/tensorboard/train_local/d/m/t/seed0/0-0/events.out.tfevents.1": "tensorboard",
    "results/benchmarks/train_local/d/m/t/seed0/0-0.tsv": "benchmarks",
    "logs/train_local/d/m/t/seed0/0-0.log": "logs",
}
KEPT = (
    "results/README.md",
    "results/tiles/d/blocks-2x2-overlap4/plan.json",
    "results/tiles/d/blocks-2x2-overlap4/view/x_train.npy",
    "config/config.yaml",
)


@pytest.fixture
def project(tmp_path) -> Path:
    for number, name in enumerate([*FILES, *KEPT]):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * (number + 1))
    benchmark = tmp_path / "results/benchmarks/train_local/d/m/t/seed0/0-0.tsv"
    benchmark.write_text("s\th:m:s\n12.5\t0:00:12\n")
    return tmp_path


def room(project: Path, *arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ddcnn", "room", *arguments],
        cwd=project, capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def files(project: Path) -> set[str]:
    return {p.relative_to(project).as_posix() for p in project.rglob("*") if p.is_file()}


def test_every_file_belongs_to_one_stage(project):
    found = room_by_stage(project)
    for stage in STAGES:
        expected = {project / name for name, owner in FILES.items() if owner == stage}
        assert set(found[stage].files) == expected
        assert found[stage].bytes == sum(path.stat().st_size for path in expected)


@pytest.mark.parametrize("stage", list(STAGES))
def test_a_stage_is_removed_and_nothing_else(project, stage):
    done = room(project, "--remove", stage, "--yes")
    assert done.returncode == 0, done.stderr
    expected = {name for name, owner in FILES.items() if owner != stage} | set(KEPT)
    assert files(project) == expected
    # Folders that held nothing else are gone.
    empty = [p for p in project.rglob("*") if p.is_dir() and not any(p.iterdir())]
    assert empty == []


def test_it_says_what_the_next_run_makes_again(project):
    assert "1 train_local (12 s)" in room(project, "--remove", "local", "--yes").stdout
    assert "no run repeats a finished job" in room(project, "--remove", "tiles", "--yes").stdout


def test_without_somebody_to_ask_nothing_is_removed(project):
    done = room(project, "--remove", "tiles")
    assert done.returncode == 1
    assert "tiles: 2 files" in done.stdout
    assert "add --yes" in done.stderr
    assert files(project) == {*FILES, *KEPT}


def test_it_refuses_while_snakemake_holds_the_folder(project):
    locks = project / ".snakemake/locks"
    locks.mkdir(parents=True)
    (locks / "0.input.lock").touch()
    done = room(project, "--remove", "tiles", "--yes")
    assert done.returncode == 1
    assert "snakemake --unlock" in done.stderr
    assert {*FILES, *KEPT} <= files(project)


def test_it_refuses_while_a_job_runs(project):
    log = project / "logs/train_local/d/m/t/seed0/0-0.log"
    with log.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(InputError, match=r"0-0\.log still runs"):
            refuse_while_running(project)
    refuse_while_running(project)


def test_links_are_removed_and_what_they_name_stays(project, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "precious.npy").write_bytes(b"data")
    (project / "results/data/d/linked").symlink_to(elsewhere)
    (project / "results/data/d/raw/precious.npy").symlink_to(elsewhere / "precious.npy")
    found = room_by_stage(project)
    assert project / "results/data/d/raw/precious.npy" in found["raw"].files
    remove(found["raw"].files + found["data"].files, project)
    assert (elsewhere / "precious.npy").read_bytes() == b"data"


def test_an_empty_folder_has_no_results_and_nothing_to_remove(tmp_path):
    assert "no results yet" in room(tmp_path).stdout
    assert "nothing to remove" in room(tmp_path, "--remove", "tiles").stdout


def test_the_table_has_a_row_for_every_stage(project):
    lines = room(project).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["stage", *STAGES, "all"]
    assert lines[-1].split()[1] == str(len(FILES))


def test_an_unknown_stage_names_the_known_ones(project):
    done = room(project, "--remove", "everything")
    assert done.returncode == 2
    assert "invalid choice: 'everything'" in done.stderr
    assert "Traceback" not in done.stderr
