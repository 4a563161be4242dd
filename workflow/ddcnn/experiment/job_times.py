"""How long jobs take: as Snakemake's benchmark files say, or estimated from those.

A benchmark file holds the seconds from the start of a script's process to its end, so what a job
costs Snakemake before and after is not in it. What it waited for a device is taken out.
"""

import csv
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddcnn import nets
from ddcnn.base.defaults import AUTO, Facts, chosen
from ddcnn.base.errors import DamagedResult, InputError
from ddcnn.base.foreign import check_regular, entry, is_folder, leave_out, read_facts
from ddcnn.base.process import own_seconds
from ddcnn.experiment.chosen import facts_of, known_facts, num_outputs
from ddcnn.experiment.jobs import TRAININGS, Job, kind_of
from ddcnn.experiment.paths import BENCHMARKS_FOLDER, RESULTS, folder_of
from ddcnn.experiment.runs import Experiment, Run

HOW = {
    "measured": "measured",
    "kind": "mean of the same work on other tiles or seeds",
    "work": "from measured trainings, by multiply-adds, images and epochs",
    "rule": "median of other jobs of the same rule",
}


MOST_READ = 2**16  # characters of a benchmark file
COLUMNS = {"s": "time", "max_rss": "memory"}  # of a benchmark file, and what they hold
UNKNOWN = ("NA", "-")  # stand for a number there


@dataclass(frozen=True)
class JobTime:
    """Seconds of a job, and how they are known: a key of :data:`HOW`."""

    seconds: float
    how: str


def measured_seconds(results: str | Path) -> dict[str, float]:
    """Seconds of every job that has a benchmark file below ``results/benchmarks``, by name."""
    times = {name: measured_time(results, name) for name in _names(results)}
    return {name: seconds for name, seconds in times.items() if seconds is not None}


def _names(results: str | Path) -> list[str]:
    folder = _benchmarks(results)
    paths = folder.rglob("*.tsv") if is_folder(folder) else []
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in paths)


def measured_time(results: str | Path, name: str) -> float | None:
    """Seconds of the job of this name; None without a benchmark file, or with a part of one."""
    seconds = _measured(results, name, "s")
    return None if seconds is None else max(0.0, seconds - _waited(results, name))


def measured_megabytes(results: str | Path) -> dict[str, float]:
    """The most memory of every job below ``results/benchmarks``, MiB, by name.

    Snakemake looks every half a second, after 15 s every 30 s; a training knows the peak itself.
    """
    found = {}
    for name in _names(results):
        peaks = [_measured(results, name, "max_rss"), _peak(results, name)]
        if known := [peak for peak in peaks if peak]:
            found[name] = max(known)
    return found


def _peak(results: str | Path, name: str) -> float:
    """MiB of a training's process on a CPU, as its metrics say; 0 of other jobs."""
    metrics = _metrics(results, name)
    peak = metrics.get("peak_memory_bytes", 0) if metrics.get("device") == "cpu" else 0
    return peak / 2**20 if isinstance(peak, int | float) else 0


def measured_devices(results: str | Path) -> dict[str, str]:
    """What the measured trainings computed on, for example ``cuda``, by names of the devices."""
    known = [_metrics(results, name) for name in _names(results)]
    return {str(each.get("device_name")): str(each["device"]) for each in known if "device" in each}


def _measured(results: str | Path, name: str, column: str) -> float | None:
    """A number of a benchmark file; None without the file, or with a part of one."""
    path = _benchmarks(results) / f"{name}.tsv"
    try:
        check_regular(path)
        with path.open(newline="") as file:
            reader = csv.DictReader(file.read(MOST_READ).splitlines(), delimiter="\t")
        rows = list(reader)
        if reader.fieldnames and column not in reader.fieldnames:
            raise ValueError(f"no column {column}")
        if not rows:  # it is written just now
            return None
        if rows[-1][column] in UNKNOWN:  # it ended before Snakemake looked
            return None
        return _number(rows[-1][column], column)
    except (OSError, TypeError, ValueError, csv.Error) as error:
        if path.exists():
            why = " ".join(str(error).removeprefix(f"{path} ").split())[:80]
            leave_out(path, f"no measured {COLUMNS[column]} of a job ({why})")
        return None


def _waited(results: str | Path, name: str) -> float:
    """Seconds for a device or a compiler."""
    seconds = _metrics(results, name).get("wait_seconds", 0.0)
    is_number = isinstance(seconds, int | float) and 0 <= seconds < math.inf
    return seconds if is_number else 0.0


def _metrics(results: str | Path, name: str) -> dict[str, Any]:
    """Of a training, of a pack its first one; empty of other jobs, and where there are none."""
    rule, _, place = name.partition("/")
    if rule not in TRAININGS:
        return {}
    path = folder_of(rule, place.partition("..")[0], results) / "metrics.json"
    try:
        return read_facts(path)
    except InputError:  # whoever needs the file says so
        return {}


def _number(text: str, what: str) -> float:
    number = float(text)
    if not 0 <= number < math.inf:
        raise ValueError(f"{what} is {number}")
    return number


def _benchmarks(results: str | Path) -> Path:
    return Path(results) / Path(BENCHMARKS_FOLDER).relative_to(RESULTS)


def seconds_of_kinds(measured: Mapping[str, float]) -> dict[str, float]:
    """Mean measured seconds of the jobs of every kind that has any."""
    times = defaultdict(list)
    for name, seconds in measured.items():
        times[kind_of(name)].append(seconds)
    return {kind: statistics.fmean(values) for kind, values in times.items()}


