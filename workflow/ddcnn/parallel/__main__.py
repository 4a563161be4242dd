"""A worker, started by ddcnn.parallel.starting.

A child: ``python -m ddcnn.parallel RANK DESCRIPTOR``; a task of SLURM: ``... HOST PORT``.
"""

import logging
import os
import pickle
import sys
import threading
import traceback
from multiprocessing.connection import Client, Connection
from typing import Any

from ddcnn.base.errors import InputError
from ddcnn.parallel.starting import KEY


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
    """Tell the parent a record, a result, an error, or at which signal this one leaves."""
    connection.send_bytes(pickle.dumps((kind, value)))


def called() -> tuple[int, Connection]:
    """The rank of this worker, and its connection with the parent."""
    if KEY not in os.environ:
        return int(sys.argv[1]), Connection(int(sys.argv[2]))
    key, rank = bytes.fromhex(os.environ.pop(KEY)), int(os.environ["SLURM_PROCID"])
    connection = Client((sys.argv[1], int(sys.argv[2])), authkey=key)
    connection.send_bytes(pickle.dumps((rank, os.getpid(), os.environ["SLURMD_NODENAME"])))
    return rank, connection


def main() -> None:
    """Do what the parent asks for, and end with it."""
    rank, connection = called()
    function, arguments, size, store, backend = pickle.loads(connection.recv_bytes())
    threading.Thread(target=obey, args=[connection], daemon=True).start()
    if rank == 0:
        logging.getLogger("ddcnn").addHandler(ToParent(connection))
        logging.getLogger("ddcnn").setLevel(logging.INFO)
    try:
        from torch import distributed as dist

        from ddcnn.parallel.door import Door

        met = dist.FileStore(store, size) if isinstance(store, str) else dist.TCPStore(*store)
        dist.init_process_group(backend, store=met, rank=rank, world_size=size)
        send(connection, "result", function(*arguments, Door()))
    except SystemExit as left:  # because of a signal, the state saved
        send(connection, "stopped", int(left.code) - 128)
    except InputError as error:
        send(connection, "error", error)
    except Exception:
        send(connection, "error", RuntimeError(f"worker {rank}: {traceback.format_exc()}"))
    os._exit(0)


def obey(connection: Connection) -> None:
    """Take the signals that the parent hands on, until its process ends."""
    try:
        while True:
            os.kill(os.getpid(), pickle.loads(connection.recv_bytes()))
    except (EOFError, OSError):
        os._exit(1)


main()
