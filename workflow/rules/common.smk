# What all rules share: the checked configuration, and functions that find a rule's files.
import os
import sys
import threading
from dataclasses import asdict
from pathlib import Path

PACKAGE_FOLDER = str(Path(workflow.basedir) / "workflow")
sys.path.insert(0, PACKAGE_FOLDER)
# Jobs find the package of this checkout, in whatever environment they run.
earlier = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
os.environ.update(PYTHONPATH=os.pathsep.join(dict.fromkeys([PACKAGE_FOLDER, *earlier])))

from ddcnn.base import events

from ddcnn import nets
from ddcnn.experiment.configuration import load_experiment
from ddcnn.base.disk import require_writable
from ddcnn.base.errors import InputError
from ddcnn.tiles.packs import ANY_TILE, AWAITED, RULE, local_rules
from ddcnn.base.digests import code_digest
from ddcnn.tiles.geometry import VIEW

CONDA_ENVIRONMENT = Path(workflow.basedir) / "envs" / "ddcnn.yaml"
SPLITS = ["train", "val", "test"]
ANY_TILING = "whole|blocks-[0-9x]+-overlap[0-9x]+|interleaved-[0-9x]+"

try:
    EXPERIMENT = load_experiment(config)
except InputError as error:
    sys.exit(f"Error in the configuration: {error}\nEvery key is described in config/README.md.")
# With all defaults: jobs read from it what changes no result, and so is no parameter of a rule.
config |= EXPERIMENT.settings

# In the environment and in no parameter: who watches a training does not repeat it.
if EXPERIMENT.settings["log"] == "tensorboard":
    os.environ[events.VARIABLE] = str(events.FOLDER)

RUNS = {run.folder: run for run in EXPERIMENT.runs}
# Several runs share the nets of a tiling: with and without the coarse view they are the same.
TRAINED = [*EXPERIMENT.runs, *EXPERIMENT.controls]
LOCAL_CODE, COHERENT_CODE = code_digest("local.stage"), code_digest("coarse.joint")
# Of one net each: an edit of another net re-runs nothing.
NET_CODE = {
    name: nets.code_of(name) for name in dict.fromkeys(run.architecture for run in TRAINED)
}
TILING_RUNS = {(run.dataset, run.model, run.tiling.slug): run for run in TRAINED}
TILINGS = {(run.dataset, run.tiling.slug): run.tiling for run in TRAINED}
LOCAL_RULES = local_rules(TILINGS.values(), EXPERIMENT.settings["tiles_per_job"], ANY_TILING)

# What a profile or --set-resources asks for train_local holds for the rules of packs, too.
for what in ("overwrite_resources", "overwrite_threads"):
    asked = getattr(workflow.resource_settings, what)
    if RULE in asked:
        packed = dict.fromkeys(LOCAL_RULES, asked[RULE])
        setattr(workflow.resource_settings, what, {**packed, **asked})


wildcard_constraints:
    dataset="[^/]+",
    model="[^/]+",
    tiling=ANY_TILING,
    decomposition="[^/]+",
    seed=r"\d+",
    fold=r"\d+",
    combination="coarse|ensemble",
    start="coherent|transfer",
    tile=ANY_TILE,
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


def net_of(run, seed):
    """What a local net's job must know beside its tile: where that is from, which net, which seed."""
    return {
        "dataset": run.dataset,
        "tiling": run.tiling.slug,
        "model": run.model,
        "architecture": run.architecture,
        "width": run.local_width,
        "dropout": EXPERIMENT.settings["local"]["dropout"],
        "seed": int(seed),
    }


def net_parameters(wildcards):
    """The same for all tiles, so that packing them differently repeats no training."""
    run = TILING_RUNS[wildcards.dataset, wildcards.model, wildcards.tiling]
    return net_of(run, wildcards.seed)


