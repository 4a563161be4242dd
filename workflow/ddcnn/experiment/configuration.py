"""From a configuration to its experiment, with every check before the first job.

The JSON schema is the single source of types, bounds, defaults and descriptions; this module adds
what no schema can say: that the values fit the data and each other.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from ddcnn import nets
from ddcnn.base import events
from ddcnn.base.defaults import AUTO
from ddcnn.base.errors import InputError
from ddcnn.data.registry import Dataset
from ddcnn.experiment import without_steps
from ddcnn.experiment.needs import JOINT
from ddcnn.experiment.paths import folder_of
from ddcnn.experiment.runs import Experiment, Run, experiment_of
from ddcnn.experiment.schema import completed


def load_experiment(config: dict[str, Any]) -> Experiment:
    """Check a configuration and list its runs.

    Raises:
        InputError: a line for each mistake, naming the key, the value and what is accepted.
    """
    known = completed(config)
    mistakes = known.mistakes
    if known.tells_runs:
        try:
            experiment = experiment_of(known.settings)
        except InputError as error:
            mistakes += [str(error)]
        else:
            mistakes += _misfits(experiment)
    if mistakes:
        raise InputError("\n".join(dict.fromkeys(mistakes)))
    return experiment


def _misfits(experiment: Experiment) -> list[str]:
    """What does not fit the data or other values: a line for each."""
    settings, datasets = experiment.settings, experiment.datasets
    checks = [partial(_check_log, settings["log"]), partial(_check_refit, settings)]
    checks.append(partial(_check_parallel, settings))
    for dataset in datasets.values():
        checks += [
            partial(_check_place, dataset),
            partial(_check_task, dataset, settings),
            partial(_check_splits, dataset, experiment.folds),
        ]
    checks.append(partial(without_steps.check, settings, datasets))
    checks += [
        partial(_check_run, run, datasets[run.dataset])
        for run in experiment.trained
        if not run.is_global
    ]
    found = _refused(checks)
    # Global nets follow from the runs that the user wrote down, and so do their mistakes. Nets of
    # the user's are built in the shapes of their tiles, which must be right for it.
    if not found:
        whole = [run for run in experiment.trained if run.is_global]
        found = _refused(partial(_check_run, run, datasets[run.dataset]) for run in whole)
    dropout = settings["local"]["dropout"]
    return found or _refused([partial(_check_own_nets, experiment.trained, datasets, dropout)])


def _refused(checks: Iterable[Callable[[], None]]) -> list[str]:
    found = []
    for check in checks:
        try:
            check()
        except InputError as error:
            found.append(str(error))
    return found


def _check_place(dataset: Dataset) -> None:
    """Refuse data that lie where the preparation writes its own: they would be replaced."""
    prepared = folder_of("prepare", dataset.name).resolve()
    if dataset.path and prepared in (dataset.path.resolve(), *dataset.path.resolve().parents):
        raise InputError(
            f"dataset: path {str(dataset.path)!r} is in {prepared}, where the prepared data are "
            "written and would replace it; move it elsewhere, or change the name"
        )


def _check_log(log: str) -> None:
    if log == "tensorboard" and not events.is_installed():
        raise InputError(
            "log: tensorboard is asked for and not installed; install the package tensorboard "
            '(pip install "ddcnn[tensorboard]") or set log: none'
        )


def _check_refit(settings: dict[str, Any]) -> None:
    """Nets that are trained with the validation split can neither be judged nor chosen by it."""
    if not settings["refit"]:
        return
    local, joint = settings["local"], sorted({*JOINT} & {*settings["methods"]})
    for key, off in {"weights": "last", "patience": 0}.items():
        if local[key] != off:
            raise InputError(
                f"local.{key}: {local[key]} goes by the loss on the validation split, with which "
                f"refit: true trains; set local.{key}: {off}, or refit: false"
            )
    if joint:
        raise InputError(
            f"methods: {', '.join(joint)}: nets that are trained as one are not trained again with "
            "the validation split, which is what refit: true does; leave one of the two out"
        )
    if settings["coarse"]["input"] == "features":
        raise InputError(
            "coarse.input: features are those of the last nets, which with refit: true have seen "
            "the validation split; take log-probabilities, or refit: false"
        )


def _check_parallel(settings: dict[str, Any]) -> None:
    """What is independent of the nets; :func:`ddcnn.parallel.check.check_way` looks at these."""
    ways = ", ".join(settings["parallel"])
    if not ways:
        return
    if not settings["global_net"]:
        raise InputError(
            f"parallel: {ways}: other ways of training are compared with the global net, and "
            "global_net is false; set it to true, or remove parallel"
        )
    if settings["refit"]:
        raise InputError(
            f"parallel: {ways}: workers train a net once, and refit: true trains every net twice; "
            "leave one of the two out"
        )
    batch, workers = settings["local"]["batch_size"], max(settings["workers"])
    if batch != AUTO and batch < workers:
        raise InputError(
            f"workers: {workers} for batches of {batch} images (local.batch_size); take fewer "
            "workers or larger batches"
        )


def _check_task(dataset: Dataset, settings: dict[str, Any]) -> None:
    for part in ("local", "coarse"):
        smoothing = settings[part]["label_smoothing"]
        if dataset.task == "regression" and smoothing not in (AUTO, 0):
            raise InputError(
                f"{part}.label_smoothing: {smoothing} spreads a label over classes, and "
                f"{dataset.name} has none (regression); remove it or set 0"
            )
    if dataset.task == "regression" and settings["local"]["class_weights"] != "none":
        raise InputError(
            f"local.class_weights: {settings['local']['class_weights']} weighs classes, and "
            f"{dataset.name} has none (regression); remove it or set none"
        )


def _check_splits(dataset: Dataset, folds: int) -> None:
    """Folds need data without splits; of a user's own data, the preparation finds out."""
    if folds and not {*dataset.counts} <= {"all"}:
        raise InputError(
            f"folds: {folds}, but {dataset.name} has splits of its own "
            f"({', '.join(dataset.counts)}), which all results on it share; remove folds"
        )


def _check_run(run: Run, dataset: Dataset) -> None:
    run.tiling.check(dataset.shape)
    nets.check_input(run.architecture, run.tiling.tile_shape(dataset.shape))


def _check_own_nets(runs: list[Run], datasets: dict[str, Dataset], dropout: float) -> None:
    """Build the user's nets, once for every shape and width; torch is imported for them only."""
    own_nets = set()
    for run in filter(lambda run: nets.own.is_own(run.architecture), runs):
        *spatial, channels = datasets[run.dataset].image_shape
        shape = (*run.tiling.tile_shape(tuple(spatial)), channels)
        # The classes of a user's data are known when all files are read; any number does.
        classes = len(datasets[run.dataset].classes) or 2
        own_nets.add((run.architecture, shape, classes, run.local_width))
    for net in sorted(own_nets):
        nets.own.check(*net, dropout)
