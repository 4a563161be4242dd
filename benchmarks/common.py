"""What the benchmarks share: variants measured in turn, tables that name their origin."""

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from ddcnn.files import write_aside, write_json
from ddcnn.provenance import git_commit, hardware, versions

RESULTS = Path(__file__).parent / "results"


def in_turn(variants: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """Measure A B A B ...: a machine that slows down then slows every variant.

    Args:
        variants: each gives its own measurement, for example seconds.
        repeats: counted rounds; one more at the start is not counted.
    """
    measured: dict[str, list[float]] = {name: [] for name in variants}
    for round_number in range(repeats + 1):
        for name, measure in variants.items():
            value = measure()
            if round_number:
                measured[name].append(value)
    return measured


def seconds_of(function: Callable[[], object]) -> Callable[[], float]:
    """A variant that measures the wall time of ``function``."""

    def measure() -> float:
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    return measure


def summary(values: list[float]) -> dict[str, float]:
    """Median and range."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def write_theme(theme: str, rows: list[dict[str, object]], text: str) -> None:
    """Write ``results/{theme}.json`` and ``.md``: the rows, and how they were measured."""
    about = {
        "theme": theme,
        "date": datetime.now(UTC).date().isoformat(),
        "command": " ".join(["python", *sys.argv]),
        "commit": git_commit(),
        "hardware": hardware(),
        "versions": versions(),
    }
    write_json(RESULTS / f"{theme}.json", about | {"rows": rows})
    columns = list(rows[0])
    table = [
        "| " + " | ".join(columns) + " |",
        "|" + " --- |" * len(columns),
        *("| " + " | ".join(_cell(row[c]) for c in columns) + " |" for row in rows),
    ]
    origin = (
        f"Measured on {about['date']} by `{about['command']}`: {about['hardware']['processor']}, "
        f"{about['hardware']['cores']} cores, {about['hardware']['memory_gib']} GiB, "
        + ", ".join(f"{name} {version}" for name, version in about["versions"].items())
        + "."
    )
    with write_aside(RESULTS / f"{theme}.md") as aside:
        aside.write_text("\n".join([f"# {theme}", "", text, "", *table, "", origin, ""]))
    print("\n".join(table))


def _cell(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
