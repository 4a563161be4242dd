"""How long a step of several workers takes, from measured compute and what they send. No torch.

Messages by the model of Hockney (R. W. Hockney, Parallel Computing 20, 1994): an exchange takes the
link's latency and its bytes over the bandwidth. Steps as in ParaDL (A. N. Kahira et al., HPDC 2021,
arXiv 2104.09075), which adds the time of computing and that of messages for every way, with two
differences that follow from how :mod:`ddcnn.parallel` works: all buckets of gradients but the last
pass while the backward pass computes, and a pipeline is followed micro-batch by micro-batch, with
transfers that begin when the receiver asks for them, as gloo's do.

What it leaves out: links that several workers share, workers of unequal speed, and that a message
costs its processors time that they do not compute.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, NamedTuple

from ddcnn.parallel.cuts import balanced, bounds, grid_of
from ddcnn.parallel.volume import VALUE, NetShape, Volume, gradient_buckets, summed, volumes

BACKWARD = 2 / 3  # of the time of a step: the backward pass computes about twice the forward one
MOST_FACTOR = 100.0
# What is left of a bandwidth for the content of packets of 1,500 bytes with their headers.
PAYLOAD = 1448 / 1514


class Link(NamedTuple):
    """What connects every worker with the others.

    Attributes:
        latency_seconds: of an exchange of messages of a few bytes, as the workers' programs see it.
        bytes_per_second: of long messages.
    """

    latency_seconds: float
    bytes_per_second: float

    def seconds(self, volume: Volume) -> float:
        """What exchanges take one after the other while nobody computes."""
        return volume.rounds * self.latency_seconds + volume.bytes / self.bytes_per_second

    def behind(self, wire_seconds: float, bits_per_second: float) -> "Link":
        """This link's ends joined by another wire.

        Args:
            wire_seconds: that a bit takes from end to end; an exchange asks first, so it takes two.
            bits_per_second: of the wire, headers of packets included.
        """
        content = PAYLOAD * bits_per_second / 8
        return Link(self.latency_seconds + 2 * wire_seconds, min(content, self.bytes_per_second))


class Scaling(NamedTuple):
    """Something of which a part stays and a part is divided among workers: seconds, or bytes."""

    fixed: float
    divided: float

    @classmethod
    def of(cls, whole: float, part: float, share: float) -> "Scaling":
        """From two measurements: of all, and of a share of it."""
        divided = min(max(0.0, (whole - part) / (1 - share)), whole)
        return cls(whole - divided, divided)

    def at(self, share: float) -> float:
        """Of one worker that has a share of all."""
        return self.fixed + share * self.divided


@dataclass(frozen=True)
class Work:
    """What the step of a net costs on one device, and what of that is divided.

    Attributes:
        batch: images of a step.
        of_images: seconds, by the share of the images of a batch.
        of_pixels: seconds, by the share of the pixels of every image.
        of_pieces: seconds of every piece of a pipeline, forward and back, by the share of images.
        memory_of_images, memory_of_pixels: bytes at the peak, by these shares.
        ends: of the sections of a pipeline, in pieces, by number of workers, where it was measured
            how they are cut; others are balanced by ``of_pieces``.
        factors: by way, how much more than that its workers compute and wait for each other, see
            :func:`calibrated`; 1 where it is not known.
    """

    batch: int
    of_images: Scaling
    of_pixels: Scaling
    of_pieces: tuple[Scaling, ...]
    memory_of_images: Scaling
    memory_of_pixels: Scaling
    ends: Mapping[int, Sequence[int]] = field(default_factory=dict)
    factors: Mapping[str, float] = field(default_factory=dict)

    def factor(self, way: str) -> float:
        """See ``factors``."""
        return self.factors.get(way, 1.0)


class StepCost(NamedTuple):
    """A step as the model has it, of the slowest worker.

    Attributes:
        seconds: in all.
        compute_seconds: of its worker.
        bytes: that it sends.
        memory_bytes: that it needs.
    """

    seconds: float
    compute_seconds: float
    bytes: float
    memory_bytes: float


def step_of(
    way: str,
    workers: int,
    net: NetShape,
    work: Work,
    link: Link,
    micro_batches: int | None = None,
) -> StepCost:
    """A step of so many workers.

    Args:
        way: one of :data:`ddcnn.parallel.WAYS`.
        workers: how many; :func:`ddcnn.parallel.volume.fits` says whether they can.
        net: the shape of the net.
        work: measured on one device.
        link: between the workers.
        micro_batches: of a pipeline; by default twice as many as workers.
    """
    if way == "pipeline":
        return _pipeline(workers, net, work, link, micro_batches or 2 * workers)
    sent = volumes(net, way, workers, work.batch)
    most = max(volume.bytes for volume in sent)
    if way == "spatial":
        share = tile_share(net.spatial, workers)
        compute = work.factor(way) * work.of_pixels.at(share)
        talk = max(link.seconds(volume) for volume in sent)
        return StepCost(compute + talk, compute, most, work.memory_of_pixels.at(share))
    share = -(-work.batch // workers) / work.batch
    compute = work.factor(way) * work.of_images.at(share)
    gradients = [link.seconds(summed(size, workers)) for size in gradient_buckets(net)]
    others = link.seconds(sent[0]) - sum(gradients)
    shown = max(gradients[-1], sum(gradients) - BACKWARD * compute)
    return StepCost(compute + others + shown, compute, most, work.memory_of_images.at(share))


def calibrated(
    work: Work, measured: Mapping[str, float], workers: int, net: NetShape, link: Link
) -> Work:
    """The work with the factors that make the model right for steps that were measured.

    Halos are copied, batch norms over workers compute in float64, and workers wait for each other:
    one measurement of a way on this machine tells how much that is.

    Args:
        work: measured on one device.
        measured: seconds of a step by way, of so many workers.
        workers, net, link: of these measurements.
    """
    factors = dict(work.factors)
    for way, seconds in measured.items():
        low, high = 0.0, MOST_FACTOR
        for _ in range(40):
            factors[way] = (low + high) / 2
            tried = replace(work, factors=factors)
            is_more = step_of(way, workers, net, tried, link).seconds > seconds
            low, high = (low, factors[way]) if is_more else (factors[way], high)
    return replace(work, factors=factors)


def of_training(costs: Mapping[str, Any]) -> tuple[NetShape, Work, Link]:
    """Net, work and link by which the model repeats a training that was measured.

    With one number of workers nobody knows which part of the computing stays: all of it is taken to
    be divided, so more workers are rather slower than this.

    Args:
        costs: what its ``metrics.json`` holds under ``parallel``.
    """
    net, link = NetShape.from_dict(costs["net"]), Link(**costs["link"])
    way, workers, batch = costs["way"], costs["workers"], costs["batch"]
    compute, memory = max(costs["compute_seconds"]), max(costs["peak_memory_bytes"])
    pieces = [
        Scaling(0.0, seconds * costs["micro_batches"]) for seconds in costs.get("piece_seconds", ())
    ]
    whole, held = Scaling(0.0, compute * workers), Scaling(memory, 0.0)
    ends = {workers: costs["section_ends"]} if "section_ends" in costs else {}
    work = Work(batch, whole, whole, tuple(pieces), held, held, ends)
    step = {way: max(costs["step_seconds"])}
    return net, calibrated(work, step, workers, net, link), link


def tile_share(spatial: Sequence[int], workers: int) -> float:
    """The largest worker's share of the pixels of an image."""
    share = 1.0
    for pixels, count in zip(spatial, grid_of(workers, spatial), strict=True):
        cuts = bounds(pixels, count)
        share *= max(b - a for a, b in pairwise(cuts)) / pixels
    return share


