"""``check``: check a configuration and list its runs."""

import argparse
from collections import Counter
from pathlib import Path

from ddcnn.commands.configuration_file import add_file, file_of, read_experiment


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = commands.add_parser("check", help="check a configuration and list its runs")
    add_file(parser)
    parser.set_defaults(function=lambda options: check_configuration(file_of(options)))


def check_configuration(path: Path) -> None:
    """Print what a configuration asks for; a faulty one is an :class:`InputError`."""
    experiment = read_experiment(path)
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
