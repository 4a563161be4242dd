"""Follows the jobs of a run: one line a job, or the live screen; and at the end what failed."""

import os
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from logging import WARNING, LogRecord
from pathlib import Path
from typing import TYPE_CHECKING

from snakemake.logging import ColorizingTextHandler
from snakemake.settings.enums import Quietness
from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_ddcnn.overheard import Overheard
from snakemake_logger_plugin_ddcnn.screen import Lines, Screen

if TYPE_CHECKING:
    from ddcnn.base.logs import LastTry
    from ddcnn.experiment.status import Status

TICK = 0.25  # seconds between two looks at what jobs have written
SHARE = 20  # at most one part in so many of the time goes into looking at files
SILENCE = 300  # seconds without a line, after which one says that the run goes on
LAST_LINES = 6  # of a failed job's log
WARNS = "warning: "  # begins what a job is to be warned of
INTERRUPTED = "Terminating processes on user request"
CHATTER = (  # what Snakemake says of itself
    "Using workflow specific profile",
    "Using profile",
    "Assuming unrestricted shared filesystem",
    "Building DAG of jobs",
    "Using shell",
    "Conda environments: ignored",
    "Select jobs to execute",
    "Execute ",
    "Trying to restart job",
    "Exiting because a job execution failed",
    "Complete log",
    "Elapsed time",
    "Migrating .snakemake folder",
    "Migration complete",
    "SLURM run ID",
    "No SLURM account given, trying to guess",
    "RuleException:\nCalledProcessError in file",  # the job's log says more
    "WorkflowError:\nAt least one job did not complete successfully",
)
SUBMITTED = re.compile(r"Job \d+ has been submitted")  # to a cluster; it may wait there for hours
SILENT_EVENTS = (
    LogEvent.WORKFLOW_STARTED,
    LogEvent.SHELLCMD,
    LogEvent.JOB_STARTED,
    LogEvent.RESOURCES_INFO,
    LogEvent.PROGRESS,
    LogEvent.RULEGRAPH,
)


def is_chatter(record: LogRecord) -> bool:
    """Whether a record tells a person nothing; a warning never is."""
    if getattr(record, "event", None) in SILENT_EVENTS:
        return True
    text = record.getMessage()
    is_known = text.startswith(CHATTER) or SUBMITTED.match(text)
    return bool(is_known) and record.levelno != WARNING


