"""A worker: ``python -m ddcnn.parallel DESCRIPTOR``, started by ddcnn.parallel.workers."""

import logging
import os
import pickle
import sys
import threading
import traceback
from multiprocessing.connection import Connection
from typing import Any

from ddcnn.base.errors import InputError


class ToParent(logging.Handler):
    """Sends log records to the process that started this one."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.connection = connection

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record, its message put together."""
        record.msg, record.args = record.getMessage(), None
        send(self.connection, "log", record)


def send(connection: Connection, kind: str, value: Any) -> None:
    """Tell the parent a record, a result or an error."""
    connection.send_bytes(pickle.dumps((kind, value)))


def main() -> None:
    """Do what the parent asks for, and end with it."""
    connection = Connection(int(sys.argv[1]))
    function, arguments, (rank, size, store, backend) = pickle.loads(connection.recv_bytes())
    threading.Thread(target=_die_with_parent, args=[connection], daemon=True).start()
    if rank == 0:
        logging.getLogger("ddcnn").addHandler(ToParent(connection))
        logging.getLogger("ddcnn").setLevel(logging.INFO)
    try:
        from torch import distributed as dist

        from ddcnn.parallel.door import Door

        dist.init_process_group(backend, init_method=f"file://{store}", rank=rank, world_size=size)
        send(connection, "result", function(*arguments, Door()))
    except InputError as error:
        send(connection, "error", error)
    except Exception:
        send(connection, "error", RuntimeError(f"worker {rank}: {traceback.format_exc()}"))
    os._exit(0)


def _die_with_parent(connection: Connection) -> None:
    """The parent sends nothing more: what comes is the end of its process."""
    connection.poll(None)
    os._exit(1)


main()
