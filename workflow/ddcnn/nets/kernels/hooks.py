"""What the kernels ask of torch that it does not promise to keep; all of it is named here.

A kernel stands in for torch's only where nobody counts, records or transforms what torch is asked,
and no public function tells that. A release without one of these names is served by torch's
kernels: whoever may be watching cannot be seen.
"""

from collections.abc import Iterator, Sequence
from operator import attrgetter

import torch
from torch import nn
from torch.autograd import forward_ad
from torch.nn.modules import module

OF_TORCH = (
    "_C._functorch.peek_interpreter_stack",
    "_C._len_torch_dispatch_stack",
    "_C._len_torch_function_stack",
    "_C._nn.unflatten_dense_tensors",
    "autograd.forward_ad._current_level",
    "nn.modules.module._has_any_global_hook",
)
OF_TENSORS = ("_backward_hooks", "_post_accumulate_grad_hooks")
OF_MODULES = (
    *("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"),
    *("_parameters", "_buffers"),
)


def missing() -> list[str]:
    """Names that this release of torch lacks."""
    return [
        *_not_in(torch, OF_TORCH, "torch"),
        *_not_in(torch.Tensor, OF_TENSORS, "torch.Tensor"),
        *_not_in(nn.Module(), OF_MODULES, "torch.nn.Module"),
    ]


def _not_in(place: object, names: Sequence[str], called: str) -> Iterator[str]:
    for name in names:
        try:
            attrgetter(name)(place)
        except AttributeError:
            yield f"{called}.{name}"


MISSING = missing()  # of this process; then nothing is computed with kernels


def nobody_watches() -> bool:
    """Whether no mode, transform or hook of all modules sees what torch computes here."""
    return (
        torch._C._functorch.peek_interpreter_stack() is None
        and torch._C._len_torch_dispatch_stack() == 0
        and torch._C._len_torch_function_stack() == 0
        and forward_ad._current_level < 0
        and not module._has_any_global_hook()
    )


def is_unwatched(layer: nn.Module) -> bool:
    """Whether nobody waits for the layer to be called, or does something in its place."""
    return not (
        MISSING
        or layer._forward_hooks
        or layer._forward_pre_hooks
        or layer._backward_hooks
        or layer._backward_pre_hooks
        or "forward" in layer.__dict__
    )


def only_wants_gradient(parameter: torch.Tensor) -> bool:
    """Whether the parameter wants a gradient, of which nobody is told."""
    return (
        parameter.requires_grad
        and not parameter._backward_hooks
        and not parameter._post_accumulate_grad_hooks
    )


def unflattened_like(tensors: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
    """Empty tensors of these shapes, float32, in one piece of memory."""
    flat = torch.empty(sum(map(torch.Tensor.numel, tensors)), dtype=torch.float32, device="cpu")
    return torch._C._nn.unflatten_dense_tensors(flat, tensors)
