"""Layers by their number of spatial axes: signals, images, volumes.

They are torch's layers, with torch's names, parameters and numbers (up to rounding). On a CPU with
one thread per job those that local nets are made of compute with :mod:`ddcnn.nets.kernels`:
as many as follow each other in one call; a batch norm, the pooling and the ReLU behind it in one
pass over memory. Whatever the kernels are not made for goes to torch: other types, orders in
memory, layers and hooks, tracing, transforms of functions. They have first derivatives only,
backwards.
"""

import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import takewhile
from operator import itemgetter
from typing import Any

import torch
from torch import nn

from ddcnn.nets import plan as plans
from ddcnn.nets.kernels.door import Chain, Kernel, is_unwatched, suits

LANES = 4  # channels come in multiples of it
FIRST_CHANNELS = 3  # most channels of an input that count as a first layer's
# Products per output and pair of channels that the kernels may take. The definition takes 9, and
# torch fewer, which leaves out zeros at the edges: maps of one pixel are torch's.
MOST_PRODUCTS = 7.0
MOST_WEIGHTS = 2**18  # of a dense layer
MOST_CHAINS = 16  # that a module keeps, for inputs of several shapes


class _Chained(nn.Module):
    """Keeps the chains of kernels that its layers are computed with."""

    def _first_of(
        self, layers: Sequence[nn.Module], x: torch.Tensor
    ) -> tuple[torch.Tensor | None, int]:
        """Outputs of the first layers, as many as there are kernels for, and their number.

        Nobody may watch the layers.
        """
        chain = self._chain_of(layers, x)
        y = chain(x) if chain else None
        return y, 0 if y is None else chain.covers

    def _chain_of(self, layers: Sequence[nn.Module], x: torch.Tensor) -> Chain | None:
        """The chain of as many of the first layers as there are kernels for."""
        # Each time: torch's layers choose the order in memory themselves.
        if not layers or not suits(x):
            return None
        chains = self.__dict__.setdefault("_chains", {})
        of_gradients = x.requires_grad, torch.is_grad_enabled()
        key = (layers[0], len(layers), x.shape, layers[0].training, *of_gradients)
        state = [_state(layer) for layer in layers]
        made_for, chain = chains.get(key, (None, None))
        if made_for != state:
            if len(chains) >= MOST_CHAINS:
                chains.clear()
            chain = _chain(layers, x)
            chains[key] = state, chain
        return chain

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_chains"}


class Conv2d(nn.Conv2d, _Chained):
    """``torch.nn.Conv2d``."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, done = self._first_of((self,), x)
        return y if done else super().forward(x)


class Conv3d(nn.Conv3d, _Chained):
    """``torch.nn.Conv3d``."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, done = self._first_of((self,), x)
        return y if done else super().forward(x)


