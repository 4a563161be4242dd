"""The other ways of parallel training beside the decompositions: costs, the model, words."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ddcnn.base.files import read_json
from ddcnn.base.text import counted, interval, signed, size
from ddcnn.experiment.paths import folder_of
from ddcnn.parallel.model import PAYLOAD, Link, of_training, step_of
from ddcnn.parallel.volume import fits
from ddcnn.report.sentences import seconds, unit_of
from ddcnn.report.study import Study
from ddcnn.report.summary import WHOLE

RULE = "train_parallel"
GIGABITS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
MOST_WORKERS = 64


class OtherWay(NamedTuple):
    """A way with a number of workers: means over the seeds, of the slowest or fullest worker.

    Attributes:
        way, workers: which.
        train_seconds, start_seconds: of the training, and until its first step.
        compute, communication, idle: seconds of a step, of the slowest worker.
        bytes, messages: that a worker sends in a step.
        memory: bytes at the peak.
        costs: of the first seed, see ``metrics.json``; the model starts from them.
        kernels: that computed.
    """

    way: str
    workers: int
    train_seconds: float
    start_seconds: float
    compute: float
    communication: float
    idle: float
    bytes: float
    messages: float
    memory: float
    costs: Mapping[str, Any]
    kernels: str

    @property
    def method(self) -> str:
        """What the evaluation of the global net's run calls it."""
        return f"{self.way}-{self.workers}"


def other_ways(study: Study) -> list[OtherWay]:
    """Those that the study has trainings of, in the order of the configuration."""
    found: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for job in study.jobs:
        path = folder_of(RULE, job.place, study.results) if job.rule == RULE else None
        if path and (path / "metrics.json").is_file():
            key = job.wildcards["way"], int(job.wildcards["workers"])
            found.setdefault(key, []).append(read_json(path / "metrics.json"))
    return [other_way(*key, metrics) for key, metrics in found.items()]


def other_way(way: str, workers: int, metrics: Sequence[Mapping[str, Any]]) -> OtherWay:
    """One way, from the ``metrics.json`` of every seed."""

    def mean(key: str) -> float:
        return statistics.fmean(max(each["parallel"][key]) for each in metrics)

    return OtherWay(
        way,
        workers,
        statistics.fmean(each["train_seconds"] for each in metrics),
        mean("start_seconds"),
        mean("compute_seconds"),
        mean("communication_seconds"),
        mean("idle_seconds"),
        mean("bytes_per_step"),
        mean("messages_per_step"),
        mean("peak_memory_bytes"),
        metrics[0]["parallel"],
        metrics[0]["kernels"],
    )


class Curve(NamedTuple):
    """Seconds of a training by the model, and where it was measured.

    Attributes:
        way: which.
        places: numbers of workers, or Gbit/s.
        seconds: at these.
        measured: pairs of a place and seconds.
    """

    way: str
    places: tuple[float, ...]
    seconds: tuple[float, ...]
    measured: tuple[tuple[float, float], ...]


def by_workers(ways: Sequence[OtherWay]) -> list[Curve]:
    """A curve for each way, from its training with the most workers, by the link of that."""
    return [_by_workers(own) for own in _of_each(ways)]


def _of_each(ways: Sequence[OtherWay]) -> list[list[OtherWay]]:
    own: dict[str, list[OtherWay]] = {}
    for each in sorted(ways, key=lambda each: each.workers):
        own.setdefault(each.way, []).append(each)
    return list(own.values())


def _by_workers(own: Sequence[OtherWay]) -> Curve:
    most = own[-1]
    net, work, link = of_training(most.costs)
    numbers = [2**power for power in range(1, MOST_WORKERS.bit_length())]
    numbers = [n for n in numbers if fits(net, most.way, n, work.batch)]
    steps = most.costs["steps"]
    modelled = [steps * step_of(most.way, n, net, work, link).seconds for n in numbers]
    measured = tuple((float(each.workers), each.train_seconds) for each in own)
    return Curve(most.way, tuple(map(float, numbers)), tuple(modelled), measured)


def by_bandwidth(ways: Sequence[OtherWay]) -> list[Curve]:
    """A curve for each way with the most workers that were measured; the link's latency stays."""
    return [_by_bandwidth(own[-1]) for own in _of_each(ways)]


