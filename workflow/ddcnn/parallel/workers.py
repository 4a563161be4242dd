"""Processes that train one net together: started, listened to, and ended together."""

import logging
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ddcnn.base.errors import InputError
from ddcnn.training.interruption import SIGNALS, leave, note, noted, noting_signals

log = logging.getLogger(__name__)

LISTEN_SECONDS = 0.2
LOOPBACK = Path("/sys/class/net/lo")
# When one worker dies the others notice it in their next message, and say so a moment later.
LAST_WORDS_SECONDS = 1.0
STOPPED = {128 + number: number for number in SIGNALS}


@dataclass
class Worker:
    """One process.

    Attributes:
        rank: its number, from 0.
        process: the process itself.
        connection: over which it gets its work, and says what it logs and how it ended.
        result: what its work returned.
        error: why it did not.
        stopped: the signal at which it left after the step in hand, as it should.
        done: whether it ended, in any way.
    """

    rank: int
    process: subprocess.Popen
    connection: Connection
    result: Any = None
    error: Exception | None = None
    stopped: int | None = None
    done: bool = False


def run_workers(
    function: Callable[..., Any], arguments: tuple, num_workers: int, backend: str = "gloo"
) -> list[Any]:
    """What ``function(*arguments, door)`` returns in each of several processes that can talk.

    Messages of the first worker to its log become those of this process. A signal to stop is
    handed on; workers that leave because of it end this process as they would end alone.

    Args:
        function: of an importable module, with arguments that can be pickled.
        arguments: the same for all workers.
        num_workers: how many processes.
        backend: of torch.distributed.

    Raises:
        InputError: a worker raised one, or died; the others are ended.
        RuntimeError: a worker failed in another way, with its traceback.
    """
    with TemporaryDirectory(prefix="ddcnn-") as folder, noting_signals():
        workers = [_start(rank) for rank in range(num_workers)]
        try:
            for worker in workers:
                place = (worker.rank, num_workers, str(Path(folder, "store")), backend)
                # By bytes: torch would send tensors as memory that ends with its process.
                worker.connection.send_bytes(pickle.dumps((function, arguments, place)))
            _listen(workers)
        finally:
            for worker in workers:
                worker.process.kill()
                worker.process.wait()
                worker.connection.close()
    errors = sorted((each.error for each in workers if each.error), key=_is_consequence)
    stopped = [worker.stopped for worker in workers if worker.stopped]
    if stopped and not errors and not noted():
        note(stopped[0])
    if noted() and (stopped or errors):
        leave()
    if errors:
        raise errors[0]
    return [worker.result for worker in workers]


def _start(rank: int) -> Worker:
    ours, theirs = Pipe()
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    # Kernels of ours know nothing of halos, hooks and buckets: all ways compute with torch's.
    environment["DDCNN_KERNELS"] = "torch"
    if LOOPBACK.exists():  # otherwise gloo asks for the machine's name, which not every net knows
        environment.setdefault("GLOO_SOCKET_IFNAME", LOOPBACK.name)
    command = [sys.executable, "-m", "ddcnn.parallel", str(theirs.fileno())]
    process = subprocess.Popen(
        command, env=environment, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
    )
    theirs.close()
    log.info("worker %d is process %d", rank, process.pid)
    return Worker(rank, process, ours)


def _listen(workers: list[Worker]) -> None:
    """Until all are done, or one has failed and the others had time to say why they do."""
    deadline, told = float("inf"), False
    while (alive := [each for each in workers if not each.done]) and time.monotonic() < deadline:
        if noted() and not told:
            told = True
            for worker in alive:
                worker.process.send_signal(noted())
        ready = wait([worker.connection for worker in alive], LISTEN_SECONDS)
        for worker in alive:
            if worker.connection in ready:
                _hear(worker)
        if any(worker.error for worker in workers):
            deadline = min(deadline, time.monotonic() + LAST_WORDS_SECONDS)


def _hear(worker: Worker) -> None:
    try:
        kind, value = pickle.loads(worker.connection.recv_bytes())
    except (EOFError, ConnectionResetError):
        worker.done, code = True, worker.process.wait()
        worker.stopped = STOPPED.get(code)
        if code and not worker.stopped and not worker.error:
            worker.error = _death(worker.rank, code)
        return
    if kind == "log":
        logging.getLogger(value.name).handle(value)
    elif kind == "error":
        worker.error = value
    else:
        worker.result = value


def _death(rank: int, code: int) -> Exception:
    how = f"by {signal.Signals(-code).name}" if code < 0 else f"with status {code}"
    return InputError(
        f"worker {rank} died {how}, and the others were ended; SIGKILL is mostly the system's when "
        "memory is short: take a smaller batch_size or other workers. The next run goes on from "
        "the last checkpoint"
    )


def _is_consequence(error: Exception) -> bool:
    """Whether the error is rather that of somebody whose neighbour died."""
    return not isinstance(error, InputError)
