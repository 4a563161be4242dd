"""``info``: the card of a trained model."""

import argparse
from pathlib import Path


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = commands.add_parser("info", help="the card of a trained model")
    parser.add_argument("model", type=Path, metavar="MODEL", help="a ddcnn.safetensors")
    parser.set_defaults(function=lambda options: print_card(options.model))


def print_card(model: Path) -> None:
    """Print what a person must know of a model; no net is built."""
    from ddcnn.bundle.card import card_text
    from ddcnn.bundle.file import read_bundle

    print(card_text(read_bundle(model).description), end="")
