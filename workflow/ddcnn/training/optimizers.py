"""SGD and AdamW by torch's own fused kernels, without ``torch.optim``.

Making the first optimizer of ``torch.optim`` imports torch's compiler, which costs every training
job two to three seconds before its first step; the kernels behind it need none of that. The steps
are bit for bit those of ``torch.optim`` with ``fused=True``.
"""

from collections.abc import Iterable
from typing import Any

import torch


class _Optimizer:
    parameters: list[torch.nn.Parameter]

    def zero_grad(self) -> None:
        """Forget the gradients of the last step."""
        for parameter in self.parameters:
            parameter.grad = None


class Sgd(_Optimizer):
    """Stochastic gradient descent with Nesterov momentum and weight decay.

    Args:
        parameters: what to train.
        momentum: 0 is plain gradient descent.
        weight_decay: times the weights, added to the gradient.
    """

    def __init__(
        self, parameters: Iterable[torch.nn.Parameter], momentum: float, weight_decay: float
    ):
        self.parameters = list(parameters)
        self.momentum, self.weight_decay = momentum, weight_decay
        self.buffers = [torch.zeros_like(p) for p in self.parameters] if momentum else []

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Change the parameters by their gradients."""
        torch._fused_sgd_(
            self.parameters,
            [p.grad for p in self.parameters],
            self.buffers,
            weight_decay=self.weight_decay,
            momentum=self.momentum,
            lr=learning_rate,
            dampening=0.0,
            nesterov=self.momentum > 0,
            maximize=False,
            # On buffers of zeros the first step is one like every other.
            is_first_step=False,
        )

    def state_dict(self) -> dict[str, Any]:
        return {"buffers": self.buffers}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        _copy(state["buffers"], self.buffers)


class AdamW(_Optimizer):
    """Adam with decoupled weight decay (arXiv 1711.05101).

    Args:
        parameters: what to train.
        weight_decay: times learning rate and weights, taken from the weights.
        betas: decay of the running means of gradient and squared gradient.
        eps: added to the root of the second.
    """

    def __init__(
        self,
        parameters: Iterable[torch.nn.Parameter],
        weight_decay: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ):
        self.parameters = list(parameters)
        self.weight_decay, self.betas, self.eps = weight_decay, betas, eps
        self.means = [torch.zeros_like(p) for p in self.parameters]
        self.squares = [torch.zeros_like(p) for p in self.parameters]
        self.steps = [torch.zeros((), device=p.device) for p in self.parameters]

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Change the parameters by their gradients."""
        torch._foreach_add_(self.steps, 1)
        torch._fused_adamw_(
            self.parameters,
            [p.grad for p in self.parameters],
            self.means,
            self.squares,
            [],
            self.steps,
            lr=learning_rate,
            beta1=self.betas[0],
            beta2=self.betas[1],
            weight_decay=self.weight_decay,
            eps=self.eps,
            amsgrad=False,
            maximize=False,
        )

    def state_dict(self) -> dict[str, Any]:
        return {"means": self.means, "squares": self.squares, "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in ("means", "squares", "steps"):
            _copy(state[name], getattr(self, name))


def _copy(source: list[torch.Tensor], target: list[torch.Tensor]) -> None:
    for ours, saved in zip(target, source, strict=True):
        ours.copy_(saved)
