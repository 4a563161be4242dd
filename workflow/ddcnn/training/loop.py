"""The training loop, the same for local nets, the global net and the coarse net.

The data of one job is small, so it stays on the device as stored (uint8 or, of signals, float32),
and batches are gathered by index:
no loader processes. Everything random is drawn from the seed, the epoch and the step, or from
torch's generators, whose states a checkpoint holds: an interrupted training ends with the same
bits as an undisturbed one.
"""

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any, NoReturn, Protocol

import torch
from torch import nn

from ddcnn.base import events
from ddcnn.base.errors import InputError
from ddcnn.base.tasks import Classification, Task
from ddcnn.nets.cost import multiply_adds, num_parameters
from ddcnn.nets.features import last_features
from ddcnn.nets.kernels.door import gather_images
from ddcnn.training.checkpoint import Checkpoint, random_states, restore_random_states
from ddcnn.training.device import Device
from ddcnn.training.interruption import leave, noted, noting_signals
from ddcnn.training.optimizers import AdamW, Sgd
from ddcnn.training.settings import Settings, metrics_of
from ddcnn.training.steps import Step, kernels_of, lay_channels_last, precision_of, step_class

log = logging.getLogger(__name__)

CLASSIFICATION = Classification()
# A prediction takes at most so many samples at a time, and so many numbers in them.
LARGEST_BATCH, VALUES_OF_BATCH = 1024, 2**20


# Makes the generator of what is random in a batch, where anything is.
Random = Callable[[], torch.Generator]


class Samples(Protocol):
    """Samples that live on the device."""

    # int64 N, or standardised targets float32 N, M; none where only predictions are wanted
    labels: torch.Tensor | None

    def __len__(self) -> int: ...

    def inputs(self, index: torch.Tensor) -> torch.Tensor:
        """Inputs of the net for the samples ``index``, as they are."""
        ...

    def training_inputs(self, index: torch.Tensor, random: Random) -> torch.Tensor:
        """These inputs with random augmentation."""
        ...


@dataclass
class Images:
    """Images or signals ``N, *spatial, C`` that become normalised float ``N, C, *spatial``.

    Attributes:
        pixels: uint8 (images) or float32 (signals) ``N, *spatial, C`` on the device.
        labels: int64 ``N`` or standardised targets float32 ``N, M`` on the device, or None.
        mean, std: per channel, of uint8 pixels / 255, of float values as they are.
        flip: spatial axes (0 = rows) along which an image may be mirrored.
        shift: largest random shift in pixels, edges repeated.
        normalise: False leaves the values as they are; the net then does it itself.
    """

    pixels: torch.Tensor
    labels: torch.Tensor | None
    mean: Sequence[float]
    std: Sequence[float]
    flip: Sequence[int] = ()
    shift: int = 0
    normalise: bool = True

    def __post_init__(self) -> None:
        # (x / 255 - mean) / std as one multiplication and one addition.
        white = 255 if self.pixels.dtype == torch.uint8 else 1
        std = torch.tensor(self.std, device=self.pixels.device)
        mean = torch.tensor(self.mean, device=self.pixels.device)
        self._scale, self._offset = 1 / (white * std), -mean / std
        # One factor for every number of a row: torch is slow with factors that repeat in a row.
        width = self.pixels.shape[-2]
        self._scales, self._offsets = self._scale.repeat(width), self._offset.repeat(width)

    def __len__(self) -> int:
        return len(self.pixels)

    def subset(self, index: torch.Tensor) -> "Images":
        """The images ``index``."""
        return replace(self, pixels=self.pixels[index], labels=self.labels[index])

    def inputs(self, index: torch.Tensor) -> torch.Tensor:
        if self.normalise:
            x = gather_images(self.pixels, index, self._scale, self._offset)
            if x is not None:
                return x.movedim(-1, 1)
        return self._normalise(self.pixels.index_select(0, index))

    def training_inputs(self, index: torch.Tensor, random: Random) -> torch.Tensor:
        if not (self.flip or self.shift):
            return self.inputs(index)
        return self._normalise(self._augment(self.pixels.index_select(0, index), random()))

    def _normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        x = pixels.float().contiguous()
        if self.normalise:
            x.flatten(start_dim=-2).mul_(self._scales).add_(self._offsets)
        # Channels first for torch, still channels last in memory, which its CPU kernels like.
        return x.movedim(-1, 1)

    def _augment(self, pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        for axis in self.flip:
            mirrored = torch.rand(len(pixels), generator=generator) < 0.5
            mirrored = mirrored.to(pixels.device).view(-1, *(1 for _ in pixels.shape[1:]))
            pixels = torch.where(mirrored, pixels.flip(axis + 1), pixels)
        if self.shift:
            for axis in range(1, pixels.ndim - 1):
                pixels = _shift(pixels, axis, self.shift, generator)
        return pixels


def _shift(x: torch.Tensor, axis: int, most: int, generator: torch.Generator) -> torch.Tensor:
    """Every image moved by its own random number of pixels along ``axis``, edges repeated."""
    size = x.shape[axis]
    moves = torch.randint(-most, most + 1, (len(x), 1), generator=generator)
    source = (torch.arange(size) + moves).clamp_(0, size - 1).to(x.device)
    source = source.view(len(x), *[size if a == axis else 1 for a in range(1, x.ndim)])
    return x.gather(axis, source.expand_as(x))


@dataclass
class Features:
    """Float vectors ``N, F``: what the coarse net sees."""

    values: torch.Tensor
    labels: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.values)

    def inputs(self, index: torch.Tensor) -> torch.Tensor:
        return self.values[index]

    def training_inputs(self, index: torch.Tensor, random: Random) -> torch.Tensor:
        return self.values[index]

    def subset(self, index: torch.Tensor) -> "Features":
        """The samples ``index``."""
        return Features(self.values[index], self.labels[index])


