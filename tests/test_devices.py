"""GPUs without one: what torch says of devices is simulated, or tensors are torch's fake ones."""

from types import SimpleNamespace

import pytest
import torch

from ddcnn.training.device import Device
from ddcnn.training.steps import precision_of

GPU = Device(torch.device("cuda", 0), "no such GPU", 1)


@pytest.mark.parametrize(("capability", "precision"), [(7, "float32"), (8, "bfloat16")])
def test_emulated_bfloat16_is_not_taken_for_real(monkeypatch, capability, precision):
    """A T4 or V100 (7) makes tensors of bfloat16, and computes with them in other types."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    of_it = SimpleNamespace(major=capability)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: of_it)
    monkeypatch.setattr(torch.cuda, "_check_bf16_tensor_supported", lambda device: True)
    assert precision_of("auto", GPU) == precision
    assert precision_of("bfloat16", GPU) == "bfloat16"
