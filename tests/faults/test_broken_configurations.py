"""Broken configurations by the hundred: one line that names the key, and nothing is written."""

import copy
import itertools
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ddcnn.__main__ import main
from ddcnn.base.errors import InputError
from ddcnn.experiment.configuration import load_experiment
from ddcnn.experiment.schema import Validator, schema
from own_data import class_folders
from workflow_runs import PROJECT, command, make_project

BASES = [
    {"experiment": "test", "dataset": "fashion-mnist-10k"},
    {
        "experiment": "test",
        "dataset": "fashion-mnist-10k",
        "width": [8, 16],
        "grid": ["2x2", "1x2"],
        "overlap": [0, "2x4"],
        "coarse_view": [False, True],
        "seed": [0, 1],
        "local": {"epochs": 2, "optimizer": "adamw"},
        "coarse": {"hidden": [], "fit_on": "validation"},
    },
]
OWN = {"name": "mine", "path": "/no/mine.npz"}
Broken = tuple[dict[str, Any], str]  # a configuration, and the key that its error must name


def wrong_values(rule: dict[str, Any]) -> Iterator[Any]:
    """Values that a rule of the schema refuses, whatever it is: types, bounds, forms."""
    yield from (None, {"a": 1})
    kinds = {rule["type"]} if isinstance(rule.get("type"), str) else set(rule.get("type", ()))
    if rule.get("product"):
        yield from ([], [[]]) if rule.get("minItems") else ([[]],)
        for value in wrong_values(rule["items"]):
            yield from (value, [value]) if not isinstance(value, list) else ([value],)
        return
    if "enum" in rule or "anyOf" in rule:
        values = ["nothing of this", -7, 2.5, ["x"], True]
        for option in rule.get("anyOf", []):
            values += wrong_values(option)
        yield from (value for value in values if not Validator(rule).is_valid(value))
        return
    if kinds & {"integer", "number"}:
        yield from ([], float("nan"), float("inf"), "nan", 10**400, -(10**30))
    if kinds <= {"integer", "number"} and kinds:
        yield from (True, "four", "1,5", "")
    if "integer" in kinds:
        yield from (0.5, "0.5")
    if "string" in kinds and "integer" not in kinds:
        yield from (5, 2.5, True, ["x"])
    if "boolean" in kinds:
        yield from (1, 0, "yes please", 2.5, ["x"])
    if "array" in kinds:
        yield from (5, "x", [None], [{}], ["?"] * 2, [float("nan")] * 2)
        yield from ([["x"]] * n for n in (1, 2, 3))
    if "minItems" in rule:
        yield []
    if "maxItems" in rule:
        yield [2] * (rule["maxItems"] + 1)
    if "minimum" in rule:
        yield rule["minimum"] - 1
    if "exclusiveMinimum" in rule:
        yield rule["exclusiveMinimum"]
    if "maximum" in rule:
        yield rule["maximum"] + 1
    if "exclusiveMaximum" in rule:
        yield rule["exclusiveMaximum"]
    if "pattern" in rule:
        yield from ("", " ", "a/b", "../a", "-a", ".a", "2x2\n", "a\n", "?", "2 * 2", "\0", "ä")
    if "maxLength" in rule:
        yield "a" * (rule["maxLength"] + 1)
    if "minLength" in rule:
        yield ""


def keys_of(rules: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple]:
    """Path and rule of every key, those of mappings after their mapping."""
    for key, rule in rules["properties"].items():
        yield (*path, key), rule
        inner = rule if "properties" in rule else rule.get("items", {})
        if "properties" in inner:
            yield from keys_of(inner, (*path, key))


