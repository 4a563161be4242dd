"""List scheduling against schedules made by hand, bounds that hold for any, and a plain loop."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddcnn.base.errors import InputError
from ddcnn.experiment.makespan import Machine, ScheduledJob, busy_seconds, critical_path, simulate


@st.composite
def job_lists(draw, devices: int = 1) -> list[ScheduledJob]:
    """Tasks that need earlier ones only; whole seconds, so that sums are exact."""
    jobs: list[ScheduledJob] = []
    for number in range(draw(st.integers(1, 12))):
        names = [job.name for job in jobs]
        needs = draw(st.sets(st.sampled_from(names), max_size=3)) if names else set()
        jobs.append(
            ScheduledJob(
                f"t{number}",
                draw(st.integers(0, 9)),
                tuple(sorted(needs)),
                cores=draw(st.integers(1, 2)),
                devices=draw(st.integers(0, devices)),
            )
        )
    return jobs


def of_path(jobs: list[ScheduledJob]) -> float:
    return sum(job.seconds for job in critical_path(jobs))


def second_by_second(jobs: list[ScheduledJob], machine: Machine) -> dict[str, tuple[float, float]]:
    """The same rule without events: in every whole second, start what can start."""
    spans: dict[str, tuple[float, float]] = {}
    now = 0
    while len(spans) < len(jobs):
        for job in jobs:
            running = [t for t in jobs if t.name in spans and spans[t.name][1] > now]
            ended = [spans[n][1] if n in spans else math.inf for n in job.needs]
            if (
                job.name not in spans
                and max(ended, default=0) + machine.queue_seconds <= now
                and sum(t.cores for t in running) + job.cores <= machine.cores
                and sum(t.devices for t in running) + job.devices <= machine.devices
            ):
                spans[job.name] = (now, now + machine.start_seconds + job.seconds)
        now += 1
    return spans


def test_four_jobs_on_two_cores():
    jobs = [
        ScheduledJob("a", 3),
        ScheduledJob("b", 2),
        ScheduledJob("c", 2),
        ScheduledJob("d", 1, ("a", "b")),
    ]
    spans = simulate(jobs, Machine(2)).spans
    assert spans == {"a": (0, 3), "b": (0, 2), "c": (2, 4), "d": (3, 4)}


def test_one_device_makes_its_jobs_wait_and_no_others():
    jobs = [ScheduledJob("a", 3, devices=1), ScheduledJob("b", 3, devices=1), ScheduledJob("c", 1)]
    spans = simulate(jobs, Machine(4, devices=1)).spans
    assert spans == {"a": (0, 3), "c": (0, 1), "b": (3, 6)}


def test_start_up_holds_a_place_and_the_queue_holds_none():
    jobs = [ScheduledJob("a", 3), ScheduledJob("b", 3), ScheduledJob("c", 1, ("b",))]
    machine = Machine(1, start_seconds=1, queue_seconds=10)
    assert simulate(jobs, machine).spans == {"a": (10, 14), "b": (14, 18), "c": (28, 30)}


def test_grahams_anomaly():
    """Less work and a longer schedule: the example of Graham 1969 that lists are not optimal."""
    needs = {"9": ("1",), "5": ("4",), "6": ("4",), "7": ("4",), "8": ("4",)}
    times = {"1": 3, "2": 2, "3": 2, "4": 2, "5": 4, "6": 4, "7": 4, "8": 4, "9": 9}
    jobs = [ScheduledJob(n, t, needs.get(n, ())) for n, t in times.items()]
    assert simulate(jobs, Machine(3)).makespan == 12
    shorter = [ScheduledJob(t.name, t.seconds - 1, t.needs) for t in jobs]
    assert simulate(shorter, Machine(3)).makespan == 13


@given(job_lists(), st.integers(2, 4), st.integers(0, 2), st.integers(0, 3))
def test_events_give_what_a_plain_loop_gives(jobs, cores, start, queue):
    # Work of whole seconds above 0: the plain loop starts nothing in the second of an end.
    jobs = [ScheduledJob(t.name, t.seconds + 1, t.needs, t.cores, t.devices) for t in jobs]
    machine = Machine(cores, 1, start, queue)
    assert simulate(jobs, machine).spans == second_by_second(jobs, machine)


@given(job_lists(), st.integers(1, 4))
def test_no_schedule_beats_the_critical_path_or_the_work(jobs, cores):
    machine = Machine(cores)
    makespan = simulate(jobs, machine).makespan
    assert makespan >= of_path(jobs)
    assert makespan >= busy_seconds(jobs, machine) / cores
    assert makespan <= sum(job.seconds for job in jobs)


@given(job_lists(), st.integers(1, 4))
def test_jobs_of_one_core_keep_grahams_bound(jobs, cores):
    jobs = [ScheduledJob(job.name, job.seconds, job.needs) for job in jobs]
    work, path = sum(job.seconds for job in jobs), of_path(jobs)
    assert simulate(jobs, Machine(cores)).makespan <= work / cores + path * (1 - 1 / cores) + 1e-9


@given(job_lists())
def test_without_limits_only_the_critical_path_counts(jobs):
    assert simulate(jobs, Machine(math.inf, math.inf)).makespan == of_path(jobs)
    machine = Machine(math.inf, math.inf, start_seconds=2, queue_seconds=3)
    path = critical_path(jobs, machine)
    assert simulate(jobs, machine).makespan == sum(job.seconds + 5 for job in path)


@given(job_lists())
def test_one_core_does_everything_in_a_row(jobs):
    assert simulate(jobs, Machine(1)).makespan == sum(job.seconds for job in jobs)


def test_the_critical_path_is_a_chain_of_needs():
    jobs = [
        ScheduledJob("a", 1),
        ScheduledJob("b", 5),
        ScheduledJob("c", 1, ("a", "b")),
        ScheduledJob("d", 3, ("a",)),
    ]
    assert [job.name for job in critical_path(jobs)] == ["b", "c"]


def test_a_job_that_takes_no_time_is_on_the_critical_path_of_those_that_need_it():
    jobs = [ScheduledJob("a", 0), ScheduledJob("b", 2, ("a",)), ScheduledJob("c", 0, ("a", "b"))]
    assert [job.name for job in critical_path(jobs)] == ["a", "b", "c"]


def test_what_is_no_job_counts_as_done():
    assert simulate([ScheduledJob("a", 2, ("done before",))], Machine(1)).makespan == 2


def test_a_circle_is_an_error_and_so_is_a_machine_without_cores():
    circle = [ScheduledJob("a", 1, ("b",)), ScheduledJob("b", 1, ("a",)), ScheduledJob("c", 1)]
    with pytest.raises(InputError, match="a waits for itself"):
        simulate(circle, Machine(2))
    with pytest.raises(InputError, match="cores: 0"):
        simulate([], Machine(0))
