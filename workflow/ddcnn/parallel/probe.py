"""A few training steps on synthetic pixels: what they take on this machine, and in memory."""

import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import nn

from ddcnn import nets
from ddcnn.base.tasks import Classification
from ddcnn.parallel import WAYS
from ddcnn.parallel.cuts import grid_of
from ddcnn.parallel.door import Door
from ddcnn.parallel.model import Link, Scaling, Work, calibrated
from ddcnn.parallel.pipeline import pieces_of, times_of
from ddcnn.parallel.shape import shape_of
from ddcnn.parallel.stage import among_workers
from ddcnn.parallel.steps import Spent
from ddcnn.parallel.volume import NetShape, fits
from ddcnn.parallel.workers import run_workers
from ddcnn.tiles.geometry import tile_size
from ddcnn.training.device import choose_device
from ddcnn.training.optimizers import Sgd
from ddcnn.training.steps import Step

WARM_UP = 2  # steps that allocate
SEED = 7


@dataclass(frozen=True)
class Probe:
    """What to measure.

    Attributes:
        architecture, width: of the net.
        shape: pixels along every axis of an image, and channels.
        num_outputs: classes, or targets.
        batch: images of a step.
        way: one of :data:`ddcnn.parallel.WAYS`; empty for one device.
        kernels: ``torch``, or ``own`` for those that ddcnn takes where it can.
        steps: how many are measured.
        gpus: whether to compute on a GPU.
    """

    architecture: str
    width: int
    shape: tuple[int, ...]
    num_outputs: int
    batch: int
    way: str = ""
    kernels: str = "torch"
    steps: int = 5
    gpus: int = 0

    @property
    def backend(self) -> str:
        """Of torch.distributed."""
        return "cpu:gloo,cuda:nccl" if self.gpus else "gloo"

    def build(self) -> nn.Module:
        """Its net, with weights that are the same again."""
        torch.manual_seed(SEED)
        return nets.build(self.architecture, self.shape, self.num_outputs, self.width)


class Stepper:
    """Steps of one probe on this worker, after those that allocate.

    Args:
        probe: what to measure.
        door: to the other workers, who make the same at the same time.
    """

    def __init__(self, probe: Probe, door: Door) -> None:
        os.environ["DDCNN_KERNELS"] = probe.kernels
        self.door, self.device = door, choose_device(probe.gpus, 1)
        net = probe.build().to(self.device.torch)
        make_step, trained, self.ends = Step, net, ()
        if probe.way:
            divided = among_workers(net, probe.shape, probe.way, None, probe.batch, door, Spent())
            make_step, trained = divided.make_step, divided.net
            self.ends = tuple(divided.facts.get("section_ends", ()))
        weights = [weight for weight in trained.parameters() if weight.requires_grad]
        task = Classification(max(2, probe.num_outputs))
        self.step = make_step(trained, Sgd(weights, 0.9, 1e-4), task, 0.0, "float32", self.device)
        images = torch.randn(probe.batch, *probe.shape, device=self.device.torch)
        self.images = images.movedim(-1, 1)
        self.labels = torch.randint(task.num_outputs, (probe.batch,), device=self.device.torch)
        trained.train()
        self.take(WARM_UP)

    def take(self, steps: int) -> list[float]:
        """Seconds of every one of so many steps."""
        if self.door.size > 1:
            self.door.sum(torch.zeros(1, device=self.device.torch))  # all begin together
        seconds = []
        for _ in range(steps):
            start = time.perf_counter()
            self.step(self.images, self.labels, 1e-3)
            self.device.synchronize()
            seconds.append(time.perf_counter() - start)
        return seconds


class Taken(NamedTuple):
    """Seconds of steps, bytes at the peak of the process so far, and ends of sections."""

    seconds: list[float]
    memory: int
    ends: tuple[int, ...]


def take_steps(probes: Sequence[Probe], door: Door) -> list[Taken]:
    """What every probe took on this worker."""
    found = []
    for probe in probes:
        stepper = Stepper(probe, door)
        seconds = stepper.take(probe.steps)
        found.append(Taken(seconds, stepper.device.peak_memory_bytes(), stepper.ends))
    return found


