"""The job graph of the package, compared with what Snakemake plans, and with one made by hand."""

import re
from pathlib import Path

import pytest
import yaml

from ddcnn.experiment.configuration import load_experiment
from ddcnn.experiment.jobs import Job, experiment_jobs
from ddcnn.experiment.packed_rules import AWAITED, WHOLE, local_rules
from ddcnn.tiles.geometry import Tiling
from workflow_runs import make_project, planned_jobs, snakemake

CONFIG = {
    "experiment": "graph",
    "dataset": "fashion-mnist-10k",
    "width": 8,
    "grid": ["2x2", "1x2", "1x1"],
    "overlap": 4,
    "coarse_view": [False, True],
    "seed": [0, 1],
}
REASON = r"Reason: Missing output files: ([^;\n]*)(?:; Input files updated by another job: (.*))?"


def closure(needs: dict[str, set[str]], name: str) -> set[str]:
    """Everything that must be done before ``name``."""
    found, waiting = set(), {name}
    while waiting:
        new = needs[waiting.pop()] - found
        found |= new
        waiting |= new
    return found


def planned_by_snakemake(folder: Path, config: dict, jobs: list[Job]) -> dict[str, set[str]]:
    """Names of the jobs that a dry run in an empty folder announces, and what each needs."""
    project = make_project(folder / "project")
    (project / "graph.yaml").write_text(yaml.safe_dump(config))
    output = snakemake(project, project / "graph.yaml", "--dry-run", "--verbose").stdout
    writer = {str(path): job.name for job in jobs for path in job.outputs}
    planned = {}
    for written, read in re.findall(REASON, output):
        (name,) = {writer[path] for path in written.split(", ")}
        planned[name] = {writer[path] for path in read.split(", ") if path in writer}
        assert all(path in writer for path in read.split(", ") if path)
    return planned


def test_the_quiet_dry_run_of_the_documents_counts_all_jobs(tmp_path):
    project = make_project(tmp_path / "project")
    config = project / "graph.yaml"
    config.write_text(yaml.safe_dump(CONFIG))
    counted = planned_jobs(project, config, "--quiet", "rules")
    assert counted == planned_jobs(project, config)
    assert sum(counted.values()) == len(experiment_jobs(load_experiment(CONFIG)))


ALL = ["mean", "coherent", "transfer", "small", "ensemble"]
CHANGES = [
    {},
    {"global_net": False, "grid": ["2x2"], "seed": 3},
    {"methods": ALL, "grid": ["2x2", "1x2"], "coarse_view": [True], "seed": 0},
    {"methods": ALL, "coarse": {"fit_on": "out-of-fold", "folds": 2}, "grid": ["1x2"], "seed": 0},
    {
        "methods": ALL,
        "coarse": {"input": "features"},
        "grid": ["2x2"],
        "tiles_per_job": 3,
        "seed": 0,
    },
    {"tiles_per_job": 100},
    {"parallel": ["data", "spatial"], "workers": [2, 4], "grid": ["1x2"], "seed": [0, 1]},
]


@pytest.mark.parametrize("changes", CHANGES)
def test_jobs_and_their_needs_are_those_that_snakemake_plans(tmp_path, changes):
    jobs = experiment_jobs(load_experiment(CONFIG | changes))
    planned = planned_by_snakemake(tmp_path, CONFIG | changes, jobs)
    ours = {job.name: set(job.needs) for job in jobs}
    assert set(ours) == set(planned)
    assert {n: closure(ours, n) for n in ours} == {n: closure(planned, n) for n in planned}


