"""What a net sees last: the features from which its last linear layer makes the logits."""

from collections.abc import Sequence

import torch
from torch import nn

from ddcnn.base.errors import InputError


def last_features(net: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A forward pass that also gives the input of the last linear layer that it runs through.

    Args:
        net: any net that ends in an ``nn.Linear``, in training or evaluation mode; it stays as it
            is, and gradients flow through both results.
        x: images ``N, C, *spatial``.

    Returns:
        Features ``N, F`` (after dropout, where there is one) and logits ``N, K``.

    Raises:
        InputError: no linear layer took part, or its input is not ``N, F``.
    """
    inputs: list[torch.Tensor] = []
    hooks = [
        layer.register_forward_pre_hook(lambda _layer, arguments: inputs.append(arguments[0]))
        for layer in net.modules()
        if isinstance(layer, nn.Linear)
    ]
    try:
        logits = net(x)
    finally:
        for hook in hooks:
            hook.remove()
    if not inputs or inputs[-1].ndim != 2:
        found = f"the last one takes {tuple(inputs[-1].shape)}" if inputs else "it has none"
        raise InputError(
            f"model: {type(net).__name__} must end in a torch.nn.Linear that takes one vector of "
            f"features per image (N, F); {found}"
        )
    return inputs[-1], logits


def num_features(net: nn.Module, shape: Sequence[int]) -> int:
    """Features F of :func:`last_features` for images of ``shape``, channels last."""
    *spatial, channels = shape
    was_training = net.training
    with torch.no_grad():
        features, _ = last_features(net.eval(), torch.zeros(1, channels, *spatial))
    net.train(was_training)
    return features.shape[1]
