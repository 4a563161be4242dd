"""Workers are started: as children of a process, or as tasks on the nodes of a job of SLURM."""

import logging
import os
import pickle
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import AuthenticationError, Pipe
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any

from ddcnn.base.errors import InputError
from ddcnn.training.interruption import leave, noted

log = logging.getLogger(__name__)

LOOPBACK = Path("/sys/class/net/lo")
LOOK_SECONDS = 0.2
CALL_SECONDS = 300.0  # until all tasks of SLURM have called
ENDING_SECONDS = 10.0
# Which job of SLURM this is; its other variables are of the step around this process.
JOB_VARIABLES = ("SLURM_JOB_ID", "SLURM_JOBID", "SLURM_CLUSTER_NAME", "SLURM_CONF")
KEY = "DDCNN_WORKERS_KEY"  # by which a task proves that it was started here


@dataclass
class Worker:
    """One process.

    Attributes:
        rank: its number, from 0.
        connection: over which it gets its work and signals, and says what it logs and how it ended.
        process: its process, where that is a child of this one.
        node: of SLURM, where it is a task.
        has_result: whether its work returned something.
        result: what that was.
        error: why it did not.
        stopped: the signal at which it left after the step in hand, as it should.
        done: whether it ended, in any way.
    """

    rank: int
    connection: Connection
    process: subprocess.Popen | None = None
    node: str = ""
    has_result: bool = False
    result: Any = None
    error: Exception | None = None
    stopped: int | None = None
    done: bool = False


@contextmanager
def children(num_workers: int) -> Iterator[list[Worker]]:
    """Processes of this machine, ended with the context."""
    environment = _environment()
    if LOOPBACK.exists():  # otherwise gloo asks for the machine's name, which not every net knows
        environment.setdefault("GLOO_SOCKET_IFNAME", LOOPBACK.name)
    workers = [_child(rank, environment) for rank in range(num_workers)]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.wait()
            worker.connection.close()


def _child(rank: int, environment: dict[str, str]) -> Worker:
    ours, theirs = Pipe()
    command = [sys.executable, "-m", "ddcnn.parallel", str(rank), str(theirs.fileno())]
    process = subprocess.Popen(
        command, env=environment, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
    )
    theirs.close()
    log.info("worker %d is process %d", rank, process.pid)
    return Worker(rank, ours, process)


@contextmanager
def tasks(num_workers: int, threads: int) -> Iterator[tuple[list[Worker], tuple[str, int]]]:
    """Tasks on the nodes of this job of SLURM, which end with the context, and where they meet."""
    from torch.distributed import TCPStore  # only where it is needed: it takes long

    host, key = socket.gethostname(), secrets.token_bytes(32)
    store = TCPStore(host, 0, is_master=True, wait_for_workers=False)
    with Listener(("", 0), authkey=key, backlog=num_workers) as listener:
        # Beside the step in which this process runs, on all that the job was given.
        command = ["srun", "--overlap", "--mem=0", f"--ntasks={num_workers}"]
        command += [f"--cpus-per-task={threads}", sys.executable, "-m", "ddcnn.parallel"]
        srun = subprocess.Popen(
            [*command, host, str(listener.address[1])],
            env=_without_step(_environment()) | {KEY: key.hex()},
            stdin=subprocess.DEVNULL,
        )
        workers: list[Worker] = []
        try:
            threading.Thread(target=_welcome, args=[listener, workers], daemon=True).start()
            _await(workers, num_workers, srun, f"{host}:{listener.address[1]}")
            workers.sort(key=lambda worker: worker.rank)
            yield workers, (host, store.port)
        finally:
            for worker in workers:
                worker.connection.close()  # which ends it
            _end(srun)


def _welcome(listener: Listener, workers: list[Worker]) -> None:
    """Take the calls of tasks, until nobody listens any more."""
    while True:
        try:
            connection = listener.accept()
            rank, pid, node = pickle.loads(connection.recv_bytes())
        except (AuthenticationError, EOFError, ConnectionError):
            continue  # somebody else
        except OSError:
            return
        log.info("worker %d is process %d of node %s", rank, pid, node)
        workers.append(Worker(rank, connection, node=node))


def _await(workers: list[Worker], number: int, srun: subprocess.Popen, address: str) -> None:
    """Until all tasks have called."""
    deadline = time.monotonic() + CALL_SECONDS
    while len(workers) < number:
        if noted():
            leave()
        if srun.poll() is not None:
            raise InputError(
                f"srun ended with status {srun.returncode} before all {number} workers had "
                "started; what it said stands above, or in the job's log of SLURM"
            )
        if time.monotonic() > deadline:
            raise InputError(
                f"{len(workers)} of {number} workers called {address} within {CALL_SECONDS:.0f} s; "
                "the nodes of a job must reach each other by name and any port; else take nodes: 1"
            )
        time.sleep(LOOK_SECONDS)


def _end(process: subprocess.Popen) -> None:
    try:
        process.wait(ENDING_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _environment() -> dict[str, str]:
    """Of workers: modules are found as here, and ours are no kernels."""
    # Kernels of ours know nothing of halos, hooks and buckets: all ways compute with torch's.
    path = os.pathsep.join(path for path in sys.path if path)
    return os.environ | {"PYTHONPATH": path, "DDCNN_KERNELS": "torch"}


def _without_step(environment: dict[str, str]) -> dict[str, str]:
    """Without what SLURM said of the step around this process, which srun would ask for again."""
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(("SLURM_", "SRUN_")) or name in JOB_VARIABLES
    }
