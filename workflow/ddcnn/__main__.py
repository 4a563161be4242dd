"""The command line: ``ddcnn COMMAND``, or ``python -m ddcnn COMMAND``."""

import argparse
import os
import sys
from contextlib import redirect_stderr, redirect_stdout

from ddcnn import __version__
from ddcnn.base.errors import InputError
from ddcnn.base.escaping import Terminal
from ddcnn.commands import (
    check,
    compare,
    data,
    docs,
    export,
    info,
    nets,
    plan,
    predict,
    room,
    status,
)

COMMANDS = (check, status, plan, room, compare, predict, info, export, nets, data, docs)


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit status; whatever it prints is made harmless."""
    with redirect_stdout(Terminal(sys.stdout)), redirect_stderr(Terminal(sys.stderr)):
        return _main(arguments)


def _main(arguments: list[str] | None) -> int:
    parser = argparse.ArgumentParser(prog="ddcnn", description=__doc__)
    parser.add_argument("--version", action="version", version=f"ddcnn {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_to(commands)
    options = parser.parse_args(arguments)
    try:
        options.function(options)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, head or less, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except InputError as error:
        for line in str(error).splitlines():  # one for each mistake of a configuration
            print(f"error: {line}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