def _pipeline(workers: int, net: NetShape, work: Work, link: Link, micro_batches: int) -> StepCost:
    count = min(micro_batches, work.batch)
    pieces = net.pieces or ()
    factor = work.factor("pipeline")
    seconds = [factor * piece.at(1 / count) for piece in work.of_pieces]
    learns = [piece.learns for piece in pieces]
    ends = work.ends.get(workers) or balanced(seconds, learns, workers)
    starts = [0, *ends[:-1]]
    sections = [sum(seconds[a:b]) for a, b in zip(starts, ends, strict=True)]
    sent = volumes(net, "pipeline", workers, work.batch, ends, count)
    transfers = [
        link.seconds(Volume(VALUE * work.batch / count * pieces[end - 1].values, 1, 1))
        for end in ends[:-1]
    ]
    compute = count * max(sections)
    values = [sum(piece.values for piece in pieces[a:b]) for a, b in zip(starts, ends, strict=True)]
    memory = work.memory_of_images.at(max(values) / max(1, sum(values)))
    seconds_in_all = pipelined(sections, transfers, count) + link.latency_seconds
    return StepCost(seconds_in_all, compute, max(each.bytes for each in sent), memory)


def pipelined(sections: Sequence[float], transfers: Sequence[float], count: int) -> float:
    """Seconds until all micro-batches passed forward, and then back.

    Args:
        sections: seconds of every section for one micro-batch, forward and back.
        transfers: seconds from every section but the last to the next.
        count: micro-batches.
    """
    free = [0.0] * len(sections)
    last = len(sections) - 1
    for forward, order in ((True, range(last + 1)), (False, range(last, -1, -1))):
        sent: list[float] = [0.0] * count
        for place, section in enumerate(order):
            part = (1 - BACKWARD if forward else BACKWARD) * sections[section]
            way = transfers[section - 1 if forward else section] if place else 0.0
            for number in range(count):
                # The receiver asks for a micro-batch when it has done the one before.
                free[section] = max(free[section], sent[number]) + way + part
                sent[number] = free[section]
    return max(free)
