"""Chains of kernels as one function with gradients, on float32 tensors with channels last.

A step of a small net takes so little time that Python between its layers would be a good part of
it. So consecutive layers are one call forwards and one backwards (``chain.cpp``), and what lies
between them has one piece of memory, whose places are known beforehand. Which layers suit is the
business of :mod:`ddcnn.models.layers`. There are gradients of first order, backwards.
"""

import ctypes
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from ddcnn.kernels.library import DONE, kernels
from ddcnn.kernels.suitable import CHANNELS_LAST

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
NOWHERE = -1
LINE = 64  # bytes of the cache; every place begins with one
FLOAT = 4  # bytes
PARAMETERS = ("weight", "bias")  # of a layer, in this order in chain.cpp; then
BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


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
        """For inputs of a shape, without places in memory."""
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


class _Places:
    """Hands out the memory between kernels."""

    def __init__(self) -> None:
        self.end = 0

    def take(self, num_bytes: int) -> int:
        start = self.end
        self.end += math.ceil(num_bytes / LINE) * LINE
        return start


class Chain:
    """Kernels one after the other, for inputs of one shape.

    Args:
        kernels: at least one.
        shape: ``N, C, *spatial`` of the inputs.
        with_gradient: whether a backward pass may follow, for which all outputs are kept.
    """

    def __init__(
        self, kernels: Sequence[Kernel], shape: Sequence[int], with_gradient: bool
    ) -> None:
        self.kernels = tuple(kernels)
        self.covers = sum(kernel.covers for kernel in kernels)
        shapes = [tuple(shape)]
        for kernel in kernels:
            shapes.append(kernel.shape_after(shapes[-1]))
        self.shape_in, self.shape_out, self.with_gradient = shapes[0], shapes[-1], with_gradient
        self.links = (Link * len(kernels))(*map(Kernel.link, kernels, shapes))
        self.num_bytes = self._place([math.prod(shape) for shape in shapes])
        self.keeps_input = kernels[0].reads_input
        self.keeps_output = kernels[-1].reads_output
        # Each with its place in the tables of addresses, where a kind of tensor follows another.
        count = len(kernels)
        self._parameters = [
            (kind * count + i, kernel.layer._parameters, name)
            for kind, name in enumerate(PARAMETERS)
            for i, kernel in enumerate(kernels)
            if kernel.layer._parameters.get(name) is not None
        ]
        self._buffers = [
            ((len(PARAMETERS) + kind) * count + i, kernel.layer._buffers, name)
            for kind, name in enumerate(BUFFERS)
            for i, kernel in enumerate(kernels)
            if "norm" in kernel.kind and (kernel.layer.training or name != BUFFERS[-1])
        ]
        # A dropout has factors in place of weights.
        self._dropouts = [
            (PARAMETERS.index("weight") * count + i, kernel.layer.p, shapes[i])
            for i, kernel in enumerate(kernels)
            if kernel.kind == "dropout"
        ]
        self._gradients: Sequence[torch.Tensor] | None = None  # where ``learn`` leaves them
        self.norms = {i for i, kernel in enumerate(kernels) if "norm" in kernel.kind}
        self.slots = [slot for slot, _, _ in self._parameters]
        self.slots_of_factors = [slot for slot, _, _ in self._dropouts]

    def _place(self, sizes: list[int]) -> int:
        """Choose where things are; sizes in floats of the input, then of each output.

        Returns the bytes that they take together.
        """
        places, last = _Places(), len(self.links) - 1
        # Whatever is read by the next kernel alone takes turns in two places: gradients, and
        # outputs where there are none.
        turns: list[tuple[Link, str, int]] = []
        for i, (kernel, link) in enumerate(zip(self.kernels, self.links, strict=True)):
            size = FLOAT * sizes[i + 1]
            link.output = link.d_input = link.saved = link.which = link.largest = NOWHERE
            if i < last and self.with_gradient:
                link.output = places.take(size)
            elif i < last:
                turns.append((link, "output", size))
            if self.with_gradient and (i > 0 or not kernel.convolves):
                before = self.kernels[i - 1] if i else None
                if before is None or before.reads_output or kernel.reads_input:
                    turns.append((link, "d_input", FLOAT * sizes[i]))
                else:  # the input is not read again
                    link.d_input = self.links[i - 1].output
            if "norm" in kernel.kind:
                link.saved = places.take(2 * FLOAT * link.channels)
            if self.with_gradient and "pool" in kernel.kind:
                link.which = places.take(sizes[i + 1])
            if self.with_gradient and kernel.kind == "norm_pool":
                link.largest = places.take(size)
        for half in (turns[::2], turns[1::2]):
            place = places.take(max((size for _, _, size in half), default=0))
            for link, name, _ in half:
                setattr(link, name, place)
        return places.end

    def __call__(self, x: torch.Tensor) -> torch.Tensor | None:
        """Outputs of ``x``; None if weights do not lie in memory as the kernels read them."""
        parameters = [held[name] for _, held, name in self._parameters]
        addresses = self._addresses(parameters)
        if addresses is None:
            return None
        factors = self._draw_factors(x, addresses)
        return _Apply.apply(x, self, addresses, factors, *parameters)

    def learn(
        self, x: torch.Tensor, labels: torch.Tensor, label_smoothing: float
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Set the gradients of all parameters; see :meth:`ddcnn.models.layers.Layers.learn`."""
        parameters = [held[name] for _, held, name in self._parameters]
        if (
            not self.with_gradient
            or len(self.shape_out) > 2
            or not all(map(_is_unwatched, parameters))
            or len(set(map(id, parameters))) < len(parameters)  # gradients that add up
            or labels.dtype != torch.int64
            or labels.shape != x.shape[:1]
            or not (labels.is_cpu and labels.is_contiguous())
        ):
            return None
        addresses = self._addresses(parameters)
        if addresses is None:
            return None
        factors = self._draw_factors(x, addresses)
        size = math.ceil(FLOAT * math.prod(self.shape_out) / LINE) * LINE
        memory, loss = _Memory(self.num_bytes + 2 * size), x.new_empty(())
        num_right = labels.new_empty(())
        status = kernels().chain_learn(
            *(self.links, len(self.links), _table(addresses), *_at(x, memory.block)),
            *(self.num_bytes, self.num_bytes + size, labels.data_ptr(), self.shape_out[1]),
            *(label_smoothing, *_at(loss, num_right), self._places_of_gradients(parameters)),
        )
        del factors  # until here
        if status != DONE:
            return None
        for parameter, gradient in zip(parameters, self._gradients, strict=True):
            if parameter.grad is not gradient:
                parameter.grad = gradient
        return loss, num_right

    def _addresses(self, parameters: Sequence[torch.Tensor]) -> list[int | None] | None:
        addresses: list[int | None] = [None] * (len(PARAMETERS + BUFFERS) * len(self.links))
        for slot, tensor in zip(self.slots, parameters, strict=True):
            if not _is_plain(tensor):
                return None
            addresses[slot] = tensor.data_ptr()
        for slot, held, name in self._buffers:
            if name != BUFFERS[-1] and not _is_plain(held[name]):
                return None
            addresses[slot] = held[name].data_ptr()
        return addresses

    def _draw_factors(self, x: torch.Tensor, addresses: list[int | None]) -> Sequence[torch.Tensor]:
        """Of dropouts, as torch draws them; ``addresses`` get theirs."""
        factors = []
        for slot, p, shape in self._dropouts:
            factors.append(self.empty(shape, x).bernoulli_(1 - p).div_(1 - p))
            addresses[slot] = factors[-1].data_ptr()
        return factors

    def _places_of_gradients(self, parameters: Sequence[nn.Parameter]) -> ctypes.Array:
        if self._gradients is None:
            self._gradients = _unflattened_like(parameters)
            addresses = [None] * len(self.links) * len(PARAMETERS)
            for slot, gradient in zip(self.slots, self._gradients, strict=True):
                addresses[slot] = gradient.data_ptr()
            self._of_weights = _table(addresses)
        return self._of_weights

    def empty(self, shape: Sequence[int], like: torch.Tensor) -> torch.Tensor:
        """Memory for an input or an output, whatever torch's default type and device are."""
        order = CHANNELS_LAST[len(shape)]
        return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=order)


