"""Data parallel training: every worker has the whole net and computes some images of a batch.

Gradients are summed by torch's DistributedDataParallel, which begins with the last layers while
the first ones still compute. Batch norm takes its statistics over a worker's own images, or with
:class:`ddcnn.parallel.norm.SharedBatchNorm` over those of all.
"""

import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import torch
from torch import distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ddcnn.parallel.door import Door
from ddcnn.parallel.norm import SharedBatchNorm
from ddcnn.parallel.steps import WorkersStep


def share_batch_norms(net: nn.Module, door: Door) -> None:
    """Replace all batch norms of a net by those over all workers; names and weights stay."""
    for parent in list(net.modules()):
        for name, layer in parent.named_children():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                setattr(parent, name, SharedBatchNorm(layer, door))


class DataNet(nn.Module):
    """The net of every worker, and how all together measure and agree.

    Args:
        net: the whole net, alike on all workers.
        door: to the others.
    """

    def __init__(self, net: nn.Module, door: Door) -> None:
        super().__init__()
        self.net, self.door = net, door

    def own(self, x: torch.Tensor) -> torch.Tensor:
        """This worker's samples of a batch; sizes differ by one where they do not divide."""
        return x.tensor_split(self.door.size)[self.door.rank]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs of a whole batch on every worker, in evaluation."""
        if len(x) < self.door.size:
            return self.net(x)
        outputs = self.net(self.own(x))
        sizes = [len(part) for part in x.tensor_split(self.door.size)]
        parts = [outputs.new_empty(size, *outputs.shape[1:]) for size in sizes]
        parts[self.door.rank] = outputs
        others = {peer: parts[peer] for peer in self.door.others}
        self.door.exchange(dict.fromkeys(others, outputs), others)
        return torch.cat(parts)

    def train(self, mode: bool = True) -> "DataNet":
        """Before an evaluation, running statistics become the mean of those of all workers."""
        if self.training and not mode:
            self._average_buffers()
        return super().train(mode)

    @torch.no_grad()
    def _average_buffers(self) -> None:
        for buffer in self.net.buffers():
            if buffer.is_floating_point():
                buffer.copy_(self.door.sum(buffer) / self.door.size)


class DataStep(WorkersStep):
    """A step in which every worker computes its share of the images of a batch.

    Shares may be unequal: each counts by its samples (or the weights of their classes).
    """

    def __init__(self, *arguments: Any, **others: Any) -> None:
        super().__init__(*arguments, **others)
        # Buckets are summed while the main thread talks of batch norms: two doors.
        self.gradients = Door(dist.new_group())
        self.thread = ThreadPoolExecutor(1)
        self.ready = 0.0
        # It speaks of the first layer's weights, whose one channel may lie in memory in two ways.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        # Statistics of batch norms follow their own images, or are the same anyway.
        self.replica = DistributedDataParallel(self.net.net)
        self.replica.broadcast_buffers = False
        self.replica.register_comm_hook(None, self._sum)

    def _sum(self, _: None, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:
        """Sum a bucket of gradients of all workers, beside what the backward pass computes."""
        self.ready, gradients = time.perf_counter(), bucket.buffer()
        if gradients.is_cuda:
            future = torch.futures.Future(devices=[gradients.device])
            future.set_result(self.gradients.sum(gradients))
            return future
        future = torch.futures.Future()
        self.thread.submit(_fulfil, future, self.gradients, gradients)
        return future

    def _backward(
        self, inputs: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        own, before = self.net.own(labels), self.gradients.snapshot()
        with self.autocast():
            outputs = self.replica(self.net.own(inputs))
            loss = self.task.loss(outputs, own, self.label_smoothing)
            loss = loss * (self.task.weight_of(own) / self.task.weight_of(labels))
        self.optimizer.zero_grad()
        loss.backward()
        sent = self.gradients.traffic.since(before)
        # All gradients of this worker were there when the last bucket was.
        self.door.traffic.add(replace(sent, blocked_seconds=time.perf_counter() - self.ready))
        merit = self.task.merits(outputs.detach().float(), own).sum()
        loss, merit = self.door.sum(torch.stack([loss.detach().float(), merit.float()]))
        return loss, merit


def _fulfil(future: torch.futures.Future, door: Door, gradients: torch.Tensor) -> None:
    try:
        future.set_result(door.sum(gradients))
    except Exception as error:  # in a thread nobody would see it
        future.set_exception(error)
