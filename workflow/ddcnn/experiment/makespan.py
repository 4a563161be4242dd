"""How long many jobs take together: list scheduling on a machine with cores and devices.

Jobs start in their order as soon as what they need is done and there is room (R. L. Graham, Bounds
on Multiprocessing Timing Anomalies, SIAM J. Appl. Math. 17, 1969): without devices and queues the
makespan is below critical path + work / cores, and never below the larger of the two.
"""

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ddcnn.base.errors import InputError


@dataclass(frozen=True)
class ScheduledJob:
    """A job as the scheduler sees it.

    Attributes:
        name: unique.
        seconds: it takes once started.
        needs: names of jobs that must be done before it.
        cores, devices: it holds while it runs; at least one core.
    """

    name: str
    seconds: float
    needs: tuple[str, ...] = ()
    cores: int = 1
    devices: int = 0


@dataclass(frozen=True)
class Machine:
    """Where jobs run.

    Attributes:
        cores, devices: there are; ``math.inf`` for as many as anybody asks for. With 0 devices
            every job computes on its cores.
        start_seconds: a job holds its place beyond its own time: the engine's work for it.
        queue_seconds: from the moment a job could be submitted to the earliest it can start, as a
            cluster makes it wait; it holds nothing meanwhile.
    """

    cores: float
    devices: float = 0
    start_seconds: float = 0.0
    queue_seconds: float = 0.0


@dataclass(frozen=True)
class Schedule:
    """When every job starts and ends, in seconds from the beginning, by name."""

    spans: Mapping[str, tuple[float, float]]

    @property
    def makespan(self) -> float:
        return max((end for _, end in self.spans.values()), default=0.0)


def simulate(jobs: Sequence[ScheduledJob], machine: Machine) -> Schedule:
    """Start every job as early as its needs and the machine allow, earlier listed ones first.

    Args:
        jobs: in the order of their priority. Names in ``needs`` that are no job count as done.
        machine: a job that asks for more than it has gets all of it, as with Snakemake.

    Raises:
        InputError: a machine without a core, or jobs that wait for each other in a circle.
    """
    if machine.cores < 1:
        raise InputError(f"cores: {machine.cores} is not at least 1")
    order = {job.name: place for place, job in enumerate(jobs)}
    missing, dependants = _waiting(jobs, order)
    # (time, 0, place): a job ends; (time, 1, place): a job may start.
    events = [(machine.queue_seconds, 1, order[name]) for name in missing if not missing[name]]
    heapq.heapify(events)
    free = [machine.cores, machine.devices]
    ready: dict[tuple[float, float], list[int]] = {_asked(job, machine): [] for job in jobs}
    spans: dict[str, tuple[float, float]] = {}
    while events:
        now = events[0][0]
        while events and events[0][0] <= now:
            _, kind, place = heapq.heappop(events)
            cores, devices = _asked(jobs[place], machine)
            if kind == 1:
                heapq.heappush(ready[cores, devices], place)
                continue
            free = [free[0] + cores, free[1] + devices]
            for name in dependants[jobs[place].name]:
                missing[name] -= 1
                if missing[name] == 0:
                    heapq.heappush(events, (now + machine.queue_seconds, 1, order[name]))
        for place in _startable(ready, free):
            end = now + machine.start_seconds + jobs[place].seconds
            spans[jobs[place].name] = (now, end)
            heapq.heappush(events, (end, 0, place))
    if len(spans) < len(jobs):
        stuck = next(job.name for job in jobs if job.name not in spans)
        raise InputError(f"{stuck} waits for itself: its needs form a circle")
    return Schedule(spans)


def _startable(ready: Mapping[tuple[float, float], list[int]], free: list[float]) -> list[int]:
    """Take the jobs that fit now out of ``ready``, and their cores and devices out of ``free``.

    Args:
        ready: heaps of places, by the cores and devices that these jobs ask for: where one does
            not fit, none behind it with the same wish does.
    """
    started = []
    while fitting := [
        (heap[0], asked)
        for asked, heap in ready.items()
        if heap and asked[0] <= free[0] and asked[1] <= free[1]
    ]:
        place, (cores, devices) = min(fitting)
        heapq.heappop(ready[cores, devices])
        free[:] = free[0] - cores, free[1] - devices
        started.append(place)
    return started


def _waiting(
    jobs: Sequence[ScheduledJob], order: Mapping[str, int]
) -> tuple[dict[str, int], dict[str, list[str]]]:
    """For every job how many others it waits for, and which wait for it."""
    missing, dependants = {}, {job.name: [] for job in jobs}
    for job in jobs:
        needs = [name for name in dict.fromkeys(job.needs) if name in order]
        missing[job.name] = len(needs)
        for name in needs:
            dependants[name].append(job.name)
    return missing, dependants


def _asked(job: ScheduledJob, machine: Machine) -> tuple[float, float]:
    return min(job.cores, machine.cores), min(job.devices, machine.devices)


def critical_path(
    jobs: Sequence[ScheduledJob], machine: Machine | None = None
) -> list[ScheduledJob]:
    """The longest chain of jobs that wait for each other: the least time on any machine.

    Args:
        jobs: as in :func:`simulate`, each after those it needs.
        machine: adds its start-up and queue to every job of the chain.
    """
    extra = machine.start_seconds + machine.queue_seconds if machine else 0.0
    by_name = {job.name: job for job in jobs}
    order = {job.name: place for place, job in enumerate(jobs)}
    longer = [ScheduledJob(job.name, job.seconds + extra, job.needs) for job in jobs]
    spans = simulate(longer, Machine(cores=math.inf)).spans
    chain: list[ScheduledJob] = []
    names: Sequence[str] = list(by_name)
    while names:
        # Of two that end together the later one: it may need the other, and take no time.
        last = max(names, key=lambda name: (spans[name][1], order[name]))
        chain.append(by_name[last])
        names = [name for name in by_name[last].needs if name in by_name]
    return chain[::-1]


def busy_seconds(jobs: Sequence[ScheduledJob], machine: Machine) -> float:
    """Core seconds of all jobs, start-up included."""
    return sum(
        min(job.cores, machine.cores) * (job.seconds + machine.start_seconds) for job in jobs
    )
