"""Pipeline parallel training: every worker has a section of the net, and micro-batches pass on.

The schedule is that of GPipe (arXiv 1811.06965): all micro-batches forward, then all backward, so
gradients are those of the whole batch. Batch norm takes its statistics over micro-batches, and
follows them once for each. Sections take about the same time, as measured before the training.
"""

import copy
import itertools
import statistics
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import fx, nn

from ddcnn.base.errors import InputError
from ddcnn.parallel.door import Door
from ddcnn.parallel.steps import WorkersStep

TIMED = 3  # runs of every piece, after one that allocates


class Tracer(fx.Tracer):
    """Goes into modules that are made of others, and no further."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        no_layers = next(module.children(), None) is None
        return no_layers or super().is_leaf_module(module, name)


class Piece(NamedTuple):
    """The least that can be a section: calculations between two values that go on alone."""

    nodes: list[fx.Node]
    shape: tuple[int, ...]  # of one sample of what it makes
    last: bool  # whether channels lie last in memory in it
    weights: set[str]  # names of those to train


def pieces_of(net: nn.Module, shape: Sequence[int]) -> list[Piece]:
    """The net as pieces, each of which takes what the one before makes.

    Args:
        net: takes images ``N, C, *spatial``.
        shape: pixels along every axis, and channels.

    Raises:
        InputError: what the net does depends on its inputs, or cannot be followed.
    """
    try:
        graph = Tracer().trace(net)
        evaluating = Tracer().trace(copy.deepcopy(net).eval())
    except Exception as error:  # whatever the user's code raises
        text = " ".join(str(error).split())
        raise InputError(
            f"parallel: pipeline cannot follow {type(net).__name__} from layer to layer ({text}); "
            "write its forward without conditions on values, or take parallel: data"
        ) from error
    if str(graph) != str(evaluating):
        raise InputError(
            f"parallel: pipeline: {type(net).__name__} computes otherwise in training than in "
            "evaluation; leave that to its layers (nn.Dropout, not F.dropout), or take parallel: "
            "data"
        )
    pieces = _cut(graph, net, shape)
    for one, other in itertools.combinations(pieces, 2):
        if shared := one.weights & other.weights:
            raise InputError(
                f"parallel: pipeline: {min(shared)} is used in several places of the net, which "
                "may come to different workers; take parallel: data"
            )
    return pieces


def _cut(graph: fx.Graph, net: nn.Module, shape: Sequence[int]) -> list[Piece]:
    values = _Shapes(copy.deepcopy(net).cpu().eval(), graph=graph)
    with torch.no_grad():
        values.run(torch.zeros(2, *shape).movedim(-1, 1))
    inner = [node for node in graph.nodes if node.op not in ("placeholder", "output")]
    pieces, start = [], 0
    for number, node in enumerate(inner, start=1):
        later = set(inner[number:])
        alive = [each for each in inner[:number] if later & set(each.users)]
        is_end = number == len(inner) or (alive == [node] and _is_batch(values.found[node]))
        if is_end and not (_input(graph).users.keys() & later):
            nodes = inner[start:number]
            value = values.found[node]
            sample, last = tuple(value.shape[1:]), value.movedim(1, -1).is_contiguous()
            pieces.append(Piece(nodes, sample, last, _weights(net, nodes)))
            start = number
    return pieces


class _Shapes(fx.Interpreter):
    """Keeps what every node made."""

    def __init__(self, *arguments: Any, **others: Any) -> None:
        super().__init__(*arguments, **others)
        self.found: dict[fx.Node, Any] = {}

    def run_node(self, node: fx.Node) -> Any:
        self.found[node] = super().run_node(node)
        return self.found[node]


def _is_batch(value: Any) -> bool:
    is_numbers = isinstance(value, torch.Tensor) and value.dtype == torch.float32
    return is_numbers and value.ndim > 1 and len(value) == 2


def _input(graph: fx.Graph) -> fx.Node:
    return next(node for node in graph.nodes if node.op == "placeholder")


def _targets(nodes: Sequence[fx.Node]) -> set[str]:
    """Names of the layers and weights that nodes use."""
    return {str(node.target) for node in nodes if node.op in ("call_module", "get_attr")}


def _weights(net: nn.Module, nodes: Sequence[fx.Node]) -> set[str]:
    """Names of the trainable weights that nodes use."""
    names = _targets(nodes)
    return {
        name
        for name, weight in net.named_parameters()
        if weight.requires_grad and any(f"{name}.".startswith(f"{each}.") for each in names)
    }


def _run(run: fx.Interpreter, nodes: Sequence[fx.Node], x: torch.Tensor) -> torch.Tensor:
    """What nodes make of the one value that they take."""
    own = set(nodes)
    run.env = {each: x for node in nodes for each in node.all_input_nodes if each not in own}
    for node in nodes:
        run.env[node] = run.run_node(node)
    result = run.env[nodes[-1]]
    run.env = {}
    return result


def times_of(net: nn.Module, pieces: Sequence[Piece], x: torch.Tensor) -> list[float]:
    """Seconds that every piece takes forward and backward for inputs ``x`` of the net."""
    twin = copy.deepcopy(net).train()
    run = fx.Interpreter(twin, garbage_collect_values=False, graph=pieces[0].nodes[0].graph)
    seconds = []
    with torch.random.fork_rng():
        for piece in pieces:
            times = []
            for _ in range(1 + TIMED):
                start = time.perf_counter()
                y = _run(run, piece.nodes, x.detach().requires_grad_().clone())
                y.sum().backward()
                if y.is_cuda:
                    torch.cuda.synchronize(y.device)
                times.append(time.perf_counter() - start)
            seconds.append(statistics.median(times[1:]))
            x = y
    return seconds


class Section(nn.Module):
    """Consecutive pieces of a net; its weights have the names that they have in the whole net.

    Args:
        net: the whole net; it loses all layers that are not in ``pieces``.
        pieces: of all pieces, those of this section.
    """

    def __init__(self, net: nn.Module, pieces: Sequence[Piece]) -> None:
        super().__init__()
        self.nodes = [node for piece in pieces for node in piece.nodes]
        graph = self.nodes[0].graph
        _remove(net, _targets(list(graph.nodes)) - _targets(self.nodes))
        self.net = net
        self.interpreter = fx.Interpreter(net, garbage_collect_values=False, graph=graph)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _run(self.interpreter, self.nodes, x)


def _remove(net: nn.Module, names: set[str]) -> None:
    for name in names:
        parent, _, last = name.rpartition(".")
        owner = net.get_submodule(parent)
        if last in owner._modules:
            owner._modules[last] = nn.Identity()
        else:
            delattr(owner, last)


class PipelineNet(nn.Module):
    """A worker's section, and how all together evaluate.

    Args:
        net: the whole net, which loses what is not of this section.
        pieces: of the net.
        ends: of all sections, in pieces.
        door: to the others; worker 0 has the first section.
    """

    def __init__(
        self, net: nn.Module, pieces: Sequence[Piece], ends: Sequence[int], door: Door
    ) -> None:
        super().__init__()
        self.door, self.ends = door, [pieces[end - 1] for end in ends]
        self.is_first, self.is_last = door.rank == 0, door.rank == door.size - 1
        start = 0 if self.is_first else ends[door.rank - 1]
        self.section = Section(net, pieces[start : ends[door.rank]])

    def receive(self, like: torch.Tensor, num_samples: int, sender: int) -> torch.Tensor:
        """What another section makes of so many samples, or the gradient of what this one does.

        In memory it lies as within the net: torch computes other bits with another order, and where
        a net is cut must not change its numbers.
        """
        end = self.ends[min(sender, self.door.rank)]
        x = like.new_empty(num_samples, *end.shape)
        if end.last:
            x = x.movedim(1, -1).contiguous()
        self.door.exchange({}, {sender: x})
        return x.movedim(-1, 1) if end.last else x

    def post(self, x: torch.Tensor, receiver: int) -> None:
        """Send what :meth:`receive` gives, without waiting."""
        end = self.ends[min(receiver, self.door.rank)]
        self.door.post(x.movedim(1, -1) if end.last else x, receiver)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs of a whole batch on every worker, in evaluation."""
        before, after = self.door.rank - 1, self.door.rank + 1
        y = self.section(x if self.is_first else self.receive(x, len(x), before))
        if not self.is_last:
            self.post(y, after)
            self.door.flush()
            y = x.new_empty(len(x), *self.ends[-1].shape)
        return self.door.from_worker(self.door.size - 1, y)


