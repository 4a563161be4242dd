"""Model files that somebody changed: refused whole before anything is built, or no other model."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import ddcnn
from ddcnn.__main__ import main
from ddcnn.base.errors import InputError
from ddcnn.bundle.file import KEY, read_bundle
from mutate_models import mutate, refused, write_model
from own_data import save
from test_bundle import make

FEW = 300


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> list[Path]:
    kinds = ["view", "volumes", "signals", "whole", "interleaved"]
    return [make(kind, tmp_path_factory.mktemp(kind)).write().model for kind in kinds]


def test_hundreds_of_mutations_are_refused_or_change_nothing(models, tmp_path):
    path = tmp_path / "model.safetensors"
    found = []
    for number in range(FEW):
        source = models[number % len(models)]
        mutate(source, path, number)
        found.append(refused(path, source))
    assert 0 < sum(found) < FEW


@pytest.mark.faults
def test_two_thousand_mutations(models):
    script = Path(__file__).parents[1] / "mutate_models.py"
    words = [sys.executable, str(script), "--count", "2000", "--seed", "1000", "--models"]
    done = subprocess.run([*words, *models], stderr=subprocess.PIPE, text=True, check=False)
    print(done.stderr)
    assert done.returncode == 0, done.stderr
    assert "0 wrong" in done.stderr


def changed(source: Path, path: Path, **changes: Any) -> Path:
    """A model whose description has other values at places such as ``data.shape``."""
    bundle = read_bundle(source)
    for place, value in changes.items():
        *before, last = place.split("__")
        target = bundle.description
        for key in before:
            target = target[int(key) if key.isdecimal() else key]
        target[last] = value
    write_model(path, json.dumps(bundle.description), bundle.tensors)
    return path


def without_tile(source: Path) -> dict[str, Any]:
    description = read_bundle(source).description
    tiles = dict(description["plan"]["tiles"])
    tiles["1-1"] = tiles["1-0"]  # so that a corner is seen by nobody
    return {"plan__tiles": tiles}


def wide(source: Path) -> dict[str, Any]:
    box = {"start": [0, 0], "stop": [16, 99], "step": [1, 1]}
    return {"plan__tiles": read_bundle(source).description["plan"]["tiles"] | {"0-0": box}}


NET = {"architecture": "vgg", "width": 4, "dropout": 0.0, "input_shape": [16, 16, 1]}
CHANGES = {
    "a tile is missing": (without_tile, "do not cover the image"),
    "a box too wide": (wide, "do not cover the image"),
    "no boxes": ({"plan__tiles": None}, "do not cover the image"),
    "a width of gigabytes": ({"nets": [NET | {"width": 4096}] * 5}, "asks for"),
    "many nets": ({"nets": [NET] * 100_000}, "its subdomains are 5"),
    "many subdomains": ({"subdomains": ["0-0"] * 100_000}, "its grid has 4 tiles"),
    "a large grid": ({"plan__grid": [1000, 1000]}, "its grid has 1000000 tiles"),
    "many layers": ({"coarse__hidden": [1] * 200_000, "coarse__solver": "mlp"}, "coarse.hidden"),
    "an infinite spread": ({"data__std": [float("inf")]}, "finite"),
    "a spread of zero": ({"data__std": [0.0]}, "data.std"),
    "no list of classes": ({"data__classes": "0123456789"}, "data.classes"),
    "classes in another order": ({"data__classes": [*"1023456789"]}, "data.counts"),
    "names that no terminal shows": (
        {"data__task": "regression", "data__classes": [], "data__targets": ["\x1b[2J"]},
        "control characters",
    ),
    "a plan that is a text": ({"plan": "blocks"}, "plan"),
    "data that are a list": ({"data": []}, "data"),
    "another shape": ({"data__shape": [60_000, 60_000]}, "plan.shape"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_what_does_not_fit_is_named(models, tmp_path, case):
    changes, words = CHANGES[case]
    changes = changes(models[0]) if callable(changes) else changes
    path = changed(models[0], tmp_path / "model.safetensors", **changes)
    with pytest.raises(InputError, match="does not fit.*" + words) as refusal:
        ddcnn.load(path)
    assert "\n" not in str(refusal.value)


def test_a_description_that_is_no_text_is_refused(models, tmp_path):
    facts = {"format": 1, "description": "\ud800", "sha256": ""}
    save_file(read_bundle(models[3]).tensors, tmp_path / "a.safetensors", {KEY: json.dumps(facts)})
    with pytest.raises(InputError, match="holds no model"):
        ddcnn.load(tmp_path / "a.safetensors")


def test_whole_numbers_are_no_weights(models, tmp_path):
    bundle = read_bundle(models[3])
    name = "net.nets.0.classifier.weight"
    tensors = bundle.tensors | {name: bundle.tensors[name].astype(np.int32)}
    write_model(tmp_path / "model.safetensors", json.dumps(bundle.description), tensors)
    with pytest.raises(InputError, match=f"{name}: torch.int32 .*asks for torch.float32"):
        ddcnn.load(tmp_path / "model.safetensors")


def test_images_that_no_memory_takes_are_refused_before_they_are_read(
    models, tmp_path, monkeypatch, capsys
):
    """A right model of 60,000 x 60,000 pixels; the memory left is set, to be the same anywhere."""
    side, source = 60_000, read_bundle(models[3]).description
    box = {"start": [0, 0], "stop": [side, side], "step": [1, 1]}
    plan = source["plan"] | {"tile_shape": [side, side], "tiles": {"0-0": box}}
    plan["shape"] = [side, side]
    net = source["nets"][0] | {"input_shape": [side, side, 1]}
    changes = {"plan": plan, "nets": [net], "data__shape": [side, side]}
    path = changed(models[3], tmp_path / "model.safetensors", **changes)
    save(tmp_path / "a.png", np.zeros((8, 8), np.uint8))
    monkeypatch.setattr("ddcnn.base.memory.memory_left", lambda: 10**9)
    words = ["predict", str(path), str(tmp_path / "a.png"), "--adapt", "stretch"]
    assert main(words) == 1
    assert "a batch of 1 input needs 18.0 GB of memory, 1.0 GB are left" in capsys.readouterr().err


def test_a_coarse_view_that_no_memory_takes_is_refused(models, tmp_path, monkeypatch):
    monkeypatch.setattr("ddcnn.base.memory.memory_left", lambda: 10_000_000)
    assert ddcnn.load(models[0]).subdomains[-1] == "view"
    monkeypatch.setattr("ddcnn.bundle.fit.VIEW_BYTES", 10**6)
    with pytest.raises(InputError, match="its coarse view needs"):
        ddcnn.load(models[0])
