"""What commands have in common: how one is added, and the arguments that several take."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ddcnn.base.errors import InputError

# What reads configurations is imported where one is read: predictions need none of it.
if TYPE_CHECKING:
    from ddcnn.experiment.runs import Experiment

DEFAULT = Path("config/config.yaml")
MOST_PLACES = 10**6  # cores, GPUs, devices


def add_command(
    commands: argparse._SubParsersAction,
    name: str,
    run: Callable[[argparse.Namespace], None],
    description: str,
    examples: str | None = None,
) -> argparse.ArgumentParser:
    """Add a command that calls ``run``; ``examples`` end its help as they are printed here."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = commands.add_parser(name, help=description, epilog=examples, formatter_class=raw)
    parser.set_defaults(function=run)
    return parser


def add_configuration(parser: argparse.ArgumentParser) -> None:
    """Take a configuration file by position, or as Snakemake takes it; or a name."""
    text = f"configuration file, or name of an experiment that was started here ({DEFAULT})"
    parser.add_argument("file", nargs="?", default=DEFAULT, type=Path, help=text)
    parser.add_argument("--configfile", type=Path, help="the same, as Snakemake takes it")


def asked_experiment(options: argparse.Namespace) -> "Experiment":
    """The experiment of the file that was named in one of the two ways, or of a name."""
    from ddcnn.experiment.started import started

    asked = options.configfile or options.file
    if not asked.exists():
        for experiment in started():
            if experiment.name == str(asked):
                return experiment
    return read_experiment(asked)


def read_experiment(path: Path) -> "Experiment":
    """The experiment that a file asks for; a faulty one is an :class:`InputError`."""
    from ddcnn.experiment.configuration import load_experiment
    from ddcnn.experiment.parameters import parallel_trainings
    from ddcnn.experiment.written import read_configuration
    from ddcnn.parallel.check import check_ways

    config = read_configuration(path)
    if not isinstance(config, dict):
        raise InputError(f"{path} holds no keys; see config/README.md")
    experiment = load_experiment(config)
    check_ways(parallel_trainings(experiment))
    return experiment


def add_model(parser: argparse.ArgumentParser, is_run: bool = True) -> None:
    """Take the file of a trained model; to run it, the file of the user's own net, too."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="a ddcnn.safetensors")
    of_net = "the Python file of the model's own net; it is run, so name only one that you trust"
    if is_run:
        parser.add_argument("--net-file", type=Path, metavar="FILE", help=of_net)


def add_written(parser: argparse.ArgumentParser, **descriptions: str) -> None:
    """Take files to write: ``csv="all rows"`` is ``--csv FILE``."""
    for name, description in descriptions.items():
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=Path, metavar="FILE", help=description)


def count(text: str) -> int:
    """The type of an argument: how many of something there are."""
    if not (text.isdecimal() and len(text) < 10 and 1 <= int(text) <= MOST_PLACES):
        raise argparse.ArgumentTypeError(
            f"{text[:20]!r} is not a whole number from 1 to {MOST_PLACES:,}"
        )
    return int(text)
