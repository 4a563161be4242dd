"""The scripts of benchmarks/: whether they work, and what the committed tables hold."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "benchmarks"
RESULTS = sorted((FOLDER / "results").glob("*.json"))
ABOUT = {"theme", "date", "command", "commit", "hardware", "versions", "rows"}
# What a page about performance quotes, of every theme that has been measured.
COLUMNS = {
    "training": {"net", "way", "images/s (median)", "GFLOP/s", "share of matrix product", "n"},
    "decomposition": {"grid", "FLOP ratio", "speed-up (median)", "speed-up / FLOP ratio", "n"},
    "coarse": {"solver", "seconds (median)", "share of slowest local net", "n"},
    "startup": {"part", "seconds (median)", "times bare import torch", "n"},
    "tiling": {"tiling", "variant", "times the copy (median)", "n"},
    "pipeline": {"tiles", "wall (s, median)", "bound (s)", "overhead per job (core s)", "n"},
    "memory": {"grid", "peak (MiB, median)", "share of the global net's", "n"},
    "scaling": {"stage", "case", "times the first", "memory times the first", "n"},
    "gpu": {"grid", "way", "seconds (median)", "floor by operations (s)", "floor by bytes (s)"},
}
# A bare machine with a GPU has torch and numpy.
ABSENT = {
    *("snakemake", "tqdm", "jinja2", "pandas", "matplotlib", "scipy", "yaml", "jsonschema"),
    *("requests", "PIL", "nibabel", "torchvision", "threadpoolctl", "sklearn"),
    *("psutil", "safetensors"),
}
WITHOUT = f"""
import runpy, sys
class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        absent = name.split(".")[0] in {ABSENT!r}
        return None if absent else self.finder.find_spec(name, path, target)
sys.meta_path = [Without(finder) for finder in sys.meta_path]
sys.argv = sys.argv[1:]
sys.path.insert(0, {str(FOLDER)!r})
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def themes() -> list[str]:
    """Those that `make bench` runs."""
    line = re.search(r"^THEMES := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return line.group(1).split()


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT / "workflow")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture
def benchmarks(monkeypatch):
    """The folder of the scripts, as they see it."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield FOLDER
    for name in ("common", "gpu", "nets", "workers"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_a_committed_table_has_its_fields_and_says_where_it_is_from(path):
    found = json.loads(path.read_text())
    assert set(found) >= ABOUT
    assert found["theme"] == path.stem
    columns = list(found["rows"][0])
    assert all(list(row) == columns for row in found["rows"])
    assert COLUMNS.get(path.stem, set()) <= set(columns)
    page = path.with_suffix(".md").read_text()
    assert "| " + " | ".join(columns) + " |" in page
    assert found["date"] in page
    assert found["command"] in page
    assert found["versions"]["torch"] in page


def test_every_theme_has_a_script_that_says_what_it_measures():
    assert set(themes()) == set(COLUMNS)
    started = {name: start(str(FOLDER / f"{name}.py"), "--help") for name in themes()}
    for name, process in started.items():
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, f"{name}: {output}"
        assert "--quick" in output, name


def test_the_gpu_benchmark_runs_on_a_machine_that_has_torch_and_little_else(tmp_path):
    script = str(FOLDER / "gpu.py")
    process = start("-c", WITHOUT, script, "--device", "cpu", "--quick", "--out", str(tmp_path))
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    rows = [line.split(" | ") for line in output.splitlines() if line.startswith("| 16x16")]
    assert {(row[1], row[4]) for row in rows} == {
        *(("1x1", way) for way in ("naive", "ddcnn", "sequential")),
        *(("2x2", way) for way in ("naive", "ddcnn", "at once", "sequential", "vmap")),
        *(("1x1x2", way) for way in ("naive", "ddcnn", "at once", "sequential", "vmap")),
    }
    assert {row[-1] for row in rows} == {" |"}  # no error
    assert not list(tmp_path.iterdir())  # a quick run publishes nothing


def test_an_error_or_too_little_time_of_one_way_loses_no_other(benchmarks, monkeypatch):
    import gpu

    def broken(nets):
        raise RuntimeError("out of memory\nmore")

    monkeypatch.setitem(gpu.WAYS, "naive", broken)
    place, case = gpu.Place(torch.device("cpu")), gpu.QUICK[1]
    limits = {"floor": 1e-3}

    def measured(seconds: float) -> dict[str, tuple[int | None, str]]:
        end = time.perf_counter() + seconds
        rows = gpu.rows_of(case, place, ["naive", "at once"], 2, limits, end)
        return {row["way"]: (row["n"], row["error"]) for row in rows}

    try:
        expected = {"naive": (None, "RuntimeError: out of memory"), "at once": (2, "")}
        assert measured(60.0) == expected
        assert measured(-1.0) == dict.fromkeys(expected, (None, "no time was left"))
    finally:
        gpu.as_torch_comes()


def test_a_worker_trains_the_local_net_of_the_proportional_rule(benchmarks):
    from nets import GLOBAL_GREY, Job
    from workers import Worker

    job = Job.of_tile(GLOBAL_GREY, "2x2").quick()
    assert (job.shape, job.width) == ((14, 14, 1), 16)
    with Worker("ddcnn", job) as worker:
        # Convolutions without bias, two numbers a channel of batch norm, the last layer.
        channels = [(1, 16), (16, 16), (16, 32), (32, 32), (32, 64), (64, 64)]
        expected = sum(9 * i * o + 2 * o for i, o in channels) + 64 * 10 + 10
        assert worker.facts["parameters"] == expected
        assert worker.epoch() > 0
        assert worker.peak_mib > worker.facts["imported_mib"]


def test_variants_are_measured_in_turn_and_the_first_round_does_not_count(benchmarks):
    from common import in_turn, ratios, spread

    calls = []
    variants = {name: lambda n=name: calls.append(n) or len(calls) for name in ("a", "b")}
    measured = in_turn(variants, 2)
    assert calls == ["a", "b"] * 3
    assert measured == {"a": [3, 5], "b": [4, 6]}
    assert ratios([2, 9], [1, 3]) == [2, 3]
    assert spread("s", [3.0, 1.0, 8.0]) == {"s": 3.0, "least": 1.0, "most": 8.0}
