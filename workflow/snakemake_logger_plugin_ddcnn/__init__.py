"""Snakemake's logger ``ddcnn``: a run in plain words, and on a terminal one live screen.

The profiles choose it where Snakemake finds it. With ``--verbose`` Snakemake speaks as it always
does. Snakemake imports this module in every process, and before it knows which checkout's package
belongs to the workflow: so neither ddcnn nor rich is imported before jobs run.
"""

import copy
import sys
from logging import LogRecord

from snakemake.logging import ColorizingTextHandler, DefaultFilter, DefaultFormatter
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_ddcnn.follower import Follower, is_chatter


class LogHandler(LogHandlerBase):
    """Gives what running jobs say to a :class:`Follower`, and all else to Snakemake's handler."""

    writes_to_stream, writes_to_file = True, False
    has_filter = has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        settings = self.common_settings
        self.snakemakes = ColorizingTextHandler(
            settings.nocolor,
            sys.stdout if settings.stdout else sys.stderr,
            DefaultFormatter(settings.quiet, settings.show_failed_logs),
            DefaultFilter(
                settings.quiet,
                settings.debug_dag,
                settings.verbose,
                settings.dryrun,
                settings.printshellcmds,
            ),
        )
        self.follower: Follower | None = None

    def emit(self, record: LogRecord) -> None:
        """Say what the record says, unless it is of no interest to a person."""
        settings, event = self.common_settings, getattr(record, "event", None)
        try:
            if settings.verbose:
                self.snakemakes.handle(record)
            elif self.follower:
                self.follower.take(record)
            elif event == LogEvent.RUN_INFO and not settings.dryrun:
                self.follower = Follower(record.stats, self.snakemakes, settings.nocolor)
            elif event == LogEvent.JOB_INFO:
                self._would_run(record)
            elif not is_chatter(record):
                self.snakemakes.handle(record)
        except Exception:
            self.handleError(record)

    def _would_run(self, record: LogRecord) -> None:
        """A job of a dry run, in one line."""
        if self.snakemakes.filter(record) and record.rule_msg:
            in_words = copy.copy(record)
            in_words.event, in_words.msg = None, record.rule_msg
            self.snakemakes.handle(in_words)

    def close(self) -> None:
        """Say the last words."""
        if self.follower:
            self.follower.end()
        super().close()
