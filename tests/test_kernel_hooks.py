"""Releases of torch without a name that the kernels need."""

import ast
import functools
import operator
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from ddcnn.nets.kernels import hooks

PACKAGE = Path(hooks.__file__).parents[2]
KERNELS = sorted((PACKAGE / "nets/kernels").glob("*.py"))

# Trains as a local net does, twice, and prints a digest of the weights.
TRAINING = """
import hashlib, logging, sys
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="log: %(message)s")
from ddcnn import nets
from ddcnn.training.device import choose_device
from ddcnn.training.loop import run, training
from ddcnn.training.samples import Images
from ddcnn.training.settings import Settings
device = choose_device(gpus=0, threads=1)
settings = Settings(2, 8, "sgd", 0.1, weight_decay=1e-3)
def train():
    torch.manual_seed(0)
    images = torch.randint(256, (32, 12, 12, 3), dtype=torch.uint8), torch.arange(32) % 4
    images = Images(*images, mean=[0.5] * 3, std=[0.2] * 3)
    net = nets.build("vgg", (12, 12, 3), 4, 8)
    run(training(net, images, images, settings, 0, device))
    bits = b"".join(value.numpy().tobytes() for value in net.state_dict().values())
    print(hashlib.sha256(bits).hexdigest())
train()
train()
"""
DELETED = "import torch\ndel torch.{}\n"
# As a release of torch would have it that calls its own attribute otherwise.
RENAMED = """
import importlib.machinery
from pathlib import Path
of_file = importlib.machinery.SourceFileLoader.get_code
def get_code(loader, name):
    if name != "torch.nn.modules.module":
        return of_file(loader, name)
    source = Path(loader.path).read_text(encoding="utf-8")
    return compile(source.replace("{}", "_of_another_release"), loader.path, "exec")
importlib.machinery.SourceFileLoader.get_code = get_code
import torch
assert not hasattr(torch.nn.Module(), "{}")
"""


def lines_of(code: str, **environment: str) -> list[str]:
    """What code prints in a Python of its own."""
    environment = os.environ | environment
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


@functools.cache
def numbers_of_torch() -> list[str]:
    said = lines_of("import torch\n" + TRAINING, DDCNN_KERNELS="torch")
    return [line for line in said if not line.startswith("log: ")]


@pytest.mark.parametrize(
    ("release", "name"),
    [
        (DELETED, "_C._functorch.peek_interpreter_stack"),
        (DELETED, "_C._nn.unflatten_dense_tensors"),
        (DELETED, "autograd.forward_ad._current_level"),
        (RENAMED, "_forward_pre_hooks"),
    ],
)
def test_a_release_without_a_name_trains_with_torch_s_kernels(release: str, name: str) -> None:
    said = lines_of(release.replace("{}", name) + TRAINING)
    assert [line for line in said if not line.startswith("log: ")] == numbers_of_torch()
    (line,) = [line for line in said if "torch's kernels alone" in line]
    assert f".{name}, which they need" in line
    assert f"torch {torch.__version__} has no " in line
    assert said.count("log: kernels of torch") == 2
    assert "log: kernels of ddcnn" not in said


def test_this_release_has_all_names_and_trains_with_ours() -> None:
    assert hooks.MISSING == []
    said = lines_of("import torch\n" + TRAINING)
    assert "log: kernels of ddcnn" in said
    assert not any("torch's kernels alone" in line for line in said)


@pytest.mark.parametrize("name", hooks.OF_TORCH)
def test_a_name_that_torch_lacks_is_missing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, _, last = name.rpartition(".")
    monkeypatch.delattr(operator.attrgetter(place)(torch), last)
    assert hooks.missing() == [f"torch.{name}"]


@pytest.mark.parametrize("name", hooks.OF_MODULES)
def test_a_name_that_modules_lack_is_missing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    initialise = nn.Module.__init__

    def without(module: nn.Module) -> None:
        initialise(module)
        del module.__dict__[name]

    monkeypatch.setattr(nn.Module, "__init__", without)
    assert hooks.missing() == [f"torch.nn.Module.{name}"]


def test_a_name_that_tensors_lack_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of this release cannot be deleted."""
    monkeypatch.setattr(hooks, "OF_TENSORS", (*hooks.OF_TENSORS, "_of_another_release"))
    assert hooks.missing() == ["torch.Tensor._of_another_release"]


def test_every_private_name_that_is_used_is_looked_up() -> None:
    listed = {
        part
        for name in (*hooks.OF_TORCH, *hooks.OF_TENSORS, *hooks.OF_MODULES)
        for part in name.split(".")
    }
    listed |= {"_name"}  # of a library of ctypes
    for path in (*KERNELS, PACKAGE / "nets/layers.py"):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        ours = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
        attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
        ours |= {
            each.attr
            for each in attributes
            if isinstance(each.value, ast.Name) and each.value.id == "self"
        }
        private = {
            each.attr
            for each in attributes
            if each.attr.startswith("_") and not each.attr.startswith("__")
        }
        assert private - ours <= listed, path.name
