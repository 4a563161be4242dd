"""``check``: check a configuration and list its runs."""

import argparse
from collections import Counter

from ddcnn.commands.arguments import add_command, add_configuration, asked_experiment


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
    nets = Counter(
        run.local_folder(tile) for run in experiment.runs for tile in run.decomposition.subdomains
    )
    print(f"{experiment.name}: {len(experiment.runs)} runs, {len(nets)} trainings of local nets")
