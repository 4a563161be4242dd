"""``check``: check a configuration and list its runs."""

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ddcnn.base.errors import DamagedResult, InputError
from ddcnn.base.foreign import entry, read_facts
from ddcnn.base.listing import groups_of
from ddcnn.base.text import augmentation_in_words, counted
from ddcnn.coarse.memory import require_for_linear
from ddcnn.commands.arguments import add_command, add_configuration, asked_experiment
from ddcnn.data.look import look
from ddcnn.experiment.chosen import automatic_keys, chosen_settings, facts_of
from ddcnn.experiment.paths import paths_of
from ddcnn.experiment.runs import Experiment

MOST_CLASSES = 20  # that are listed one by one


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = add_command(
        commands, "check", run, "check a configuration and its data, and list its runs"
    )
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
    for line in (*_automatic(experiment), *_augmentation(experiment), *_counts(experiment)):
        print(line)
    for line in _memory(experiment):
        print(line)
    nets = Counter(
        run.local_folder(tile) for run in experiment.runs for tile in run.decomposition.subdomains
    )
    print(f"{experiment.name}: {len(experiment.runs)} runs, {len(nets)} trainings of local nets")
    _look(experiment)


def _look(experiment: Experiment) -> None:
    """Print what of people's own data cannot be used; what stops the preparation is an error."""
    mistakes = []
    for dataset in filter(lambda dataset: dataset.own, experiment.datasets.values()):
        try:
            for line in look(dataset):
                print(line)
        except InputError as error:
            mistakes.append(f"{dataset.name}: {error}")
    if mistakes:
        raise InputError("\n".join(mistakes))


def _counts(experiment: Experiment) -> Iterator[str]:
    """Lines for each prepared data set: samples per class, and groups, in every split or fold."""
    for name in experiment.datasets:
        card = Path(paths_of("prepare", "card", {"dataset": name}))
        facts = read_facts(card) if card.is_file() else {}
        if facts.get("folds", 0) != experiment.folds or not facts:
            if experiment.folds:
                yield f"{name}: {experiment.folds} folds, dealt when the data are prepared"
            continue
        for part in entry(facts, card, "counts", dict):
            counts = entry(facts, card, f"counts.{part}", dict)
            if not all(isinstance(number, int) for number in counts.values()):
                raise DamagedResult(card, f"counts.{part} are no whole numbers")
            groups = groups_of(card.parent, [part])
            number = "" if groups is None else f", in {counted(len(np.unique(groups)), 'group')}"
            yield f"{name}, {part}: {_classes(counts)}{number}"


def _memory(experiment: Experiment) -> Iterator[str]:
    """A line for each data set whose largest linear coarse net takes more than is free here."""
    is_linear = experiment.settings["coarse"]["solver"] == "linear"
    if not (is_linear or "logistic" in experiment.settings["methods"]):
        return
    for name in experiment.datasets:
        card = Path(paths_of("prepare", "card", {"dataset": name}))
        classes = entry(read_facts(card), card, "classes", list) if card.is_file() else ()
        tiles = [len(r.decomposition.subdomains) for r in experiment.runs if r.dataset == name]
        if classes and max(tiles) > 1:
            # Of the images nothing is counted: whatever is said holds without them.
            size = 0, max(tiles) * len(classes), len(classes)
            try:
                require_for_linear("its linear coarse net", *size, "classification")
            except InputError as error:
                yield f"warning: {name}: {error}"


def _classes(counts: dict[str, int]) -> str:
    if len(counts) <= MOST_CLASSES:
        return ", ".join(f"{number:,} {label}" for label, number in counts.items())
    total, fewest, most = sum(counts.values()), min(counts.values()), max(counts.values())
    return f"{total:,} of {len(counts)} classes, {fewest:,} to {most:,} of each"


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
