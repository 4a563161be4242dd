"""The kernels as functions with gradients, on float32 tensors with channels last in memory.

Whoever calls them sees to it that they suit: see :mod:`ddcnn.models.layers`. There are gradients of
first order, backwards.
"""

from typing import Any

import torch
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from ddcnn.kernels.library import kernels

CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}
Running = tuple[torch.Tensor, torch.Tensor, float, float, bool]
FIRST_CHANNELS = 3  # most channels of an input that count as a first layer's


def _at(*tensors: torch.Tensor | None) -> list[int | None]:
    return [None if tensor is None else tensor.data_ptr() for tensor in tensors]


def _like(x: torch.Tensor, channels: int, *spatial: int) -> torch.Tensor:
    shape, order = (len(x), channels, *spatial), CHANNELS_LAST[x.ndim]
    # Whatever the default type and device are.
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=order)


def _sizes(x: torch.Tensor) -> tuple[int, ...]:
    """Images, depth (1 of images), height, width."""
    return (len(x), *(1,) * (5 - x.ndim), *x.shape[2:])


class Convolve(Function):
    """Convolution with a kernel of 3 along every axis, stride 1."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, padding: int
    ) -> torch.Tensor:
        """Outputs of images or volumes ``N, C, *spatial``; weight ``out, in, *kernel``.

        There is no gradient of the input of a first layer.
        """
        depth = 3 if x.ndim == 5 else 1
        ctx.numbers = (*_sizes(x), x.shape[1], len(weight), depth, padding)
        ctx.save_for_backward(x, weight)
        y = _like(x, len(weight), *(size + 2 * padding - 2 for size in x.shape[2:]))
        of_first = x.shape[1] <= FIRST_CHANNELS
        run = kernels().first_layer_forward if of_first else kernels().convolution_forward
        run(*_at(x, weight, bias, y), *ctx.numbers)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (x, weight), library = ctx.saved_tensors, kernels()
        dy = dy.contiguous(memory_format=CHANNELS_LAST[dy.ndim])
        dx, d_weight, d_bias = None, None, None
        of_first = x.shape[1] <= FIRST_CHANNELS
        if ctx.needs_input_grad[0]:
            dx = torch.empty_like(x)
            library.convolution_backward_input(*_at(dy, weight, dx), *ctx.numbers)
        if ctx.needs_input_grad[1]:
            d_weight = torch.empty_like(weight)
            run = library.first_layer_backward if of_first else library.convolution_backward_weights
            run(*_at(x, dy, d_weight), *ctx.numbers)
        if ctx.needs_input_grad[2]:
            d_bias = weight.new_empty(len(weight))
            rows = dy.numel() // len(weight)
            library.sum_of_rows(*_at(dy, d_bias), rows, len(weight))
        return dx, d_weight, d_bias, None


class Normalise(Function):
    """Batch norm, and ReLU where asked for."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        running: Running,
        with_relu: bool,
    ) -> torch.Tensor:
        """Outputs like ``x``; ``running``: see :func:`running_statistics`."""
        y, saved = torch.empty_like(x), x.new_empty(2, x.shape[1])
        ctx.numbers = (x.numel() // x.shape[1], x.shape[1])
        ctx.with_relu = with_relu
        *statistics, momentum, epsilon, training = running
        kernels().norm_forward(
            *_at(x, weight, bias, *statistics),
            *(momentum, epsilon, training, with_relu),
            *_at(y, saved),
            *ctx.numbers,
        )
        ctx.save_for_backward(x, y if with_relu else x, weight, saved)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, y, weight, saved = ctx.saved_tensors
        dy = dy.contiguous(memory_format=CHANNELS_LAST[dy.ndim])
        dx, d_weight, d_bias = torch.empty_like(x), *weight.new_empty(2, len(weight))
        kernels().norm_backward(
            *_at(x, y, dy, weight, saved),
            ctx.with_relu,
            *_at(dx, d_weight, d_bias),
            *ctx.numbers,
        )
        return dx, d_weight, d_bias, None, None


class NormalisePool(Function):
    """Batch norm, the maximum over windows of two pixels along every axis, and ReLU."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        running: Running,
    ) -> torch.Tensor:
        """Outputs with half of the pixels along every axis of ``x``, rounded down."""
        y, which, ctx.numbers = _pooled(x, any(ctx.needs_input_grad))
        saved = x.new_empty(2, x.shape[1])
        largest = None if which is None else torch.empty_like(y)
        *statistics, momentum, epsilon, training = running
        kernels().norm_pool_forward(
            *_at(x, weight, bias, *statistics),
            *(momentum, epsilon, training),
            *_at(y, which, largest, saved),
            *ctx.numbers,
        )
        ctx.save_for_backward(x, y, which, largest, weight, saved)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, y, which, largest, weight, saved = ctx.saved_tensors
        dy = dy.contiguous(memory_format=CHANNELS_LAST[dy.ndim])
        dx, d_weight, d_bias = torch.empty_like(x), *weight.new_empty(2, len(weight))
        kernels().norm_pool_backward(
            *_at(x, y, dy, which, largest, weight, saved, dx, d_weight, d_bias), *ctx.numbers
        )
        return dx, d_weight, d_bias, None


class Pool(Function):
    """The maximum over windows of two pixels along every axis, and ReLU."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        """Outputs with half of the pixels along every axis of ``x``, rounded down."""
        y, which, ctx.numbers = _pooled(x, any(ctx.needs_input_grad))
        kernels().pool_forward(*_at(x, y, which), *ctx.numbers)
        ctx.save_for_backward(y, which)
        ctx.shape = x.shape
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: torch.Tensor) -> torch.Tensor:
        y, which = ctx.saved_tensors
        dy = dy.contiguous(memory_format=CHANNELS_LAST[dy.ndim])
        dx = _like(dy, *ctx.shape[1:])
        kernels().pool_backward(*_at(y, dy, which, dx), *ctx.numbers)
        return dx


def running_statistics(
    norm: torch.nn.modules.batchnorm._BatchNorm,
) -> Running:
    """What the kernels need of a batch norm beside its weights; in training they update it."""
    if norm.training and norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    return norm.running_mean, norm.running_var, norm.momentum, norm.eps, norm.training


def _pooled(
    x: torch.Tensor, with_gradient: bool
) -> tuple[torch.Tensor, torch.Tensor | None, tuple[int, ...]]:
    """Memory for outputs and for which pixel is the largest; the kernels' numbers."""
    y = _like(x, x.shape[1], *(size // 2 for size in x.shape[2:]))
    which = torch.empty_like(y, dtype=torch.uint8) if with_gradient else None
    return y, which, (*_sizes(x), x.shape[1], 2 if x.ndim == 5 else 1)
