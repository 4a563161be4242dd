"""Several nets of one kind trained at once: one step of a batched program is a step of each.

A GPU spends most of a small net's step on starting kernels. Here the weights of all nets lie behind
each other in one tensor, of which each net's own are views, and ``torch.func.vmap`` computes all
nets with as many kernels as one takes. Everything else - order, augmentation, dropout, checkpoints,
validation - is each training's own: its numbers are those of a training alone, up to rounding.
"""

import copy
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.func import functional_call, vmap
from torch.nn import functional as F

from ddcnn.base.errors import InputError
from ddcnn.training.checkpoint import random_states, restore_random_states
from ddcnn.training.device import Device
from ddcnn.training.interruption import noting_signals
from ddcnn.training.loop import Progress, Training
from ddcnn.training.optimizers import AdamW, Sgd
from ddcnn.training.steps import Batch, Learned

log = logging.getLogger(__name__)

TOLERANCE = 1e-3  # between a net alone and as one of several, relative and absolute


class Member:
    """One of the trainings.

    Args:
        steps: from :func:`ddcnn.training.loop.training`.
        random: states of torch's generators after its net was built, from
            :func:`ddcnn.training.checkpoint.random_states`.
        device: where it is trained.

    Attributes:
        batch: of the step that it waits for; None: it has ended.
        end: how it ended.
    """

    def __init__(self, steps: Training, random: dict[str, torch.Tensor], device: Device) -> None:
        self.steps, self.random, self.device = steps, random, device
        self.batch: Batch | None = None
        self.end: Progress | InputError | SystemExit | None = None

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """In which torch draws this training's numbers."""
        restore_random_states(self.random, self.device.torch)
        yield
        self.random = random_states(self.device.torch)

    def learn(self) -> Learned:
        """Take the step alone."""
        with self.drawing():
            return self.batch.learn()

    def go_on(self, learned: Learned | None = None) -> None:
        """To the next step."""
        self.batch = None
        with self.drawing():
            try:
                self.batch = self.steps.send(learned)
            except StopIteration as end:
                self.end = end.value
            except (InputError, SystemExit) as end:
                self.end = end


def fit_together(members: Sequence[Member]) -> list[Progress | InputError]:
    """Run trainings of nets of one kind, on as many samples in batches of one shape.

    Nets that ``vmap`` cannot compute, and trainings that were interrupted at different steps, take
    their steps one after the other.

    Returns:
        what :func:`ddcnn.training.loop.run` returns of each, or raises.

    Raises:
        SystemExit: a signal came; the state of each is saved.
    """
    with noting_signals():
        for member in members:
            member.go_on()
        stack, active, others = None, [], 0.0
        while waiting := [member for member in members if member.batch]:
            if waiting != active:
                stack, active, others = _stack_of(waiting), waiting, 0.0
            learned = _learn(stack, waiting, others)
            start, ends_epoch = time.perf_counter(), waiting[0].batch.ends_epoch
            for member, found in zip(waiting, learned, strict=True):
                member.go_on(found)
            between = 0.0 if ends_epoch else time.perf_counter() - start
            others = between * (1 - 1 / len(waiting))
    for member in members:
        if isinstance(member.end, SystemExit):
            raise member.end
    return [member.end for member in members]


def _learn(stack: "Stack | None", members: Sequence[Member], others: float) -> Sequence[Learned]:
    """Take the step that all wait for.

    Args:
        stack: of the members, if they take it at once.
        members: who wait.
        others: seconds in which each of them waited for the others' batches.
    """
    if stack is None:
        return [member.learn() for member in members]
    start = time.perf_counter()
    losses, merits = stack.step(members)
    if members[0].batch.ends_epoch:  # or the first to measure its epoch would wait for all
        members[0].device.synchronize()
    seconds = others + time.perf_counter() - start
    pairs = zip(losses, merits, strict=True)
    return [Learned(*pair, seconds, at_once=len(members)) for pair in pairs]


def _stack_of(members: Sequence[Member]) -> "Stack | None":
    """What takes the members' steps at once; None where it cannot be done."""
    if len(members) < 2 or not _are_alike([member.batch for member in members]):
        return None
    try:
        stack = Stack([member.batch for member in members])
        stack.check()
    except (RuntimeError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0]
        log.info("the nets are trained one after the other in each step: %s", reason)
        return None
    log.info("%d nets are trained at once", len(members))
    return stack


def _are_alike(batches: Sequence[Batch]) -> bool:
    first, *others = batches
    same = (first.inputs.shape, first.learning_rate, _num_steps(first.step.optimizer))
    return all(
        (each.inputs.shape, each.learning_rate, _num_steps(each.step.optimizer)) == same
        for each in others
    )


def _num_steps(optimizer: Sgd | AdamW) -> float:
    return optimizer.steps[0].item() if isinstance(optimizer, AdamW) else 0.0


