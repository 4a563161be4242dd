"""The stages train_local, train_fold and local_features: one subdomain's net, on its own.

This is the subdomain solve of the two-level method (arXiv 2302.06564, section 3): a job reads the
shard of its tile and the labels, and talks to no other job. The global net is the same stage on
the tiling ``whole``. Where tiles are many and small, one job trains several: on a CPU one after the
other, on a GPU at once.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ddcnn.base.defaults import Facts, chosen
from ddcnn.base.errors import InputError
from ddcnn.base.files import read_joined, read_json, read_prepared, write_json, write_npz
from ddcnn.base.listing import groups_of
from ddcnn.base.process import JobClock
from ddcnn.base.splits import FITTING
from ddcnn.base.tasks import Task, task_of
from ddcnn.base.text import augmentation_in_words
from ddcnn.local.subdomain import Subdomain, deal_training
from ddcnn.tiles.packs import Pack
from ddcnn.tiles.shards import read_shard
from ddcnn.training.checkpoint import Checkpoint, fingerprint_of, random_states
from ddcnn.training.device import Device, choose_device
from ddcnn.training.loop import Progress, Training, run, training, training_metrics
from ddcnn.training.prediction import predict_features, predict_logits
from ddcnn.training.samples import Images
from ddcnn.training.schedule import num_steps_per_epoch
from ddcnn.training.settings import Settings, write_history
from ddcnn.training.together import Member, fit_together
from ddcnn.training.weights import load_weights, save_weights

log = logging.getLogger(__name__)

FEW_STEPS = 100
CHECKPOINT, REFIT_CHECKPOINT = "checkpoint.pt", "refit.checkpoint.pt"
SETTINGS = Settings


def train_local(
    subdomains: Sequence[Subdomain],
    tiles: str | Path,
    labels: dict[str, Path],
    card: str | Path,
    settings: Settings,
    out: Sequence[str | Path],
    gpus: int = 0,
    threads: int = 1,
    code: str = "",
    checkpoint_seconds: float = 0.0,
    refit: bool = False,
) -> None:
    """Train local nets and write what they say of all images.

    Of each: ``model.safetensors``, ``history.csv``, ``metrics.json`` and ``probabilities.npz``, see
    :func:`write_probabilities`.

    With ``refit`` a second net is trained in the same way on training and validation split: it
    decides on the test split, and its weights are stored. The coarse net and every choice learn
    from the first net, which has not seen the validation split, as in stacking (Wolpert 1992).

    Args:
        subdomains: what to train.
        tiles: the folder ``results/tiles``.
        labels: files of the splits ``train`` and ``val``.
        card: the data set's ``card.json``.
        settings: how to train; ``auto`` becomes what fits the data.
        out: a folder for each; an unfinished training keeps its checkpoint there, and of several a
            finished one, too, until all are done.
        gpus: 0 computes on the CPU; otherwise on a GPU if there is one.
        threads: CPU threads.
        code: digest of the code, part of the checkpoint's fingerprint.
        checkpoint_seconds: least time between two checkpoints; no result depends on it.
        refit: see above; the validation split may then choose neither epochs nor weights.

    Raises:
        InputError: a training diverged; of several, the others were trained before.
    """
    device, facts = choose_device(gpus, threads), read_json(card)
    settings = fitting_settings(settings, facts)
    pack = Pack(tuple(each.tile for each in subdomains))
    data = _Data(Path(tiles), labels, facts, settings, device)
    clock, failed = JobClock(waited=device.waited), []
    jobs = list(zip(subdomains, map(Path, out), strict=True))
    for group in [jobs] if takes_at_once(device) else [[job] for job in jobs]:
        device.forget_peak_memory()
        trainings = []
        for subdomain, folder in group:
            log.info("training %s, tile %s, on %s", subdomain.tiling, subdomain.tile, device.name)
            checkpoint = _checkpoint(subdomain, settings, facts, folder, code, checkpoint_seconds)
            checkpoint.keep_last = refit or len(jobs) > 1
            trainings.append(_Training(subdomain, data.load(subdomain), checkpoint, clock))
            clock.loaded()
            clock = JobClock(first=False)
        ends = _fit_all(trainings, data)
        lasts = _refit_all(trainings, ends, data) if refit else ends
        for each, end, last in zip(trainings, ends, lasts, strict=True):
            try:
                _finish(each, end, last, data, pack.name)
            except InputError as error:
                tile = f"tile {each.subdomain.tile}: " if len(jobs) > 1 else ""
                failed.append(f"{tile}{error}")
        del trainings, ends, lasts, each, end, last  # before the next tile's are loaded
    if failed:
        raise InputError("; ".join(failed))
    for _, folder in jobs:
        for file in (CHECKPOINT, REFIT_CHECKPOINT):
            (folder / file).unlink(missing_ok=True)


@dataclass(frozen=True)
class _Data:
    """What all trainings of a job have in common."""

    tiles: Path
    labels: dict[str, Path]
    card: dict[str, Any]
    settings: Settings
    device: Device

    def load(self, subdomain: Subdomain) -> dict[str, Images]:
        shards = subdomain.shards(self.tiles, self.card)
        found = load_training_images(shards, self.labels, self.card, self.settings, self.device)
        warn_of_few_steps(len(found["train"]), self.settings)
        return found


@dataclass(frozen=True)
class _Training:
    """One of a job's trainings."""

    subdomain: Subdomain
    samples: dict[str, Images | None]
    checkpoint: Checkpoint
    clock: JobClock

    def again(self) -> "_Training":
        """Of a net of the same first weights, which learns from the validation split, too."""
        tile = self.subdomain
        log.info("training %s, tile %s, once more, with validation", tile.tiling, tile.tile)
        both = self.samples["train"].joined(self.samples["val"])
        path = self.checkpoint.path.with_name(REFIT_CHECKPOINT)
        checkpoint = replace(self.checkpoint, path=path)
        return _Training(tile, {"train": both, "val": None}, checkpoint, JobClock(first=False))


