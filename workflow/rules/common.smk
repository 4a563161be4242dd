# What all rules share: the checked configuration, and functions that find a rule's files.
import os
import sys
from dataclasses import asdict
from pathlib import Path

PACKAGE_FOLDER = str(Path(workflow.basedir) / "workflow")
sys.path.insert(0, PACKAGE_FOLDER)
# Jobs find the package of this checkout, in whatever environment they run.
earlier = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
os.environ.update(PYTHONPATH=os.pathsep.join(dict.fromkeys([PACKAGE_FOLDER, *earlier])))

from ddcnn.configuration import load_experiment
from ddcnn.disk import require_writable
from ddcnn.errors import InputError
from ddcnn.provenance import code_digest
from ddcnn.tiles import VIEW

CONDA_ENVIRONMENT = Path(workflow.basedir) / "envs" / "ddcnn.yaml"
SPLITS = ["train", "val", "test"]

try:
    EXPERIMENT = load_experiment(config)
except InputError as error:
    sys.exit(f"Error in the configuration: {error}\nEvery key is described in config/README.md.")

RUNS = {run.folder: run for run in EXPERIMENT.runs}
# Several runs share the nets of a tiling: with and without the coarse view they are the same.
TILING_RUNS = {(run.dataset, run.model, run.tiling.slug): run for run in EXPERIMENT.runs}
TILINGS = {(run.dataset, run.tiling.slug): run.tiling for run in EXPERIMENT.runs}


wildcard_constraints:
    dataset="[^/]+",
    model="[^/]+",
    tiling="whole|blocks-[0-9x]+-overlap[0-9x]+|interleaved-[0-9x]+",
    decomposition="[^/]+",
    seed=r"\d+",
    tile=rf"\d+(-\d+)*|{VIEW}",
    experiment="[^/]+",


def run_of(wildcards):
    """The run of the folder results/runs/{dataset}/{model}/{decomposition}/seed{seed}."""
    return RUNS["{0.dataset}/{0.model}/{0.decomposition}/seed{0.seed}".format(wildcards)]


def dataset_entry(wildcards):
    """What the configuration says of a data set: a name, or a mapping."""
    return EXPERIMENT.entries[wildcards.dataset]


def own_state(wildcards):
    """Changes when the user's own data do, so that they are prepared again.

    A parameter and no input: paths of users may hold signs that mean something to Snakemake.
    """
    return EXPERIMENT.datasets[wildcards.dataset].state()


def tiling_parameters(wildcards):
    """Kind, grid and overlap of a tiling."""
    return asdict(TILINGS[wildcards.dataset, wildcards.tiling])


def subdomain_parameters(wildcards):
    """What a local net's job must know: where its tile is from, which net, which seed."""
    run = TILING_RUNS[wildcards.dataset, wildcards.model, wildcards.tiling]
    return {
        "dataset": run.dataset,
        "tiling": run.tiling.slug,
        "tile": wildcards.tile,
        "model": run.model,
        "architecture": run.architecture,
        "width": run.local_width,
        "dropout": EXPERIMENT.settings["local"]["dropout"],
        "seed": int(wildcards.seed),
    }


def local_settings():
    """Training settings of local nets; dropout belongs to the net."""
    return {k: v for k, v in EXPERIMENT.settings["local"].items() if k != "dropout"}


def coarse_settings():
    """Training settings of the coarse net; the other keys belong to the net and its data."""
    own = ("hidden", "dropout", "fit_on")
    return {k: v for k, v in EXPERIMENT.settings["coarse"].items() if k not in own}


def shard_inputs(wildcards):
    """The files that stand for a shard: the view's own ones, or the plan, written after all tiles."""
    folder = "results/tiles/{0.dataset}/{0.tiling}".format(wildcards)
    if wildcards.tile == VIEW:
        shards = [f"{folder}/{VIEW}/x_{split}.npy" for split in SPLITS]
        return [*shards, f"{folder}/{VIEW}/shards.json"]
    return [f"{folder}/plan.json"]


def local_inputs(wildcards, file):
    """One file of every local net of a run, in the order of the decomposition."""
    run = run_of(wildcards)
    return [
        f"results/local/{run.local_folder(tile)}/{file}" for tile in run.decomposition.subdomains
    ]


def local_probabilities_inputs(wildcards):
    return local_inputs(wildcards, "probabilities.npz")


def local_metrics_inputs(wildcards):
    return local_inputs(wildcards, "metrics.json")


def coarse_inputs(wildcards):
    """The coarse net of a run; the global net's run has none."""
    if run_of(wildcards).is_global:
        return []
    return [
        f"results/runs/{run_of(wildcards).folder}/coarse/{file}"
        for file in ("metrics.json", "probabilities.npz")
    ]


def global_inputs(wildcards):
    """The global net that a run is compared with."""
    whole = run_of(wildcards).global_run()
    if whole.folder not in RUNS:
        return []
    return [f"results/local/{whole.local_folder(whole.tiling.names[0])}/metrics.json"]


def plan_input(wildcards):
    run = run_of(wildcards)
    return f"results/tiles/{run.dataset}/{run.tiling.slug}/plan.json"


def tiles_of(wildcards):
    """Names of a run's subdomains."""
    return run_of(wildcards).decomposition.subdomains


def run_parameters(wildcards):
    """What the evaluation says of its run."""
    run = run_of(wildcards)
    return {
        "dataset": run.dataset,
        "model": run.model,
        "decomposition": run.decomposition.slug,
        "coarse_view": run.decomposition.coarse_view,
        "seed": run.seed,
    }


def report_files():
    folder = f"results/reports/{EXPERIMENT.name}"
    return [f"{folder}/report.html", f"{folder}/summary.csv", f"{folder}/figures"]


def report_inputs(_wildcards):
    """Everything that the report shows."""
    files = []
    for run in EXPERIMENT.runs:
        folder = f"results/runs/{run.folder}"
        files += [f"{folder}/evaluation.json", f"{folder}/predictions.npz"]
        files += [f"results/tiles/{run.dataset}/{run.tiling.slug}/plan.json"]
        files += [f"{folder}/coarse/history.csv"] if not run.is_global else []
        files += [
            f"results/local/{run.local_folder(tile)}/history.csv"
            for tile in run.decomposition.subdomains
        ]
        files += [
            f"results/data/{run.dataset}/{f}" for f in ("card.json", "x_train.npy", "x_test.npy")
        ]
    return list(dict.fromkeys(files))


def headline():
    """Where the report is, and the three figures that matter."""
    from ddcnn.report import headline as headline_of

    summary = Path(report_files()[1])
    return headline_of(summary) if summary.is_file() else "Done."


def check_folders():
    """Stop before the first job where results or logs cannot be written."""
    try:
        require_writable(Path("results"), *Path("results").glob("*/"), Path("logs"))
    except InputError as error:
        sys.exit(f"Error: {error}")


def advice_after_error():
    return """\
Something failed: the lines above name each failed job and its log file. Nothing that is finished is
lost: put right what the log says and run the same command again; interrupted trainings go on from
their checkpoint. If Snakemake says that the folder is locked: snakemake --unlock."""