def job_times(
    jobs: Sequence[Job], experiment: Experiment, results: str | Path
) -> dict[str, JobTime]:
    """The time of every job: the best that the files below ``results`` tell.

    Raises:
        InputError: of some rule no job was ever measured.
    """
    measured = measured_seconds(results)
    kinds = seconds_of_kinds(measured)
    rules = defaultdict(list)
    for name, seconds in measured.items():
        rules[name.split("/")[0]].append(seconds)
    if unknown := sorted({job.rule for job in jobs} - set(rules)):
        raise InputError(
            f"{results}/benchmarks holds no measured time of {', '.join(unknown)}; run a small "
            "experiment first (snakemake --cores all), or name the results of another run with "
            "--measured FOLDER"
        )
    places = {job.name: [node.place for node in job.nodes] for job in jobs}
    trainings = {
        name: work
        for name in measured
        if (work := _measured_work(name, places.get(name), measured, results))
    }
    cost: dict[tuple[str, int], JobTime] = {}
    times = {}
    epochs = {
        name: _epochs(experiment, facts_of(dataset, results, experiment.folds))
        for name, dataset in experiment.datasets.items()
    }
    for job in jobs:
        asked = epochs.get(job.place.split("/")[0])
        if job.name in trainings and asked not in (trainings[job.name].epochs, None):
            own = trainings[job.name]
            work = own.work / own.epochs * asked
            times[job.name] = JobTime(_seconds_of_work(work, [own]), "work")
        elif job.name in measured:
            times[job.name] = JobTime(measured[job.name], "measured")
        elif job.kind in kinds and len(job.tiles) < 2:  # packs differ in size
            times[job.name] = JobTime(kinds[job.kind], "kind")
        elif job.rule == "train_local" and trainings and not _is_closed_form(job, experiment):
            key = job.kind, len(job.tiles)
            if key not in cost:
                run = experiment.net_run_of(job.wildcards)
                work = len(job.tiles) * _work(run, experiment, results)
                cost[key] = JobTime(_seconds_of_work(work, list(trainings.values())), "work")
            times[job.name] = cost[key]
        else:
            times[job.name] = JobTime(statistics.median(rules[job.rule]), "rule")
    return times


def _is_closed_form(job: Job, experiment: Experiment) -> bool:
    return nets.is_closed_form(experiment.net_run_of(job.wildcards).architecture)


def how_known(times: Mapping[str, JobTime]) -> list[str]:
    """One line for each way in which job times are known."""
    counts = Counter(time.how for time in times.values())
    return [f"{counts[how]} {words}" for how, words in HOW.items() if counts[how]]


@dataclass(frozen=True)
class _Training:
    """A measured training: its multiply-adds in all, and the seconds of these and of the rest."""

    work: float
    epochs: int
    train_seconds: float
    other_seconds: float


def _measured_work(
    name: str,
    places: Sequence[str] | None,
    measured: Mapping[str, float],
    results: str | Path,
) -> _Training | None:
    """Work of a job that trains the nets of these places, or, unknown, the net of its name.

    None of another job, or of nets that are not trained in steps.
    """
    rule, place = name.split("/", 1)
    folders = [folder_of("train_local", each, results) for each in places or (place,)]
    paths = [folder / "metrics.json" for folder in folders]
    if rule != "train_local" or not all(path.is_file() for path in paths):
        return None
    try:
        trained = [_net(path) for path in paths]
    except InputError as error:
        leave_out(paths[0], str(error))
        return None
    if None in trained:
        return None
    work = math.fsum(net.work for net in trained)
    seconds = math.fsum(net.train_seconds for net in trained)
    other = max(0.0, measured[name] - seconds)
    return _Training(work, trained[0].epochs, seconds, other)


def _net(path: Path) -> _Training | None:
    """What a net's metrics say; None where it was not trained in steps.

    Raises:
        InputError: they are of another type, or of a training that did nothing.
    """
    net = read_facts(path)
    if nets.is_closed_form(entry(net, path, "architecture", str)):
        return None  # without epochs, and of work that grows otherwise
    parts = (entry(net, path, key, float) for key in ("multiply_adds", "images", "epochs"))
    work, asked = math.prod(parts), entry(net, path, "settings.epochs", float)
    entry(net, path, "train_seconds", float)
    together = 1.0
    for key in ("at_once", "refit.at_once", "refit.train_seconds"):  # few trainings have them
        if key.partition(".")[0] in net:
            number = entry(net, path, key, float)
            together *= number if key.endswith("at_once") else 1.0
    if not work * asked * together:
        raise DamagedResult(path, "it is of a training without images or epochs")
    # A training that ends early has fewer epochs than it was asked for.
    return _Training(work, asked, own_seconds(net), 0.0)


def _seconds_of_work(work: float, trainings: Sequence[_Training]) -> float:
    """At the speed of the measured training whose work is most alike: small nets are slower."""
    alike = min(trainings, key=lambda training: abs(math.log(training.work / work)))
    return work * alike.train_seconds / alike.work + alike.other_seconds


def _work(run: Run, experiment: Experiment, results: str | Path) -> float:
    """Multiply-adds of a local net's training: per image, times images and epochs."""
    from ddcnn.nets.cost import multiply_adds

    dataset = experiment.datasets[run.dataset]
    facts = known_facts(dataset, results, experiment.folds)
    shape = (*run.tiling.tile_shape(dataset.shape), dataset.image_shape[-1])
    net = nets.build(run.architecture, shape, num_outputs(dataset, results), run.local_width)
    return multiply_adds(net, shape) * facts.num_images * _epochs(experiment, facts)


def _epochs(experiment: Experiment, facts: Facts | None) -> int | None:
    """Of the local nets; None where these depend on data that nobody has read."""
    local = experiment.settings["local"]
    if facts is not None:
        return (local | chosen(local, facts))["epochs"]
    return None if local["epochs"] == AUTO else local["epochs"]