Trained = tuple[nn.Module, Progress]


def takes_at_once(device: Device) -> bool:
    """Whether one job's nets take their steps at once: a small net's keep no GPU busy."""
    return device.torch.type == "cuda"


def _fit_all(trainings: Sequence[_Training], data: _Data) -> list[Trained | InputError]:
    """The trained nets, or what went wrong with them."""
    if len(trainings) == 1:
        try:
            return [_fit(trainings[0], data)]
        except InputError as error:
            return [error]
    nets, members = [], []
    for each in trainings:
        net, steps = _begin(each, data)
        nets.append(net)
        members.append(Member(steps, random_states(data.device.torch), data.device))
    ends = fit_together(members)
    return [
        end if isinstance(end, InputError) else (net, end)
        for net, end in zip(nets, ends, strict=True)
    ]


def _refit_all(
    trainings: Sequence[_Training], ends: Sequence[Trained | InputError], data: _Data
) -> list[Trained | InputError]:
    """The nets trained once more, with validation, those that went wrong excepted."""
    sound = [not isinstance(end, InputError) for end in ends]
    again = [each.again() for each in compress(trainings, sound)]
    found = iter(_fit_all(again, data))
    return [next(found) if is_sound else end for end, is_sound in zip(ends, sound, strict=True)]


def _finish(
    done: _Training, end: Trained | InputError, last: Trained | InputError, data: _Data, job: str
) -> None:
    """Write the results: of the training, and of its refit if there was one."""
    for trained in (end, last):
        if isinstance(trained, InputError):
            raise trained
    (net, progress), (last_net, again) = end, last
    subdomain, samples, folder = done.subdomain, done.samples, done.checkpoint.path.parent
    settings, card, device = data.settings, data.card, data.device
    metrics = local_metrics(subdomain, net, progress, samples, settings, device) | {"job": job}
    if again is not progress:
        metrics["refit"] = _refit_costs(again, sum(map(len, samples.values())), task_of(card))
        metrics["train_seconds"] += metrics["refit"]["train_seconds"]
    test = subdomain.shards(data.tiles, card)["test"]
    write_probabilities(net, samples, last_net, test, card, folder, device)
    write_history(progress.history, folder / "history.csv")
    write_json(folder / "metrics.json", metrics | done.clock.metrics())
    save_weights(last_net, folder / "model.safetensors")


def _refit_costs(progress: Progress, num_images: int, task: Task) -> dict[str, Any]:
    kept = ("epoch", "step", "loss_train", f"{task.score}_train")
    seconds = progress.seconds - progress.setup_seconds
    costs = {"images": num_images, "train_seconds": round(seconds, 4)}
    costs["at_once"] = progress.at_once
    return {key: progress.history[-1][key] for key in kept} | costs