@dataclass
class Progress:
    """Where a training stands, and what it has seen; the part of its state that is not weights."""

    epoch: int = 0  # finished epochs
    step: int = 0  # finished steps of the epoch in hand
    loss_sum: float = 0.0  # of the epoch in hand
    merit_sum: float = 0  # of the epoch in hand; what it counts is the task's business
    seconds: float = 0.0  # training steps alone, all epochs
    first_steps: int = 0  # processes that took a step
    first_seconds: float = 0.0  # of the first step of each of them
    history: list[dict[str, float]] = field(default_factory=list)
    resumed: list[dict[str, int]] = field(default_factory=list)

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


def one_cycle(step: int, num_steps: int, peak: float) -> float:
    """Learning rate of a step: a cosine up to the peak in 30 % of the steps, a cosine down to 0.

    The one-cycle policy of Smith and Topin (arXiv 1708.07120) as in torch's ``OneCycleLR``.
    """
    first, last = peak / 25, peak / 25e4
    summit = 0.3 * num_steps - 1
    if step <= summit:
        return _cosine(first, peak, step / summit)
    return _cosine(peak, last, (step - summit) / (num_steps - 1 - summit))


def _cosine(start: float, end: float, fraction: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * fraction))


def make_optimizer(net: nn.Module, settings: Settings) -> Sgd | AdamW:
    """SGD with Nesterov momentum, or AdamW."""
    weights = [weight for weight in net.parameters() if weight.requires_grad]
    if settings.optimizer == "adamw":
        return AdamW(weights, settings.weight_decay)
    return Sgd(weights, settings.momentum, settings.weight_decay)


def generator_of(*numbers: int) -> torch.Generator:
    """A random generator that depends on nothing but these numbers."""
    seed = 0
    for number in numbers:  # a linear congruential step mixes each number in
        seed = (seed * 6364136223846793005 + number + 1442695040888963407) % 2**63
    return torch.Generator().manual_seed(seed)


