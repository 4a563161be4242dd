"""Processes that train one net together: started, listened to, and ended together."""

import logging
import pickle
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from multiprocessing.connection import wait
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ddcnn.base.errors import InputError
from ddcnn.parallel.starting import Worker, children, tasks
from ddcnn.training.interruption import leave, note, noted, noting_signals

LISTEN_SECONDS = 0.2
# When one worker dies the others notice it in their next message, and say so a moment later.
LAST_WORDS_SECONDS = 1.0


def run_workers(
    function: Callable[..., Any],
    arguments: tuple,
    num_workers: int,
    backend: str = "gloo",
    task_threads: int = 0,
) -> list[Any]:
    """What ``function(*arguments, door)`` returns in each of several processes that can talk.

    Messages of the first worker to its log become those of this process. A signal to stop is
    handed on; workers that leave because of it end this process as they would end alone.

    Args:
        function: of an importable module, with arguments that can be pickled.
        arguments: the same for all workers.
        num_workers: how many processes.
        backend: of torch.distributed.
        task_threads: of each worker where this is a job of SLURM: then workers are tasks on its
            nodes. With 0 they are children of this process.

    Raises:
        InputError: a worker raised one, or died; the others are ended.
        RuntimeError: a worker failed in another way, with its traceback.
    """
    with TemporaryDirectory(prefix="ddcnn-") as folder, noting_signals(), ExitStack() as stack:
        if task_threads:
            workers, store = stack.enter_context(tasks(num_workers, task_threads))
        else:
            workers = stack.enter_context(children(num_workers))
            store = str(Path(folder, "store"))
        # By bytes: torch would send tensors as memory that ends with its process.
        work = pickle.dumps((function, arguments, num_workers, store, backend))
        for worker in workers:
            worker.connection.send_bytes(work)
        _listen(workers)
    errors = sorted((each.error for each in workers if each.error), key=_is_consequence)
    stopped = [worker.stopped for worker in workers if worker.stopped]
    if stopped and not errors and not noted():
        note(stopped[0])
    if noted() and (stopped or errors):
        leave()
    if errors:
        raise errors[0]
    return [worker.result for worker in workers]


def _listen(workers: list[Worker]) -> None:
    """Until all are done, or one has failed and the others had time to say why they do."""
    deadline, told = float("inf"), False
    while (alive := [each for each in workers if not each.done]) and time.monotonic() < deadline:
        if noted() and not told:
            told = True
            for worker in alive:
                with suppress(OSError):  # it has just ended
                    worker.connection.send_bytes(pickle.dumps(int(noted())))
        ready = wait([worker.connection for worker in alive], LISTEN_SECONDS)
        for worker in alive:
            if worker.connection in ready:
                _hear(worker)
        if any(worker.error for worker in workers):
            deadline = min(deadline, time.monotonic() + LAST_WORDS_SECONDS)


def _hear(worker: Worker) -> None:
    try:
        kind, value = pickle.loads(worker.connection.recv_bytes())
    except (EOFError, OSError):
        worker.done = True
        if not (worker.has_result or worker.stopped or worker.error):
            worker.error = _death(worker)
        return
    if kind == "log":
        logging.getLogger(value.name).handle(value)
    elif kind == "error":
        worker.error = value
    elif kind == "stopped":
        worker.stopped = value
    else:
        worker.has_result, worker.result = True, value


def _death(worker: Worker) -> Exception:
    how = f"on node {worker.node}"
    if worker.process:
        code = worker.process.wait()
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with status {code}"
    return InputError(
        f"worker {worker.rank} died {how}, and the others were ended; SIGKILL is mostly the "
        "system's when memory is short: take a smaller batch_size or other workers. The next run "
        "goes on from the last checkpoint"
    )


def _is_consequence(error: Exception) -> bool:
    """Whether the error is rather that of somebody whose neighbour died."""
    return not isinstance(error, InputError)
