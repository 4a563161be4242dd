"""The stage train_parallel: the global net, trained by several workers that talk in every step.

Same data, seed, order, augmentation, schedule and effective batch as :mod:`ddcnn.local.stage` for
the tiling ``whole``; the same files come out, and what the workers spent.
"""

import logging
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ddcnn.base.errors import InputError
from ddcnn.base.files import read_json, write_json
from ddcnn.base.process import JobClock
from ddcnn.base.tasks import task_of
from ddcnn.base.text import counted
from ddcnn.local.stage import (
    fitting_settings,
    load_training_images,
    local_metrics,
    warn_of_few_steps,
    write_probabilities,
)
from ddcnn.local.subdomain import Subdomain
from ddcnn.parallel.check import check_way
from ddcnn.parallel.checkpoint import SharedCheckpoint
from ddcnn.parallel.cuts import balanced, grid_of
from ddcnn.parallel.data import DataNet, DataStep, share_batch_norms
from ddcnn.parallel.door import Door
from ddcnn.parallel.pipeline import (
    Piece,
    PipelineNet,
    PipelineStep,
    pieces_of,
    times_of,
)
from ddcnn.parallel.shape import shape_of
from ddcnn.parallel.spatial import SpatialStep, put_on_tiles
from ddcnn.parallel.steps import Spent
from ddcnn.parallel.workers import run_workers
from ddcnn.training.checkpoint import fingerprint_of
from ddcnn.training.device import Device, choose_device, visible_devices
from ddcnn.training.loop import Progress, run, training
from ddcnn.training.samples import Images
from ddcnn.training.settings import Settings, write_history
from ddcnn.training.weights import save_weights

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SharedTraining:
    """One global net to train in one of the other ways.

    Attributes:
        subdomain: the whole image.
        tiles: the folder ``results/tiles``.
        labels: files of the splits ``train`` and ``val``.
        card: the data set's ``card.json``.
        settings: how to train; ``auto`` becomes what fits the data.
        out: the folder of the results; an unfinished training keeps its checkpoint there.
        way: one of :data:`ddcnn.parallel.WAYS`.
        workers: how many.
        micro_batches: of a batch, for the pipeline; by default twice as many as workers.
        gpus: 0 computes on the CPU; otherwise every worker takes a GPU if there is one.
        threads: CPU threads of all workers together; each has one at least.
        tasks: that SLURM gave the job; with several, workers are tasks, on whatever nodes.
        code: digest of the code, part of the checkpoint's fingerprint.
        checkpoint_seconds: least time between two checkpoints; no result depends on it.
    """

    subdomain: Subdomain
    tiles: Path
    labels: dict[str, Path]
    card: Path
    settings: Settings
    out: Path
    way: str
    workers: int
    micro_batches: int | None = None
    gpus: int = 0
    threads: int = 2
    tasks: int = 1
    code: str = ""
    checkpoint_seconds: float = 0.0


@dataclass
class Divided:
    """A net divided among workers.

    Attributes:
        net: what this worker trains.
        inner: of it, the part that has the names and weights of the ordinary net.
        make_step: see :func:`ddcnn.training.loop.training`.
        facts: how it was divided, for ``metrics.json`` and for a training that goes on.
    """

    net: nn.Module
    inner: nn.Module
    make_step: Callable[..., Any]
    facts: dict[str, Any]


