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
    from ddcnn.base.errors import InputError
    from ddcnn.bundle.card import card_text
    from ddcnn.bundle.file import read_bundle

    description = read_bundle(model).description
    try:
        text = card_text(description)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{model}: its description is not of this version of ddcnn ({error!r}); write it again"
        ) from error
    print(text, end="")
