"""The command line: ``ddcnn COMMAND``, or ``python -m ddcnn COMMAND``."""

import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    # python -m looks into the folder that it is called in before all others, and a yaml.py there is
    # no part of this program.
    sys.path.append(sys.path.pop(0))

import argparse
import importlib
import os
from contextlib import redirect_stderr, redirect_stdout, suppress
from typing import TextIO

from ddcnn import __version__
from ddcnn.base.errors import InputError
from ddcnn.base.escaping import Terminal
from ddcnn.base.reading import in_one_line

COMMANDS = ("check", "status", "plan", "advise", "room", "compare", "predict", "info", "export")
COMMANDS += ("nets", "data", "docs")


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit status; whatever it prints is made harmless."""
    out, err = (_open(stream) for stream in (sys.stdout, sys.stderr))
    with redirect_stdout(Terminal(out)), redirect_stderr(Terminal(err)):
        return _main(arguments)


def _open(stream: TextIO | None) -> TextIO:
    """The stream, which writes what its encoding lacks as ``\\xe9``; a closed one takes all."""
    if stream is None:
        return open(os.devnull, "w")  # noqa: PTH123, closed with the process
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")
    return stream


def _main(arguments: list[str] | None) -> int:
    parser = argparse.ArgumentParser(prog="ddcnn", description=__doc__)
    parser.add_argument("--version", action="version", version=f"ddcnn {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    arguments = sys.argv[1:] if arguments is None else arguments
    # The one that is asked for does not wait until all others are imported.
    for name in [name for name in arguments[:1] if name in COMMANDS] or COMMANDS:
        importlib.import_module(f"ddcnn.commands.{name}").add_to(commands)
    options = parser.parse_args(arguments)
    try:
        options.function(options)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, head or less, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except InputError as error:
        return _failed(str(error))
    except Exception as error:
        said = in_one_line(error)
        if said is None:
            raise
        return _failed(said)
    return 0


def _failed(message: str) -> int:
    with suppress(OSError):  # nobody can be told
        for line in message.splitlines():  # one for each mistake of a configuration
            print(f"error: {line}", file=sys.stderr, flush=True)
    with suppress(OSError):
        sys.stdout.flush()
        return 1
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter tries again
    return 1


if __name__ == "__main__":
    sys.exit(main())
