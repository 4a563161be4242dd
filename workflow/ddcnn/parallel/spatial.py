"""Spatial parallel training: every worker has a tile of every image and of every map of the net.

The net computes what it computes on one device. Before a layer that looks at neighbouring pixels
the workers send each other the edges that it needs (halos), first along one axis and then along
the next, so that corners come by two messages (arXiv 2007.12856). Batch norm and the global
average sum over all workers, and what follows the average every worker computes for itself.

Every map, however small, is cut as the image is, by :mod:`ddcnn.tiles.geometry` without overlap:
so branches of equal size meet, and who needs which pixels of whom follows from sizes alone.
"""

import copy
import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.pooling import _AdaptiveAvgPoolNd, _AvgPoolNd, _MaxPoolNd

from ddcnn.base.errors import InputError
from ddcnn.nets.layers import CONVOLUTION, GlobalAverage, Layers
from ddcnn.nets.resnet import EverySecondPixel, ResidualBlock, ResNet
from ddcnn.parallel.cuts import Halo, Window, bounds, halos_of, is_too_small
from ddcnn.parallel.door import Door
from ddcnn.parallel.halos import Summed, WithHalo
from ddcnn.parallel.norm import SharedBatchNorm
from ddcnn.parallel.steps import WorkersStep
from ddcnn.tiles.geometry import format_axes

# What they compute of a pixel depends on this pixel alone.
POINTWISE = (
    nn.Identity,
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.GELU,
    nn.SiLU,
    nn.Sigmoid,
    nn.Tanh,
)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, *CONVOLUTION.values())
MAX_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
MEAN_POOLS = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
AVERAGES = (
    GlobalAverage,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveAvgPool3d,
)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
# Ways from layer to layer in which no pixel meets another.
FORWARDS = {each.forward for each in (nn.Sequential, Layers, ResNet, ResidualBlock)}
ACCEPTED = (
    "it knows convolutions padded with zeros, max and average pooling without ceil_mode, batch "
    "norm, activations, and a global average or Flatten before the dense layers, in "
    "torch.nn.Sequential or the nets vgg, resnet and ct3d; take parallel: data or pipeline"
)


class Call(NamedTuple):
    """A layer in the order of the net: its name, channels, and pixels before and after."""

    name: str
    channels: int  # of its input
    before: tuple[int, ...]
    after: tuple[int, ...]


def cut_calls(net: nn.Module, shape: Sequence[int], grid: Sequence[int]) -> list[Call]:
    """The layers that work on tiles, up to the one behind which all workers have everything.

    Args:
        net: takes images ``N, C, *spatial``.
        shape: pixels along every axis, and channels.
        grid: workers along every axis.

    Raises:
        InputError: a layer that is not known to work on tiles, or maps too small for the grid.
    """
    for name, module in net.named_modules():
        has_layers = next(module.children(), None) is not None
        if has_layers and type(module).forward not in FORWARDS:
            raise _unknown(name, module, "computes something of its own between its layers")
    calls = []
    for call in _calls(net, shape):
        layer = net.get_submodule(call.name)
        _check(call, layer, grid, calls)
        calls.append(call)
        if isinstance(layer, (*AVERAGES, nn.Flatten)):
            return calls
    raise InputError(
        "parallel: spatial: the net has neither a global average nor a Flatten; " + ACCEPTED
    )


