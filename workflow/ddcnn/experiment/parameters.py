"""Settings and facts that the jobs of a rule are given, for its ``params:``.

What is in no path must be in a parameter, so that Snakemake repeats what a change concerns.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ddcnn import nets
from ddcnn.experiment import without_steps
from ddcnn.experiment.needs import Node, parallel_nets, trained_for
from ddcnn.experiment.paths import paths_of, seed_of
from ddcnn.experiment.runs import Experiment, Run

Wildcards = Mapping[str, str]
COARSE_NET_KEYS = ("solver", "input", "hidden", "dropout", "fit_on")


def dataset_entry(experiment: Experiment, w: Wildcards) -> str | dict[str, Any]:
    """What the configuration says of a data set: a name, or a mapping."""
    return experiment.entries[w["dataset"]]


def own_state(experiment: Experiment, w: Wildcards) -> str:
    """Changes when the user's own data do, so that they are prepared again.

    A parameter and no input: paths of users may hold characters that mean something to Snakemake.
    """
    manifest = Path(paths_of("download", "manifest", {"dataset": w["dataset"]}))
    return experiment.datasets[w["dataset"]].state(manifest.parent)


def reading(experiment: Experiment, w: Wildcards) -> dict[str, Any]:
    """How files became images; a prediction reads its inputs in the same way."""
    return asdict(experiment.datasets[w["dataset"]].options)


def tiling(experiment: Experiment, w: Wildcards) -> dict[str, Any]:
    """Kind, grid and overlap of a tiling."""
    return asdict(experiment.tiling_of(w))


def tiling_of_run(experiment: Experiment, w: Wildcards) -> dict[str, Any]:
    """Kind, grid and overlap of a run's tiling."""
    return asdict(experiment.run_of(w).tiling)


def net(experiment: Experiment, w: Wildcards) -> dict[str, Any]:
    """What a local net's job must know beside its tile: where that is from, which net, which seed.

    Equal for all tiles, so that packing them differently repeats no training.
    """
    return _net(experiment, experiment.net_run_of(w), seed_of(w))


def whole_image(experiment: Experiment, w: Wildcards) -> dict[str, Any]:
    """:func:`net` of the global net, with the name of its one tile."""
    (tile,) = experiment.net_run_of(w).decomposition.subdomains
    return net(experiment, w) | {"tile": tile}


def subdomains(experiment: Experiment, w: Wildcards) -> list[dict[str, Any]]:
    """All local nets of a run, in the order of the decomposition."""
    run = experiment.run_of(w)
    of_all = _net(experiment, run, run.seed)
    return [of_all | {"tile": tile} for tile in run.decomposition.subdomains]


def _net(experiment: Experiment, run: Run, seed: int) -> dict[str, Any]:
    return {
        "dataset": run.dataset,
        "tiling": run.tiling.slug,
        "model": run.model,
        "architecture": run.architecture,
        "width": run.local_width,
        "dropout": 0.0
        if nets.is_closed_form(run.architecture)
        else experiment.settings["local"]["dropout"],
        "seed": seed,
    }


def local_settings(experiment: Experiment, w: Wildcards) -> dict[str, Any]:
    """Training settings of a local net: those that it has a use for."""
    if nets.is_closed_form(experiment.net_run_of(w).architecture):
        return {key: experiment.settings["local"][key] for key in without_steps.LOCAL_KEYS}
    return _settings_of_steps(experiment)


def _settings_of_steps(experiment: Experiment) -> dict[str, Any]:
    """Dropout belongs to the net, and no result depends on how often a checkpoint is written."""
    others = ("dropout", "checkpoint_seconds")
    return {k: v for k, v in experiment.settings["local"].items() if k not in others}


def parallel_trainings(experiment: Experiment) -> list[dict[str, Any]]:
    """Every net that several workers shall train, for :func:`ddcnn.parallel.check.check_way`."""
    found = {}
    for run in filter(lambda run: run.is_global, experiment.runs):
        dataset = experiment.datasets[run.dataset]
        for node in parallel_nets(experiment, run).values():
            key = run.dataset, run.model, node.wildcards["way"], node.wildcards["workers"]
            found[key] = {
                "architecture": run.architecture,
                "width": run.width,
                "shape": dataset.image_shape,
                # The classes of a user's data are known when all files are read.
                "outputs": len(dataset.classes) or 2,
                "way": node.wildcards["way"],
                "workers": int(node.wildcards["workers"]),
            }
    return list(found.values())


def coarse_net(experiment: Experiment) -> dict[str, Any]:
    """Which coarse net, and what it is fitted on."""
    return {key: experiment.settings["coarse"][key] for key in COARSE_NET_KEYS}


def joint_coarse_net(experiment: Experiment) -> dict[str, Any]:
    """The coarse net of a model that is trained as one: it is fitted on nothing of its own."""
    return {key: value for key, value in coarse_net(experiment).items() if key != "fit_on"}


def coarse_settings(experiment: Experiment) -> dict[str, Any]:
    """Training settings of the coarse net; it weighs the classes as the local nets do."""
    own = (*COARSE_NET_KEYS, "folds")
    settings = {k: v for k, v in experiment.settings["coarse"].items() if k not in own}
    return settings | {"class_weights": experiment.settings["local"]["class_weights"]}


def joint_settings(experiment: Experiment, w: Wildcards) -> dict[str, Any]:
    """Training settings of local nets and coarse net as one model."""
    changes = experiment.settings["transfer"] if w["start"] == "transfer" else {}
    return _settings_of_steps(experiment) | changes


def combined_names(experiment: Experiment, w: Wildcards) -> list[str]:
    """What a coarse net calls its inputs."""
    names = experiment.run_of(w).decomposition.subdomains
    if w["combination"] == "ensemble":
        return [f"member-{number}" for number in range(len(names))]
    return names


def evaluated_run(experiment: Experiment, w: Wildcards) -> dict[str, Any]:
    """What the evaluation says of its run."""
    run = experiment.run_of(w)
    return {
        "dataset": run.dataset,
        "model": run.model,
        "decomposition": run.decomposition.slug,
        "coarse_view": run.decomposition.coarse_view,
        "seed": run.seed,
        **({} if run.fold is None else {"fold": run.fold}),
    }


def methods(experiment: Experiment, w: Wildcards) -> list[str]:
    """Which methods of a run are computed beside ``cnn-dnn``."""
    return experiment.methods_of(experiment.run_of(w))


def trained_folders(experiment: Experiment, w: Wildcards) -> dict[str, Any]:
    """Folders of everything that is compared in a run; see ddcnn.evaluation.stage.Trained."""
    return _folders(trained_for(experiment, experiment.run_of(w)))


def bundled_folders(experiment: Experiment, w: Wildcards) -> dict[str, Any]:
    """Folders of the nets that a run's model consists of."""
    trained = trained_for(experiment, experiment.run_of(w))
    return _folders({key: trained[key] for key in ("local", "coarse")})


def _folders(trained: Any) -> Any:
    """Every :class:`Node` as its folder."""
    if isinstance(trained, Node):
        return trained.folder
    if isinstance(trained, dict):
        return {key: _folders(value) for key, value in trained.items()}
    if isinstance(trained, list):
        return [_folders(value) for value in trained]
    return trained
