"""The training loop, the same for local nets, the global net and the coarse net.

Everything random is drawn from the seed, the epoch and the step, or from torch's generators, whose
states a checkpoint holds: an interrupted training ends with the same bits as an undisturbed one.
"""

import logging
import math
import time
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, NoReturn

import torch
from torch import nn

from ddcnn.base import events
from ddcnn.base.errors import InputError
from ddcnn.base.tasks import Task
from ddcnn.nets.cost import multiply_adds, num_parameters
from ddcnn.training.checkpoint import Checkpoint, random_states, restore_random_states
from ddcnn.training.choice import best_epoch, is_over, kept_epoch
from ddcnn.training.device import Device
from ddcnn.training.interruption import leave, noted, noting_signals
from ddcnn.training.optimizers import AdamW, Sgd
from ddcnn.training.prediction import CLASSIFICATION, evaluate
from ddcnn.training.samples import Samples, generator_of
from ddcnn.training.schedule import num_steps_per_epoch, one_cycle
from ddcnn.training.settings import Settings, metrics_of
from ddcnn.training.steps import (
    Batch,
    Learned,
    Step,
    kernels_of,
    lay_channels_last,
    precision_of,
    step_class,
)

log = logging.getLogger(__name__)

# A training asks for one step after the other; whoever runs it may take those of several at once.
Training = Generator[Batch, Learned, "Progress"]


@dataclass
class Progress:
    """Where a training stands, and what it has seen."""

    epoch: int = 0  # finished epochs
    step: int = 0  # finished steps of the epoch in hand
    loss_sum: float = 0.0  # of the epoch in hand
    merit_sum: float = 0  # of the epoch in hand; what it counts is the task's business
    seconds: float = 0.0  # training steps alone, all epochs
    first_steps: int = 0  # processes that took a step
    first_seconds: float = 0.0  # of the first step of each of them
    at_once: int = 1  # trainings that took these seconds together, at the most
    history: list[dict[str, float]] = field(default_factory=list)
    resumed: list[dict[str, int]] = field(default_factory=list)
    # weights of the best epoch so far by their names, if the training shall end with them
    kept: dict[str, torch.Tensor] = field(default_factory=dict)

    @property
    def setup_seconds(self) -> float:
        """How much longer the first step of each process took than the mean of the other steps.

        Libraries and the device are set up in it. 0 where there is nothing to compare it with.
        """
        others = self.history[-1]["step"] - self.first_steps
        if others < 1:
            return 0.0
        usual = (self.seconds - self.first_seconds) / others
        return max(0.0, self.first_seconds - self.first_steps * usual)


def make_optimizer(net: nn.Module, settings: Settings) -> Sgd | AdamW:
    """SGD with Nesterov momentum, or AdamW."""
    weights = [weight for weight in net.parameters() if weight.requires_grad]
    if settings.optimizer == "adamw":
        return AdamW(weights, settings.weight_decay)
    return Sgd(weights, settings.momentum, settings.weight_decay)


def run(steps: Training) -> Progress:
    """Take all steps of one :func:`training`, after which its net is trained."""
    learned = None
    while True:
        try:
            learned = steps.send(learned).learn()
        except StopIteration as end:
            return end.value


