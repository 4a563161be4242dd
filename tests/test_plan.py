"""Makespans of an experiment, from measured job times that a test writes."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ddcnn.base.errors import InputError
from ddcnn.experiment.configuration import load_experiment
from ddcnn.experiment.job_times import job_times, measured_seconds
from ddcnn.experiment.jobs import Job, experiment_jobs
from workflow_runs import PROJECT, make_project

CONFIG = {
    "experiment": "small",
    "dataset": "fashion-mnist-10k",
    "width": 8,
    "grid": "2x2",
    "local": {"epochs": 8},
}
SECONDS = {"train_local": 20.0, "train_coarse": 4.0}
WHOLE = "train_local/fashion-mnist-10k/vgg-w8/whole/seed0/0-0"
TILE = "train_local/fashion-mnist-10k/vgg-w8/blocks-2x2-overlap0/seed0/0-1"


def jobs_of(**changes) -> dict[str, Job]:
    return {job.name: job for job in experiment_jobs(load_experiment(CONFIG | changes))}


def measure(folder: Path, jobs: list[Job]) -> None:
    """A finished run: training jobs take 20 s, of which 15 s are training; others a second."""
    for job in jobs:
        path = folder / job.benchmark
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\th:m:s\n{SECONDS.get(job.rule, 1.0)}\t0:00:01\n")
        if job.rule == "train_local":
            metrics = folder / "results/local" / job.place / "metrics.json"
            metrics.parent.mkdir(parents=True, exist_ok=True)
            facts = {"multiply_adds": 1000, "images": 7000, "epochs": 8, "train_seconds": 15.0}
            net = job.wildcards["model"].partition("-w")[0]
            facts |= {"architecture": net} | ({"epochs": 1} if net == "lda" else {})
            metrics.write_text(json.dumps(facts | {"settings": {"epochs": 8}}))


@pytest.fixture
def project(tmp_path) -> Path:
    measure(tmp_path, list(jobs_of().values()))
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.yaml").write_text(yaml.safe_dump(CONFIG))
    return tmp_path


def plan(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ddcnn", "plan", *arguments],
        cwd=project, capture_output=True, text=True,
    )  # fmt: skip


def times(folder: Path, **changes):
    return job_times(
        list(jobs_of(**changes).values()), load_experiment(CONFIG | changes), folder / "results"
    )


def test_measured_times_are_taken_as_they_are(project):
    found = times(project)
    assert {time.how for time in found.values()} == {"measured"}
    assert found[TILE].seconds == 20
    assert measured_seconds(project / "results")[TILE] == 20


def test_what_a_job_waited_for_a_device_is_none_of_its_time(project):
    path = project / "results/local" / TILE.removeprefix("train_local/") / "metrics.json"
    metrics = json.loads(path.read_text()) | {"wait_seconds": 15.0}
    path.write_text(json.dumps(metrics))
    assert measured_seconds(project / "results")[TILE] == 5


def test_other_seeds_take_as_long(project):
    found = times(project, seed=[0, 1])
    other = found[TILE.replace("seed0", "seed1")]
    assert (other.seconds, other.how) == (20, "kind")


def test_more_epochs_take_longer_and_start_up_does_not(project):
    found = times(project, local={"epochs": 80})
    assert found[TILE].how == "work"
    assert found[TILE].seconds == pytest.approx(150 + 5)


def test_epochs_that_the_data_decide_are_those_of_their_card(project):
    """Trained with 8 epochs of 7,000 images; 1,000 images take 20."""
    assert times(project, local={})[TILE].how == "measured"
    card = project / "results/data/fashion-mnist-10k/card.json"
    card.parent.mkdir(parents=True)
    facts = {"counts": {"train": {"a": 1000}}, "axes": ["row", "column"], "classes": ["a"]}
    card.write_text(json.dumps(facts))
    found = times(project, local={})
    assert found[TILE].how == "work"
    assert found[TILE].seconds == pytest.approx(15 * 20 / 8 + 5)


def test_trainings_that_never_ran_are_estimated_by_their_work(project):
    """By the multiply-adds of the net that is built, at the speed of the measured one."""
    from ddcnn import nets
    from ddcnn.nets.cost import multiply_adds

    found = times(project, grid="1x2")
    new = TILE.replace("2x2", "1x2")
    net = nets.build("vgg", (28, 14, 1), 10, nets.local_width(8, 2))
    work = multiply_adds(net, (28, 14, 1)) * 7000 * 8
    assert found[new].how == "work"
    assert found[new].seconds == pytest.approx(15 * work / (1000 * 7000 * 8) + 5)
    coarse = "train_coarse/fashion-mnist-10k/vgg-w8/blocks-1x2-overlap0/seed0/coarse"
    assert (found[coarse].seconds, found[coarse].how) == (4, "rule")


def test_packs_of_tiles_are_estimated_by_the_work_of_their_nets(project):
    """Measured one by one, 15 s of training and 5 s of start each, then two in a job."""
    found = times(project, tiles_per_job=2)
    packs = {name: time for name, time in found.items() if ".." in name}
    assert len(packs) == 2
    for time in packs.values():
        assert time.how == "work"
    four = times(project, tiles_per_job=4)
    (pack,) = (time for name, time in four.items() if ".." in name)
    (first, _) = packs.values()
    assert pack.seconds - 5 == pytest.approx(2 * (first.seconds - 5))


def test_a_measured_pack_is_scaled_with_its_epochs(project):
    packed = jobs_of(tiles_per_job=4)
    (pack,) = (job for job in packed.values() if len(job.tiles) > 1)
    path = project / pack.benchmark
    path.write_text("s\th:m:s\n65.0\t0:01:05\n")  # four times 15 s, and 5 s once
    found = times(project, tiles_per_job=4, local={"epochs": 80})
    assert found[pack.name].seconds == pytest.approx(600 + 5)


def test_nets_in_closed_form_have_no_epochs_to_scale_with(tmp_path):
    """Neither their own, nor do they say how fast other nets are trained."""
    measure(tmp_path, list(jobs_of(model=["lda"], local={}, width=16).values()))
    tile = TILE.replace("vgg-w8", "lda-w1")
    found = times(tmp_path, model=["lda"], local={}, width=16)
    assert (found[tile].seconds, found[tile].how) == (20, "measured")
    found = times(tmp_path, model=["lda", "vgg"], local={"epochs": 80})
    assert (found[tile].seconds, found[tile].how) == (20, "measured")
    assert (found[TILE].seconds, found[TILE].how) == (20, "rule")
    measure(tmp_path, list(jobs_of().values()))
    found = times(tmp_path, model=["lda", "vgg"], grid="1x2")
    assert found[TILE.replace("2x2", "1x2")].how == "work"
    assert found[tile.replace("2x2", "1x2")].how == "rule"


def test_without_measured_times_there_is_no_plan(tmp_path):
    with pytest.raises(InputError, match=r"no measured time of .*train_local.*run a small"):
        times(tmp_path)


def test_the_command_gives_a_makespan_made_by_hand(project):
    """Download, prepare and tile 1 s each; 5 trainings of 20 s on one core;
    coarse net 4 s, two evaluations and bundles, one more tiling and the report 1 s each."""
    done = plan(project, "--cores", "1", "--start-seconds", "0")
    assert done.returncode == 0, done.stderr
    assert "15 jobs, 1 min 53 s of work" in done.stdout
    (row,) = [line.split("  ") for line in done.stdout.splitlines() if line.startswith("    1")]
    assert "1 min 53 s" in [cell.strip() for cell in row]


def test_many_devices_reach_the_critical_path(project):
    done = plan(project, "--gpus", "64", "--queue-seconds", "30", "--start-seconds", "0")
    rows = [line for line in done.stdout.splitlines() if line.lstrip()[:2].strip().isdecimal()]
    assert [row.split()[0] for row in rows[:7]] == ["1", "2", "4", "8", "16", "32", "64"]
    # Seven jobs of the longest chain wait 30 s each: 210 s, and 3 x 1 + 20 + 4 + 2 x 1 s.
    assert "critical path, the least time on any machine: 3 min 59 s" in done.stdout
    assert "3 min 59 s" in rows[6]


def test_measured_times_of_another_folder(project, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    (other / "mine.yaml").write_text(yaml.safe_dump(CONFIG | {"seed": 5}))
    done = plan(other, "mine.yaml", "--cores", "2", "--measured", str(project / "results"))
    assert done.returncode == 0, done.stderr
    done = plan(other, "mine.yaml", "--cores", "2")
    assert done.returncode == 1
    assert "--measured FOLDER" in done.stderr


@pytest.mark.parametrize(
    "arguments", [["--cores", "0"], ["--gpus", "x"], ["--queue-seconds", "-1"]]
)
def test_a_mistake_names_the_value(project, arguments):
    done = plan(project, *arguments)
    assert done.returncode == 2
    assert repr(arguments[1]) in done.stderr


# --- a profile for a cluster -----------------------------------------------------------------


@pytest.fixture
def clustered(project) -> Path:
    """A project with the workflow, whose jobs are measured: all that trains needed 900 MiB."""
    shutil.rmtree(project / "config")
    make_project(project)
    (project / "config/config.yaml").write_text(yaml.safe_dump(CONFIG))
    for path in (project / "results/benchmarks").rglob("*.tsv"):
        seconds = path.read_text().split()[2]
        memory = "900.0" if "train_" in str(path) else "NA"
        path.write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0:00:01\t{memory}\n")
    longest = project / f"results/benchmarks/{WHOLE}.tsv"
    longest.write_text("s\th:m:s\tmax_rss\n250.0\t0:04:10\t1500.0\n")
    return project


def test_a_profile_has_the_longest_time_and_the_most_memory_of_each_rule(clustered):
    done = plan(clustered, "--write-profile", "profiles/measured/config.yaml")
    assert done.returncode == 0, done.stderr
    assert "snakemake --workflow-profile profiles/measured\n" in done.stdout
    written = yaml.safe_load((clustered / "profiles/measured/config.yaml").read_text())
    base = yaml.safe_load((PROJECT / "profiles/slurm/config.yaml").read_text())
    # 2 x 250 s are 9 minutes, and 5; 1.5 x 1500 MiB and 500 are 2750.
    expected = {"runtime": "14 * attempt", "mem_mb": "2800 * attempt"}
    assert written["set-resources"]["train_local"] == expected
    # 2 x 4 s are a minute; what Snakemake has not seen keeps the memory of the profile.
    assert written["set-resources"]["train_coarse"]["runtime"] == "6 * attempt"
    assert written["set-resources"]["tile"] == {"runtime": "6 * attempt"}
    assert written["set-resources"]["train_coherent"] == base["set-resources"]["train_coherent"]
    others = {key for key in base if key != "set-resources"}
    assert {key: written[key] for key in others} == {key: base[key] for key in others}


def test_snakemake_asks_for_what_the_profile_says(clustered):
    """A dry run of the real Snakemake with SLURM's executor, of packs, too."""
    (clustered / "config/config.yaml").write_text(yaml.safe_dump(CONFIG | {"tiles_per_job": 4}))
    assert plan(clustered, "--write-profile", "profiles/measured/config.yaml").returncode == 0
    written = yaml.safe_load((clustered / "profiles/measured/config.yaml").read_text())
    shutil.rmtree(clustered / "results")
    rules = clustered / "workflow/rules/local.smk"  # without messages Snakemake shows resources
    rules.write_text(re.sub(r" +message:\n.*\n", "", rules.read_text()))
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--dry-run", "--verbose", "--workflow-profile",
         "profiles/measured"],
        cwd=clustered, capture_output=True, text=True,
    )  # fmt: skip
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    asked = re.findall(r"rule (train_local\w*):.*?resources: (.*?)\n", told, re.DOTALL)
    assert len(asked) == 2, told  # the global net, and four tiles
    for _, resources in asked:
        for key, value in written["set-resources"]["train_local"].items():
            first = value.removesuffix(" * attempt")
            assert first.isdecimal()
            assert re.search(rf"\b{key}={first}\b", resources), resources


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("profiles/measured.yaml", "is not called config.yaml"),
        ("profiles/slurm/config.yaml", "is what is filled in; name another folder"),
    ],
)
def test_a_profile_in_a_wrong_place_is_refused(clustered, file, words):
    before = (clustered / "profiles/slurm/config.yaml").read_bytes()
    done = plan(clustered, "--write-profile", file)
    assert done.returncode == 1
    assert words in done.stderr
    assert (clustered / "profiles/slurm/config.yaml").read_bytes() == before


def test_without_the_profile_that_is_filled_in_there_is_none(project):
    done = plan(project, "--write-profile", "profiles/measured/config.yaml")
    assert done.returncode == 1
    assert "profiles/slurm/config.yaml does not exist" in done.stderr


def test_gpus_that_nothing_was_measured_on_are_said_to_be_none(project):
    assert "GPU" not in plan(project).stdout
    assert "no training was measured on a GPU" in plan(project, "--gpus", "2").stdout
    for path in (project / "results/local").rglob("metrics.json"):
        facts = json.loads(path.read_text()) | {"device": "cuda", "device_name": "NVIDIA H200"}
        path.write_text(json.dumps(facts))
    assert "no training was measured" not in plan(project, "--gpus", "2").stdout