def subdomains_parameters(wildcards):
    """All local nets of a run, in the order of the decomposition."""
    run = run_of(wildcards)
    return [net_of(run, run.seed) | {"tile": tile} for tile in run.decomposition.subdomains]


def run_tiling(wildcards):
    return asdict(run_of(wildcards).tiling)


def local_code(wildcards):
    """Changes when the code of a local net's job does, that of its architecture included."""
    run = TILING_RUNS[wildcards.dataset, wildcards.model, wildcards.tiling]
    return f"{LOCAL_CODE} {NET_CODE[run.architecture]}"


def joint_code(wildcards):
    """The same for the trainings as one model."""
    return f"{COHERENT_CODE} {NET_CODE[run_of(wildcards).architecture]}"


def local_settings():
    """Training settings of local nets; dropout belongs to the net, and no result depends on how
    often a checkpoint is written."""
    others = ("dropout", "checkpoint_seconds")
    return {k: v for k, v in EXPERIMENT.settings["local"].items() if k not in others}


COARSE_NET_KEYS = ("solver", "input", "hidden", "dropout", "fit_on")


def coarse_net():
    """Which coarse net, and what it is fitted on."""
    return {key: EXPERIMENT.settings["coarse"][key] for key in COARSE_NET_KEYS}


def joint_coarse_net():
    """The coarse net of a model that is trained as one: it is fitted on nothing of its own."""
    return {key: value for key, value in coarse_net().items() if key != "fit_on"}


def coarse_settings():
    """Training settings of the coarse net."""
    own = (*COARSE_NET_KEYS, "folds")
    return {k: v for k, v in EXPERIMENT.settings["coarse"].items() if k not in own}


def joint_settings(wildcards):
    """Training settings of local nets and coarse net as one model."""
    changes = EXPERIMENT.settings["transfer"] if wildcards.start == "transfer" else {}
    return local_settings() | changes


def shard_inputs(wildcards):
    """The files that stand for a shard: the view's own ones, or the plan, written after all tiles."""
    folder = "results/tiles/{0.dataset}/{0.tiling}".format(wildcards)
    if wildcards.get("tile") == VIEW:  # a pack of tiles has no such wildcard
        shards = [f"{folder}/{VIEW}/x_{split}.npy" for split in SPLITS]
        return [*shards, f"{folder}/{VIEW}/shards.json"]
    return [f"{folder}/plan.json"]


def net_files(pack, name):
    """A file of every net that a rule trains."""
    folder = "results/local/{dataset}/{model}/{tiling}/seed{seed}"
    return [f"{folder}/{tile}/{name}" for tile in pack.tiles]


def local_folders(run):
    """Folders of a run's local nets, in the order of the decomposition."""
    return [f"results/local/{run.local_folder(tile)}" for tile in run.decomposition.subdomains]


def member_folders(run):
    """Folders of the nets of the control "ensemble"."""
    return [folder for member in run.ensemble_runs() for folder in local_folders(member)]


def fold_folders(folder):
    """Folders of a local net's trainings without a part of the images, where they are needed."""
    return [f"{folder}/fold{k}" for k in range(EXPERIMENT.num_folds)]


def combined_folders(wildcards):
    """Folders of the nets that a coarse net combines: the tiles' or the ensemble's."""
    run = run_of(wildcards)
    return member_folders(run) if wildcards.combination == "ensemble" else local_folders(run)


def combined_inputs(wildcards):
    return [f"{folder}/probabilities.npz" for folder in combined_folders(wildcards)]


def combined_features(wildcards):
    """What the last layers of these nets see, where the coarse net does, too."""
    if EXPERIMENT.settings["coarse"]["input"] != "features":
        return []
    return [f"{folder}/features.npz" for folder in combined_folders(wildcards)]


def combined_names(wildcards):
    """What a coarse net calls its inputs."""
    names = tiles_of(wildcards)
    if wildcards.combination == "ensemble":
        return [f"member-{number}" for number in range(len(names))]
    return names


