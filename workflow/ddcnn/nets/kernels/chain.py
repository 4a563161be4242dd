"""Chains of kernels as one function with gradients, on float32 tensors with channels last.

A step of a small net takes so little time that Python between its layers would be a good part of
it. So consecutive layers are one call forwards and one backwards (``chain.cpp``), and what lies
between them has one piece of memory, whose places are known beforehand. Which layers suit is the
business of :mod:`ddcnn.nets.layers`. There are gradients of first order, backwards.
"""

import ctypes
import math
import threading
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import nn
from torch.autograd import Function

from ddcnn.nets.kernels.hooks import only_wants_gradient, unflattened_like
from ddcnn.nets.kernels.kernel import BUFFERS, COUNT, PARAMETERS, Kernel, Link
from ddcnn.nets.kernels.library import DONE, kernels
from ddcnn.nets.kernels.suitable import CHANNELS_LAST

NOWHERE = -1
LINE = 64  # bytes of the cache; every place begins with one
FLOAT = 4  # bytes


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
        self._parameters: list[tuple[int, dict, str, tuple[int, ...]]] = []
        self._buffers: list[tuple[int, dict, str, tuple[int, ...]]] = []
        self._lacking: list[tuple[dict, str]] = []
        for i, kernel in enumerate(kernels):
            for name, its_shape in kernel.shapes().items():
                number = (*PARAMETERS, *BUFFERS).index(name)
                tensors, found = (
                    (kernel.layer._parameters, self._parameters)
                    if name in PARAMETERS
                    else (kernel.layer._buffers, self._buffers)
                )
                if tensors[name] is None:
                    self._lacking.append((tensors, name))
                else:
                    found.append((number * count + i, tensors, name, its_shape))
        # A dropout has factors in place of weights.
        self._dropouts = [
            (PARAMETERS.index("weight") * count + i, kernel.layer.p, shapes[i])
            for i, kernel in enumerate(kernels)
            if kernel.kind == "dropout"
        ]
        self._gradients: Sequence[torch.Tensor] | None = None  # where ``learn`` leaves them
        self.norms = {i for i, kernel in enumerate(kernels) if "norm" in kernel.kind}
        self.slots = [slot for slot, *_ in self._parameters]
        self.slots_of_factors = [slot for slot, *_ in self._dropouts]

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
        addresses = self._addresses()
        if addresses is None:
            return None
        parameters = [held[name] for _, held, name, _ in self._parameters]
        factors = self._draw_factors(x, addresses)
        return _Apply.apply(x, self, addresses, factors, *parameters)

    def learn(
        self, x: torch.Tensor, labels: torch.Tensor, label_smoothing: float
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Set the gradients of all parameters; see :class:`ddcnn.nets.layers.Layers`."""
        addresses = self._addresses()
        if addresses is None:
            return None
        parameters = [held[name] for _, held, name, _ in self._parameters]
        if (
            not self.with_gradient
            or len(self.shape_out) > 2
            or not all(map(only_wants_gradient, parameters))
            or len(set(map(id, parameters))) < len(parameters)  # gradients that add up
            or labels.dtype != torch.int64
            or labels.shape != x.shape[:1]
            or not (labels.is_cpu and labels.is_contiguous())
        ):
            return None
        factors = self._draw_factors(x, addresses)
        size = math.ceil(FLOAT * math.prod(self.shape_out) / LINE) * LINE
        memory, loss = _Memory(self.num_bytes + 2 * size), x.new_empty(())
        num_right = labels.new_empty(())
        status = kernels().chain_learn(
            self.links,
            len(self.links),
            _table(addresses),
            *_at(x, memory.block),
            self.num_bytes,
            self.num_bytes + size,
            labels.data_ptr(),
            self.shape_out[1],
            label_smoothing,
            *_at(loss, num_right),
            self._places_of_gradients(parameters),
        )
        del factors  # until here
        if status != DONE:
            return None
        for parameter, gradient in zip(parameters, self._gradients, strict=True):
            if parameter.grad is not gradient:
                parameter.grad = gradient
        return loss, num_right

    def _addresses(self) -> list[int | None] | None:
        """Where all tensors of the layers lie; None if one is not as the kernels read it."""
        addresses: list[int | None] = [None] * (len(PARAMETERS + BUFFERS) * len(self.links))
        for slot, held, name, shape in (*self._parameters, *self._buffers):
            tensor = held.get(name)
            if tensor is None or not (
                tensor.dtype == (torch.int64 if name == COUNT else torch.float32)
                and tensor.shape == shape
                and tensor.is_cpu
                and tensor.is_contiguous()
                and not tensor.is_neg()
            ):
                return None
            addresses[slot] = tensor.data_ptr()
        if any(held.get(name) is not None for held, name in self._lacking):
            return None
        return addresses

    def _draw_factors(self, x: torch.Tensor, addresses: list[int | None]) -> Sequence[torch.Tensor]:
        """What dropouts multiply with, as torch draws it; its places go into ``addresses``."""
        factors = []
        for slot, p, shape in self._dropouts:
            factors.append(self.empty(shape, x).bernoulli_(1 - p).div_(1 - p))
            addresses[slot] = factors[-1].data_ptr()
        return factors

    def _places_of_gradients(self, parameters: Sequence[nn.Parameter]) -> ctypes.Array:
        if self._gradients is None:
            self._gradients = unflattened_like(parameters)
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
    def backward(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        saved = ctx.saved_tensors
        with torch.no_grad():
            gradients = _gradients(ctx, dy, saved)
        if torch.is_grad_enabled():  # somebody will want to derive them
            depends_on = [tensor for tensor in (dy, *saved) if tensor is not None]
            gradients = [_Once.apply(g, *depends_on) if g is not None else None for g in gradients]
        dx, *of_parameters = gradients
        return dx, None, None, None, *of_parameters


def _gradients(
    ctx: Any, dy: torch.Tensor, saved: Sequence[torch.Tensor | None]
) -> list[torch.Tensor | None]:
    """Gradients for the input and the parameters of a chain, None where none is needed."""
    chain, (of_x, _, _, _, *needed) = ctx.chain, ctx.needs_input_grad
    # Whoever has kept the tensors may have changed their order in memory.
    x, y, dy = map(_with_channels_last, (*saved[:2], dy.resolve_neg()))
    parameters = [parameter.contiguous() for parameter in saved[2:]]
    count = len(chain.links)
    dx = chain.empty(chain.shape_in, dy) if of_x else None
    gradients = unflattened_like(parameters)
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
        chain.links,
        count,
        first,
        _table(weights),
        *_at(x, ctx.memory.block, y, dy),
        _table(of_weights),
        *_at(dx),
    )
    return [dx, *(g if need else None for g, need in zip(gradients, needed, strict=True))]


def _with_channels_last(tensor: torch.Tensor | None) -> torch.Tensor | None:
    if tensor is None:
        return None
    return tensor.contiguous(memory_format=CHANNELS_LAST[tensor.ndim])


class _Once(Function):
    """The first argument, which depends on the others in a way nobody can derive."""

    @staticmethod
    def forward(ctx: Any, gradient: torch.Tensor, *depends_on: torch.Tensor) -> torch.Tensor:
        return gradient.clone()

    @staticmethod
    def backward(ctx: Any, _: torch.Tensor) -> None:
        raise RuntimeError(
            "the kernels of ddcnn have first derivatives alone; with DDCNN_KERNELS=torch in the "
            "environment there are others"
        )
