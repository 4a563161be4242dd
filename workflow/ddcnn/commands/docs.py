"""``docs``: write config/README.md from the schema."""

import argparse

from ddcnn.base.files import write_aside
from ddcnn.experiment.configuration import SCHEMA, documentation

CONFIG_README = SCHEMA.parents[3] / "config" / "README.md"


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = commands.add_parser("docs", help="write config/README.md from the schema")
    parser.set_defaults(function=lambda options: write_documentation())


def write_documentation() -> None:
    """Write ``config/README.md``."""
    with write_aside(CONFIG_README) as aside:
        aside.write_text(documentation(), encoding="utf-8")
    print(f"wrote {CONFIG_README.name}")
