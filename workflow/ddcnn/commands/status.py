"""``status``: how far an experiment is."""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator

from ddcnn.base.errors import InputError
from ddcnn.base.escaping import bare, visible
from ddcnn.base.text import duration, table
from ddcnn.commands.arguments import add_command, add_configuration, asked_experiment
from ddcnn.experiment.jobs import STAGES
from ddcnn.experiment.runs import Experiment
from ddcnn.experiment.started import started
from ddcnn.experiment.status import JobStatus, Status, experiment_status

EXAMPLES = """\
examples:
  ddcnn status                          the default, config/config.yaml
  ddcnn status config/cifar10.yaml      another experiment
  ddcnn status overlap2                 one that was started here with --config experiment=overlap2
  ddcnn status --watch                  again and again until all is done
  ddcnn status --json                   for programs

Only files are looked at, while Snakemake runs or after it stopped. What a change of settings or
code makes out of date, a dry run tells: snakemake --dry-run --quiet rules --cores all
"""
MOST_SECONDS = 86_400  # between two looks
MOST_LINES = 20  # of a list of jobs
ALTERNATE_SCREEN, NORMAL_SCREEN = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
HOME, END_OF_LINE, REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = add_command(commands, "status", run, "how far an experiment is", EXAMPLES)
    add_configuration(parser)
    parser.add_argument("--json", action="store_true", help="everything, for programs")
    parser.add_argument("--watch", action="store_true", help="until all is done; Ctrl-C leaves")
    parser.add_argument(
        "--every", type=float, default=2.0, metavar="SECONDS", help="between two looks (2)"
    )


def run(options: argparse.Namespace) -> None:
    """Print the state of an experiment, once or until it is done."""
    if not 0 < options.every <= MOST_SECONDS:
        raise InputError(
            f"--every: {options.every} is not a number of seconds above 0, and at most a day"
        )
    experiment = asked_experiment(options)
    if options.watch and options.json:
        raise InputError("--watch and --json: take one of the two")
    if options.watch:
        watch(experiment, options.every)
    elif options.json:
        print(json.dumps(experiment_status(experiment).as_dict(), indent=2))
    else:
        print("\n".join(lines_of(experiment_status(experiment))))
        print(*others(experiment), sep="\n", end="")


def others(experiment: Experiment) -> Iterator[str]:
    """Lines of all else that was started here, also under this name with --config, and goes on."""
    for other in started():
        status = experiment_status(other)
        if other.settings != experiment.settings and status.of("running", "failed", "stopped"):
            yield f"\nalso started here: {other.name}"
            yield from lines_of(status)
            yield ""


def watch(experiment: Experiment, every: float) -> None:
    """Look again and again: a picture that renews itself on a terminal, else a line a change."""
    live = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    screen = bare(sys.stdout)
    print(ALTERNATE_SCREEN if live else "", end="", file=screen)
    said, lines = "", []
    try:
        while True:
            status = experiment_status(experiment)
            lines = lines_of(status)
            if live:
                print(picture(lines), end="", flush=True, file=screen)
            elif (news := _progress(status)) != said:
                print(said := news, flush=True)
            if not status.of("running", "failed", "stopped", "waiting"):
                return
            time.sleep(every)
    except KeyboardInterrupt:
        pass  # how one leaves
    finally:
        if live:
            print(NORMAL_SCREEN, end="", file=screen)
            print("\n".join(lines))


def picture(lines: list[str]) -> str:
    """The lines over what is on the terminal, as many and as long as fit."""
    columns, rows = shutil.get_terminal_size()
    if len(lines) >= rows:
        lines = [*lines[: rows - 2], f"... {len(lines) - rows + 2} more lines"]
    shown = [visible(line)[:columns] + END_OF_LINE for line in lines]
    return HOME + "\n".join(shown) + REST_OF_SCREEN


def lines_of(status: Status) -> list[str]:
    """The state of an experiment, what needs attention first."""
    if status.counts()["waiting"] == len(status.jobs):
        return [
            f"{status.experiment}: nothing has been started yet, {len(status.jobs)} jobs are to be "
            "done: snakemake --cores all"
        ]
    lines = [_progress(status), outlook(status)]
    for state in ("failed", "stopped"):
        lines += _ended(status, state)
    lines += running(status.of("running"))
    return [*lines, "", *_runs(status)]


def _progress(status: Status) -> str:
    counts = status.counts()
    parts = [f"{count} {state}" for state, count in counts.items() if count and state != "done"]
    return f"{status.experiment}: " + ", ".join(
        [f"{counts['done']} of {len(status.jobs)} jobs done", *parts]
    )


def outlook(status: Status) -> str:
    """How much longer."""
    if len(status.of("done")) == len(status.jobs):
        return "all is done"
    words = "at least" if status.at_least else "about"
    if status.seconds_left is None:
        left = f"{words} {duration(status.work_left)} of work left, for one job at a time"
        return f"no job runs at the moment; {left}"
    if status.at_least and status.seconds_left < 1:
        return "nothing alike was measured, so the time left is not known yet"
    at_a_time = "1 job" if status.at_a_time == 1 else f"{status.at_a_time} jobs"
    return f"{words} {duration(status.seconds_left)} left, with {at_a_time} at a time"


def _ended(status: Status, state: str) -> Iterator[str]:
    words = {
        "failed": "failed; put right what the log says and run again:",
        "stopped": "stopped without a word (killed or interrupted); the next run goes on:",
    }
    jobs = status.of(state)
    if jobs:
        yield from ("", words[state])
    for job in jobs[:MOST_LINES]:
        yield f"  {_name(job)}, after {duration(job.seconds)}: {job.job.log}"
        yield from (f"    | {line}" for line in job.last_lines)
    yield from _rest(jobs)


def running(jobs: list[JobStatus]) -> list[str]:
    """A table of the jobs that run: epoch, accuracy, since when, and how much longer."""
    rows = [
        (
            f"  {job.epoch}/{job.epochs}" if job.epochs else "  waits" if job.waits else "  -",
            f"{job.accuracy:.4f}" if job.accuracy is not None else "-",
            duration(job.seconds),
            duration(job.seconds_left) if job.seconds_left is not None else "-",
            _name(job),
        )
        for job in jobs[:MOST_LINES]
    ]
    header = ("  epoch", "accuracy", "since", "left", "running")
    return ["", *table([header, *rows]), *_rest(jobs)] if jobs else []


def _rest(jobs: list[JobStatus]) -> list[str]:
    return [f"  ... and {len(jobs) - MOST_LINES} more"] if len(jobs) > MOST_LINES else []


def _name(status: JobStatus) -> str:
    return f"{status.job.rule} {status.job.place}"


def _runs(status: Status) -> list[str]:
    header = (*STAGES, "run")
    rows = [
        (*(_stage(run.stages.get(stage)) for stage in STAGES), run.folder) for run in status.runs
    ]
    return table([header, *rows])


def _stage(counts: tuple[int, int] | None) -> str:
    if counts is None:
        return "-"
    done, number = counts
    return "done" if done == number else f"{done}/{number}"
