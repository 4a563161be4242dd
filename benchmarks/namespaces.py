"""Two network namespaces on this machine, joined by a link whose speed can be set."""

import contextlib
import os
import pickle
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import distributed as dist

from ddcnn.base.errors import InputError
from ddcnn.parallel.door import Door
from ddcnn.parallel.probe import Probe, Stepper

INTERFACE = "wire0"
# A bucket fills while nobody sends: large enough for the timers of the kernel, small enough that
# no message of a step passes with what was saved.
BUCKET_BYTES = {0.1: 16_000, 1.0: 32_000, 10.0: 125_000}


def what_is_missing() -> str:
    """Why no link can be made here; empty where one can."""
    if os.geteuid() != 0:
        return "needs root for network namespaces"
    missing = [tool for tool in ("ip", "tc") if shutil.which(tool) is None]
    return f"needs {' and '.join(missing)}: apt-get install iproute2" if missing else ""


@contextlib.contextmanager
def joined() -> Iterator[list[str]]:
    """Names of two namespaces with an end each; all is gone afterwards.

    Raises:
        InputError: a link cannot be made here.
    """
    if missing := what_is_missing():
        raise InputError(missing)
    names = [f"ddcnn-{os.getpid()}-{end}" for end in "ab"]
    try:
        for name in names:
            _call("ip", "netns", "add", name)
        veth = ("type", "veth", "peer", "name", INTERFACE, "netns", names[1])
        _call("ip", "link", "add", "name", INTERFACE, "netns", names[0], *veth)
        for number, name in enumerate(names, start=1):
            _call("ip", "-n", name, "addr", "add", f"10.99.0.{number}/24", "dev", INTERFACE)
            for device in ("lo", INTERFACE):
                _call("ip", "-n", name, "link", "set", device, "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def run_joined(function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What ``function(*arguments, door)`` returns in a worker at each end of a link.

    :func:`ddcnn.parallel.workers.run_workers` talks to its workers by the network, too, which
    those in a namespace cannot reach.
    """
    environment = os.environ | {"GLOO_SOCKET_IFNAME": INTERFACE, "OMP_NUM_THREADS": "1"}
    with joined() as names, TemporaryDirectory() as folder:
        Path(folder, "work").write_bytes(pickle.dumps((function, arguments)))
        command = (sys.executable, str(Path(__file__).with_name("at_an_end.py")), folder)
        workers = [
            subprocess.Popen(
                ["ip", "netns", "exec", name, *command, str(rank)],
                env=environment,
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank, name in enumerate(names)
        ]
        errors = [worker.communicate()[1] for worker in workers]
        if any(worker.returncode for worker in workers):
            raise RuntimeError("\n".join(errors))
        return [
            pickle.loads(Path(folder, f"result{rank}").read_bytes()) for rank in range(len(workers))
        ]


def work_at_an_end(folder: Path, rank: int) -> None:
    """What a worker of :func:`run_joined` does."""
    function, arguments = pickle.loads(Path(folder, "work").read_bytes())
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    Path(folder, f"result{rank}").write_bytes(pickle.dumps(function(*arguments, Door())))


def limit(gigabits: float | None) -> None:
    """Let this end send so fast and no faster; None: as fast as it can."""
    subprocess.run(
        ["tc", "qdisc", "delete", "dev", INTERFACE, "root"], capture_output=True, check=False
    )
    if gigabits is not None:
        rate = ("rate", f"{gigabits * 1000:.0f}mbit", "burst", str(BUCKET_BYTES[gigabits]))
        _call("tc", "qdisc", "add", "dev", INTERFACE, "root", "tbf", *rate, "latency", "400ms")


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"{' '.join(command)}: {done.stderr.strip()}")


def rounds_on_links(
    probes: Sequence[Probe], speeds: Sequence[float | None], rounds: int, door: Door
) -> dict[str, list]:
    """What one of two workers measures, all speeds and ways in turn.

    Returns:
        ``link``: latency and bandwidth without a limit, of every round. ``seconds``: of every
        round, by speed and way, the median of a step. ``ends``: of the sections of the pipeline.
    """
    steppers = {probe.way: Stepper(probe, door) for probe in probes}
    found: dict[str, list] = {"link": [], "seconds": []}
    found["ends"] = [end for stepper in steppers.values() for end in stepper.ends]
    for _ in range(rounds):
        limit(None)
        found["link"].append(door.link(torch.device("cpu")))
        seconds = {}
        for speed in speeds:
            limit(speed)
            for probe in probes:
                taken = steppers[probe.way].take(probe.steps)
                seconds[speed, probe.way] = statistics.median(taken)
        found["seconds"].append(seconds)
    return found