def _calls(net: nn.Module, shape: Sequence[int]) -> list[Call]:
    calls = []

    def note(name: str, layer: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        x = inputs[0]
        calls.append(Call(name, x.shape[1], tuple(x.shape[2:]), tuple(output.shape[2:])))

    twin = copy.deepcopy(net).cpu().eval()
    for name, layer in twin.named_modules():
        if next(layer.children(), None) is None:
            layer.register_forward_hook(partial(note, name))
    with torch.no_grad():
        # Not on torch's meta device, whose first convolution imports for seconds.
        twin(torch.zeros(1, shape[-1], *shape[:-1]))
    return calls


def _check(call: Call, layer: nn.Module, grid: Sequence[int], calls: Sequence[Call]) -> None:
    kind = type(layer)
    if any(other.name == call.name and other.before != call.before for other in calls):
        raise _unknown(call.name, layer, "is used for maps of several sizes")
    if isinstance(layer, _DropoutNd):
        if layer.p:
            raise _unknown(call.name, layer, "would drop other pixels on every worker")
    elif kind in AVERAGES:
        if math.prod(call.after) != 1:
            raise _unknown(call.name, layer, "leaves more than one pixel")
    elif kind is nn.Flatten:
        if (layer.start_dim, layer.end_dim) != (1, -1):
            raise _unknown(call.name, layer, "keeps some axes")
    elif kind not in (*POINTWISE, *NORMS) and windows_of(layer, len(grid)) is None:
        raise _unknown(call.name, layer, "is not known to work on tiles")
    for pixels in (call.before, call.after if kind not in AVERAGES else ()):
        if pixels and is_too_small(pixels, grid):
            raise InputError(
                f"parallel: spatial: layer {call.name} has a map of {format_axes(pixels)} "
                f"pixels, too few for the grid {format_axes(tuple(grid))} of workers; take "
                "fewer workers, or parallel: data or pipeline"
            )


def _unknown(name: str, layer: nn.Module, why: str) -> InputError:
    place = f" ({name})" if name else ""
    return InputError(f"parallel: spatial: {type(layer).__name__}{place} {why}; {ACCEPTED}")


def windows_of(layer: nn.Module, axes: int) -> list[Window] | None:
    """What a layer looks at along every axis; None of a layer that is not known."""
    kind = type(layer)
    if kind is EverySecondPixel:
        return [Window(1, stride=2)] * axes
    if kind in CONVOLUTIONS and layer.padding_mode == "zeros" and layer.padding != "same":
        padding = 0 if layer.padding == "valid" else layer.padding
        return _windows(axes, layer.kernel_size, layer.stride, padding, layer.dilation)
    if kind in MAX_POOLS and not (layer.ceil_mode or layer.return_indices):
        return _windows(axes, layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    if kind in MEAN_POOLS and not layer.ceil_mode and _counts_padding(layer):
        return _windows(axes, layer.kernel_size, layer.stride, layer.padding, 1)
    return None


def _counts_padding(layer: nn.Module) -> bool:
    """Whether zeros around a map count in the mean as its pixels do."""
    return layer.count_include_pad or not any(_per_axis(layer.padding, 1))


def _windows(axes: int, *settings: int | tuple[int, ...]) -> list[Window]:
    return [Window(*each) for each in zip(*(_per_axis(s, axes) for s in settings), strict=True)]


def _per_axis(value: int | tuple[int, ...], axes: int) -> tuple[int, ...]:
    return (value,) * axes if isinstance(value, int) else tuple(value)


class Place:
    """Where a worker is in the grid.

    Args:
        grid: workers along every axis; worker numbers go row by row, as names of tiles do.
        door: to the others.
    """

    def __init__(self, grid: Sequence[int], door: Door) -> None:
        self.grid, self.door = tuple(grid), door
        self.numbers = np.arange(math.prod(grid)).reshape(self.grid)
        self.index = tuple(int(i) for i in np.unravel_index(door.rank, self.grid))

    def box(self, pixels: Sequence[int], index: Sequence[int] | None = None) -> tuple[slice, ...]:
        """A worker's part of a map of ``N, C, *pixels``; without ``index`` this worker's."""
        cuts = map(bounds, pixels, self.grid)
        return (
            ...,
            *(slice(c[i], c[i + 1]) for c, i in zip(cuts, index or self.index, strict=True)),
        )

    def padding_left(self, windows: Sequence[Window]) -> tuple[int, ...]:
        """What a layer still pads: along the axes that are not cut."""
        pairs = zip(windows, self.grid, strict=True)
        return tuple(window.padding if count == 1 else 0 for window, count in pairs)


def put_on_tiles(net: nn.Module, shape: Sequence[int], grid: Sequence[int], door: Door) -> set[str]:
    """Let a net compute with tiles: it takes whole images, and gives every worker the logits.

    Names and weights stay as they are, so its state is that of the ordinary net.

    Returns:
        Names of the layers that work on tiles: their gradients are parts of a sum over workers.
    """
    place = Place(grid, door)
    calls = cut_calls(net, shape, grid)
    for call in {call.name: call for call in calls}.values():
        _convert(net, call, place)
    net.register_forward_pre_hook(lambda _, inputs: (inputs[0][place.box(shape[:-1])],))
    return {call.name for call in calls}


def _convert(net: nn.Module, call: Call, place: Place) -> None:
    layer = net.get_submodule(call.name)
    windows = windows_of(layer, len(call.before))
    if windows is not None:
        value = -math.inf if isinstance(layer, _MaxPoolNd) else 0.0
        halos = halos_of(place.numbers, place.index, call.before, windows)
        padding = [0] * (2 * len(windows))
        for halo in halos:  # the last axis first, as F.pad wants it
            last = 2 * (len(windows) + 1 - halo.axis)
            padding[last : last + 2] = halo.padding
        add = partial(_add_halos, halos, padding, value, place.door)
        layer.register_forward_pre_hook(add)
        if isinstance(layer, (_ConvNd, _MaxPoolNd, _AvgPoolNd)):
            layer.padding = place.padding_left(windows)
    elif isinstance(layer, _BatchNorm):
        _replace(net, call.name, SharedBatchNorm(layer, place.door))
    elif isinstance(layer, (GlobalAverage, _AdaptiveAvgPoolNd)):
        keeps_axes = isinstance(layer, _AdaptiveAvgPoolNd)
        _replace(net, call.name, SharedAverage(call.before, keeps_axes, place.door))
    elif isinstance(layer, nn.Flatten):
        layer.register_forward_pre_hook(
            lambda _, inputs: (Gathered.apply(inputs[0], call.before, place),)
        )


def _add_halos(
    halos: Sequence[Halo],
    padding: Sequence[int],
    value: float,
    door: Door,
    _: nn.Module,
    inputs: tuple,
) -> tuple[torch.Tensor]:
    x = inputs[0]
    for halo in halos:
        if not halo.does_nothing:
            x = WithHalo.apply(x, halo, door)
    return (F.pad(x, padding, value=value) if any(padding) else x,)


def _replace(net: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(net.get_submodule(parent), last, layer)


class SharedAverage(nn.Module):
    """Mean over all pixels of all workers.

    Args:
        pixels: of the whole map along every axis.
        keeps_axes: whether the result is ``N, C, 1, ...`` or ``N, C``.
        door: to the other workers.
    """

    def __init__(self, pixels: Sequence[int], keeps_axes: bool, door: Door) -> None:
        super().__init__()
        self.num_pixels, self.keeps_axes, self.door = math.prod(pixels), keeps_axes, door

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = Summed.apply(x.flatten(start_dim=2).sum(dim=2), self.door) / self.num_pixels
        return mean.view(*mean.shape, *(1 for _ in x.shape[2:])) if self.keeps_axes else mean


class Gathered(torch.autograd.Function):
    """``apply(x, pixels, place)``: the whole map of ``pixels``, on every worker."""

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx,
        x: torch.Tensor,
        pixels: Sequence[int],
        place: Place,
    ) -> torch.Tensor:
        ctx.box = place.box(pixels)
        whole = x.new_empty(*x.shape[:2], *pixels)
        whole[ctx.box] = x
        boxes = {w: place.box(pixels, index) for index, w in np.ndenumerate(place.numbers)}
        others = {peer: whole[boxes[peer]].contiguous() for peer in place.door.others}
        place.door.exchange(dict.fromkeys(others, x), others)
        for peer, part in others.items():
            whole[boxes[peer]] = part
        return whole

    @staticmethod
    def backward(
        ctx: torch.autograd.function.FunctionCtx, grad: torch.Tensor
    ) -> tuple[torch.Tensor, None, None]:
        # All workers computed the same of the whole map: the own part of its gradient is complete.
        return grad[ctx.box], None, None


class SpatialStep(WorkersStep):
    """A step in which every worker computes a tile of every image.

    Args:
        arguments: those of :class:`ddcnn.parallel.steps.WorkersStep`.
        on_tiles: names of the layers that work on tiles, see :func:`put_on_tiles`.
    """

    def __init__(self, *arguments: Any, on_tiles: set[str], **others: Any) -> None:
        super().__init__(*arguments, **others)
        layers = [self.net.get_submodule(name) for name in on_tiles]
        self.partial = {weight for layer in layers for weight in layer.parameters()}

    def _backward(
        self, inputs: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        learned = super()._backward(inputs, labels)
        # The layers behind the average have the whole gradient on every worker: one of them gives
        # it, and all have the same bits even if their processors differ.
        gradients = [
            weight.grad
            if weight in self.partial or self.door.rank == 0
            else torch.zeros_like(weight.grad)
            for weight in self.optimizer.parameters
        ]
        total = self.door.sum(torch.cat([gradient.reshape(-1) for gradient in gradients]))
        parts = total.split([weight.numel() for weight in self.optimizer.parameters])
        for weight, part in zip(self.optimizer.parameters, parts, strict=True):
            weight.grad.copy_(part.view_as(weight))
        return learned