class Stack:
    """Nets, and the optimizers of their weights, that take their steps at once.

    Args:
        batches: the first step of each. Its net's and optimizer's tensors become views of the
            stack's, each with the values it has.
    """

    def __init__(self, batches: Sequence[Batch]) -> None:
        self.nets = [batch.step.net for batch in batches]
        self.inputs = [batch.inputs for batch in batches]
        self.first = batches[0].step
        self.masks = _masks_of(self.nets[0], self.inputs[0])
        self.net = _with_masks(self.nets[0])
        self.parameters = _stacked([dict(net.named_parameters()) for net in self.nets])
        self.buffers = _stacked([dict(net.named_buffers()) for net in self.nets])
        for name, weight in self.nets[0].named_parameters():
            self.parameters[name].requires_grad_(weight.requires_grad)
        learning = [each for each in self.parameters.values() if each.requires_grad]
        self.optimizer = _optimizer([batch.step.optimizer for batch in batches], learning)

    def outputs(self, inputs: torch.Tensor, masks: dict[str, torch.Tensor]) -> torch.Tensor:
        """Outputs ``T, N, K`` of all nets for inputs ``T, N, C, *spatial``."""

        def of_one(weights: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
            return functional_call(self.net, weights, (x,))

        return vmap(of_one)(self.parameters | self.buffers | masks, inputs)

    @torch.no_grad()
    def check(self) -> None:
        """See that every net says the same alone.

        Raises:
            RuntimeError: one does not, or cannot be computed with others.
        """
        few = [x[:2] for x in self.inputs]
        self.net.eval()
        together = self.outputs(torch.stack(few), {})
        self.net.train()
        for net, x, outputs in zip(self.nets, few, together, strict=True):
            net.eval()
            alone = net(x)
            net.train()
            if not torch.allclose(outputs, alone, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True):
                raise RuntimeError("their outputs differ from those of each net alone")

    def step(self, members: Sequence[Member]) -> tuple[torch.Tensor, torch.Tensor]:
        """Change the weights of all nets; return losses and sums of merits ``T``."""
        batches = [member.batch for member in members]
        inputs = torch.stack([batch.inputs for batch in batches])
        labels = torch.stack([batch.labels for batch in batches])
        first, task = self.first, self.first.task
        masks = self._draw_masks(members)
        with first.autocast():
            outputs = self.outputs(inputs, masks)
            pairs = zip(outputs, labels, strict=True)
            losses = torch.stack([task.loss(o, y, first.label_smoothing) for o, y in pairs])
        self.optimizer.zero_grad()
        losses.sum().backward()
        self.optimizer.step(batches[0].learning_rate)
        merits = vmap(task.merits)(outputs.detach().float(), labels).sum(dim=1)
        return losses.detach(), merits

    def _draw_masks(self, members: Sequence[Member]) -> dict[str, torch.Tensor]:
        """What dropout multiplies by, of each net from its own generator, as alone."""
        drawn: list[dict[str, torch.Tensor]] = []
        for member in members if self.masks else ():
            with member.drawing():
                drawn.append({name: mask.draw() for name, mask in self.masks.items()})
        return {name: torch.stack([each[name] for each in drawn]) for name in self.masks}


@dataclass(frozen=True)
class _Drawn:
    """Factors of a dropout, as torch draws them for an input of this shape."""

    ones: torch.Tensor
    p: float

    def draw(self) -> torch.Tensor:
        return F.dropout(self.ones, self.p)


class _Mask(nn.Module):
    """Stands for a dropout whose factors are given to it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("factors", torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factors if self.training else x


def _dropouts(net: nn.Module) -> dict[str, nn.Dropout]:
    return {name: m for name, m in net.named_modules() if type(m) is nn.Dropout and m.p > 0}


@torch.no_grad()
def _masks_of(net: nn.Module, inputs: torch.Tensor) -> dict[str, "_Drawn"]:
    """What each dropout of the net draws for these inputs, by its name in :func:`_with_masks`."""
    masks: dict[str, _Drawn] = {}
    hooks = []
    for name, layer in _dropouts(net).items():

        def note(layer: nn.Dropout, given: tuple[torch.Tensor], name: str = name) -> None:
            ones = torch.ones_like(given[0][:1]).expand(len(inputs), *given[0].shape[1:])
            masks[f"{name}.factors"] = _Drawn(ones.contiguous(), layer.p)

        hooks.append(layer.register_forward_pre_hook(note))
    net.eval()(inputs[:1])
    net.train()
    for hook in hooks:
        hook.remove()
    return masks


def _with_masks(net: nn.Module) -> nn.Module:
    """A copy for ``functional_call``, with a :class:`_Mask` in the place of every dropout."""
    twin = copy.deepcopy(net).train()
    for name in _dropouts(twin):
        twin.set_submodule(name, _Mask().to(next(net.parameters()).device))
    return twin


def _stacked(tensors: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Of every name one tensor ``T, ...``; each of its parts becomes a view of it."""
    stack = {}
    for name in tensors[0]:
        parts = [each[name] for each in tensors]
        stack[name] = torch.stack([part.detach() for part in parts])
        for part, view in zip(parts, stack[name], strict=True):
            part.data = view
    return stack


def _optimizer(optimizers: Sequence[Sgd | AdamW], parameters: list[torch.Tensor]) -> Sgd | AdamW:
    """The optimizer of the stacked weights; the state of each is a view of its state."""
    together = copy.copy(optimizers[0])
    together.parameters = parameters
    states = [each.state_dict() for each in optimizers]
    for name, tensors in states[0].items():
        if name == "steps":  # one number for a tensor: all members have it
            for state in states[1:]:
                for own, shared in zip(state[name], tensors, strict=True):
                    own.data = shared.data
            continue
        parts = [dict(enumerate(state[name])) for state in states]
        setattr(together, name, list(_stacked(parts).values()))
    return together
