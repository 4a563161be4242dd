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
class Task:
    """A job for the scheduler.

    Attributes:
        name: unique.
        seconds: it takes once started.
        needs: names of tasks that must be done before it.
        cores, devices: it holds while it runs; at least one core.
    """

    name: str
    seconds: float
    needs: tuple[str, ...] = ()
    cores: int = 1
    devices: int = 0


@dataclass(frozen=True)
class Machine:
    """Where tasks run.

    Attributes:
        cores, devices: there are; ``math.inf`` for as many as anybody asks for. With 0 devices
            every task computes on its cores.
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
    """When every task starts and ends, in seconds from the beginning, by name."""

    spans: Mapping[str, tuple[float, float]]

    @property
    def makespan(self) -> float:
        return max((end for _, end in self.spans.values()), default=0.0)


def simulate(tasks: Sequence[Task], machine: Machine) -> Schedule:
    """Start every task as early as its needs and the machine allow, earlier listed ones first.

    Args:
        tasks: in the order of their priority. Names in ``needs`` that are no task count as done.
        machine: a task that asks for more than it has gets all of it, as with Snakemake.

    Raises:
        InputError: a machine without a core, or tasks that wait for each other in a circle.
    """
    if machine.cores < 1:
        raise InputError(f"cores: {machine.cores} is not at least 1")
    order = {task.name: place for place, task in enumerate(tasks)}
    missing, dependants = _waiting(tasks, order)
    # (time, 0, place): a task ends; (time, 1, place): a task may start.
    events = [(machine.queue_seconds, 1, order[name]) for name in missing if not missing[name]]
    heapq.heapify(events)
    free = [machine.cores, machine.devices]
    ready: list[int] = []
    spans: dict[str, tuple[float, float]] = {}
    while events:
        now = events[0][0]
        while events and events[0][0] <= now:
            _, kind, place = heapq.heappop(events)
            if kind == 1:
                heapq.heappush(ready, place)
                continue
            cores, devices = _asked(tasks[place], machine)
            free = [free[0] + cores, free[1] + devices]
            for name in dependants[tasks[place].name]:
                missing[name] -= 1
                if missing[name] == 0:
                    heapq.heappush(events, (now + machine.queue_seconds, 1, order[name]))
        for place in _startable(ready, tasks, machine, free):
            end = now + machine.start_seconds + tasks[place].seconds
            spans[tasks[place].name] = (now, end)
            heapq.heappush(events, (end, 0, place))
    if len(spans) < len(tasks):
        stuck = next(task.name for task in tasks if task.name not in spans)
        raise InputError(f"{stuck} waits for itself: its needs form a circle")
    return Schedule(spans)


def _startable(
    ready: list[int], tasks: Sequence[Task], machine: Machine, free: list[float]
) -> list[int]:
    """Take the tasks that fit now out of ``ready``, and their cores and devices out of ``free``."""
    started, later = [], []
    # Every task holds a core: once all are taken, the rest need not be looked at.
    while ready and free[0] >= 1:
        place = heapq.heappop(ready)
        cores, devices = _asked(tasks[place], machine)
        if cores <= free[0] and devices <= free[1]:
            free[:] = free[0] - cores, free[1] - devices
            started.append(place)
        else:
            later.append(place)
    for place in later:
        heapq.heappush(ready, place)
    return started


def _waiting(
    tasks: Sequence[Task], order: Mapping[str, int]
) -> tuple[dict[str, int], dict[str, list[str]]]:
    """For every task how many others it waits for, and which wait for it."""
    missing, dependants = {}, {task.name: [] for task in tasks}
    for task in tasks:
        needs = [name for name in dict.fromkeys(task.needs) if name in order]
        missing[task.name] = len(needs)
        for name in needs:
            dependants[name].append(task.name)
    return missing, dependants


def _asked(task: Task, machine: Machine) -> tuple[float, float]:
    return min(task.cores, machine.cores), min(task.devices, machine.devices)


def critical_path(tasks: Sequence[Task], machine: Machine | None = None) -> list[Task]:
    """The longest chain of tasks that wait for each other: the least time on any machine.

    Args:
        tasks: as in :func:`simulate`.
        machine: adds its start-up and queue to every task of the chain.
    """
    extra = machine.start_seconds + machine.queue_seconds if machine else 0.0
    by_name = {task.name: task for task in tasks}
    ends = simulate(
        [Task(t.name, t.seconds + extra, t.needs) for t in tasks], Machine(cores=math.inf)
    ).spans
    chain: list[Task] = []
    names: Sequence[str] = list(by_name)
    while names:
        last = max(names, key=lambda name: ends[name][1])
        chain.append(by_name[last])
        names = [name for name in by_name[last].needs if name in by_name]
    return chain[::-1]


def busy_seconds(tasks: Sequence[Task], machine: Machine) -> float:
    """Core seconds of all tasks, start-up included."""
    return sum(
        min(task.cores, machine.cores) * (task.seconds + machine.start_seconds) for task in tasks
    )