def num_steps_per_epoch(num_samples: int, batch_size: int) -> int:
    """Whole batches in an epoch; the samples left over are others in every epoch."""
    return max(1, num_samples // batch_size)


def fit(
    net: nn.Module,
    train: Samples,
    val: Samples,
    settings: Settings,
    seed: int,
    device: Device,
    checkpoint: Checkpoint | None = None,
    task: Task = CLASSIFICATION,
) -> Progress:
    """Train ``net`` in place and return its history.

    Args:
        net: maps inputs of ``train`` to logits ``N, K`` or standardised targets ``N, M``; on the
            device already.
        train, val: samples to learn from, and to measure after every epoch.
        settings: see :class:`Settings`.
        seed: fixes the order of samples and the augmentation; weights and dropout come from
            torch's generator, which the caller seeds before building the net.
        device: where everything lives.
        checkpoint: saves the state after every epoch, at most once in ``every_seconds`` (then
            also between two steps), and gives it back when the training starts anew. With one,
            SIGTERM and SIGINT end the process after the step in hand, its state saved.
        task: says what is minimised and which score the history holds.
    """
    lay_channels_last(net, device)
    optimizer = make_optimizer(net, settings)
    precision = precision_of(settings.precision, device)
    log.info("kernels of %s", kernels_of(device, precision))
    smoothing = settings.label_smoothing
    step = step_class(device)(net, optimizer, task, smoothing, precision, device)
    progress = _resume(net, optimizer, checkpoint, device) or Progress()
    steps = num_steps_per_epoch(len(train), settings.batch_size)
    with noting_signals(checkpoint is not None):
        while progress.epoch < settings.epochs:
            _train_epoch(step, train, settings, seed, progress, checkpoint)
            progress.history.append(_measure(net, train, val, settings, steps, progress, task))
            _refuse_infinite(progress.history[-1]["loss_val"], "on the validation split", progress)
            progress.epoch += 1
            progress.step, progress.loss_sum, progress.merit_sum = 0, 0.0, 0
            last = progress.epoch == settings.epochs
            if checkpoint and (noted() or checkpoint.due() or (last and checkpoint.keep_last)):
                _save(net, optimizer, checkpoint, progress, device)
            row = progress.history[-1]
            log.info(_epoch_line(row, settings.epochs, task), extra={events.ROW: row})
            # Where a job has several trainings, the next one waits: this one may stop.
            if noted() and (not last or checkpoint.keep_last):
                _stop(progress)
    return progress


def _train_epoch(
    take_step: Step,
    train: Samples,
    settings: Settings,
    seed: int,
    progress: Progress,
    checkpoint: Checkpoint | None,
) -> None:
    """Steps from ``progress.step`` to the end of the epoch."""
    net, device = take_step.net, take_step.device
    num_samples = len(train)
    steps = num_steps_per_epoch(num_samples, settings.batch_size)
    order = torch.randperm(num_samples, generator=generator_of(seed, progress.epoch))
    order = order.to(device.torch)
    # They stay on the device: reading them in every step would make the device wait.
    losses: list[torch.Tensor] = []
    merits: list[torch.Tensor] = []
    net.train()
    device.synchronize()
    start = time.perf_counter()
    for step in range(progress.step, steps):
        index = order[step * settings.batch_size : (step + 1) * settings.batch_size]
        inputs = train.training_inputs(index, partial(generator_of, seed, progress.epoch, step))
        done = progress.epoch * steps + step
        rate = one_cycle(done, settings.epochs * steps, settings.learning_rate)
        loss, merit = take_step(inputs, train.labels.index_select(0, index), rate)
        losses.append(loss)
        merits.append(merit)
        if take_step.is_first:
            take_step.is_first = False
            device.synchronize()
            progress.first_steps += 1
            progress.first_seconds += time.perf_counter() - start
        # By the clock also in mid-epoch: an epoch of a large scan can take hours.
        if checkpoint and (noted() or (checkpoint.every_seconds > 0 and checkpoint.due())):
            _add(losses, merits, len(index), progress, settings, steps)
            progress.seconds += time.perf_counter() - start
            _save(net, take_step.optimizer, checkpoint, progress, device)
            if noted():
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
    val: Samples,
    settings: Settings,
    steps: int,
    progress: Progress,
    task: Task,
) -> dict[str, float]:
    """One row of ``history.csv``: the epoch's running means and the validation split."""
    seen = min(steps * settings.batch_size, len(train))
    done = (progress.epoch + 1) * steps
    loss_val, score_val = evaluate(net, val, task)
    return {
        "epoch": progress.epoch + 1,
        "step": done,
        "learning_rate": one_cycle(done - 1, settings.epochs * steps, settings.learning_rate),
        "loss_train": progress.loss_sum / seen,
        f"{task.score}_train": task.score_of(progress.merit_sum / seen, train.labels),
        "loss_val": loss_val,
        f"{task.score}_val": score_val,
        "seconds": progress.seconds,
    }