def train_fold(
    subdomain: Subdomain,
    fold: int,
    num_folds: int,
    tiles: str | Path,
    labels: dict[str, Path],
    card: str | Path,
    listing: str | Path,
    settings: Settings,
    coarse_input: str,
    out: str | Path,
    gpus: int = 0,
    threads: int = 1,
    code: str = "",
    checkpoint_seconds: float = 0.0,
) -> None:
    """Train a local net without a part of the training split, and let it judge that part.

    All folds together give every training image a local decision by a net that has not seen it:
    what the coarse net learns from with ``fit_on: out-of-fold`` (stacking; Wolpert 1992).

    Writes ``held_out.npz`` (``index``: int64 of the images left out; ``train``: float32
    ``len(index), K``, and what else the coarse net sees) and ``metrics.json``.

    Args:
        subdomain: what to train.
        fold: from 0: the part to leave out.
        num_folds: into how many parts the images are dealt, at random but alike for all tiles;
            those of one group (a patient) stay together.
        listing: the data set's ``samples.csv``, which knows the groups.
        coarse_input: what the coarse net sees of a tile.
        tiles, labels, card, settings, out, gpus, threads, code, checkpoint_seconds: as for
            :func:`train_local`, of one subdomain.

    Raises:
        InputError: too few images or groups for so many parts; the training diverged.
    """
    out, facts = Path(out), read_json(card)
    settings = fitting_settings(settings, facts)
    device = choose_device(gpus, threads)
    clock = JobClock(waited=device.waited)
    log.info("training %s, tile %s, without fold %d", subdomain.tiling, subdomain.tile, fold + 1)
    shards = subdomain.shards(Path(tiles), facts)
    samples = load_training_images(shards, labels, facts, settings, device)
    groups = groups_of(Path(listing).parent, ["train"])
    targets = read_prepared(labels["train"])
    index, others = map(
        torch.from_numpy, deal_training(targets, num_folds, subdomain.seed, fold, groups)
    )
    left_out = samples["train"].subset(index.to(device.torch))
    samples["train"] = samples["train"].subset(others.to(device.torch))
    clock.loaded()
    code = f"{code} fold {fold} of {num_folds}"
    checkpoint = _checkpoint(subdomain, settings, facts, out, code, checkpoint_seconds)
    data = _Data(Path(tiles), labels, facts, settings, device)
    net, progress = _fit(_Training(subdomain, samples, checkpoint, clock), data)
    held_out = local_outputs(net, left_out, task_of(facts), coarse_input, "train")
    write_npz(out / "held_out.npz", index=index.numpy(), **held_out)
    write_json(
        out / "metrics.json",
        local_metrics(subdomain, net, progress, samples, settings, device)
        | {"fold": fold, "folds": num_folds}
        | clock.metrics(),
    )
    checkpoint.remove()


def _checkpoint(
    subdomain: Subdomain,
    settings: Settings,
    card: dict[str, Any],
    out: Path,
    code: str,
    every_seconds: float,
) -> Checkpoint:
    fingerprint = fingerprint_of(subdomain, settings, sorted(card["checksums"].items()), code)
    return Checkpoint(out / CHECKPOINT, fingerprint, every_seconds)


def _fit(one: _Training, data: _Data) -> Trained:
    net, steps = _begin(one, data)
    return net, run(steps)


def _begin(one: _Training, data: _Data) -> tuple[nn.Module, Training]:
    """The net with random weights, and its training, of which no step is taken yet."""
    task = task_of(data.card, data.settings.class_weights)
    shape = tuple(one.samples["train"].pixels.shape[1:])
    net = one.subdomain.build(shape, task.num_outputs).to(data.device.torch)
    steps = training(
        net,
        **one.samples,
        settings=data.settings,
        seed=one.subdomain.own_seed,
        device=data.device,
        checkpoint=one.checkpoint,
        task=task,
    )
    one.clock.ready()
    return net, steps


def local_metrics(
    subdomain: Subdomain,
    net: nn.Module,
    progress: Progress,
    samples: dict[str, Images],
    settings: Settings,
    device: Device,
) -> dict[str, Any]:
    """What ``metrics.json`` says of one net, but for the clock of its job."""
    shape = tuple(samples["train"].pixels.shape[1:])
    return (
        asdict(subdomain)
        | {"input_shape": list(shape)}
        | training_metrics(net, shape, progress, settings, len(samples["train"]), device)
    )


def fitting_settings(settings: Settings, card: dict[str, Any], part: str = "local") -> Settings:
    """The settings that a training has: numbers for ``auto``, augmentation where it does anything.

    Args:
        settings: as configured.
        card: the data set's ``card.json``.
        part: see :func:`ddcnn.base.defaults.chosen`.
    """
    numbers = chosen(vars(settings), Facts.of_card(card), part)
    moves = augmentation_in_words(**card["augment"])
    if numbers:
        words = ", ".join(f"{key} {value}" for key, value in numbers.items())
        log.info("chosen for these data (auto): %s", words)
    if settings.augment:
        log.info("augmentation: %s", moves or "none, as the data set allows none")
    return replace(settings, **numbers, augment=settings.augment and bool(moves))