class GlobalAverage(_Chained):
    """Mean over all pixels or voxels: ``N, C`` of ``N, C, *spatial``."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, done = self._first_of((self,), x)
        return y if done else x.flatten(start_dim=2).mean(dim=2)


CONVOLUTION = {1: nn.Conv1d, 2: Conv2d, 3: Conv3d}
BATCH_NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
MAX_POOL = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}


_OF_CONVOLUTIONS = itemgetter(
    "in_channels",
    "out_channels",
    "kernel_size",
    "stride",
    "padding",
    "dilation",
    "groups",
    "padding_mode",
)
_OF_NORMS = itemgetter("num_features", "eps", "momentum", "affine", "track_running_stats")
_OF_POOLING = itemgetter(
    "kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"
)
# By kind of layer, on which of its settings a kernel depends.
SETTINGS = {
    **dict.fromkeys((Conv2d, Conv3d), _OF_CONVOLUTIONS),
    **dict.fromkeys((nn.BatchNorm2d, nn.BatchNorm3d), _OF_NORMS),
    **dict.fromkeys((nn.MaxPool2d, nn.MaxPool3d), _OF_POOLING),
    nn.Linear: itemgetter("in_features", "out_features"),
    nn.Dropout: itemgetter("p"),
}


class Layers(nn.Sequential, _Chained):
    """``torch.nn.Sequential`` in which consecutive layers with kernels of ours are one call."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        layers = tuple(_flat(self))
        while layers:
            y, done = self._first_of(tuple(takewhile(is_unwatched, layers)), x)
            x = y if done else layers[0](x)
            layers = layers[max(done, 1) :]
        return x

    def learn_in_one_call(
        self, x: torch.Tensor, labels: torch.Tensor, label_smoothing: float = 0.0
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Set the gradients of all weights by the mean cross-entropy of the outputs.

        The same as a forward and a backward pass, in one call where there are kernels for all
        layers.

        Args:
            x: inputs that need no gradient.
            labels: int64 ``N``.
            label_smoothing: see ``torch.nn.functional.cross_entropy``.

        Returns:
            Loss and number of labels with the largest output; None where torch is needed, and
            nothing has been done.
        """
        layers = tuple(_flat(self))
        # A class made from this one may compute something else.
        is_sequence = type(self).forward is Layers.forward
        if x.requires_grad or not (is_sequence and all(map(is_unwatched, (self, *layers)))):
            return None
        chain = self._chain_of(layers, x)
        if chain is None or chain.covers < len(layers):
            return None
        return chain.learn(x, labels, label_smoothing)


def build_plan(plan: plans.Plan, num_axes: int) -> Layers:
    """The module of a plan, with random weights, for inputs with so many spatial axes."""
    parts = {name: _part(part, num_axes) for name, part in plan.items()}
    return Layers(OrderedDict(parts))


def _part(part: plans.Layer | list, num_axes: int) -> nn.Module:
    if isinstance(part, list):
        return nn.Sequential(*[_part(each, num_axes) for each in part])
    match part:
        case plans.Convolution(before, after, padding, bias):
            kind = CONVOLUTION[num_axes]
            return kind(before, after, plans.WINDOW, padding=padding, bias=bias)
        case plans.Norm(channels):
            return BATCH_NORM[num_axes](channels)
        case plans.Dense(num_in, num_out):
            return nn.Linear(num_in, num_out)
        case plans.Drop(probability):
            return nn.Dropout(probability)
        case plans.Pool():
            return MAX_POOL[num_axes](plans.POOLED)
    return {
        plans.Relu: lambda: nn.ReLU(inplace=True),
        plans.Average: GlobalAverage,
        plans.Flatten: nn.Flatten,
    }[type(part)]()


def _flat(layers: nn.Sequential) -> Iterator[nn.Module]:
    for layer in layers:
        inside = type(layer) in (nn.Sequential, Layers) and is_unwatched(layer)
        yield from _flat(layer) if inside else (layer,)


def _state(layer: nn.Module) -> tuple:
    """What may change while a net is in use, of what a chain is made for."""
    kept, kind = layer.__dict__, type(layer)
    settings = SETTINGS[kind](kept) if kind in SETTINGS else None
    return layer, kind, kept["training"], settings, *kept["_parameters"], *kept["_buffers"]


def _chain(layers: Sequence[nn.Module], x: torch.Tensor) -> Chain | None:
    """The chain of as many of the first layers as there are kernels for; None: not of one."""
    found: list[Kernel] = []
    shape, differentiable = tuple(x.shape), x.requires_grad
    while layers:
        if found and _does_nothing(layers[0]):
            found[-1] = replace(found[-1], covers=found[-1].covers + 1)
            layers = layers[1:]
            continue
        kernel = _kernel(layers, shape, differentiable)
        if kernel is None or not kernel.is_complete():
            break
        found.append(kernel)
        shape, differentiable = kernel.shape_after(shape), True
        layers = layers[kernel.covers :]
    return Chain(found, x.shape, torch.is_grad_enabled()) if found else None


def _kernel(
    layers: Sequence[nn.Module], shape: tuple[int, ...], differentiable: bool
) -> Kernel | None:
    """For the first of the layers, or the first few, with inputs ``N, C, *spatial``."""
    first, second, third = (*layers[:3], None, None)[:3]
    if len(shape) == 2:
        if not _is_dense(first, shape):
            return Kernel("dropout", first) if _drops(first) else None
        relu = type(second) is nn.ReLU
        return Kernel("dense", first, covers=1 + relu, with_relu=relu)
    if _is_convolution(first, shape, differentiable):
        if first.in_channels > FIRST_CHANNELS:
            return Kernel("convolution", first)
        kernel = Kernel("first_layer", first)
        if _is_pool(second, kernel.shape_after(shape)) and type(third) is nn.ReLU:
            return Kernel("first_layer_pool", first, covers=3)
        return kernel
    if _is_norm(first, shape):
        if _is_pool(second, shape) and type(third) is nn.ReLU:
            return Kernel("norm_pool", first, covers=3)
        relu = type(second) is nn.ReLU
        return Kernel("norm", first, covers=1 + relu, with_relu=relu)
    if _is_pool(first, shape) and type(second) is nn.ReLU:
        return Kernel("pool", first, covers=2)
    if type(first) is GlobalAverage and shape[1] % LANES == 0:
        return Kernel("average", first)
    return None


def _is_convolution(layer: nn.Module, shape: tuple[int, ...], differentiable: bool) -> bool:
    """A kernel of 3 along every axis, stride 1, on as many channels as there are kernels for."""
    return (
        type(layer) is CONVOLUTION[len(shape) - 2]
        and shape[1] == layer.in_channels
        and set(layer.kernel_size) == {3}
        and set(layer.stride) == set(layer.dilation) == {layer.groups} == {1}
        and layer.padding_mode == "zeros"
        and set(layer.padding) in ({0}, {1})
        and _sizes_suit(layer, shape, differentiable)
    )


def _sizes_suit(layer: nn.Conv2d | nn.Conv3d, shape: tuple[int, ...], differentiable: bool) -> bool:
    outputs = [size + 2 * layer.padding[0] - 2 for size in shape[2:]]
    if layer.out_channels % LANES or min(outputs) < 1:
        return False
    if layer.in_channels <= FIRST_CHANNELS:
        return not differentiable
    return layer.in_channels % LANES == 0 and _products(*outputs[-2:]) <= MOST_PRODUCTS


def _products(rows: int, columns: int) -> float:
    """Products per output of a map in tiles of 2 x 2 or 3 x 3 outputs, whichever takes fewer."""
    tiles = {m: math.ceil(rows / m) * math.ceil(columns / m) for m in (2, 3)}
    return min((m + 2) ** 2 * number for m, number in tiles.items()) / (rows * columns)


def _is_dense(layer: nn.Module, shape: tuple[int, ...]) -> bool:
    """One that is small: larger ones are matrix products of their own right."""
    return (
        type(layer) is nn.Linear
        and shape[1] == layer.in_features
        and layer.in_features % LANES == 0
        and layer.weight.numel() <= MOST_WEIGHTS
    )


def _does_nothing(layer: nn.Module) -> bool:
    return type(layer) is nn.Dropout and not (layer.training and layer.p)


def _drops(layer: nn.Module) -> bool:
    return type(layer) is nn.Dropout and layer.training and 0 < layer.p < 1


def _is_norm(layer: nn.Module, shape: tuple[int, ...]) -> bool:
    """A batch norm with weights and running statistics, used in training or without gradients."""
    return (
        type(layer) is BATCH_NORM[len(shape) - 2]
        and layer.affine
        and layer.track_running_stats
        and layer.momentum is not None
        and layer.num_features == shape[1]
        and layer.num_features % LANES == 0
        and (math.prod(shape) > shape[1] if layer.training else not torch.is_grad_enabled())
    )


def _is_pool(layer: nn.Module | None, shape: tuple[int, ...]) -> bool:
    """Windows of two pixels along every axis, side by side."""
    return (
        type(layer) is MAX_POOL[len(shape) - 2]
        and (layer.kernel_size, layer.stride, layer.padding, layer.dilation) == (2, 2, 0, 1)
        and not layer.ceil_mode
        and not layer.return_indices
        and shape[1] % LANES == 0
        and min(shape[2:]) > 1
    )