def _refuse_infinite(loss: float, where: str, progress: Progress) -> None:
    if math.isfinite(loss):
        return
    raise InputError(
        f"the training diverged in epoch {progress.epoch + 1}: its loss is {loss} {where}; take a "
        "smaller learning_rate, or look for broken values in the data. The last checkpoint from "
        "before is kept"
    )


def _epoch_line(row: dict[str, float], epochs: int, task: Task) -> str:
    return (
        f"epoch {row['epoch']}/{epochs}: loss {row['loss_train']:.4f}, "
        f"{task.score} {row[f'{task.score}_train']:.4f}; validation loss {row['loss_val']:.4f}, "
        f"{task.score} {row[f'{task.score}_val']:.4f}; {row['seconds']:.1f} s"
    )


@torch.no_grad()
def predict_logits(
    net: nn.Module, samples: Samples, batch_size: int = LARGEST_BATCH
) -> torch.Tensor:
    """Outputs ``N, K`` of all samples, in evaluation mode, without augmentation.

    A batch holds ``batch_size`` samples, or fewer large ones.
    """
    net.eval()
    parts = _batches(net, samples, batch_size)
    return torch.cat([net(samples.inputs(part)) for part in parts])


def _batches(
    net: nn.Module, samples: Samples, batch_size: int = LARGEST_BATCH
) -> Sequence[torch.Tensor]:
    """Indices of samples that are predicted together: of volumes fewer, for the memory's sake."""
    index = torch.arange(len(samples), device=next(net.parameters()).device)
    values = samples.inputs(index[:1]).numel()
    return index.split(max(1, min(batch_size, VALUES_OF_BATCH // values)))


@torch.no_grad()
def predict_features(net: nn.Module, samples: Samples) -> tuple[torch.Tensor, torch.Tensor]:
    """What the net's last linear layer sees, ``N, F``, and the outputs ``N, K``, of all samples."""
    net.eval()
    parts = [last_features(net, samples.inputs(part)) for part in _batches(net, samples)]
    features, outputs = zip(*parts, strict=True)
    return torch.cat(features), torch.cat(outputs)


def evaluate(net: nn.Module, samples: Samples, task: Task = CLASSIFICATION) -> tuple[float, float]:
    """Mean loss and score (accuracy or R²) over all samples."""
    outputs = predict_logits(net, samples)
    merit = task.merits(outputs, samples.labels).double().mean().item()
    loss = task.loss(outputs, samples.labels).item()
    return loss, task.score_of(merit, samples.labels)


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
        "precision": precision,
        "kernels": kernels_of(device, precision),
    }
    return metrics_of(
        {"parameters": num_parameters(net), "multiply_adds": multiply_adds(net, shape)},
        progress.history[-1],
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
    state: dict[str, Any] = {
        "net": net.state_dict(),
        "optimizer": optimizer.state_dict(),
        "random": random_states(device.torch),
        "progress": vars(progress),
    }
    checkpoint.save(state)


def _stop(progress: Progress) -> NoReturn:
    log.info(
        "stopped by %s after epoch %d, step %d of the next; the next run goes on from there",
        noted(),
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
