"""The one door through which the workers of a training talk: what passes is counted here.

Everything is made of messages from one worker to another, so that bytes and messages are those
that were sent, not an estimate of what a collective operation of a library may send. Sums are
taken in the order of the workers: the same bits on all of them, and the same again however the
numbers are put together in buffers, as a resumed training needs.
"""

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import distributed as dist

from ddcnn.parallel.volume import ONE_ROUND_BYTES

PROBE_BYTES = 2**22


@dataclass
class Traffic:
    """What one worker sent, and how long it was held up by sending and receiving.

    Attributes:
        bytes: sent by this worker, without what the protocols of the network add.
        messages: sent by this worker.
        rounds: exchanges, each with any number of messages.
        blocked_seconds: waited in :meth:`Door.exchange`, for others to be ready, too.
    """

    bytes: int = 0
    messages: int = 0
    rounds: int = 0
    blocked_seconds: float = 0.0

    def add(self, other: "Traffic", sign: int = 1) -> None:
        """Count what somebody else did, too."""
        self.bytes += sign * other.bytes
        self.messages += sign * other.messages
        self.rounds += sign * other.rounds
        self.blocked_seconds += sign * other.blocked_seconds

    def since(self, earlier: "Traffic") -> "Traffic":
        """The difference."""
        difference = replace(self)
        difference.add(earlier, sign=-1)
        return difference


class Door:
    """Messages between this worker and the others, after ``init_process_group``.

    Args:
        group: of processes; two threads of a worker need a door, and a group, each.

    Attributes:
        rank: number of this worker, from 0.
        size: number of workers.
        traffic: all that passed so far.
    """

    def __init__(self, group: dist.ProcessGroup | None = None) -> None:
        self.group = group
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.others = [peer for peer in range(self.size) if peer != self.rank]
        self.traffic = Traffic()
        self._posted: list[tuple[dist.Work, torch.Tensor]] = []

    def snapshot(self) -> Traffic:
        """A copy of the traffic so far."""
        return replace(self.traffic)

    def exchange(
        self, sends: Mapping[int, torch.Tensor], receives: Mapping[int, torch.Tensor]
    ) -> None:
        """Send tensors to others and fill tensors with what they send; both by worker.

        What is filled must be contiguous. Messages between two workers arrive in the order in
        which they were sent.
        """
        start = time.perf_counter()
        operations = [
            dist.P2POp(dist.irecv, tensor, peer, self.group) for peer, tensor in receives.items()
        ]
        operations += [self._counted(tensor, peer) for peer, tensor in sends.items()]
        if operations:
            self.traffic.rounds += 1
            for work in dist.batch_isend_irecv(operations):
                work.wait()
        self.traffic.blocked_seconds += time.perf_counter() - start

    def post(self, tensor: torch.Tensor, peer: int) -> None:
        """Send without waiting; :meth:`flush` waits for all."""
        self.traffic.rounds += 1
        operation = self._counted(tensor, peer)
        works = dist.batch_isend_irecv([operation])
        self._posted += [(work, operation.tensor) for work in works]

    def flush(self) -> None:
        """Wait until everything that was posted is sent."""
        start = time.perf_counter()
        for work, _ in self._posted:
            work.wait()
        self._posted.clear()
        self.traffic.blocked_seconds += time.perf_counter() - start

    def _counted(self, tensor: torch.Tensor, peer: int) -> dist.P2POp:
        self.traffic.bytes += tensor.numel() * tensor.element_size()
        self.traffic.messages += 1
        return dist.P2POp(dist.isend, tensor.detach().contiguous(), peer, self.group)

    def of_all(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The tensors ``x``, of one shape, of all workers in their order."""
        x = x.detach().contiguous()
        parts = [x if peer == self.rank else torch.empty_like(x) for peer in range(self.size)]
        self.exchange(dict.fromkeys(self.others, x), {peer: parts[peer] for peer in self.others})
        return parts

    def sum(self, x: torch.Tensor) -> torch.Tensor:
        """The sum of the tensors ``x``, of one shape, of all workers.

        Of a large one every worker adds up a part and sends it to the others: ``2 (W - 1) / W``
        times its bytes for each of W workers, as a ring sends, too.
        """
        if x.numel() * x.element_size() <= ONE_ROUND_BYTES:
            return _in_order(self.of_all(x))
        chunks = list(x.detach().reshape(-1).tensor_split(self.size))
        own = [torch.empty_like(chunks[self.rank]) for _ in range(self.size)]
        own[self.rank] = chunks[self.rank]
        self.exchange(
            {peer: chunks[peer] for peer in self.others}, {peer: own[peer] for peer in self.others}
        )
        total = torch.empty_like(x, memory_format=torch.contiguous_format)
        totals = list(total.view(-1).tensor_split(self.size))
        totals[self.rank].copy_(_in_order(own))
        self.exchange(
            dict.fromkeys(self.others, totals[self.rank]),
            {peer: totals[peer] for peer in self.others},
        )
        return total

    def from_worker(self, sender: int, x: torch.Tensor) -> torch.Tensor:
        """The tensor ``x`` of one worker on all; the others give one of its shape and type."""
        if self.rank == sender:
            self.exchange(dict.fromkeys(self.others, x), {})
            return x
        received = torch.empty_like(x, memory_format=torch.contiguous_format)
        self.exchange({}, {sender: received})
        return received

    def to_first(self, own: Any) -> list[Any]:
        """Any objects of all workers on the first, an empty list on the others; not counted."""
        found: list[Any] = [None] * self.size if self.rank == 0 else []
        dist.gather_object(own, found or None, group=self.group)
        return found

    def from_first(self, objects: list[Any] | None) -> Any:
        """One of the first worker's objects for each worker; not counted."""
        found: list[Any] = [None]
        dist.scatter_object_list(found, objects, group=self.group)
        return found[0]

    def link(self, device: torch.device) -> dict[str, float]:
        """What messages cost here while nobody computes; every worker sends to the next one.

        Returns:
            ``latency_seconds`` of a message of 8 bytes, ``bytes_per_second`` of one of 4 MiB.
        """
        small, large = self._round(8, 20, device), self._round(PROBE_BYTES, 5, device)
        return {
            "latency_seconds": small,
            "bytes_per_second": PROBE_BYTES / max(large - small, 1e-9),
        }

    def _round(self, num_bytes: int, repeats: int, device: torch.device) -> float:
        """The median of the seconds in which everybody sends to the next and gets an answer."""
        after, before = (self.rank + 1) % self.size, (self.rank - 1) % self.size
        sent = torch.zeros(num_bytes, dtype=torch.uint8, device=device)
        got, seconds = torch.empty_like(sent), []
        for _ in range(repeats):
            start = time.perf_counter()
            self.exchange({after: sent}, {before: got})
            seconds.append(time.perf_counter() - start)
        return statistics.median(seconds)


def _in_order(parts: list[torch.Tensor]) -> torch.Tensor:
    total = parts[0].clone()
    for part in parts[1:]:
        total += part
    return total