def test_needs_of_a_run_with_everything_are_those_written_by_hand():
    """Two tiles in one job and the coarse view; features, two folds, an ensemble of three."""
    config = {
        "experiment": "graph", "dataset": "fashion-mnist-10k", "grid": "1x2",
        "width": 8, "local_width": 4,
        "coarse_view": True, "methods": ALL, "tiles_per_job": 2,
        "coarse": {"input": "features", "fit_on": "out-of-fold", "folds": 2},
    }  # fmt: skip
    needs = {job.name: set(job.needs) for job in experiment_jobs(load_experiment(config))}
    data, tiles = "fashion-mnist-10k", "fashion-mnist-10k/blocks-1x2-overlap0"
    prepare, tile, view = f"prepare/{data}", f"tile/{tiles}", f"coarse_view/{tiles}"
    local = f"{data}/vgg-w8-local4/blocks-1x2-overlap0/seed0"
    run = f"{data}/vgg-w8-local4/blocks-1x2-overlap0-view/seed0"
    whole = f"{data}/vgg-w8/whole/seed0/0-0"
    members = [f"{data}/vgg-w4/whole/seed{seed}/0-0" for seed in (0, 1000000, 2000000)]
    pack, alone = f"train_local/{local}/0-0..0-1", f"train_local/{local}/view"
    own = [f"{local}/{name}" for name in ("0-0", "0-1", "view")]
    folds = {f"train_fold/{net}/fold{k}" for net in own for k in (0, 1)}
    member_folds = {f"train_fold/{net}/fold{k}" for net in members for k in (0, 1)}
    trained, ensemble = {pack, alone}, {f"train_local/{net}" for net in members}
    coarse = f"train_coarse/{run}/coarse"
    joint = {f"train_coherent/{run}/{start}" for start in ("coherent", "transfer")}
    assert needs[prepare] == {f"download/{data}"}
    assert needs[tile] == {prepare}
    assert needs[view] == {prepare, tile}
    assert needs[pack] == {prepare, tile}
    assert needs[alone] == {prepare, view}
    assert needs[f"local_features/{local}/0-1"] == {prepare, tile, pack}
    assert needs[f"train_fold/{local}/view/fold1"] == {prepare, view}
    features = {f"local_features/{net}" for net in own}
    assert needs[coarse] == trained | features | folds | {prepare}
    member_features = {f"local_features/{net}" for net in members}
    of_ensemble = ensemble | member_features | member_folds | {prepare}
    assert needs[f"train_coarse/{run}/ensemble"] == of_ensemble
    assert needs[f"train_coherent/{run}/coherent"] == {prepare}
    assert needs[f"train_coherent/{run}/transfer"] == {prepare, *trained, coarse}
    compared = {f"train_local/{whole}", *ensemble, coarse, f"train_coarse/{run}/ensemble"}
    folds_paid = folds | member_folds  # their times are costs of the run
    assert needs[f"evaluate/{run}"] == {prepare, tile} | trained | folds_paid | joint | compared
    bundled = {prepare, tile, coarse, f"evaluate/{run}"} | trained | features
    assert needs[f"bundle/{run}"] == bundled
    global_run = f"evaluate/{data}/vgg-w8/whole/seed0"
    assert {f"evaluate/{run}", global_run} <= needs["report/graph"]


def test_every_job_comes_after_those_it_needs():
    seen = set()
    for job in experiment_jobs(load_experiment(CONFIG)):
        assert set(job.needs) <= seen
        assert job.name not in seen
        seen.add(job.name)


def test_trainings_of_a_tiling_are_of_one_kind_and_the_global_net_is_of_another():
    jobs = {job.name: job for job in experiment_jobs(load_experiment(CONFIG))}
    local = "train_local/fashion-mnist-10k/vgg-w8"
    kind = jobs[f"{local}/blocks-2x2-overlap4/seed0/0-0"].kind
    assert jobs[f"{local}/blocks-2x2-overlap4/seed1/view"].kind == kind
    assert jobs[f"{local}/blocks-1x2-overlap4/seed0/0-0"].kind != kind
    assert jobs[f"{local}/whole/seed0/0-0"].kind != kind


def test_the_longest_trainings_come_first_and_after_what_all_wait_for():
    tilings = [Tiling.of("blocks", grid, 0) for grid in ("1x1", "2x2")]
    rules = local_rules(tilings, 3).values()
    priority = {(rule.tiling, len(rule.pack.tiles)): rule.priority for rule in rules}
    whole = priority[WHOLE, 1]
    of_three, of_one = (priority["blocks-2x2-overlap0", number] for number in (3, 1))
    assert AWAITED > whole > of_three > of_one > 0
