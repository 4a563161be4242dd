"""The optimizers against torch's own, bit for bit."""

import subprocess
import sys

import pytest
import torch

from ddcnn.training.optimizers import AdamW, Sgd

CASES = {
    "sgd": (
        lambda p: Sgd(p, momentum=0.9, weight_decay=5e-4),
        lambda p: torch.optim.SGD(
            p, lr=0.0, momentum=0.9, nesterov=True, weight_decay=5e-4, fused=True
        ),
    ),
    "sgd without momentum": (
        lambda p: Sgd(p, momentum=0.0, weight_decay=0.0),
        lambda p: torch.optim.SGD(p, lr=0.0, fused=True),
    ),
    "adamw": (
        lambda p: AdamW(p, weight_decay=0.01),
        lambda p: torch.optim.AdamW(p, lr=0.0, weight_decay=0.01, fused=True),
    ),
}
RATES = [0.01, 0.1, 0.05, 0.001]


def net() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(7, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3))


def gradients(model: torch.nn.Module, number: int) -> None:
    x = torch.randn(11, 7, generator=torch.Generator().manual_seed(number))
    model.zero_grad()
    model(x).square().sum().backward()


@pytest.mark.parametrize("case", CASES)
def test_steps_equal_torchs(case):
    ours, theirs = net(), net()
    make_ours, make_theirs = CASES[case]
    optimizer, reference = make_ours(ours.parameters()), make_theirs(theirs.parameters())
    for number, rate in enumerate(RATES):
        gradients(ours, number)
        gradients(theirs, number)
        optimizer.step(rate)
        reference.param_groups[0]["lr"] = rate
        reference.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("case", CASES)
def test_a_saved_state_goes_on_where_it_was(case):
    straight, broken = net(), net()
    make, _ = CASES[case]
    first, second = make(straight.parameters()), make(broken.parameters())
    for number, rate in enumerate(RATES):
        if number == 2:
            state = second.state_dict()
            second = make(broken.parameters())
            second.load_state_dict(state)
        for model, optimizer in ((straight, first), (broken, second)):
            gradients(model, number)
            optimizer.step(rate)
    for a, b in zip(straight.parameters(), broken.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_training_does_not_import_torchs_compiler():
    """It costs every job seconds before its first step."""
    code = """
import sys, torch
from ddcnn.training.device import Device
from ddcnn.training.loop import run, training
from ddcnn.training.samples import Features
from ddcnn.training.settings import Settings
for optimizer in ("sgd", "adamw"):
    net = torch.nn.Linear(4, 2)
    data = Features(torch.randn(20, 4), torch.arange(20) % 2)
    settings = Settings(1, 10, optimizer, 0.1, 0.0)
    run(training(net, data, data, settings, 0, Device(torch.device("cpu"), "cpu", 1)))
print("torch._dynamo" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