def load_training_images(
    shards: dict[str, list[Path]],
    labels: dict[str, Path],
    card: dict[str, Any],
    settings: Settings,
    device: Device,
) -> dict[str, Images]:
    """The splits ``train`` and ``val`` of one tile on the device."""
    samples = {
        split: load_images(shards[split], labels[split], card, device, settings.augment)
        for split in FITTING
    }
    device.synchronize()
    return samples


def warn_of_few_steps(num_images: int, settings: Settings) -> None:
    """Say in the log where a training ends before the nets can have learned much."""
    steps = settings.epochs * num_steps_per_epoch(num_images, settings.batch_size)
    if steps < FEW_STEPS:
        log.warning(
            "warning: only %d training steps on %d images; with more epochs or a smaller "
            "batch_size the nets learn more",
            steps,
            num_images,
        )


def load_images(
    files: Sequence[str | Path],
    labels: str | Path | None,
    card: dict[str, Any],
    device: Device,
    augment: bool = False,
    normalise: bool = True,
    read: Callable[[str | Path], np.ndarray] = read_shard,
) -> Images:
    """A split of one tile on the device, from the files of its parts.

    ``augment`` as far as the card allows it.
    """
    axes, allowed = card["axes"], card["augment"] if augment else {"flip": [], "shift": 0}
    targets = None
    if labels is not None:
        loaded = task_of(card).load_targets(read_prepared(labels))
        targets = torch.from_numpy(loaded).to(device.torch)
    return Images(
        pixels=torch.from_numpy(read_joined(files, read)).to(device.torch),
        labels=targets,
        mean=card["mean"],
        std=card["std"],
        flip=[axes.index(axis) for axis in allowed["flip"]],
        shift=allowed["shift"],
        normalise=normalise,
    )


def write_probabilities(
    net: nn.Module,
    samples: dict[str, Images],
    last: nn.Module,
    test: Sequence[Path],
    card: dict[str, Any],
    out: Path,
    device: Device,
) -> None:
    """Write what a local net says of ``samples``, and ``last`` of ``test``: ``probabilities.npz``.

    Class probabilities, float32 ``N, K`` for every split, and the logits beside them as
    ``{split}_logits``; for regression the predicted targets in their own units, float32 ``N, M``.
    The key ``seconds`` holds the time of the extraction.
    """
    start, task = time.perf_counter(), task_of(card)
    outputs: dict[str, np.ndarray] = {}
    for split, images in samples.items():
        outputs |= local_outputs(net, images, task, "logits", split)
    outputs |= local_outputs(last, load_images(test, None, card, device), task, "logits", "test")
    seconds = time.perf_counter() - start
    log.info("probabilities in %.1f s", seconds)
    write_npz(out / "probabilities.npz", **outputs, seconds=np.array(seconds))


def write_features(
    subdomain: Subdomain,
    tiles: str | Path,
    card: str | Path,
    weights: str | Path,
    out: str | Path,
    gpus: int = 0,
    threads: int = 1,
) -> None:
    """Write what a trained net's last layer sees: ``{split}_features``, float32 ``N, F``.

    Args:
        subdomain, tiles, card, gpus, threads: as for :func:`train_local`.
        weights: ``model.safetensors`` of its net.
        out: the file ``features.npz``.
    """
    facts, device = read_json(card), choose_device(gpus, threads)
    samples = {
        split: load_images(files, None, facts, device)
        for split, files in subdomain.shards(Path(tiles), facts).items()
    }
    shape = tuple(samples["train"].pixels.shape[1:])
    net = subdomain.build(shape, task_of(facts).num_outputs)
    net = load_weights(net, weights).to(device.torch)
    features = {s: predict_features(net, images)[0].cpu().numpy() for s, images in samples.items()}
    write_npz(out, **{f"{split}_features": values for split, values in features.items()})


def local_outputs(
    net: nn.Module, images: Images, task: Task, coarse_input: str, split: str
) -> dict[str, np.ndarray]:
    """What a net says of all images of a split, with what the coarse net sees beside it."""
    if coarse_input == "features":
        features, outputs = predict_features(net, images)
        return {split: task.predictions(outputs), f"{split}_features": features.cpu().numpy()}
    outputs = predict_logits(net, images)
    with_logits = coarse_input == "logits" and task.name == "classification"
    extra = {f"{split}_logits": outputs.cpu().numpy()} if with_logits else {}
    return {split: task.predictions(outputs)} | extra
