"""The configuration file that a command is about."""

import argparse
from pathlib import Path
from typing import Any

import yaml

from ddcnn.base.errors import InputError
from ddcnn.experiment.configuration import Experiment, load_experiment

DEFAULT = Path("config/config.yaml")


def add_file(parser: argparse.ArgumentParser) -> None:
    """Take the file by position, or as Snakemake takes it."""
    parser.add_argument(
        "file", nargs="?", default=DEFAULT, type=Path, help=f"configuration file ({DEFAULT})"
    )
    parser.add_argument("--configfile", type=Path, help="the same, as Snakemake takes it")


def file_of(options: argparse.Namespace) -> Path:
    """The file that was named in one of the two ways."""
    return options.configfile or options.file


def read_experiment(path: Path) -> Experiment:
    """The experiment that a file asks for; a faulty one is an :class:`InputError`."""
    try:
        config: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(config, dict):
        raise InputError(f"{path} holds no keys; see config/README.md")
    return load_experiment(config)
