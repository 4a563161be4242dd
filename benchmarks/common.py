"""What the benchmarks share: variants measured in turn, tables that name their origin."""

import argparse
import re
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from ddcnn.base.files import write_aside, write_json
from ddcnn.base.provenance import git_commit, hardware, versions

RESULTS = Path(__file__).parent / "results"


def options_of(text: str, repeats: int | None) -> argparse.ArgumentParser:
    """A parser with what every benchmark takes.

    Args:
        text: what is measured.
        repeats: counted rounds; None where there are no rounds.
    """
    parser = argparse.ArgumentParser(description=text)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="see whether the script works: little work, nothing written to benchmarks/results",
    )
    if repeats is not None:
        parser.add_argument("--repeats", type=int, default=repeats, help="rounds (%(default)s)")
    return parser


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The options; a quick run has one counted round."""
    options = parser.parse_args()
    if getattr(options, "repeats", 1) < 1:
        parser.error(f"--repeats: {options.repeats} is not a number of rounds from 1")
    if options.quick and hasattr(options, "repeats"):
        options.repeats = 1
    return options


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


def spread(name: str, values: list[float]) -> dict[str, float]:
    """Median and range as columns of a table."""
    found = summary(values)
    return {name: found["median"], "least": found["min"], "most": found["max"]}


def ratios(above: list[float], below: list[float]) -> list[float]:
    """Round by round, so that both parts of a ratio were measured side by side."""
    return [a / b for a, b in zip(above, below, strict=True)]


def peak_mib() -> float:
    """Largest memory of this process so far, in MiB.

    VmHWM, not ru_maxrss: that one starts with the peak of the process that started this one.
    """
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) / 1024


def write_theme(
    theme: str,
    rows: list[dict[str, object]],
    text: str,
    quick: bool = False,
    more_versions: Mapping[str, str] | None = None,
) -> None:
    """Write ``results/{theme}.json`` and ``.md``: the rows, and how they were measured.

    Args:
        theme: name of the files.
        rows: of the table, all with the same columns.
        text: what was measured.
        quick: print the table, write nothing.
        more_versions: of packages that are not in this environment.
    """
    about = {
        "theme": theme,
        "date": datetime.now(UTC).date().isoformat(),
        "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "commit": git_commit(),
        "hardware": hardware(),
        "versions": versions() | dict(more_versions or {}),
    }
    columns = list(rows[0])
    table = [
        "| " + " | ".join(columns) + " |",
        "|" + " --- |" * len(columns),
        *("| " + " | ".join(_cell(row[c]) for c in columns) + " |" for row in rows),
    ]
    print("\n".join([f"{theme}:", *table]), flush=True)
    if quick:
        return
    write_json(RESULTS / f"{theme}.json", about | {"rows": rows})
    origin = (
        f"Measured on {about['date']} by `{about['command']}`: {about['hardware']['processor']}, "
        f"{about['hardware']['cores']} cores, {about['hardware']['memory_gib']} GiB, "
        + ", ".join(f"{name} {version}" for name, version in about["versions"].items())
        + "."
    )
    with write_aside(RESULTS / f"{theme}.md") as aside:
        aside.write_text("\n".join([f"# {theme}", "", text, "", *table, "", origin, ""]))


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
