"""``info``: the card of a trained model."""

import argparse

from ddcnn.commands.arguments import add_command, add_model


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = add_command(commands, "info", run, "the card of a trained model")
    add_model(parser, is_run=False)


def run(options: argparse.Namespace) -> None:
    """Print what a person must know of a model; no net is built."""
    from ddcnn.base.errors import InputError
    from ddcnn.bundle.card import card_text
    from ddcnn.bundle.file import read_bundle

    description = read_bundle(options.model).description
    try:
        text = card_text(description)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{options.model}: its description is not of this version of ddcnn ({error!r}); "
            "write it again"
        ) from error
    print(text, end="")
