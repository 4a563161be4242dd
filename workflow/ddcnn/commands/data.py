"""``data``: list the registered data sets, or describe one."""

import argparse
from pathlib import Path

import yaml

from ddcnn.base.files import read_json
from ddcnn.commands.arguments import add_command
from ddcnn.data.registry import REGISTRY, dataset_of
from ddcnn.experiment.paths import paths_of


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    data = commands.add_parser("data", help="list the registered data sets, or describe one")
    what = data.add_subparsers(dest="what", required=True, metavar="WHAT")
    add_command(what, "list", list_datasets, "one line per data set")
    info = add_command(what, "info", describe_dataset, "everything that is known of a data set")
    info.add_argument("name")


def list_datasets(options: argparse.Namespace) -> None:
    """Print one line per registered data set."""
    width = max(map(len, REGISTRY))
    for dataset in REGISTRY.values():
        print(f"{dataset.name:{width}}  {dataset.title}")


def describe_dataset(options: argparse.Namespace) -> None:
    """Print what is known of a data set, and its card where it is prepared."""
    dataset = dataset_of(options.name)
    print(
        yaml.safe_dump(dataset.description(), sort_keys=False, allow_unicode=True, width=100),
        end="",
    )
    card = Path(paths_of("prepare", "card", {"dataset": options.name}))
    if card.is_file():
        print(f"\nprepared, see {card}:")
        print(
            yaml.safe_dump(read_json(card), sort_keys=False, allow_unicode=True, width=100), end=""
        )
    else:
        print("\nnot prepared yet; its card will be", card)