def training(
    net: nn.Module,
    train: Samples,
    val: Samples | None,
    settings: Settings,
    seed: int,
    device: Device,
    checkpoint: Checkpoint | None = None,
    task: Task = CLASSIFICATION,
    make_step: Callable[..., Step] | None = None,
) -> Training:
    """All of the training of ``net`` but its steps, which it asks for one by one.

    Args:
        net: maps inputs of ``train`` to logits ``N, K`` or standardised targets ``N, M``; on the
            device already.
        train, val: samples to learn from, and to measure after every epoch; without the latter
            no epoch can be chosen.
        settings: see :class:`Settings`.
        seed: fixes the order of samples and the augmentation; weights and dropout come from
            torch's generator, which the caller seeds before building the net.
        device: where everything lives.
        checkpoint: saves the state after every epoch, at most once in ``every_seconds`` (then
            also between two steps), and gives it back when the training starts anew. With one,
            SIGTERM and SIGINT end the process after the step in hand, its state saved.
        task: says what is minimised and which score the history holds.
        make_step: makes another :class:`Step` than the one that suits the device, of the same
            arguments: where several workers train one net, who also agree on ``checkpoint``.
    """
    lay_channels_last(net, device)
    optimizer = make_optimizer(net, settings)
    precision = precision_of(settings.precision, device)
    log.info("kernels of %s", kernels_of(device, precision))
    smoothing = settings.label_smoothing
    make_step = make_step or step_class(device)
    step = make_step(net, optimizer, task, smoothing, precision, device)
    progress = _resume(net, optimizer, checkpoint, device) or Progress()
    steps = num_steps_per_epoch(len(train), settings.batch_size)
    with noting_signals(checkpoint is not None):
        while not is_over(progress.history, settings):
            yield from _train_epoch(step, train, settings, seed, progress, checkpoint)
            row = _measure(net, train, val, settings, steps, progress, task)
            progress.history.append(row)
            _refuse_infinite(row.get("loss_val", 0.0), "on the validation split", progress)
            progress.epoch += 1
            progress.step, progress.loss_sum, progress.merit_sum = 0, 0.0, 0
            if settings.weights == "best" and best_epoch(progress.history) == progress.epoch:
                progress.kept = {name: value.clone() for name, value in net.state_dict().items()}
            last = is_over(progress.history, settings)
            stop, due = checkpoint.asked() if checkpoint else (False, False)
            if stop or due or (last and checkpoint and checkpoint.keep_last):
                _save(net, optimizer, checkpoint, progress, device)
            watched = {} if val is None else {events.ROW: row}  # one training a job is enough
            log.info(_epoch_line(row, settings.epochs, task), extra=watched)
            # Where a job has several trainings, the next one waits: this one may stop.
            if stop and (not last or checkpoint.keep_last):
                _stop(progress)
    if progress.kept:
        net.load_state_dict(progress.kept)
    return progress


def _train_epoch(
    take_step: Step,
    train: Samples,
    settings: Settings,
    seed: int,
    progress: Progress,
    checkpoint: Checkpoint | None,
) -> Generator[Batch, Learned, None]:
    """Steps from ``progress.step`` to the end of the epoch."""
    net, device = take_step.net, take_step.device
    random = partial(generator_of, seed, progress.epoch, device=device.torch)
    num_samples = len(train)
    steps = num_steps_per_epoch(num_samples, settings.batch_size)
    order = torch.randperm(num_samples, generator=generator_of(seed, progress.epoch))
    order = order.to(device.torch)
    # They stay on the device: reading them in every step would make the device wait.
    losses: list[torch.Tensor] = []
    merits: list[torch.Tensor] = []
    net.train()
    device.synchronize()
    before, start = progress.seconds, time.perf_counter()
    for step in range(progress.step, steps):
        index = order[step * settings.batch_size : (step + 1) * settings.batch_size]
        inputs = train.training_inputs(index, partial(random, step))
        done = progress.epoch * steps + step
        rate = one_cycle(done, settings.epochs * steps, settings.learning_rate)
        labels = train.labels.index_select(0, index)
        progress.seconds += time.perf_counter() - start
        found = yield Batch(take_step, inputs, labels, rate, step + 1 == steps)
        progress.seconds += found.seconds
        progress.at_once = max(progress.at_once, found.at_once)
        start = time.perf_counter()
        losses.append(found.loss)
        merits.append(found.merit)
        if take_step.is_first:
            take_step.is_first = False
            device.synchronize()
            progress.seconds += time.perf_counter() - start
            start = time.perf_counter()
            progress.first_steps += 1
            progress.first_seconds += progress.seconds - before
        # By the clock also in mid-epoch: an epoch of a large scan can take hours.
        stop, due = checkpoint.asked() if checkpoint else (False, False)
        if stop or (due and checkpoint.every_seconds > 0):
            _add(losses, merits, len(index), progress, settings, steps)
            progress.seconds += time.perf_counter() - start
            _save(net, take_step.optimizer, checkpoint, progress, device)
            if stop:
                _stop(progress)
            start = time.perf_counter()
    device.synchronize()
    progress.seconds += time.perf_counter() - start
    _add(losses, merits, min(settings.batch_size, num_samples), progress, settings, steps)


def _add(
    losses: list[torch.Tensor],
    merits: list[torch.Tensor],
    batch_size: int,
    progress: Progress,
    settings: Settings,
    steps: int,
) -> None:
    """Take the steps since ``progress.step`` into the sums, and forget them.

    Raises:
        InputError: a loss is no number; before a checkpoint would hold what led to it.
    """
    if not losses:
        return
    values = torch.stack(losses)
    for step, loss in enumerate(values.tolist(), start=progress.step):
        if not math.isfinite(loss):
            done = progress.epoch * steps + step
            rate = one_cycle(done, settings.epochs * steps, settings.learning_rate)
            where = f"in step {step + 1} of {steps}, at a learning rate of {rate:.3g}"
            _refuse_infinite(loss, where, progress)
    progress.step += len(losses)
    progress.loss_sum = sum((values * batch_size).tolist(), progress.loss_sum)
    progress.merit_sum = sum(torch.stack(merits).tolist(), progress.merit_sum)
    losses.clear()
    merits.clear()