class PipelineStep(WorkersStep):
    """A step in which every worker computes its section for one micro-batch after the other.

    Args:
        arguments: those of :class:`ddcnn.parallel.steps.WorkersStep`.
        micro_batches: into how many a batch is divided.
    """

    def __init__(self, *arguments: Any, micro_batches: int, **others: Any) -> None:
        super().__init__(*arguments, **others)
        self.micro_batches = micro_batches

    def _backward(
        self, inputs: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        count = min(self.micro_batches, len(inputs))
        learned = inputs.new_zeros(2)
        before, after = self.door.rank - 1, self.door.rank + 1
        self.optimizer.zero_grad()
        passed = []
        parts = zip(inputs.tensor_split(count), labels.tensor_split(count), strict=True)
        for x, targets in parts:
            if not self.net.is_first:
                x = self.net.receive(inputs, len(x), before).requires_grad_()
            with self.autocast():
                # A copy: the first layer may write over its input.
                y = self.net.section(x if self.net.is_first else x.clone()).float()
                if self.net.is_last:
                    merit = self.task.merits(y.detach(), targets).sum()
                    y = self.task.loss(y, targets, self.label_smoothing)
                    y = y * (self.task.weight_of(targets) / self.task.weight_of(labels))
                    learned += torch.stack([y.detach(), merit.float()])
            if not self.net.is_last:
                self.net.post(y, after)
            passed.append((x, y))
        for x, y in passed:
            self._backward_of(x, y)
        self.door.flush()
        loss, merit = self.door.from_worker(self.door.size - 1, learned)
        return loss, merit

    def _backward_of(self, x: torch.Tensor, y: torch.Tensor) -> None:
        gradient = None
        if not self.net.is_last:
            gradient = self.net.receive(y, len(y), self.door.rank + 1)
        y.backward(gradient)
        if not self.net.is_first:
            self.net.post(x.grad, self.door.rank - 1)