def _by_bandwidth(way: OtherWay) -> Curve:
    net, work, link = of_training(way.costs)
    links = [Link(link.latency_seconds, PAYLOAD * speed * 1e9 / 8) for speed in GIGABITS]
    steps, count = way.costs["steps"], way.costs.get("micro_batches")
    modelled = [
        steps * step_of(way.way, way.workers, net, work, each, count).seconds for each in links
    ]
    place = 8 * link.bytes_per_second / PAYLOAD / 1e9
    return Curve(way.way, GIGABITS, tuple(modelled), ((place, way.train_seconds),))


def other_rows(study: Study, methods: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The table: one device, the other ways, and every decomposition.

    Args:
        study: whose trainings.
        methods: rows of :func:`ddcnn.report.table.method_rows`, which have the scores.
    """
    ways = {each.method: each for each in other_ways(study)}
    if not ways:
        return []
    rows = []
    for row in methods:
        way = ways.get(row["method"]) if row["decomposition"] == WHOLE else None
        if way or row["method"] in ("global", "cnn-dnn"):
            rows.append(_row(row, way))
    return rows if any(row["way"] for row in rows) else []


def _row(row: Mapping[str, Any], way: OtherWay | None) -> dict[str, Any]:
    is_global = row["method"] == "global"
    label = "one device" if is_global else row["label"]
    return {
        **row,
        "label": way.way if way else label,
        "devices": way.workers if way else row["tiles"],
        "seconds": way.train_seconds if way else row["parallel_seconds"],
        "memory": way.memory if way else row["peak_memory_bytes"],
        "way": way,
        "sent": size(way.bytes) if way else "nothing",
    }


def sentences_of(rows: Sequence[Mapping[str, Any]], study: Study) -> Iterator[str]:
    """What the table says, in both directions.

    Args:
        rows: of :func:`other_rows`.
        study: whose.
    """
    tiles = [row for row in rows if not row["way"] and row["label"] != "one device"]
    ways = [row for row in rows if row["way"]]
    if not ways:
        return
    one = next((row for row in rows if row["label"] == "one device"), None)
    way = min(ways, key=lambda row: row["seconds"])
    if tiles:
        tile = min(tiles, key=lambda row: row["seconds"])
        yield _of_times(tile, way)
        if one:
            yield _of_scores([tile, way], study)
    if one:
        yield from (_of_bandwidth(row["way"], one["seconds"]) for row in ways)
    if len({way["way"].kernels for way in ways} | {"torch"}) == 1:
        yield (
            "All other ways compute with torch's kernels. Where local nets take those of ddcnn, on "
            "a CPU with one thread, a part of the difference in time is the kernels'."
        )


def _of_times(tile: Mapping[str, Any], way: Mapping[str, Any]) -> str:
    first, second = (tile, way) if tile["seconds"] <= way["seconds"] else (way, tile)
    return (
        f"{_named(first)} is trained in {seconds(first['seconds'])}, "
        f"{second['seconds'] / first['seconds']:.1f} times as fast as {_named(second, False)} "
        f"({seconds(second['seconds'])}): the fastest of either kind, with as many devices as each "
        "takes; starting jobs is in neither."
    )


def _named(row: Mapping[str, Any], is_first: bool = True) -> str:
    number = counted(row["devices"], "device")
    if not row["way"]:
        return f"{'The' if is_first else 'the'} decomposition {row['label']} on {number}"
    return f"{'The' if is_first else 'the'} global net by {row['label']} on {number}"


def _of_scores(rows: Sequence[Mapping[str, Any]], study: Study) -> str:
    """Paired differences from the global net that one device trained, each with its verdict."""
    unit, factor, digits = unit_of(study)
    parts = [
        f"{_named(row, False)} {signed(factor * row['difference'], digits)} {unit} "
        f"({interval(factor * row['low'], factor * row['high'], digits)}; {row['verdict']})"
        for row in rows
    ]
    return f"Test {study.score_name} against the global net of one device: {', '.join(parts)}."


def _of_bandwidth(way: OtherWay, one: float) -> str:
    """From which bandwidth on several devices are faster than one, by the model."""
    curve = _by_bandwidth(way)
    faster = [place for place, time in zip(curve.places, curve.seconds, strict=True) if time < one]
    name = f"{way.way} with {counted(way.workers, 'worker')}"
    if not faster:
        return (
            f"By the model {name} is slower than one device at every bandwidth up to "
            f"{GIGABITS[-1]} Gbit/s."
        )
    if len(faster) == len(GIGABITS):
        return f"By the model {name} is faster than one device from {GIGABITS[0]} Gbit/s on."
    return (
        f"By the model {name} is faster than one device on links of {min(faster)} Gbit/s and more, "
        "with this machine's latency."
    )
