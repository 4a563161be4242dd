"""What a kernel computes, and how ``chain.cpp`` is told."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from torch import nn

# Numbered as in chain.cpp.
Kind = Literal[
    "convolution",
    "first_layer",
    "first_layer_pool",
    "norm",
    "norm_pool",
    "pool",
    "average",
    "dense",
    "dropout",
]
KINDS = get_args(Kind)
PARAMETERS = ("weight", "bias")  # of a layer, in this order in chain.cpp; then
COUNT = "num_batches_tracked"
BUFFERS = ("running_mean", "running_var", COUNT)


class Link(ctypes.Structure):
    """A kernel with the sizes of its input and its places in memory, as ``chain.cpp`` has it."""

    _fields_ = (
        *((name, ctypes.c_long) for name in ("kind", "images", "depth", "height", "width")),
        *((name, ctypes.c_long) for name in ("channels", "channels_out", "window_depth")),
        *((name, ctypes.c_long) for name in ("padding", "with_relu", "training")),
        *((name, ctypes.c_long) for name in ("output", "d_input", "saved", "which", "largest")),
        *((name, ctypes.c_double) for name in ("momentum", "epsilon")),
    )


@dataclass(frozen=True)
class Kernel:
    """What a kernel is to compute.

    Args:
        kind: convolution (kernel of 3, stride 1), the same of a first layer, batch norm; pool: the
            maximum of two pixels along every axis and ReLU; average over all pixels; dense layer;
            dropout in training.
        layer: whose weights it uses.
        covers: number of layers that it stands for.
        with_relu: after a batch norm alone or a dense layer.
    """

    kind: Kind
    layer: nn.Module
    covers: int = 1
    with_relu: bool = False

    @property
    def convolves(self) -> bool:
        return self.kind in ("convolution", "first_layer", "first_layer_pool")

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the layer's parameters and buffers that it reads or writes, by name."""
        layer = self.layer
        if self.convolves:
            weight = (layer.out_channels, layer.in_channels, *layer.kernel_size)
            return {"weight": weight, "bias": weight[:1]}
        if self.kind == "dense":
            return {
                "weight": (layer.out_features, layer.in_features),
                "bias": (layer.out_features,),
            }
        if "norm" in self.kind:
            names = ("weight", "bias", *BUFFERS[: 3 if layer.training else 2])
            return {name: () if name == COUNT else (layer.num_features,) for name in names}
        return {}

    def is_complete(self) -> bool:
        """Whether the layer holds all of them itself; a bias may be None."""
        may_lack = {"bias"} if self.convolves or self.kind == "dense" else set()
        held = self.layer._parameters | self.layer._buffers
        return all(
            name in held and (held[name] is not None or name in may_lack) for name in self.shapes()
        )

    @property
    def reads_input(self) -> bool:
        """In the backward pass."""
        return self.kind not in ("pool", "average", "dropout")

    @property
    def reads_output(self) -> bool:
        """In the backward pass, for the sign of what a ReLU has seen."""
        return self.with_relu or "pool" in self.kind

    def shape_after(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Shape ``N, C, *spatial`` of outputs for inputs of a shape, of an average ``N, C``."""
        batch, channels, *spatial = shape
        if self.convolves:
            margin = 2 * self.layer.padding[0] - 2
            channels, spatial = self.layer.out_channels, [size + margin for size in spatial]
        if "pool" in self.kind:
            spatial = [size // 2 for size in spatial]
        if self.kind == "average":
            return batch, channels
        if self.kind == "dense":
            return batch, self.layer.out_features
        return batch, channels, *spatial

    def link(self, shape: Sequence[int]) -> Link:
        """What the C++ side is told of it for inputs of a shape, without places in memory."""
        batch, channels, *spatial = shape
        link = Link(KINDS.index(self.kind), batch, *(1,) * (3 - len(spatial)), *spatial, channels)
        window = 3 if self.convolves else 2
        link.window_depth = window if len(spatial) == 3 else 1
        link.with_relu = self.with_relu
        if self.convolves:
            link.channels_out, link.padding = self.layer.out_channels, self.layer.padding[0]
        elif self.kind == "dense":
            link.channels_out = self.layer.out_features
        elif "norm" in self.kind:
            link.training, link.epsilon = self.layer.training, self.layer.eps
            link.momentum = self.layer.momentum
        return link
