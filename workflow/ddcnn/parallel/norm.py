"""Batch norm over the samples and pixels of all workers, on CPUs as on GPUs.

``torch.nn.SyncBatchNorm`` does the same on GPUs only.
"""

import torch
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from ddcnn.parallel.door import Door


class SharedBatchNorm(_BatchNorm):
    """A batch norm of torch's whose statistics are those of all workers together.

    Args:
        norm: gives its settings, weights and running statistics, which are shared with it.
        door: to the other workers; all of them call the layer in the same order.
    """

    def __init__(self, norm: _BatchNorm, door: Door) -> None:
        super().__init__(
            norm.num_features,
            norm.eps,
            norm.momentum,
            norm.affine,
            norm.track_running_stats,
        )
        self._parameters, self._buffers = norm._parameters, norm._buffers
        self.training, self.door = norm.training, door

    def _check_input_dim(self, x: torch.Tensor) -> None:
        """Any number of axes."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training and self.running_mean is not None:
            return super().forward(x)
        y, mean, variance, count = _Normalised.apply(x, self.weight, self.bias, self.eps, self.door)
        if self.training and self.running_mean is not None:
            self._follow(mean, variance * count / (count - 1))
        return y

    @torch.no_grad()
    def _follow(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        self.num_batches_tracked += 1
        share = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean), share)
        self.running_var.lerp_(variance.to(self.running_var), share)


class _Normalised(torch.autograd.Function):
    """The normalised ``x``; mean, biased variance (float64) and number of values of a channel."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        x: torch.Tensor,
        weight: torch.Tensor | None,
        bias: torch.Tensor | None,
        eps: float,
        door: Door,
    ) -> tuple[torch.Tensor, ...]:
        axes = [axis for axis in range(x.ndim) if axis != 1]
        variance, mean = (
            part.double() for part in torch.var_mean(x.float(), dim=axes, correction=0)
        )
        own = x.numel() // x.shape[1]
        # Both sums go through the workers' own means, so the large parts cancel in float64.
        sums = torch.stack([mean, variance + mean**2, torch.ones_like(mean)]) * own
        total, squares, counts = door.sum(sums)
        mean = total / counts
        variance = (squares / counts - mean**2).clamp_(min=0)
        count = counts[0]
        y = F.batch_norm(x, mean.float(), variance.float(), weight, bias, eps=eps)
        inverse = (variance + eps).rsqrt().float()
        ctx.save_for_backward(x, weight, mean.float(), inverse, count)
        ctx.eps, ctx.door = eps, door
        ctx.mark_non_differentiable(mean, variance, count)
        return y, mean, variance, count

    @staticmethod
    @once_differentiable
    def backward(
        ctx: FunctionCtx, grad: torch.Tensor, *_: torch.Tensor | None
    ) -> tuple[torch.Tensor | None, ...]:
        x, weight, mean, inverse, count = ctx.saved_tensors
        shape = (1, -1, *(1 for _ in x.shape[2:]))
        # torch's kernel takes the sums of this worker for those of all; what they differ by is a
        # line in x for each channel.
        gradient, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            grad,
            x,
            weight,
            None,
            None,
            mean,
            inverse,
            True,
            ctx.eps,
            [True, True, True],
        )
        own = torch.stack([of_weight, of_bias]).double()
        number = x.numel() // x.shape[1]
        slope, offset = (own / number - ctx.door.sum(own) / count).float() * inverse
        if weight is not None:
            slope, offset = slope * weight, offset * weight
        slope = slope * inverse
        gradient += x * slope.view(shape) + (offset - slope * mean).view(shape)
        of_weights = (of_weight, of_bias) if weight is not None else (None, None)
        return gradient, *of_weights, None, None