class _Memory:
    """Working memory, from where others have left it; it goes back when nobody holds it.

    Blocks of this size that come and go would leave holes in the memory of the process, and new
    pages have to be zeroed by the operating system.

    Args:
        num_bytes: at least.
    """

    _free: ClassVar[list[torch.Tensor]] = []
    _lock: ClassVar = threading.Lock()

    def __init__(self, num_bytes: int) -> None:
        with self._lock:
            enough = [block for block in self._free if len(block) >= num_bytes]
            self.block = min(enough, key=len, default=None)
            # Those that are too small would pile up.
            self._free[:] = [block for block in enough if block is not self.block]
        if self.block is None:
            self.block = torch.empty(num_bytes, dtype=torch.uint8, device="cpu")

    def __del__(self) -> None:
        if self.block is not None:
            self._free.append(self.block)


def _is_plain(tensor: torch.Tensor | None) -> bool:
    return (
        tensor is not None
        and tensor.dtype == torch.float32
        and tensor.is_cpu
        and tensor.is_contiguous()
    )


def _is_unwatched(parameter: torch.Tensor) -> bool:
    """Whether it wants a gradient, of which nobody is told."""
    return (
        parameter.requires_grad
        and not parameter._backward_hooks
        and not parameter._post_accumulate_grad_hooks
    )