class Follower:
    """What a person sees from the first job on.

    Args:
        stats: number of jobs by rule.
        snakemakes: Snakemake's own handler; knows what ``--quiet`` leaves out.
        nocolor: as asked.
    """

    def __init__(
        self, stats: dict[str, int], snakemakes: ColorizingTextHandler, nocolor: bool
    ) -> None:
        self.snakemakes = snakemakes
        self.total = stats["total"] - stats.get("all", 0)  # which is no work
        self.started = self.last_word = time.time()
        self.begun: dict[int, LogRecord] = {}
        self.done: set[int] = set()
        self.failed: dict[int, LogRecord] = {}
        self.warned: Counter[str] = Counter()
        self.interrupted = False
        self.experiment, self.outputs, self.written = None, {}, {}
        self.next_look, self.last_look = 0.0, []
        quiet = snakemakes.formatter.quiet
        self.tells_jobs = not {Quietness.ALL, Quietness.RULES, Quietness.PROGRESS} & set(quiet)
        live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and find_spec("rich")
        self.overheard = Overheard()
        show = Screen if live and Quietness.ALL not in quiet else Lines
        self.place = show(self.overheard.terminal, nocolor)
        self.lock, self.stopping = threading.RLock(), threading.Event()
        self.watcher = threading.Thread(target=self._watch, daemon=True)
        self.watcher.start()
        if self.tells_jobs and not (self.total and self.place.is_live):
            self.say(f"{self.total} jobs to do" if self.total else "Nothing to be done")

    def say(self, text: str, style: str = "") -> None:
        """A line that stays, with what a name or a message of others hides written out."""
        from ddcnn.base.escaping import visible_lines

        text = visible_lines(text)
        with self.lock:
            self.last_word = time.time()
            self.place.say(text, style)

    def take(self, record: LogRecord) -> None:
        """Note or say what happened."""
        event = getattr(record, "event", None)
        self.interrupted |= record.getMessage().startswith(INTERRUPTED)
        if hasattr(record, "experiment"):  # of the workflow's onstart
            self.experiment, self.outputs = record.experiment, record.outputs
            self.written = {path: False for paths in self.outputs.values() for path in paths}
        elif event == LogEvent.JOB_INFO:
            self._begins(record)
        elif event == LogEvent.JOB_FINISHED:
            self._finishes(record.job_id, record.created)
        elif event == LogEvent.JOB_ERROR:
            self._fails(record)
        elif not is_chatter(record) and self.snakemakes.filter(record):
            if hasattr(record, "sums_up"):  # of onsuccess and onerror
                with self.lock:
                    self.place.close()
                if self.total:
                    self.say(self._so_far())
                self._warn_again(record.getMessage())
            style = "red" if record.levelno > WARNING else ""
            self.say(
                self.snakemakes.format(record), "yellow" if record.levelno == WARNING else style
            )

    def _begins(self, record: LogRecord) -> None:
        if record.rule_name != "all":
            self.begun[record.jobid] = record
        if record.jobid in self.failed and not self.interrupted:
            self.say(f"trying again: {_words(record)}", "yellow")

    def _finishes(self, number: int, now: float) -> None:
        record = self.begun.get(number)
        self.written |= dict.fromkeys(self.outputs.get(number, ()), True)
        self.failed.pop(number, None)
        if record is None:
            return
        self.done.add(number)
        if self.tells_jobs and not self.place.is_live:
            count = f"{len(self.done):>{len(str(self.total))}}/{self.total}"
            clock = time.strftime("%H:%M:%S", time.localtime(now))
            self.say(f"{clock}  {count}  {_words(record)} ({_cost(record, now)})")

    def _fails(self, record: LogRecord) -> None:
        """A job that failed, why if the executor says so, and its log's last line."""
        from ddcnn.base.logs import read_log

        last = read_log(record.log[0]) if record.log else None
        if self.interrupted and not (last and last.failed):
            return
        known = self.begun.get(record.jobid, record)
        self.failed[record.jobid] = known
        why = f": {record.rule_msg}" if record.rule_msg else ""
        self.say(f"failed: {_words(known)}{why}", "red")
        for line in self._last_lines(known, last)[-1:]:
            self.say(line, "red")

    def _last_lines(self, record: LogRecord, last: "LastTry | None") -> list[str]:
        """Of a failed job's log, or its last words if it did not get as far as that."""
        lines = last.lines if last else []
        if not lines or Path(record.log[0]).stat().st_mtime < record.created - 1:
            lines = self.overheard.traceback
        return [f"  | {line}" for line in lines if line.strip()][-LAST_LINES:]

    def _so_far(self) -> str:
        from ddcnn.base.text import duration

        failed = f", {len(self.failed)} failed" if self.failed else ""
        failed = ", then interrupted" if self.interrupted else failed
        took = duration(time.time() - self.started)
        return f"{len(self.done)} of {self.total} jobs done{failed}, in {took}"

    def _listen(self) -> None:
        """Say what jobs have written, the same line once."""
        for line in self.overheard.lines():
            if line not in self.warned:
                self.say(line, "yellow")
            self.warned[line] += 1

    def _warn_again(self, summary: str) -> None:
        """Warnings, without those that the summary has."""
        for line, times in self.warned.items():
            if line.startswith(WARNS) and line.removeprefix(WARNS) not in summary:
                self.say(line + (f" ({times} times)" if times > 1 else ""), "yellow")

    def _watch(self) -> None:
        while not self.stopping.wait(TICK):
            with self.lock, suppress(Exception):  # whoever only watches stops nothing
                self._listen()
                if self.place.is_live:
                    self.place.show(len(self.done), self.total, self._look())
                elif self.tells_jobs and time.time() - self.last_word > SILENCE:
                    self.say(self._look()[0])

    def _look(self) -> list[str]:
        """How far the run is: a line of its jobs, one of the time left, and the table of jobs."""
        if time.monotonic() < self.next_look:
            return self.last_look
        begun = time.monotonic()
        at_work = len(self.begun.keys() - self.done - self.failed.keys())
        head = f"{len(self.done)} of {self.total} jobs done, {at_work} running"
        head += f", {len(self.failed)} failed" if self.failed else ""
        self.last_look = [head]
        if self.interrupted:
            self.last_look = [f"{head}; stopping them: interrupted trainings keep a checkpoint"]
        elif self.written:
            from ddcnn.base.escaping import visible
            from ddcnn.commands.status import outlook, running

            status = self._status()
            table = running(status.of("running"))
            name, left = self.experiment.name, outlook(status)
            self.last_look = [f"{name}: {head}; {left}", *map(visible, table)]
        self.next_look = time.monotonic() + max(1.0, SHARE * (time.monotonic() - begun))
        return self.last_look

    def _status(self) -> "Status":
        from ddcnn.experiment.status import experiment_status

        return experiment_status(self.experiment, written=dict(self.written))

    def end(self) -> None:
        """Leave the screen, and say last what failed."""
        self.stopping.set()
        self.watcher.join()
        self.overheard.close()
        self._listen()
        self.place.close()
        if Quietness.ALL not in self.snakemakes.formatter.quiet:
            for line in self._failures():
                self.say(line, "red")
        self.overheard.terminal.close()

    def _failures(self) -> Iterator[str]:
        from ddcnn.base.logs import read_log

        for record in self.failed.values():
            yield f"\nfailed: {_words(record)}"
            yield f"  its log: {', '.join(record.log)}"
            yield from self._last_lines(record, read_log(record.log[0]) if record.log else None)


def _words(record: LogRecord) -> str:
    return getattr(record, "rule_msg", None) or record.rule_name


def _cost(record: LogRecord, now: float) -> str:
    """Seconds of a job, and the validation accuracies of the nets that it has trained."""
    from ddcnn.base.logs import read_log
    from ddcnn.base.text import duration
    from ddcnn.experiment.status import final_accuracies

    last = read_log(record.log[0]) if record.log else None
    found = final_accuracies(last) if last and record.rule_name.startswith("train") else []
    ends = [f"{end:.3f}" for end in sorted({min(found), max(found)})] if found else []
    accuracy = f"; validation accuracy {' to '.join(ends)}" if ends else ""
    return duration(now - record.created) + accuracy
