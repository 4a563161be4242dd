"""The directive ``command-help``: what ``--help`` says of every command, as it is."""

import contextlib
import io
import os
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from ddcnn.__main__ import COMMANDS, main

COLUMNS = "90"


class CommandHelp(SphinxDirective):
    """A section for every command."""

    def run(self) -> list[nodes.Node]:
        """The sections, in the order of ``ddcnn --help``."""
        return [self._section(name) for name in COMMANDS]

    def _section(self, name: str) -> nodes.section:
        section = nodes.section(ids=[f"command-{name}"], names=[name])
        section += nodes.title(name, name)
        text = help_of(name)
        section += nodes.literal_block(text, text, language="text")
        return section


def help_of(*command: str) -> str:
    """What ``ddcnn COMMAND --help`` prints, at a fixed width."""
    os.environ["COLUMNS"] = COLUMNS
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        main([*command, "--help"])
    return out.getvalue()


def setup(app: Any) -> dict[str, bool]:
    """Offer the directive to Sphinx."""
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
