"""One training step: the same code on every device, in the way that suits it.

On a CPU a step computes in float32, with one thread partly in kernels of our own
(:mod:`ddcnn.nets.kernels`). On a GPU convolutions and matrix products compute in bfloat16
where the device has it, weights and their update stay in float32 (autocast), channels lie last in
memory, and nothing waits for the device. With ``DDCNN_CUDA_GRAPHS=1`` a GPU replays the first step
as one CUDA graph, which saves starting some hundred kernels by hand; small nets spend most of a
step on that. It was written without a GPU at hand, and is off until somebody has measured it.
"""

import logging
import os
import time
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import nn

from ddcnn.base.tasks import Classification, Task
from ddcnn.nets.kernels.door import CHANNELS_LAST, kernels
from ddcnn.training.checkpoint import random_states, restore_random_states
from ddcnn.training.device import Device
from ddcnn.training.optimizers import AdamW, Sgd

log = logging.getLogger(__name__)

CUDA_GRAPHS = "DDCNN_CUDA_GRAPHS"
WARM_UP_STEPS = 3  # cuDNN and cuBLAS choose and allocate in the first ones


class Step:
    """A step of the optimizer on one batch.

    Args:
        net: on the device.
        optimizer: of the net's weights.
        task: says what is minimised, and what counts as right.
        label_smoothing: of the loss.
        precision: ``float32`` or ``bfloat16``, see :func:`precision_of`.
        device: where the net and the batches are.
    """

    is_first = True  # none was taken yet

    def __init__(
        self,
        net: nn.Module,
        optimizer: Sgd | AdamW,
        task: Task,
        label_smoothing: float,
        precision: str,
        device: Device,
    ) -> None:
        self.net, self.optimizer, self.task = net, optimizer, task
        self.label_smoothing, self.precision, self.device = label_smoothing, precision, device

    def __call__(
        self, inputs: torch.Tensor, labels: torch.Tensor, learning_rate: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Change the weights; return loss and sum of merits, which stay on the device."""
        learned = self._learned(inputs, labels)
        if learned is None:
            return self._step(inputs, labels, learning_rate)
        self.optimizer.step(learning_rate)
        return learned

    def _learned(
        self, inputs: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Loss and merit with gradients set, of nets that can: ``ddcnn.nets.layers.Layers``."""
        learn = getattr(self.net, "learn_in_one_call", None)
        # The kernels' loss weighs all classes the same.
        is_plain = isinstance(self.task, Classification) and not self.task.class_weights
        if learn is None or not is_plain or self.precision != "float32":
            return None
        return learn(inputs, labels, self.label_smoothing)

    def _step(
        self, inputs: torch.Tensor, labels: torch.Tensor, learning_rate: float | torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        learned = self._backward(inputs, labels)
        self.optimizer.step(learning_rate)
        return learned

    def _backward(
        self, inputs: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss and merit with gradients set."""
        with self.autocast():
            outputs = self.net(inputs)
            loss = self.task.loss(outputs, labels, self.label_smoothing)
        self.optimizer.zero_grad()
        loss.backward()
        return loss.detach(), self.task.merits(outputs.detach().float(), labels).sum()

    def autocast(self) -> torch.autocast | nullcontext:
        """In which the net and the loss are computed."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.torch.type, torch.bfloat16)


class Learned(NamedTuple):
    """What a step gives: loss and sum of merits, on the device, and seconds of its own, which it
    took for so many trainings at once.
    """

    loss: torch.Tensor
    merit: torch.Tensor
    seconds: float
    at_once: int = 1


class Batch(NamedTuple):
    """A step that a training is about to take."""

    step: Step
    inputs: torch.Tensor
    labels: torch.Tensor
    learning_rate: float
    ends_epoch: bool

    def learn(self) -> Learned:
        """Take it."""
        start = time.perf_counter()
        loss, merit = self.step(self.inputs, self.labels, self.learning_rate)
        return Learned(loss, merit, time.perf_counter() - start)


class GraphedStep(Step):
    """A step as one CUDA graph, captured at the first batch; all batches have its shape."""

    graph: "torch.cuda.CUDAGraph | None" = None

    def __call__(
        self, inputs: torch.Tensor, labels: torch.Tensor, learning_rate: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if self.graph is None:
            self._capture(inputs, labels)
        self.inputs.copy_(inputs)
        self.labels.copy_(labels)
        self.rate.fill_(learning_rate)
        self.graph.replay()
        return self.loss.clone(), self.merit.clone()  # the next replay writes over them

    def _capture(self, inputs: torch.Tensor, labels: torch.Tensor) -> None:
        self.inputs, self.labels = inputs.clone(), labels.clone()
        self.rate = torch.zeros((), device=self.device.torch)
        before = self._state()
        # On a stream of its own, as the documentation of CUDA graphs asks for.
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_STEPS):
                self._step(self.inputs, self.labels, self.rate)
        torch.cuda.current_stream().wait_stream(stream)
        # The recorded backward pass then writes gradients instead of adding to them.
        self.net.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.loss, self.merit = self._step(self.inputs, self.labels, self.rate)
        self._restore(before)
        self.graph = graph
        log.info("the training step is a CUDA graph")

    def _state(self) -> tuple[list[torch.Tensor], dict[str, torch.Tensor]]:
        """Copies of everything that the steps before the capture change."""
        return [each.clone() for each in self._tensors()], random_states(self.device.torch)

    def _restore(self, state: tuple[list[torch.Tensor], dict[str, torch.Tensor]]) -> None:
        tensors, random = state
        with torch.no_grad():
            for ours, saved in zip(self._tensors(), tensors, strict=True):
                ours.copy_(saved)
        restore_random_states(random, self.device.torch)

    def _tensors(self) -> list[torch.Tensor]:
        return [
            *self.net.state_dict().values(),
            *(tensor for part in self.optimizer.state_dict().values() for tensor in part),
        ]


def step_class(device: Device) -> type[Step]:
    """The kind of step that suits the device."""
    on_gpu = device.torch.type == "cuda"
    return GraphedStep if on_gpu and os.environ.get(CUDA_GRAPHS) == "1" else Step


def precision_of(asked: str, device: Device) -> str:
    """``float32`` or ``bfloat16``: what was asked for; ``auto`` takes bfloat16 on a GPU with it."""
    if asked != "auto":
        return asked
    # Older GPUs (V100, T4, RTX 20) only emulate it, which is slower than float32.
    has_it = device.torch.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if has_it else "float32"


def kernels_of(device: Device, precision: str) -> str:
    """Whose kernels small convolutions may train with: ``ddcnn`` or ``torch``."""
    ours = device.torch.type == "cpu" and device.threads == 1 and precision == "float32"
    return "ddcnn" if ours and kernels() is not None else "torch"


def lay_channels_last(net: nn.Module, device: Device) -> None:
    """On a GPU, the order of weights in memory that its convolutions like; values stay."""
    if device.torch.type != "cuda":
        return
    for weight in net.parameters():  # Module.to refuses weights of another number of axes
        if weight.ndim in CHANNELS_LAST:
            weight.data = weight.data.to(memory_format=CHANNELS_LAST[weight.ndim])