def train_parallel(job: SharedTraining) -> None:
    """Train a global net by several processes and write what it says of all images.

    Writes the files of :func:`ddcnn.local.stage.train_local`: ``model.safetensors`` is that of the
    ordinary net. ``metrics.json`` also holds what the workers spent, see :func:`_costs`.

    Raises:
        InputError: the net cannot be trained in this way, before any process starts; the training
            diverged; or a worker died.
    """
    clock, card = JobClock(), read_json(job.card)
    subdomain, settings = job.subdomain, fitting_settings(job.settings, card)
    shape, outputs = (*card["shape"], card["channels"]), task_of(card).num_outputs
    check_way(subdomain.architecture, subdomain.width, shape, outputs, job.way, job.workers)
    batch = min(settings.batch_size, sum(card["counts"]["train"].values()))
    if job.way.startswith("data") and batch < job.workers:
        raise InputError(
            f"workers: {job.workers} for batches of {batch} images; take fewer, or a larger "
            "batch_size"
        )
    if job.threads < job.workers:
        log.warning(
            "warning: %d workers on %s: times are not those of as many devices",
            job.workers,
            counted(job.threads, "core"),
        )
    clock.ready()
    launch_seconds = clock.metrics()["start_seconds"]
    backend = "cpu:gloo,cuda:nccl" if job.gpus and visible_devices() else "gloo"
    threads = max(1, job.threads // job.workers)
    task_threads = threads if job.tasks > 1 and "SLURM_JOB_ID" in os.environ else 0
    run_workers(_work, (job, threads, launch_seconds), job.workers, backend, task_threads)


def _work(job: SharedTraining, threads: int, launch_seconds: float, door: Door) -> None:
    """What one worker does."""
    device, card = choose_device(job.gpus, threads), read_json(job.card)
    clock = JobClock(waited=device.waited)
    settings, task = fitting_settings(job.settings, card), task_of(card, job.settings.class_weights)
    log.info("training by %d workers: %s, on %s", job.workers, job.way, device.name)
    shards = job.subdomain.shards(job.tiles, card)
    samples = load_training_images(shards, job.labels, card, settings, device)
    clock.loaded()
    warn_of_few_steps(len(samples["train"]), settings)
    checkpoint = SharedCheckpoint(
        job.out / "checkpoint.pt", _fingerprint(job, settings, card), job.checkpoint_seconds, door
    )
    shape = tuple(samples["train"].pixels.shape[1:])
    net = job.subdomain.build(shape, task.num_outputs).to(device.torch)
    spent = Spent()
    batch = min(settings.batch_size, len(samples["train"]))
    divided = among_workers(
        net, shape, job.way, job.micro_batches, batch, door, spent, checkpoint.facts
    )
    checkpoint.facts = divided.facts
    link = door.link(device.torch)
    clock.ready()
    progress = run(
        training(
            divided.net,
            **samples,
            settings=settings,
            seed=job.subdomain.own_seed,
            device=device,
            checkpoint=checkpoint,
            task=task,
            make_step=divided.make_step,
        )
    )
    own = {"spent": spent, "memory": device.peak_memory_bytes(), "device": device.name}
    own |= {"traffic": door.snapshot(), "start_seconds": clock.metrics()["start_seconds"]}
    workers = door.to_first(own)
    is_needed = door.rank == 0 or job.way == "pipeline"
    states = door.to_first(divided.inner.state_dict() if is_needed else {})
    if door.rank > 0:
        return
    facts = {"way": job.way, "workers": job.workers, "batch": batch}
    facts["launch_seconds"] = launch_seconds
    net = job.subdomain.build(shape, task.num_outputs)
    facts["net"] = shape_of(net, shape).as_dict()
    net.load_state_dict({name: value for state in states for name, value in state.items()})
    net.to(device.torch)
    metrics = local_metrics(job.subdomain, net, progress, samples, settings, device)
    metrics |= clock.metrics() | {"peak_memory_bytes": max(each["memory"] for each in workers)}
    metrics["parallel"] = facts | divided.facts | _costs(workers, link)
    _write(job, net, samples, progress, metrics, card, device)
    checkpoint.remove()


def _fingerprint(job: SharedTraining, settings: Settings, card: dict[str, Any]) -> str:
    data = sorted(card["checksums"].items())
    division = (job.way, job.workers, job.micro_batches)
    return fingerprint_of(job.subdomain, settings, data, job.code, division)


def among_workers(
    net: nn.Module,
    shape: tuple[int, ...],
    way: str,
    micro_batches: int | None,
    batch: int,
    door: Door,
    spent: Spent,
    facts: dict[str, Any] | None = None,
) -> Divided:
    """Divide a net, or its data, among the workers; it is changed.

    Args:
        net: the global net, alike on all workers, on the device.
        shape: pixels along every axis of an image, and channels.
        way, micro_batches: see :class:`SharedTraining`.
        batch: images of a batch.
        door: to the other workers.
        spent: gets what steps cost.
        facts: how the net was divided before an interruption.
    """
    tools = {"door": door, "spent": spent}
    if way == "spatial":
        grid = grid_of(door.size, shape[:-1])
        step = partial(SpatialStep, on_tiles=put_on_tiles(net, shape, grid, door), **tools)
        return Divided(net, net, step, {"grid": list(grid)})
    if way == "pipeline":
        count = min(micro_batches or 2 * door.size, batch)
        pieces = pieces_of(net, shape)
        facts = facts or _sections(net, pieces, shape, batch // count, door)
        divided = PipelineNet(net, pieces, facts["section_ends"], door)
        step = partial(PipelineStep, micro_batches=count, **tools)
        return Divided(divided, net, step, facts | {"micro_batches": count})
    if way == "data-synchronised":
        share_batch_norms(net, door)
    # Every worker drops other features: torch's generator stands alike on all of them until here.
    torch.manual_seed(zlib.crc32(f"{torch.initial_seed()} {door.rank}".encode()))
    return Divided(DataNet(net, door), net, partial(DataStep, **tools), {})


def _sections(
    net: nn.Module, pieces: list[Piece], shape: tuple[int, ...], num_images: int, door: Door
) -> dict[str, Any]:
    """Which pieces every worker gets, by times that the first one measures."""
    facts = None
    if door.rank == 0:
        device = next(net.parameters()).device
        images = torch.zeros(num_images, shape[-1], *shape[:-1], device=device)
        seconds = times_of(net, pieces, images)
        ends = balanced(seconds, [bool(piece.weights) for piece in pieces], door.size)
        facts = [{"section_ends": ends, "piece_seconds": seconds}] * door.size
    return door.from_first(facts)


def _costs(workers: list[dict[str, Any]], link: dict[str, float]) -> dict[str, Any]:
    """What every worker spent: lists with a number for each, per step where it says so.

    ``compute_seconds`` is the time of a step in which a worker neither sent nor waited;
    ``communication_seconds`` is what its messages and bytes take on an idle link as measured
    before the training (``link``), and ``idle_seconds`` what it waited beyond that, for others.
    Gradients of ``data`` that are summed while a worker computes cost it no time and count in
    ``communication_seconds``, which may then be more than it waited.
    """
    costs: dict[str, Any] = {"link": link, "steps": workers[0]["spent"].steps}
    for worker in workers:
        spent, traffic = worker["spent"], worker["spent"].traffic
        steps = max(1, spent.steps)
        waited = traffic.blocked_seconds / steps
        messages, sent = traffic.messages / steps, traffic.bytes / steps
        takes = messages * link["latency_seconds"] + sent / link["bytes_per_second"]
        row = {
            "step_seconds": spent.seconds / steps,
            "compute_seconds": spent.seconds / steps - waited,
            "communication_seconds": takes,
            "idle_seconds": max(0.0, waited - takes),
            "bytes_per_step": sent,
            "messages_per_step": messages,
            "bytes_in_all": worker["traffic"].bytes,
            "messages_in_all": worker["traffic"].messages,
            "peak_memory_bytes": worker["memory"],
            "start_seconds": worker["start_seconds"],
            "device_names": worker["device"],
        }
        for key, value in row.items():
            costs.setdefault(key, []).append(value)
    return costs


def _write(
    job: SharedTraining,
    net: nn.Module,
    samples: dict[str, Images],
    progress: Progress,
    metrics: dict[str, Any],
    card: dict[str, Any],
    device: Device,
) -> None:
    """The files of a global net; the one that a rule waits for comes last."""
    test = job.subdomain.shards(job.tiles, card)["test"]
    write_probabilities(net, samples, net, test, card, job.out, device)
    write_history(progress.history, job.out / "history.csv")
    write_json(job.out / "metrics.json", metrics)
    save_weights(net, job.out / "model.safetensors")
