"""``check``: check a configuration and list its runs."""

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ddcnn.base.files import read_json
from ddcnn.commands.arguments import add_command, add_configuration, asked_experiment
from ddcnn.data.card import augmentation_in_words
from ddcnn.experiment.chosen import automatic_keys, chosen_settings, facts_of
from ddcnn.experiment.paths import paths_of
from ddcnn.experiment.runs import Experiment


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = add_command(commands, "check", run, "check a configuration and list its runs")
    add_configuration(parser)


def run(options: argparse.Namespace) -> None:
    """Print what a configuration asks for; a faulty one is an :class:`InputError`."""
    experiment = asked_experiment(options)
    for run in experiment.runs:
        shape = experiment.datasets[run.dataset].shape
        tile = "x".join(map(str, run.tiling.tile_shape(shape)))
        print(
            f"{run.folder}: {len(run.decomposition.subdomains)} nets of width {run.local_width} "
            f"on {tile} pixels"
        )
    for line in (*_automatic(experiment), *_augmentation(experiment), *_folds(experiment)):
        print(line)
    nets = Counter(
        run.local_folder(tile) for run in experiment.runs for tile in run.decomposition.subdomains
    )
    print(f"{experiment.name}: {len(experiment.runs)} runs, {len(nets)} trainings of local nets")


def _folds(experiment: Experiment) -> Iterator[str]:
    """Lines for each data set: samples per class in every fold."""
    for name in experiment.datasets if experiment.folds else ():
        card = Path(paths_of("prepare", "card", {"dataset": name}))
        facts = read_json(card) if card.is_file() else {}
        if facts.get("folds") != experiment.folds:
            yield f"{name}: {experiment.folds} folds, dealt when the data are prepared"
            continue
        for fold, counts in facts["counts"].items():
            yield f"{name}, {fold}: " + ", ".join(f"{n:,} {label}" for label, n in counts.items())


def _automatic(experiment: Experiment) -> Iterator[str]:
    """A line for each data set: what ``auto`` becomes."""
    keys = automatic_keys(experiment.settings)
    for name, dataset in experiment.datasets.items() if keys else ():
        facts = facts_of(dataset, folds=experiment.folds)
        if facts is None:
            yield f"{name}: decided when the data are prepared (auto): {', '.join(keys)}"
            continue
        values = chosen_settings(experiment.settings, facts)
        words = ", ".join(f"{key} {value}" for key, value in values.items())
        yield f"{name}: for {facts.num_images:,} training {facts.kind}s (auto): {words}"


def _augmentation(experiment: Experiment) -> Iterator[str]:
    """A line for each data set: what ``local.augment: true`` does to its images."""
    if not experiment.settings["local"]["augment"]:
        return
    for name, dataset in experiment.datasets.items():
        moves = augmentation_in_words(dataset.flip, dataset.shift)
        nothing = "none, as the data set allows none; its keys flip and shift say what it bears"
        yield f"{name}: augmentation: {moves or nothing}"
