"""``docs``: write config/README.md from the schema."""

import argparse

from ddcnn.base.errors import InputError
from ddcnn.base.files import write_aside
from ddcnn.commands.arguments import add_command
from ddcnn.experiment.schema import SCHEMA, documentation

CONFIG_README = SCHEMA.parents[3] / "config" / "README.md"


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    add_command(commands, "docs", run, "write config/README.md from the schema")


def run(options: argparse.Namespace) -> None:
    """Write ``config/README.md`` of the checkout that this package lies in.

    Raises:
        InputError: it is installed elsewhere.
    """
    if not CONFIG_README.is_file():
        installed = f"{SCHEMA.parents[1]} is in none; use the ddcnn of a checkout (make setup)"
        raise InputError(f"docs writes the config/README.md of a checkout, and {installed}")
    with write_aside(CONFIG_README) as aside:
        aside.write_text(documentation(), encoding="utf-8")
    print(f"wrote {CONFIG_README.name}")