def with_value(base: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    config = copy.deepcopy(base)
    if path[0] == "dataset" and len(path) > 1:
        config["dataset"] = dict(OWN)
    target = config
    for key in path[:-1]:
        target = target.setdefault(key, {})
    target[path[-1]] = value
    return config


def broken_values() -> Iterator[Broken]:
    for path, rule in keys_of(schema()):
        for value in wrong_values(rule):
            if path == ("dataset",) and isinstance(value, dict):
                continue  # a mapping without a name: see broken_keys
            yield with_value(BASES[0], path, value), ".".join(path)


def broken_keys() -> Iterator[Broken]:
    """Typing errors in every key, keys in the wrong place, and required keys that are missing."""
    for (path, _), number in itertools.product(keys_of(schema()), range(3)):
        chance = random.Random(f"{path} {number}")
        key = path[-1]
        place = chance.randrange(len(key))
        wrong = [key[:place] + key[place + 1 :], key + chance.choice("xyz_- "), key.upper()][number]
        yield with_value(BASES[1], (*path[:-1], wrong), 1), ".".join((*path[:-1], wrong))
    yield with_value(BASES[0], ("epochs",), 3), "epochs"
    yield with_value(BASES[0], ("local", "hidden"), [3]), "local.hidden"
    yield with_value(BASES[0], ("coarse", "augment"), True), "coarse.augment"
    for odd in ("a\nb", "", 5, None, True, "key: value", "x" * 3000):
        yield with_value(BASES[0], (odd,), 1), str(odd)[:50].replace("\n", "\\n")
    yield {"dataset": "fashion-mnist-10k"}, "experiment"
    yield {"experiment": "test"}, "dataset"
    yield BASES[0] | {"dataset": {"path": "/a.npz"}}, "dataset.name"


def broken_combinations() -> Iterator[Broken]:
    """Values that are right alone, but not together or not for images of 28 x 28 pixels."""
    grids = ["2", "2x2x2", "29x1", "1x99", "14x14", "28x1", "10x10", 3, "1x1x1x1"]
    for grid, base in itertools.product(grids, BASES):
        yield base | {"grid": grid}, "grid"
    for overlap, base in itertools.product([28, 40, "27x28", "99999", "4x4x4", "1x1x1"], BASES):
        yield base | {"overlap": overlap, "grid": "2x2"}, "overlap"
    for grid, base in itertools.product(["3x3", "5x1", "1x6", "28x28", "14x14"], BASES):
        yield base | {"kind": "interleaved", "grid": grid}, "grid"
    names = ["mnist", "fashion", "Fashion-MNIST-10k", "cifar", "a", "..", "/data/pictures"]
    for name, base in itertools.product(names, BASES):
        yield base | {"dataset": name}, "dataset"
    for entry in (
        ["fashion-mnist-10k", "fashion-mnist-10k"],
        ["fashion-mnist-10k", {"name": "fashion-mnist-10k"}],
        OWN,
        OWN | {"path": "~nobody-here/x.npz"},
        OWN | {"path": "x\0y"},
        OWN | {"path": "x" * 5000},
        OWN | {"name": "fashion-mnist-10k"},
        {"name": "fashion-mnist-10k", "count": 30},
        {"name": "fashion-mnist-10k", "spacing": [1, 1, 1]},
        {"name": "ct-phantom", "flip": ["depth"]},
        OWN | {"count": 40},
        [],
        [[]],
        None,
    ):
        yield BASES[0] | {"dataset": entry}, "dataset"


BROKEN = [*broken_values(), *broken_keys(), *broken_combinations()]
NO_YAML = [
    b"",
    b"# only a comment\n",
    b"- 1\n- 2\n",
    b"quickstart",
    b"42",
    b"grid: [2x2",
    b"experiment: a\n\tdataset: b",
    b"experiment: 'a",
    b"a: b: c",
    b"*nowhere",
    b"experiment: &a [*a]",
    b"!!python/object/apply:os.system ['true']",
    b"%YAML 9.9\n---\na: 1",
    b"\xff\xfe\x00\x01",
    b"\x89PNG\r\n\x1a\n",
    b"experiment: a\ndataset: \x00",
    b"{" * 300,
    b"--- 1\n--- 2",
    b"? [a, b]\n: 1",
    b"2024-01-01: 1",
]


def bomb(form: str, levels: int) -> bytes:
    """Anchors of which each repeats the one before it eight times: modest, libraries take it."""
    lines = ["a0: &a0 {x: 1}"]
    lines += [form.format(n, ", ".join([f"*a{n - 1}"] * 8)) for n in range(1, levels + 1)]
    return "\n".join(lines).encode()


START = b"experiment: test\ndataset: fashion-mnist-10k\n"
NUMBERS = str(list(range(1, 301))).encode()
# With what the refusal says.
TOO_MUCH = {
    "anchors": (bomb("a{0}: &a{0} [{1}]", 6), "its anchors"),
    "merges": (bomb("a{0}: &a{0} {{<<: [{1}]}}", 6), "its anchors"),
    "a list in itself": (START + b"seed: &a [*a]", "into itself"),
    "nesting": (b"[" * 3000, "nested too deep"),
    "a number": (START + b"width: " + b"9" * 5000, "5000 digits"),
    "a number in another base": (START + b"width: 0x" + b"f" * 5000, "cannot be read"),
    "a long file": (START + b"#" * 2**20, "larger than"),
    "many values": (START + b"seed: [" + b"1," * 60_000 + b"1]", "60,008 values"),
    "many runs": (START + b"seed: %s\nwidth: %s" % (NUMBERS, NUMBERS), "make 90,000 runs"),
    "many tiles": (START + b"grid: 9999x9999", "grid"),
    "many tiles of large images": (
        b"experiment: a\nmethods: [ensemble]\ngrid: 9999x9999\n"
        b"dataset: {name: a, path: ., shape: [65536, 65536]}",
        "most_trainings",
    ),
    "no overlap of many that fits": (
        b"experiment: a\ngrid: 9000x1\noverlap: 60000\n"
        b"dataset: {name: a, path: ., shape: [65536, 65536]}",
        "overlap",
    ),
}


def test_there_are_more_than_five_hundred_and_the_bases_are_right():
    assert len({repr(config) for config, _ in BROKEN}) >= 500
    assert all(load_experiment(base).runs for base in BASES)


def check_refused(path: Path, capsys, key: str = "") -> None:
    assert main(["check", str(path)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    lines = printed.err.splitlines()  # one for each mistake
    assert all(line.startswith("error: ") for line in lines)
    assert "Traceback" not in printed.err
    assert len(printed.err) < 2000 * len(lines)
    assert key in printed.err


def test_each_is_refused_in_one_line_that_names_the_key(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "broken.yaml"
    failed = []
    for config, key in BROKEN:
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        try:
            check_refused(path, capsys, key)
        except Exception as error:
            failed.append(f"{key!r}: {str(config)[:300]}: {str(error)[:300]}")
    assert not failed, f"{len(failed)} of {len(BROKEN)}\n" + "\n".join(failed)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", NO_YAML, ids=lambda content: repr(content)[:40])
def test_what_is_no_yaml_is_refused_in_one_line(tmp_path, capsys, content):
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)
    check_refused(path, capsys)


@pytest.mark.parametrize("case", TOO_MUCH)
def test_what_would_take_all_memory_or_time_is_refused(tmp_path, capsys, monkeypatch, case):
    content, words = TOO_MUCH[case]
    class_folders(tmp_path)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "much.yaml"
    path.write_bytes(content)
    check_refused(path, capsys, words)


def test_anchors_that_snakemake_has_read_are_refused_too():
    value = ["x"]
    for _ in range(8):
        value = [value] * 8
    with pytest.raises(InputError, match="more than 50,000 values"):
        load_experiment({**BASES[0], "methods": value})


def test_as_many_trainings_as_are_allowed_are_planned():
    config = BASES[0] | {"seed": [*range(20)], "grid": "2x2"}
    assert len(load_experiment(config | {"most_trainings": 100}).runs) == 40
    with pytest.raises(InputError, match=r"make 20 runs.* more trainings than 99"):
        load_experiment(config | {"most_trainings": 99})


SAMPLE = random.Random(1).sample(BROKEN, 8)


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    return make_project(tmp_path_factory.mktemp("broken") / "project")


@pytest.mark.parametrize(("config", "key"), SAMPLE, ids=lambda value: str(value)[-40:])
def test_snakemake_stops_before_the_first_job(project, config, key):
    (project / "broken.yaml").write_text(yaml.safe_dump(config))
    assert key in refusal(project, command(project / "broken.yaml"))


@pytest.mark.parametrize("content", [b"grid: [2x2", b"- 1"], ids=repr)
def test_snakemake_stops_at_what_is_no_yaml(project, content):
    (project / "broken.yaml").write_bytes(content)
    refusal(project, command(project / "broken.yaml"))


def test_the_command_line_leaves_no_traceback(project):
    (project / "broken.yaml").write_text("experiment: a\ndatasett: b\n")
    checked = [sys.executable, "-m", "ddcnn", "check", str(project / "broken.yaml")]
    assert "Traceback" not in refusal(project, checked)


def refusal(project: Path, words: list[str]) -> str:
    """What a command says that must fail without a traceback of ours and without a file."""
    done = subprocess.run(
        words, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode != 0
    assert "workflow/ddcnn/" not in done.stdout
    assert str(PROJECT / "workflow") not in done.stdout
    assert not (project / "results").exists()
    return done.stdout
