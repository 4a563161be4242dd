"""Two network namespaces on this machine, joined by a link whose speed can be set."""

import contextlib
import os
import shutil
import statistics
import subprocess
from collections.abc import Iterator, Sequence

import torch

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
def joined() -> Iterator[list[list[str]]]:
    """The commands before those of two workers, one at each end; all is gone afterwards.

    ``GLOO_SOCKET_IFNAME`` names the interface meanwhile.

    Raises:
        InputError: a link cannot be made here.
    """
    if missing := what_is_missing():
        raise InputError(missing)
    names = [f"ddcnn-{os.getpid()}-{end}" for end in "ab"]
    before = os.environ.get("GLOO_SOCKET_IFNAME")
    try:
        for name in names:
            _call("ip", "netns", "add", name)
        veth = ("type", "veth", "peer", "name", INTERFACE, "netns", names[1])
        _call("ip", "link", "add", "name", INTERFACE, "netns", names[0], *veth)
        for number, name in enumerate(names, start=1):
            _call("ip", "-n", name, "addr", "add", f"10.99.0.{number}/24", "dev", INTERFACE)
            for device in ("lo", INTERFACE):
                _call("ip", "-n", name, "link", "set", device, "up")
        os.environ["GLOO_SOCKET_IFNAME"] = INTERFACE
        yield [["ip", "netns", "exec", name] for name in names]
    finally:
        os.environ.pop("GLOO_SOCKET_IFNAME", None)
        if before is not None:
            os.environ["GLOO_SOCKET_IFNAME"] = before
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


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
        round, by speed and way, the median of a step.
    """
    steppers = {probe.way: Stepper(probe, door) for probe in probes}
    found: dict[str, list] = {"link": [], "seconds": []}
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
