"""``data``: list the registered data sets, or describe one."""

import argparse
from pathlib import Path

import yaml

from ddcnn.base.files import read_json
from ddcnn.data.registry import REGISTRY, dataset_of


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    data = commands.add_parser("data", help="list the registered data sets, or describe one")
    what = data.add_subparsers(dest="what", required=True, metavar="WHAT")
    what.add_parser("list", help="one line per data set").set_defaults(
        function=lambda options: list_datasets()
    )
    info = what.add_parser("info", help="everything that is known of a data set")
    info.add_argument("name")
    info.set_defaults(function=lambda options: describe_dataset(options.name))


def list_datasets() -> None:
    """Print one line per registered data set."""
    width = max(map(len, REGISTRY))
    for dataset in REGISTRY.values():
        print(f"{dataset.name:{width}}  {dataset.title}")


def describe_dataset(name: str) -> None:
    """Print what is known of a data set, and its card where it is prepared."""
    dataset = dataset_of(name)
    print(
        yaml.safe_dump(dataset.description(), sort_keys=False, allow_unicode=True, width=100),
        end="",
    )
    card = Path("results/data") / name / "card.json"
    if card.is_file():
        print(f"\nprepared, see {card}:")
        print(
            yaml.safe_dump(read_json(card), sort_keys=False, allow_unicode=True, width=100), end=""
        )
    else:
        print("\nnot prepared yet; its card will be", card)