def held_out_inputs(wildcards):
    return [
        f"{fold}/held_out.npz"
        for folder in combined_folders(wildcards)
        for fold in fold_folders(folder)
    ]


def trained_inputs(wildcards):
    """What the method transfer starts from: local nets, and the coarse net as the last one."""
    if wildcards.start == "coherent":
        return []
    run = run_of(wildcards)
    folders = [*local_folders(run), f"results/runs/{run.folder}/coarse"]
    return [f"{folder}/model.safetensors" for folder in folders]


def trained_folders(wildcards):
    """Folders of everything that is compared in a run; see ddcnn.evaluation.stage.Trained."""
    run = run_of(wildcards)
    folder, methods = f"results/runs/{run.folder}", EXPERIMENT.methods_of(run)
    local = local_folders(run)
    whole = run.global_run()
    (small,) = local_folders(run.small_run())
    ensemble = "ensemble" in methods
    return {
        "local": dict(zip(run.decomposition.subdomains, local, strict=True)),
        "folds": [] if run.is_global else [fold for net in local for fold in fold_folders(net)],
        "coarse": None if run.is_global else f"{folder}/coarse",
        "global_net": local_folders(whole)[0] if whole.folder in RUNS else None,
        "small": small if "small" in methods else None,
        "members": member_folders(run) if ensemble else [],
        "ensemble": f"{folder}/ensemble" if ensemble else None,
        "joint": {m: f"{folder}/{m}" for m in ("coherent", "transfer") if m in methods},
    }


def trained_files(wildcards):
    """Their files."""
    folders = trained_folders(wildcards)
    judging = [*folders["local"].values(), *folders["joint"].values()]
    judging += [folders[key] for key in ("coarse", "small", "ensemble") if folders[key]]
    others = [*folders["folds"], *folders["members"]]
    others += [folders["global_net"]] if folders["global_net"] else []
    files = [f"{folder}/probabilities.npz" for folder in judging]
    files += [f"{folder}/metrics.json" for folder in [*judging, *others]]
    return list(dict.fromkeys(files))


def plan_input(wildcards):
    run = run_of(wildcards)
    return f"results/tiles/{run.dataset}/{run.tiling.slug}/plan.json"


def tiles_of(wildcards):
    """Names of a run's subdomains."""
    return run_of(wildcards).decomposition.subdomains


def methods_parameters(wildcards):
    return EXPERIMENT.methods_of(run_of(wildcards))


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


def bundled_folders(wildcards):
    """Folders of the nets that a run's model consists of."""
    folders = trained_folders(wildcards)
    return {key: folders[key] for key in ("local", "coarse")}


def bundled_files(wildcards):
    """Their files."""
    folders = bundled_folders(wildcards)
    files = ["model.safetensors", "metrics.json", "probabilities.npz"]
    with_features = folders["coarse"] and EXPERIMENT.settings["coarse"]["input"] == "features"
    of_each = [*files, "features.npz"] if with_features else files
    of_local = [f"{folder}/{file}" for folder in folders["local"].values() for file in of_each]
    return of_local + [f"{folders['coarse']}/{file}" for file in files[:2] if folders["coarse"]]


def reading_parameters(wildcards):
    """How files became images; a prediction reads its inputs in the same way."""
    return asdict(EXPERIMENT.datasets[wildcards.dataset].options)


def local_code_of_run(wildcards):
    return f"{LOCAL_CODE} {NET_CODE[run_of(wildcards).architecture]}"


def bundles():
    """The models of all runs."""
    return [f"results/runs/{run.folder}/ddcnn.safetensors" for run in EXPERIMENT.runs]


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
    from ddcnn.report.summary import headline as headline_of

    summary = Path(report_files()[1])
    return headline_of(summary) if summary.is_file() else "Done."


def stop_timers():
    """Stop what would hold the finished process back for a second.

    Snakemake's scheduler means to look for jobs again a second after it started the last one.
    """
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.cancel()


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
