"""TensorBoard's event files, as an option: the rows of ``history.csv``, written while a net trains.

The training loop knows nothing of it: it logs its epochs, and a handler of the log picks up their
numbers. The choice travels in an environment variable and in no rule's parameters, because how a
training is watched is no reason to repeat it.
"""

import importlib.util
import logging
import os
import time
from contextlib import suppress
from pathlib import Path

from ddcnn.base.splits import FITTING

FOLDER = Path("results/tensorboard")
VARIABLE = "DDCNN_TENSORBOARD"  # the folder; without it no event is written
ROW = "history_row"  # of a log record: the numbers of an epoch

log = logging.getLogger(__name__)


def is_installed() -> bool:
    """Whether event files can be written here; looks without importing."""
    return importlib.util.find_spec("tensorboard") is not None


def handler_for(log_file: Path) -> "EpochEvents | None":
    """The handler of a job whose log is ``logs/{rule}/...``, if events are asked for."""
    if not os.environ.get(VARIABLE):
        return None
    _, *place = log_file.with_suffix("").parts
    return EpochEvents(Path(os.environ[VARIABLE], *place))


class EpochEvents(logging.Handler):
    """Writes a scalar for each number of an epoch: ``loss/train``, ``accuracy/val``, ...

    Whatever goes wrong, the training goes on without it.

    Args:
        folder: of the event files; those of an earlier training go when epoch 1 is logged.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.writer = None
        self.failed = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write the numbers of an epoch; other records have none."""
        row = getattr(record, ROW, None)
        if row is None or self.failed:
            return
        try:
            self._write(row)
        except Exception as error:  # of a library that only watches
            self.failed = True
            log.warning("no more TensorBoard events in %s: %s", self.folder, error)

    def _write(self, row: dict[str, float]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        epoch = int(row["epoch"])
        if self.writer is None:
            if epoch == 1:
                for file in self.folder.glob("events.out.tfevents.*"):
                    file.unlink()
            self.writer = EventFileWriter(str(self.folder))
        values = [
            Summary.Value(tag=tag_of(key), simple_value=value)
            for key, value in row.items()
            if key not in ("epoch", "step")
        ]
        summary = Summary(value=values)
        self.writer.add_event(Event(wall_time=time.time(), step=epoch, summary=summary))
        self.writer.flush()

    def close(self) -> None:
        """End the file."""
        if self.writer is not None:
            with suppress(Exception):
                self.writer.close()
        super().close()


def tag_of(column: str) -> str:
    """``loss_train`` as ``loss/train``: TensorBoard shows one card for each first part."""
    name, _, split = column.rpartition("_")
    return f"{name}/{split}" if split in FITTING else column