def with_workers(probe: Probe, net: NetShape, work: Work, link: Link, workers: int) -> Work:
    """The work, calibrated with a step of several workers here in every way that they can.

    Args:
        probe: the net and the batch.
        net: its shape.
        work: measured on one device, see :func:`work_of`.
        link: between the workers.
        workers: how many.
    """
    ways = [way for way in WAYS if fits(net, way, workers, probe.batch)]
    probes = [replace(probe, way=way) for way in ways]
    found = run_workers(take_steps, (probes,), workers, probe.backend)
    measured, ends = {}, dict(work.ends)
    for number, way in enumerate(ways):
        taken = [worker[number] for worker in found]
        # All workers take a step together: the slowest one says how long it took.
        slowest = map(max, *(each.seconds for each in taken))
        measured[way] = statistics.median(slowest)
        if taken[0].ends:
            ends[workers] = taken[0].ends
    return calibrated(replace(work, ends=ends), measured, workers, net, link)


def own_link(probe: Probe) -> Link:
    """What messages between two workers cost on this machine."""
    found = run_workers(_link, (probe,), 2, probe.backend)
    return Link(*(statistics.median(each[key] for each in found) for key in Link._fields))


def _link(probe: Probe, door: Door) -> dict[str, float]:
    return door.link(choose_device(probe.gpus, 1).torch)


def piece_seconds(probe: Probe, batches: Sequence[int], door: Door) -> list[list[float]]:
    """Seconds of every piece of a pipeline for each of several numbers of images."""
    device = choose_device(probe.gpus, 1)
    net = probe.build().to(device.torch)
    pieces = pieces_of(net, probe.shape)
    shape = (probe.shape[-1], *probe.shape[:-1])
    return [
        times_of(net, pieces, torch.zeros(number, *shape, device=device.torch))
        for number in batches
    ]


def net_shape(probe: Probe) -> NetShape:
    """The shape of its net."""
    return shape_of(probe.build(), probe.shape)


def work_of(probe: Probe, net: NetShape) -> Work:
    """Measure the net of a probe whole, for half of the images and for half of their pixels.

    Every measurement has a process of its own, as its memory is that of the process.
    """
    whole, (images, of_images) = alone(probe), _half_of_images(probe)
    pixels, of_pixels = _half_of_pixels(probe)
    pieces: tuple[Scaling, ...] = ()
    if net.pieces is not None:
        quarter, less = max(2, probe.batch // 4), max(1, probe.batch // 16)
        found = run_workers(piece_seconds, (probe, (quarter, less)), 1)[0]
        pieces = tuple(
            _of_part(probe.batch, quarter, less, *both) for both in zip(*found, strict=True)
        )
    seconds, memory = zip(whole, images, pixels, strict=True)
    return Work(
        probe.batch,
        Scaling.of(seconds[0], seconds[1], of_images),
        Scaling.of(seconds[0], seconds[2], of_pixels),
        pieces,
        Scaling.of(memory[0], memory[1], of_images),
        Scaling.of(memory[0], memory[2], of_pixels),
    )


def _of_part(batch: int, some: int, less: int, long: float, short: float) -> Scaling:
    """Of a whole batch, from the seconds of two numbers of images."""
    part = Scaling.of(long, short, less / some)
    return Scaling(part.fixed, part.divided * batch / some)


def alone(probe: Probe) -> tuple[float, int]:
    """Median seconds of a step, and bytes at the peak, of one process."""
    [[taken]] = run_workers(take_steps, ([probe],), 1)
    return statistics.median(taken.seconds), taken.memory


def _half_of_images(probe: Probe) -> tuple[tuple[float, int], float]:
    half = max(1, probe.batch // 2)
    return alone(replace(probe, batch=half)), half / probe.batch


def _half_of_pixels(probe: Probe) -> tuple[tuple[float, int], float]:
    """The tile of one of two workers."""
    spatial, channels = probe.shape[:-1], probe.shape[-1]
    grid = grid_of(2, spatial)
    tile = tuple(tile_size(n, p, 0) for n, p in zip(spatial, grid, strict=True))
    share = 1.0
    for part, pixels in zip(tile, spatial, strict=True):
        share *= part / pixels
    return alone(replace(probe, shape=(*tile, channels))), share
