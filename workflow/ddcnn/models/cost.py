"""What a net costs: parameters and floating-point work of one image."""

from collections.abc import Sequence

import torch
from torch import nn


def num_parameters(net: nn.Module) -> int:
    """Trainable parameters."""
    return sum(p.numel() for p in net.parameters() if p.requires_grad)


def multiply_adds(net: nn.Module, shape: Sequence[int]) -> int:
    """Multiply-adds of the convolutions and linear layers for one image, forward.

    The ratio global/local is the ideal parallel speed-up; element-wise work is not counted.

    Args:
        net: takes ``N, C, *spatial``; it is not changed.
        shape: spatial axes and channels of one image, channels last.
    """
    counted = 0

    def count(layer: nn.Module, _inputs: tuple, output: torch.Tensor) -> None:
        nonlocal counted
        # Every output value is a sum over the weights of its channel.
        counted += output.numel() * layer.weight[0].numel()

    layers = [
        m for m in net.modules() if isinstance(m, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d)
    ]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    was_training = net.training
    *spatial, channels = shape
    device = next(net.parameters()).device
    try:
        with torch.no_grad():
            net.eval()(torch.zeros(1, channels, *spatial, device=device))
    finally:
        net.train(was_training)
        for hook in hooks:
            hook.remove()
    return counted
