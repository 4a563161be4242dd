"""List scheduling against schedules made by hand, bounds that hold for any, and a plain loop."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddcnn.base.errors import InputError
from ddcnn.experiment.makespan import Machine, Task, busy_seconds, critical_path, simulate


@st.composite
def task_lists(draw, devices: int = 1) -> list[Task]:
    """Tasks that need earlier ones only; whole seconds, so that sums are exact."""
    tasks: list[Task] = []
    for number in range(draw(st.integers(1, 12))):
        names = [task.name for task in tasks]
        needs = draw(st.sets(st.sampled_from(names), max_size=3)) if names else set()
        tasks.append(
            Task(
                f"t{number}",
                draw(st.integers(0, 9)),
                tuple(sorted(needs)),
                cores=draw(st.integers(1, 2)),
                devices=draw(st.integers(0, devices)),
            )
        )
    return tasks


def of_path(tasks: list[Task]) -> float:
    return sum(task.seconds for task in critical_path(tasks))


def second_by_second(tasks: list[Task], machine: Machine) -> dict[str, tuple[float, float]]:
    """The same rule without events: in every whole second, start what can start."""
    spans: dict[str, tuple[float, float]] = {}
    now = 0
    while len(spans) < len(tasks):
        for task in tasks:
            running = [t for t in tasks if t.name in spans and spans[t.name][1] > now]
            ended = [spans[n][1] if n in spans else math.inf for n in task.needs]
            if (
                task.name not in spans
                and max(ended, default=0) + machine.queue_seconds <= now
                and sum(t.cores for t in running) + task.cores <= machine.cores
                and sum(t.devices for t in running) + task.devices <= machine.devices
            ):
                spans[task.name] = (now, now + machine.start_seconds + task.seconds)
        now += 1
    return spans


def test_four_tasks_on_two_cores():
    tasks = [Task("a", 3), Task("b", 2), Task("c", 2), Task("d", 1, ("a", "b"))]
    spans = simulate(tasks, Machine(2)).spans
    assert spans == {"a": (0, 3), "b": (0, 2), "c": (2, 4), "d": (3, 4)}


def test_one_device_makes_its_tasks_wait_and_no_others():
    tasks = [Task("a", 3, devices=1), Task("b", 3, devices=1), Task("c", 1)]
    spans = simulate(tasks, Machine(4, devices=1)).spans
    assert spans == {"a": (0, 3), "c": (0, 1), "b": (3, 6)}


def test_start_up_holds_a_place_and_the_queue_holds_none():
    tasks = [Task("a", 3), Task("b", 3), Task("c", 1, ("b",))]
    machine = Machine(1, start_seconds=1, queue_seconds=10)
    assert simulate(tasks, machine).spans == {"a": (10, 14), "b": (14, 18), "c": (28, 30)}


def test_grahams_anomaly():
    """Less work and a longer schedule: the example of Graham 1969 that lists are not optimal."""
    needs = {"9": ("1",), "5": ("4",), "6": ("4",), "7": ("4",), "8": ("4",)}
    times = {"1": 3, "2": 2, "3": 2, "4": 2, "5": 4, "6": 4, "7": 4, "8": 4, "9": 9}
    tasks = [Task(n, t, needs.get(n, ())) for n, t in times.items()]
    assert simulate(tasks, Machine(3)).makespan == 12
    shorter = [Task(t.name, t.seconds - 1, t.needs) for t in tasks]
    assert simulate(shorter, Machine(3)).makespan == 13


@given(task_lists(), st.integers(2, 4), st.integers(0, 2), st.integers(0, 3))
def test_events_give_what_a_plain_loop_gives(tasks, cores, start, queue):
    # Work of whole seconds above 0: the plain loop starts nothing in the second of an end.
    tasks = [Task(t.name, t.seconds + 1, t.needs, t.cores, t.devices) for t in tasks]
    machine = Machine(cores, 1, start, queue)
    assert simulate(tasks, machine).spans == second_by_second(tasks, machine)


@given(task_lists(), st.integers(1, 4))
def test_no_schedule_beats_the_critical_path_or_the_work(tasks, cores):
    machine = Machine(cores)
    makespan = simulate(tasks, machine).makespan
    assert makespan >= of_path(tasks)
    assert makespan >= busy_seconds(tasks, machine) / cores
    assert makespan <= sum(task.seconds for task in tasks)


@given(task_lists(), st.integers(1, 4))
def test_tasks_of_one_core_keep_grahams_bound(tasks, cores):
    tasks = [Task(task.name, task.seconds, task.needs) for task in tasks]
    work, path = sum(task.seconds for task in tasks), of_path(tasks)
    assert simulate(tasks, Machine(cores)).makespan <= work / cores + path * (1 - 1 / cores) + 1e-9


@given(task_lists())
def test_without_limits_only_the_critical_path_counts(tasks):
    assert simulate(tasks, Machine(math.inf, math.inf)).makespan == of_path(tasks)
    machine = Machine(math.inf, math.inf, start_seconds=2, queue_seconds=3)
    path = critical_path(tasks, machine)
    assert simulate(tasks, machine).makespan == sum(task.seconds + 5 for task in path)


@given(task_lists())
def test_one_core_does_everything_in_a_row(tasks):
    assert simulate(tasks, Machine(1)).makespan == sum(task.seconds for task in tasks)


def test_the_critical_path_is_a_chain_of_needs():
    tasks = [Task("a", 1), Task("b", 5), Task("c", 1, ("a", "b")), Task("d", 3, ("a",))]
    assert [task.name for task in critical_path(tasks)] == ["b", "c"]


def test_what_is_no_task_counts_as_done():
    assert simulate([Task("a", 2, ("done before",))], Machine(1)).makespan == 2


def test_a_circle_is_an_error_and_so_is_a_machine_without_cores():
    circle = [Task("a", 1, ("b",)), Task("b", 1, ("a",)), Task("c", 1)]
    with pytest.raises(InputError, match="a waits for itself"):
        simulate(circle, Machine(2))
    with pytest.raises(InputError, match="cores: 0"):
        simulate([], Machine(0))