def _unflattened_like(tensors: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
    """Empty tensors in one piece of memory."""
    flat = torch.empty(sum(map(torch.Tensor.numel, tensors)), dtype=torch.float32, device="cpu")
    return torch._C._nn.unflatten_dense_tensors(flat, tensors)


def _table(addresses: Sequence[int | None]) -> ctypes.Array:
    return (ctypes.c_void_p * len(addresses))(*addresses)


def _at(*tensors: torch.Tensor | None) -> list[int | None]:
    return [None if tensor is None else tensor.data_ptr() for tensor in tensors]


class _Apply(Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        chain: Chain,
        addresses: Sequence[int | None],
        factors: Sequence[torch.Tensor],
        *parameters: torch.Tensor,
    ) -> torch.Tensor:
        y, memory, count = (
            chain.empty(chain.shape_out, x),
            _Memory(chain.num_bytes),
            len(chain.links),
        )
        kernels().chain_forward(chain.links, count, _table(addresses), *_at(x, memory.block, y))
        if chain.with_gradient:
            ctx.chain, ctx.memory, ctx.factors = chain, memory, factors
            kept = x if chain.keeps_input else None, y if chain.keeps_output else None
            ctx.save_for_backward(*kept, *parameters)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        chain, (x, y, *parameters) = ctx.chain, ctx.saved_tensors
        count, (of_x, _, _, _, *needed) = len(chain.links), ctx.needs_input_grad
        dy = dy.contiguous(memory_format=CHANNELS_LAST[dy.ndim])
        dx = chain.empty(chain.shape_in, dy) if of_x else None
        gradients = _unflattened_like(parameters)
        weights, of_weights = [None] * count * len(PARAMETERS), [None] * count * len(PARAMETERS)
        rows = zip(chain.slots, parameters, gradients, needed, strict=True)
        for slot, parameter, gradient, need in rows:
            weights[slot] = parameter.data_ptr()
            if need or slot % count in chain.norms:
                of_weights[slot] = gradient.data_ptr()
        for slot, factor in zip(chain.slots_of_factors, ctx.factors, strict=True):
            weights[slot] = factor.data_ptr()
        needing = (slot % count for slot, need in zip(chain.slots, needed, strict=True) if need)
        first = 0 if of_x else min(needing)
        kernels().chain_backward(
            *(chain.links, count, first, _table(weights), *_at(x, ctx.memory.block, y, dy)),
            *(_table(of_weights), *_at(dx)),
        )
        return dx, None, None, None, *gradients
