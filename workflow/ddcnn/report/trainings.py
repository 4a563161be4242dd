"""The trainings of a study: which ran when and where, and the chain that no machine shortens."""

import csv
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from ddcnn.base.files import read_json
from ddcnn.experiment.configuration import ENSEMBLE_SEED_STEP
from ddcnn.report.study import Run, Study
from ddcnn.tiles.geometry import VIEW

JOINT = ("ensemble", "coherent", "transfer")
NO_NODE = "one machine"  # of results that do not say where


class Training:
    """One job that trained a net, from its ``metrics.json``."""

    def __init__(self, folder: Path, kind: str, label: str, decomposition: str, seed: int) -> None:
        self.folder = folder
        self.kind = kind  # a key of the timeline's colours
        self.label = label
        self.decomposition = decomposition
        self.seed = seed

    @cached_property
    def metrics(self) -> dict[str, Any]:
        return read_json(self.folder / "metrics.json")

    @property
    def begin(self) -> float:
        """Start of the process, seconds since 1970; of the last try, if there were several."""
        before = self.metrics["start_seconds"] - self.metrics["load_seconds"]
        return _seconds(self.metrics["started"]) - max(0.0, before)

    @property
    def ready(self) -> float:
        """The first training step."""
        return self.begin + self.metrics["start_seconds"]

    @property
    def end(self) -> float:
        return _seconds(self.metrics["finished"])

    @property
    def where(self) -> str:
        """Node and GPU, or the node's processor."""
        node = (self.metrics.get("given") or {}).get("node") or NO_NODE
        slot = self.metrics.get("device_slot")
        if self.metrics["device"] == "cpu":
            return f"{node}, CPU"
        return f"{node}, GPU {slot.partition('.')[0]}" if slot else f"{node}, GPU"


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def trainings_of(study: Study) -> list[Training]:
    """Every training of a study once, in the order in which they began."""
    found: dict[Path, Training] = {}
    for run in study.runs:
        for training in _trainings_of_run(study, run):
            found.setdefault(training.folder, training)
    there = [each for each in found.values() if (each.folder / "metrics.json").is_file()]
    return sorted(there, key=lambda each: (each.begin, str(each.folder)))


def _trainings_of_run(study: Study, run: Run) -> Iterator[Training]:
    is_whole = run.tiling == "whole"
    for tile in run.evaluation["tiles"]:
        folder = study.local_folder(run, tile)
        kind = "global net" if is_whole else "coarse view" if tile == VIEW else "local net"
        label = {"global net": "global", "coarse view": "view"}.get(kind, tile)
        yield Training(folder, kind, label, run.tiling_label, run.seed)
        for fold in sorted(folder.glob("fold*")):
            text = f"{label} {fold.name}"
            yield Training(fold, "other training", text, run.tiling_label, run.seed)
    if not is_whole:
        yield Training(run.folder / "coarse", "coarse net", "coarse", run.label, run.seed)
    for name in JOINT:
        if name in run.evaluation["methods"]:
            yield Training(run.folder / name, "other training", name, run.label, run.seed)
    yield from _controls(study, run)


def _controls(study: Study, run: Run) -> Iterator[Training]:
    """The nets of ``small`` and ``ensemble``: whole images, a local net's width, seeds in steps."""
    methods, tiles = run.evaluation["methods"], run.evaluation["tiles"]
    if not {"small", "ensemble"} & set(methods):
        return
    width = read_json(study.local_folder(run, tiles[0]) / "metrics.json")["width"]
    model = re.sub(r"-w\d+.*$", f"-w{width}", study.model)
    for number in range(len(tiles) if "ensemble" in methods else 1):
        seed = run.seed + number * ENSEMBLE_SEED_STEP
        tile = "-".join("0" * len(study.card["shape"]))
        folder = study.results / "local" / study.dataset / model / f"whole/seed{seed}" / tile
        label = "small" if number == 0 else f"member {number}"
        yield Training(folder, "other training", label, "whole image", run.seed)


class Step(NamedTuple):
    """A job on the critical path."""

    rule: str
    what: str
    seconds: float | None  # None where no time of it is known
    folder: Path | None  # of a training


class CriticalPath(NamedTuple):
    """Jobs of which each waits for the one before."""

    label: str  # of the decomposition
    seed: int
    steps: list[Step]

    @property
    def seconds(self) -> float:
        return sum(step.seconds or 0 for step in self.steps)

    @property
    def folders(self) -> set[Path]:
        return {step.folder for step in self.steps if step.folder}


