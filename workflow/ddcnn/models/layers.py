"""Layers by their number of spatial axes: signals, images, volumes.

They are torch's layers, with torch's names, parameters and numbers (up to rounding). On a CPU with
one thread per job those that local nets are made of compute with :mod:`ddcnn.kernels`, which see
to it that a batch norm, the pooling and the ReLU behind it are one pass over memory. Whatever the
kernels are not made for goes to torch: other types, orders in memory, layers and hooks, tracing,
transforms of functions. Of what they compute there are first derivatives, backwards.
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
# Products per output and pair of channels that the kernels may take. The definition takes 9, and
# torch fewer, which leaves out zeros at the edges: maps of one pixel are torch's.
MOST_PRODUCTS = 7.0


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
        inside = type(layer) in (nn.Sequential, Layers) and not _is_watched(layer)
        yield from _flat(layer) if inside else (layer,)


def _step(layers: Sequence[nn.Module], x: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Outputs of the first layers, as many as go together, and their number."""
    first, second, third = (*layers[:3], None, None)[:3]
    if not _suits_kernels(x):  # each time: torch's layers choose the order in memory themselves
        return first(x), 1
    if _is_norm(first, x):
        running, weights = running_statistics(first), (first.weight, first.bias)
        if _is_pool(second, x) and _is_relu(third):
            return NormalisePool.apply(x, *weights, running), 3
        relu = _is_relu(second)
        return Normalise.apply(x, *weights, running, relu), 1 + relu
    if _is_pool(first, x) and _is_relu(second):
        return Pool.apply(x), 2
    return first(x), 1


def _suits_kernels(x: torch.Tensor) -> bool:
    """Whether there are kernels for such inputs at all."""
    return (
        not torch.compiler.is_compiling()
        and type(x) is torch.Tensor  # neither traced nor of another kind
        and x.ndim in CHANNELS_LAST
        and _is_float32(x)
        and torch.get_num_threads() == 1
        # Nobody counts, records or transforms what torch is asked to do.
        and torch._C._functorch.peek_interpreter_stack() is None
        and torch._C._len_torch_dispatch_stack() == 0
        and not torch.jit.is_tracing()
        and not torch.is_autocast_enabled("cpu")
        and x.is_contiguous(memory_format=CHANNELS_LAST[x.ndim])
        and not x.is_neg()
        and x.numel() > 0
        and kernels() is not None
    )


def _is_float32(x: torch.Tensor) -> bool:
    return x.dtype == torch.float32 and x.device.type == "cpu"


def _are_plain(*weights: torch.Tensor | None) -> bool:
    """Whether weights lie in memory as the kernels read them."""
    return all(w is None or (_is_float32(w) and w.is_contiguous()) for w in weights)


def _is_watched(layer: nn.Module) -> bool:
    """Whether somebody waits for the layer to be called."""
    return bool(
        layer._forward_hooks
        or layer._forward_pre_hooks
        or layer._backward_hooks
        or layer._backward_pre_hooks
    )


def _is_3x3(layer: nn.Conv2d | nn.Conv3d) -> bool:
    return (
        set(layer.kernel_size) == {3}
        and set(layer.stride) == set(layer.dilation) == {layer.groups} == {1}
        and layer.padding_mode == "zeros"
        and set(layer.padding) in ({0}, {1})
        and _are_plain(layer.weight, layer.bias)
    )


def _channels_suit(layer: nn.Conv2d | nn.Conv3d, x: torch.Tensor) -> bool:
    if x.ndim != layer.weight.ndim or x.shape[1] != layer.in_channels:
        return False  # torch says what is wrong
    outputs = [size + 2 * layer.padding[0] - 2 for size in x.shape[2:]]
    if layer.out_channels % LANES or min(outputs) < 1:
        return False
    if layer.in_channels <= FIRST_CHANNELS:
        return not x.requires_grad
    return layer.in_channels % LANES == 0 and _products(*outputs[-2:]) <= MOST_PRODUCTS


def _products(rows: int, columns: int) -> float:
    """Products per output of a map in tiles of 2 x 2 or 3 x 3 outputs, whichever takes fewer."""
    tiles = {m: math.ceil(rows / m) * math.ceil(columns / m) for m in (2, 3)}
    return min((m + 2) ** 2 * number for m, number in tiles.items()) / (rows * columns)


def _is_norm(layer: nn.Module, x: torch.Tensor) -> bool:
    """A batch norm with weights and running statistics, used in training or without gradients."""
    return (
        type(layer) is BATCH_NORM[x.ndim - 2]
        and not _is_watched(layer)
        and layer.affine
        and layer.track_running_stats
        and layer.momentum is not None
        and layer.num_features == x.shape[1]
        and layer.num_features % LANES == 0
        and (x.numel() > x.shape[1] if layer.training else not torch.is_grad_enabled())
        and _are_plain(layer.weight, layer.bias, layer.running_mean, layer.running_var)
    )


def _is_pool(layer: nn.Module | None, x: torch.Tensor) -> bool:
    """Windows of two pixels along every axis, side by side."""
    return (
        type(layer) is MAX_POOL[x.ndim - 2]
        and not _is_watched(layer)
        and (layer.kernel_size, layer.stride, layer.padding, layer.dilation) == (2, 2, 0, 1)
        and not layer.ceil_mode
        and not layer.return_indices
        and x.shape[1] % LANES == 0
        and min(x.shape[2:]) > 1
    )


def _is_relu(layer: nn.Module | None) -> bool:
    return type(layer) is nn.ReLU and not _is_watched(layer)
