"""``plan``: how long an experiment takes on other machines."""

import argparse
import math
import os
from pathlib import Path

from ddcnn.base.escaping import visible
from ddcnn.base.text import duration, table
from ddcnn.commands.arguments import add_command, add_configuration, asked_experiment, count
from ddcnn.experiment.cluster_profile import asked_resources, write_profile
from ddcnn.experiment.job_times import how_known, job_times, measured_devices
from ddcnn.experiment.jobs import Job, experiment_jobs, gpus_of
from ddcnn.experiment.makespan import Machine, ScheduledJob, busy_seconds, critical_path, simulate
from ddcnn.experiment.paths import RESULTS
from ddcnn.experiment.runs import Experiment

EXAMPLES = """\
examples:
  ddcnn plan --cores 8                  the default experiment on 1, 2, 4, 8 cores
  ddcnn plan config/cifar10.yaml --gpus 64 --queue-seconds 30
                                                  on a cluster that lets every job wait 30 s
  ddcnn plan mine.yaml --measured ../other/results
  ddcnn plan --write-profile profiles/measured/config.yaml
                                                  run times and memory for SLURM, as measured

The jobs are those of the whole experiment, whether done or not. Their times are those that
Snakemake measured in results/benchmarks; of jobs that never ran they are estimated.
"""
MOST_SECONDS = 365 * 86_400
SHORTEST = 1e-9  # seconds that jobs take which were measured to take none
START_SECONDS = 0.2  # see docs/scale.md


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    description = "how long an experiment takes on other machines"
    parser = add_command(commands, "plan", run, description, EXAMPLES)
    add_configuration(parser)
    parser.add_argument(
        "--cores", type=count, metavar="N",
        help="cores, one for each job (this machine's; with --gpus: as many as are asked for)",
    )  # fmt: skip
    parser.add_argument(
        "--gpus", type=count, metavar="N", help="GPUs, one for each training (none)"
    )
    parser.add_argument(
        "--queue-seconds", type=_seconds, default=0.0, metavar="S",
        help="every job waits between its submission and its start (0)",
    )  # fmt: skip
    parser.add_argument(
        "--start-seconds", type=_seconds, default=START_SECONDS, metavar="S",
        help=f"every job costs Snakemake beside its own time ({START_SECONDS}; on a cluster: 3)",
    )  # fmt: skip
    parser.add_argument(
        "--measured", type=Path, default=Path(RESULTS), metavar="FOLDER",
        help="whose benchmarks and metrics hold measured times (results)",
    )  # fmt: skip
    parser.add_argument(
        "--write-profile", type=Path, metavar="FILE",
        help="profiles/slurm with run time and memory of every rule as measured, a config.yaml",
    )  # fmt: skip


def run(options: argparse.Namespace) -> None:
    """Print makespan, speed-up and utilisation for several sizes of the machine."""
    experiment = asked_experiment(options)
    jobs = experiment_jobs(experiment)
    times = job_times(jobs, experiment, options.measured)
    planned = scheduled(jobs, {name: time.seconds for name, time in times.items()}, experiment)
    machines = machines_of(options)
    work = math.fsum(job.cores * job.seconds for job in planned)
    print(f"{experiment.name}: {len(jobs)} jobs, {duration(work)} of work")
    print("\n".join(f"  times of jobs: {line}" for line in how_known(times)))
    devices = measured_devices(options.measured)
    if options.gpus is not None and "cuda" not in devices.values():
        names = visible(", ".join(sorted(devices))) or "nothing"
        print(f"  no training was measured on a GPU, only on {names}: the times below")
        print("  are those of as many processors")
    print(
        "\n".join(["", *table(_rows(planned, machines, options.gpus is not None), numbers=4), ""])
    )
    path = critical_path(planned, machines[-1])
    extra = len(path) * (options.start_seconds + options.queue_seconds)
    print(
        f"critical path, the least time on any machine: "
        f"{duration(math.fsum(job.seconds for job in path) + extra)}"
    )
    print("\n".join(f"  {duration(job.seconds):>10}  {job.name}" for job in path))
    if options.write_profile:
        resources = asked_resources(jobs, times, options.measured)
        write_profile(options.write_profile, resources, experiment.name, sorted(devices))
        print(f"\nwrote {options.write_profile}; it is used by")
        print(f"  snakemake --workflow-profile {options.write_profile.parent}")


def scheduled(
    jobs: list[Job], seconds: dict[str, float], experiment: Experiment
) -> list[ScheduledJob]:
    """The jobs as the scheduler takes them: one core for each worker, and the devices."""
    return [
        ScheduledJob(
            job.name,
            seconds[job.name],
            job.needs,
            job.cores,
            job.cores * gpus_of(experiment, job.rule),
        )
        for job in jobs
    ]


def machines_of(options: argparse.Namespace) -> list[Machine]:
    """One machine for each power of two up to the cores or GPUs that were asked for."""
    start, queue = options.start_seconds, options.queue_seconds
    if options.gpus is not None:
        cores = options.cores or math.inf
        return [Machine(cores, gpus, start, queue) for gpus in doubling(options.gpus)]
    cores = options.cores or len(os.sched_getaffinity(0))
    return [Machine(number, 0, start, queue) for number in doubling(cores)]


def doubling(most: int) -> list[int]:
    """1, 2, 4 ... and the largest itself."""
    return sorted({most, *(2**power for power in range(most.bit_length()))})


def _rows(
    planned: list[ScheduledJob], machines: list[Machine], gpus: bool
) -> list[tuple[str, ...]]:
    makespans = [simulate(planned, machine).makespan or SHORTEST for machine in machines]
    rows = [("GPUs" if gpus else "cores", "makespan", "speed-up", "busy")]
    for machine, makespan in zip(machines, makespans, strict=True):
        places = machine.devices if gpus else machine.cores
        held = [job for job in planned if job.devices or not gpus]
        share = busy_seconds(held, machine) / makespan / places
        speedup = makespans[0] / makespan
        rows.append((f"{places:.0f}", duration(makespan), f"{speedup:.2f}", f"{share:.0%}"))
    return rows


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= MOST_SECONDS:
        raise argparse.ArgumentTypeError(
            f"{text[:20]!r} is not a number of seconds, from 0 to {MOST_SECONDS:,} (a year)"
        )
    return seconds