def _measure(
    net: nn.Module,
    train: Samples,
    val: Samples | None,
    settings: Settings,
    steps: int,
    progress: Progress,
    task: Task,
) -> dict[str, float]:
    """One row of ``history.csv``: the epoch's running means and the validation split."""
    seen = min(steps * settings.batch_size, len(train))
    done = (progress.epoch + 1) * steps
    row = {
        "epoch": progress.epoch + 1,
        "step": done,
        "learning_rate": one_cycle(done - 1, settings.epochs * steps, settings.learning_rate),
        "loss_train": progress.loss_sum / seen,
        f"{task.score}_train": task.score_of(progress.merit_sum / seen, train.labels),
    }
    if val is not None:
        row["loss_val"], row[f"{task.score}_val"] = evaluate(net, val, task)
    return row | {"seconds": progress.seconds}


def _refuse_infinite(loss: float, where: str, progress: Progress) -> None:
    if math.isfinite(loss):
        return
    raise InputError(
        f"the training diverged in epoch {progress.epoch + 1}: its loss is {loss} {where}; take a "
        "smaller learning_rate, or look for broken values in the data. The last checkpoint from "
        "before is kept"
    )


def _epoch_line(row: dict[str, float], epochs: int, task: Task) -> str:
    def of(split: str) -> str:
        return f"loss {row[f'loss_{split}']:.4f}, {task.score} {row[f'{task.score}_{split}']:.4f}"

    on_val = f"; validation {of('val')}" if "loss_val" in row else ""
    return f"epoch {row['epoch']}/{epochs}: {of('train')}{on_val}; {row['seconds']:.1f} s"


def training_metrics(
    net: nn.Module,
    shape: tuple[int, ...],
    progress: Progress,
    settings: Settings,
    num_images: int,
    device: Device,
) -> dict[str, Any]:
    """What every training reports in its ``metrics.json``, local and coarse alike."""
    precision = precision_of(settings.precision, device)
    place = {
        "peak_memory_bytes": device.peak_memory_bytes(),
        "device": device.torch.type,
        "device_name": device.name,
        "device_slot": device.slot and f"{device.slot.device}.{device.slot.number}",
        "given": device.given,
        "threads": device.threads,
        "at_once": progress.at_once,
        "precision": precision,
        "kernels": kernels_of(device, precision),
    }
    rows = progress.history
    kept = rows[kept_epoch(rows, settings) - 1]
    return {"kept_epoch": kept["epoch"]} | metrics_of(
        {"parameters": num_parameters(net), "multiply_adds": multiply_adds(net, shape)},
        kept | {key: rows[-1][key] for key in ("epoch", "step")},
        progress.seconds - progress.setup_seconds,
        progress.setup_seconds,
        asdict(settings),
        num_images,
        place,
        progress.resumed,
    )


def _save(
    net: nn.Module,
    optimizer: Sgd | AdamW,
    checkpoint: Checkpoint,
    progress: Progress,
    device: Device,
) -> None:
    # Copies: of a view torch would save all that it is a part of.
    state: dict[str, Any] = {
        "net": {name: value.clone() for name, value in net.state_dict().items()},
        "optimizer": {
            name: [tensor.clone() for tensor in part]
            for name, part in optimizer.state_dict().items()
        },
        "random": random_states(device.torch),
        "progress": vars(progress),
    }
    checkpoint.save(state)


def _stop(progress: Progress) -> NoReturn:
    log.info(
        "stopped by %s after epoch %d, step %d of the next; the next run goes on from there",
        noted().name,
        progress.epoch,
        progress.step,
    )
    leave()


def _resume(
    net: nn.Module,
    optimizer: Sgd | AdamW,
    checkpoint: Checkpoint | None,
    device: Device,
) -> Progress | None:
    state = checkpoint.load() if checkpoint else None
    if state is None:
        return None
    net.load_state_dict(state["net"])
    optimizer.load_state_dict(state["optimizer"])
    restore_random_states(state["random"], device.torch)
    progress = Progress(**state["progress"])
    progress.resumed.append({"epoch": progress.epoch, "step": progress.step})
    log.info("resumed after epoch %d, step %d of the next", progress.epoch, progress.step)
    return progress
