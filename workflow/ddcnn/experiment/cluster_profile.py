"""A profile for a cluster whose times and memory are those of measured jobs."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ddcnn.base.errors import InputError
from ddcnn.base.escaping import visible
from ddcnn.base.files import write_aside
from ddcnn.base.foreign import check_regular
from ddcnn.experiment.job_times import JobTime, measured_megabytes
from ddcnn.experiment.jobs import Job

BASE = Path("profiles/slurm/config.yaml")
TIMES, MORE_MINUTES = 2, 5  # the node may be slower, and each job starts Snakemake twice first
MORE_MEMORY, SNAKEMAKES_MB = 1.5, 500  # two Snakemakes of 180 MB each run beside the job
LEAST_MB, ROUND_MB = 1000, 100  # of a job of a second Snakemake sees hardly anything
HEADER = """\
# Written by `ddcnn plan --write-profile`: {base} with what was
# measured for the experiment {experiment}. For each of its rules
# runtime (minutes) is {times} times that of its longest job and {more} minutes,
# mem_mb is {memory:.0%} of the most that one needed and {snakemakes} MB.
# Trainings were measured on: {devices}
# Other nodes, and larger data, need others. A retry gets twice as much.
# Tasks of an array (slurm-array-jobs) all get time and memory of one of them: for a rule in
# arrays remove "* attempt" from its lines.
"""


def asked_resources(
    jobs: Sequence[Job], times: Mapping[str, JobTime], results: str | Path
) -> dict[str, dict[str, str]]:
    """``runtime`` and ``mem_mb`` of every rule, as Snakemake's ``set-resources`` has them.

    Args:
        jobs: of an experiment.
        times: of each, by name.
        results: where measured jobs left their memory. A rule of which none did is not told how
            much it needs, and keeps what it has.
    """
    asked: dict[str, dict[str, str]] = {}
    memory = measured_megabytes(results)
    for rule in dict.fromkeys(job.rule for job in jobs):
        own = [job.name for job in jobs if job.rule == rule]
        seconds = max(times[name].seconds for name in own)
        minutes = math.ceil(TIMES * seconds / 60) + MORE_MINUTES
        asked[rule] = {"runtime": f"{minutes} * attempt"}
        # Those of the experiment itself, where it ran: other data need other memory.
        alike = [memory[name] for name in own if name in memory]
        alike = alike or [each for name, each in memory.items() if name.split("/")[0] == rule]
        if alike and rule != "train_parallel":  # whose workers the profile counts
            needed = max(LEAST_MB, MORE_MEMORY * max(alike) + SNAKEMAKES_MB)
            asked[rule]["mem_mb"] = f"{ROUND_MB * math.ceil(needed / ROUND_MB)} * attempt"
    return asked


def write_profile(
    path: Path, resources: Mapping[str, Mapping[str, str]], experiment: str, devices: Sequence[str]
) -> None:
    """Write :data:`BASE`, with what is set there for accounts and partitions, and ``resources``.

    Args:
        path: a ``config.yaml``; its folder is what Snakemake calls the profile.
        resources: of every rule.
        experiment: its name.
        devices: that jobs were measured on, for the reader.

    Raises:
        InputError: a file of another name, or the base is missing or no profile.
    """
    if path.name != "config.yaml":
        raise InputError(
            f"--write-profile: {path} is not called config.yaml; Snakemake takes the folder of a "
            "file of this name, for example profiles/measured/config.yaml"
        )
    if path.resolve() == BASE.resolve():
        raise InputError(f"--write-profile: {path} is what is filled in; name another folder")
    profile = _base()
    known = profile.get("set-resources") or {}
    profile["set-resources"] = {
        rule: {**(known.get(rule) or {}), **resources.get(rule, {})}
        for rule in dict.fromkeys([*known, *resources])
    }
    header = HEADER.format(
        base=BASE, experiment=experiment, devices=visible(", ".join(devices)) or "nothing",
        times=TIMES, more=MORE_MINUTES, memory=MORE_MEMORY, snakemakes=SNAKEMAKES_MB,
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_aside(path) as aside:
        text = yaml.safe_dump(profile, sort_keys=False, allow_unicode=True)
        aside.write_text(f"{header}\n{text}", encoding="utf-8")


def _base() -> dict[str, Any]:
    check_regular(BASE)
    try:
        profile = yaml.safe_load(BASE.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{BASE} is no YAML ({' '.join(str(error).split())})") from error
    if not isinstance(profile, dict) or not isinstance(profile.get("set-resources") or {}, dict):
        raise InputError(f"{BASE} is no profile with keys; get it from the repository again")
    return profile
