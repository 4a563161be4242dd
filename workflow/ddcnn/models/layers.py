"""Layers by their number of spatial axes: signals, images, volumes.

They are torch's layers, with torch's names, parameters and numbers (up to rounding). On a CPU with
one thread per job those that local nets are made of compute with :mod:`ddcnn.kernels`, which see
to it that a batch norm, the pooling and the ReLU behind it are one pass over memory.
"""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from ddcnn.kernels.functions import (
    CHANNELS_LAST,
    FIRST_CHANNELS,
    Convolve,
    Normalise,
    NormalisePool,
    Pool,
    running_statistics,
)
from ddcnn.kernels.library import kernels

LANES = 8  # channels come in multiples of it
# Of tiles of 2 x 2 outputs over outputs: maps of 3 x 3 are as fast with torch.
MOST_WASTE = 1.35


class _Convolution:
    """Mixed into torch's convolution."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if _suits_kernels(x) and _is_3x3(self) and _channels_suit(self, x):
            return Convolve.apply(x, self.weight, self.bias, self.padding[0])
        return super().forward(x)


class Conv2d(_Convolution, nn.Conv2d):
    """``torch.nn.Conv2d``."""


class Conv3d(_Convolution, nn.Conv3d):
    """``torch.nn.Conv3d``."""


CONVOLUTION = {1: nn.Conv1d, 2: Conv2d, 3: Conv3d}
BATCH_NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
MAX_POOL = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}


class Layers(nn.Sequential):
    """``torch.nn.Sequential`` in which a batch norm or pooling and what follows it are one step."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        layers = list(_flat(self))
        while layers:
            x, done = _step(layers, x)
            del layers[:done]
        return x


def _flat(layers: nn.Sequential) -> Iterator[nn.Module]:
    for layer in layers:
        yield from _flat(layer) if isinstance(layer, nn.Sequential) else (layer,)


def _step(layers: Sequence[nn.Module], x: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Outputs of the first layers, as many as go together, and their number."""
    first, second, third = (*layers[:3], None, None)[:3]
    if not _suits_kernels(x):  # each time: torch's layers choose the order in memory themselves
        return first(x), 1
    norm = first if _is_plain_norm(first, x) else None
    if norm and _is_pool(second, x) and isinstance(third, nn.ReLU):
        running = running_statistics(norm)
        return NormalisePool.apply(x, norm.weight, norm.bias, running), 3
    if norm:
        relu = isinstance(second, nn.ReLU)
        running = running_statistics(norm)
        return Normalise.apply(x, norm.weight, norm.bias, running, relu), 1 + relu
    if _is_pool(first, x) and isinstance(second, nn.ReLU):
        return Pool.apply(x), 2
    return first(x), 1


def _suits_kernels(x: torch.Tensor) -> bool:
    """Whether there are kernels for such inputs at all."""
    return (
        type(x) is torch.Tensor  # neither traced nor of another kind
        and x.ndim in CHANNELS_LAST
        and x.dtype == torch.float32
        and x.device.type == "cpu"
        and torch.get_num_threads() == 1
        and x.is_contiguous(memory_format=CHANNELS_LAST[x.ndim])
        and x.numel() > 0
        and not torch.is_autocast_enabled("cpu")
        and not torch.jit.is_tracing()
        and kernels() is not None
    )


def _is_3x3(layer: nn.Conv2d | nn.Conv3d) -> bool:
    return (
        set(layer.kernel_size) == {3}
        and set(layer.stride) == set(layer.dilation) == {layer.groups} == {1}
        and layer.padding_mode == "zeros"
        and set(layer.padding) in ({0}, {1})
    )


def _channels_suit(layer: nn.Conv2d | nn.Conv3d, x: torch.Tensor) -> bool:
    outputs = [size + 2 * layer.padding[0] - 2 for size in x.shape[2:]]
    if layer.out_channels % LANES or min(outputs) < 1:
        return False
    if layer.in_channels <= FIRST_CHANNELS:
        return not x.requires_grad
    rows, columns = outputs[-2:]
    waste = 4 * math.ceil(rows / 2) * math.ceil(columns / 2) / (rows * columns)
    return layer.in_channels % LANES == 0 and waste <= MOST_WASTE


def _is_plain_norm(layer: nn.Module | None, x: torch.Tensor) -> bool:
    """A batch norm with weights and running statistics, used in training or without gradients."""
    return (
        isinstance(layer, nn.BatchNorm2d | nn.BatchNorm3d)
        and layer.affine
        and layer.track_running_stats
        and layer.momentum is not None
        and layer.num_features == x.shape[1]
        and layer.num_features % LANES == 0
        and (x.numel() > x.shape[1] if layer.training else not torch.is_grad_enabled())
    )


def _is_pool(layer: nn.Module | None, x: torch.Tensor) -> bool:
    """Windows of two pixels along every axis, side by side."""
    return (
        isinstance(layer, nn.MaxPool2d | nn.MaxPool3d)
        and (layer.kernel_size, layer.stride, layer.padding, layer.dilation) == (2, 2, 0, 1)
        and not layer.ceil_mode
        and not layer.return_indices
        and x.shape[1] % LANES == 0
        and min(x.shape[2:]) > 1
    )