def critical_path(study: Study) -> CriticalPath:
    """The longest chain of jobs, from the data to the comparison of the methods of one run.

    With any number of processors the experiment takes as long. Job times are those of Snakemake's
    benchmark files, of a training without one the time between its start and its end.
    """
    paths = [
        CriticalPath(run.label, run.seed, list(steps))
        for run in study.runs
        for steps in _chains(study, run)
    ]
    return max(paths, key=lambda path: path.seconds)


def _chains(study: Study, run: Run) -> Iterator[list[Step]]:
    """Chains through every local net of a run, and through the global net it is compared with."""
    data, tiling = study.dataset, f"{study.dataset}/{run.tiling}"
    folder = f"{study.dataset}/{study.model}/{run.evaluation['decomposition']}/seed{run.seed}"
    before = [_step(study, "download", data), _step(study, "prepare", data)]
    before += [_step(study, "tile", tiling)]
    after = []
    if run.tiling != "whole":
        after = [_step(study, "train_coarse", f"{folder}/coarse", run.folder / "coarse")]
    after += [_step(study, "evaluate", folder)]
    chains = []
    for tile in run.evaluation["tiles"]:
        local = study.local_folder(run, tile)
        view = [_step(study, "coarse_view", tiling)] if tile == VIEW else []
        chains.append([*before, *view, _local_step(study, local), *after])
    yield from chains
    if "coherent" in run.evaluation["methods"]:
        joint = _step(study, "train_coherent", f"{folder}/coherent", run.folder / "coherent")
        yield [*before[:2], joint, after[-1]]
    if "transfer" in run.evaluation["methods"]:
        joint = _step(study, "train_coherent", f"{folder}/transfer", run.folder / "transfer")
        yield from ([*chain[:-1], joint, chain[-1]] for chain in chains)


def _local_step(study: Study, folder: Path) -> Step:
    """The job that trained a net, and perhaps others with it: its time counts as a whole."""
    file = folder / "metrics.json"
    job = read_json(file).get("job", folder.name) if file.is_file() else folder.name
    place = folder.with_name(job).relative_to(study.results / "local").as_posix()
    return _step(study, "train_local", place, folder)


def _step(study: Study, rule: str, place: str, folder: Path | None = None) -> Step:
    seconds = _benchmark(study.results / "benchmarks" / f"{rule}/{place}.tsv")
    if seconds is None and folder is not None and (folder / "metrics.json").is_file():
        training = Training(folder, "", "", "", 0)
        seconds = training.end - training.begin
    return Step(rule, place.partition("/")[2] or place, seconds, folder)


def _benchmark(path: Path) -> float | None:
    """Seconds of a job, as Snakemake measured them."""
    try:
        with path.open(newline="") as file:
            return float(list(csv.DictReader(file, delimiter="\t"))[-1]["s"])
    except (OSError, IndexError, KeyError, TypeError, ValueError):
        return None


def provenance_of(trainings: list[Training]) -> dict[str, Any]:
    """Where and when they ran, with which versions, each thing once."""
    metrics = [each.metrics for each in trainings]
    return {
        "count": len(metrics),
        "resumed": sum(bool(each.get("resumed")) for each in metrics),
        "started": _moment(min((each["started"] for each in metrics), default="")),
        "finished": _moment(max((each["finished"] for each in metrics), default="")),
        "devices": _distinct(
            f"{each['device_name']} ({each['device']}), {each['threads']} "
            f"thread{'s' * (each['threads'] != 1)} a job"
            for each in metrics
        ),
        "hardware": _distinct(_hardware(each["hardware"]) for each in metrics),
        "versions": _distinct(
            ", ".join(f"{name} {version}" for name, version in each["versions"].items())
            for each in metrics
        ),
    }


def _moment(text: str) -> str:
    """``2025-01-31T10:00:00.123+00:00`` as ``2025-01-31 10:00:00 UTC``."""
    return f"{text[:10]} {text[11:19]} UTC" if text else "unknown"


def _hardware(facts: Mapping[str, Any]) -> str:
    cores = f"{facts['cores']} core{'s' * (facts['cores'] != 1)}"
    return f"{facts['processor']}, {cores}, {facts['memory_gib']} GiB memory, {facts['system']}"


def _distinct(texts: Iterator[str]) -> list[str]:
    return list(dict.fromkeys(texts))
