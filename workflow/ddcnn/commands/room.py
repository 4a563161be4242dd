"""``room``: how much room every stage takes; removal of what can be made again."""

import argparse
import sys

from ddcnn.base.errors import InputError
from ddcnn.base.text import duration, size, table
from ddcnn.commands.arguments import add_command
from ddcnn.experiment.room import (
    STAGES,
    Room,
    made_again,
    refuse_while_running,
    remove,
    room_by_stage,
)

EXAMPLES = """\
examples:
  ddcnn room                            a table of the stages
  ddcnn room --remove tiles             says what it removes and asks
  ddcnn room --remove tiles logs --yes  does not ask

Only the named stages are removed. `make clean` removes all but the downloads.
"""


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    description = "how much room each stage takes, and its removal"
    parser = add_command(commands, "room", run, description, EXAMPLES)
    parser.add_argument(
        "--remove", nargs="+", default=[], choices=list(STAGES), metavar="STAGE",
        help=f"what to remove: {', '.join(STAGES)}",
    )  # fmt: skip
    parser.add_argument("--yes", action="store_true", help="remove without asking")


def run(options: argparse.Namespace) -> None:
    """Print the table, or remove."""
    rooms = room_by_stage()
    if options.remove:
        remove_stages(list(dict.fromkeys(options.remove)), rooms, options.yes)
    elif not any(room.files for room in rooms.values()):
        print("there are no results yet: snakemake --cores all")
    else:
        print("\n".join(table(_rows(rooms), numbers=2)))


def remove_stages(stages: list[str], rooms: dict[str, Room], yes: bool) -> None:
    """Say what goes and what the next run makes again, ask, and remove it.

    Raises:
        InputError: jobs run in this folder, or nobody is there to be asked.
    """
    refuse_while_running()
    files = [file for stage in stages for file in rooms[stage].files]
    if not files:
        print(f"nothing to remove: there are no files of {', '.join(stages)}")
        return
    for stage in stages:
        note = f"; {STAGES[stage].note}" if STAGES[stage].note else ""
        print(f"{stage}: {len(rooms[stage].files)} files, {size(rooms[stage].bytes)}{note}")
    print(_consequence(stages))
    if not yes and not _agreed():
        print("nothing was removed")
        return
    remove(files)
    print(f"removed {len(files)} files, {size(sum(rooms[stage].bytes for stage in stages))}")


def _consequence(stages: list[str]) -> str:
    repeated = made_again(stages)
    if not repeated:
        return "no run repeats a finished job for that"
    jobs = ", ".join(
        f"{number} {rule} ({duration(seconds)})" for rule, (number, seconds) in repeated.items()
    )
    return f"a run that needs them makes them again, and what follows; that took: {jobs}"


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise InputError("nobody can be asked here: add --yes to remove; nothing was removed")
    return input("remove them? [y/N] ").strip().lower() in ("y", "yes")


def _rows(rooms: dict[str, Room]) -> list[tuple[str, str, str]]:
    total = sum(len(room.files) for room in rooms.values())
    return [
        ("stage", "files", "size"),
        *((name, str(len(room.files)), size(room.bytes)) for name, room in rooms.items()),
        ("all", str(total), size(sum(room.bytes for room in rooms.values()))),
    ]
