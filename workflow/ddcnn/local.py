"""The stages train_local and local_probabilities: one subdomain's net, on its own.

This is the subdomain solve of the two-level method (arXiv 2302.06564, section 3): a job reads the
shard of its tile and the labels, and talks to no other job. The global net is the same stage on
the tiling ``whole``.
"""

import logging
import time
import zlib
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ddcnn import models
from ddcnn.checkpoint import Checkpoint, load_weights, save_weights
from ddcnn.device import Device, JobClock, choose_device
from ddcnn.files import read_json, read_prepared, write_json, write_npz
from ddcnn.shards import read_shard
from ddcnn.training import (
    Images,
    Settings,
    fit,
    num_steps_per_epoch,
    predict_logits,
    training_metrics,
    write_history,
)

log = logging.getLogger(__name__)

FEW_STEPS = 100


@dataclass(frozen=True)
class Subdomain:
    """One local net of one run: which data, which net, which seed.

    Attributes:
        dataset, tiling, tile: the shard; ``tile`` is a grid index or ``view``.
        model: slug of the model in paths, for example ``vgg-w16``.
        architecture: name of the net, for example ``vgg``.
        width: channels of this net's first stage.
        dropout: of this net's last layer.
        seed: of the run.
    """

    dataset: str
    tiling: str
    tile: str
    model: str
    architecture: str
    width: int
    dropout: float
    seed: int

    @property
    def own_seed(self) -> int:
        """A seed of its own for every tile, or all nets would start from the same weights."""
        return zlib.crc32(f"{self.seed} {self.tiling} {self.tile}".encode())

    def shards(self, tiles: Path) -> dict[str, Path]:
        """The files of every split below the folder ``results/tiles``."""
        folder = tiles / self.dataset / self.tiling / self.tile
        return {split: folder / f"x_{split}.npy" for split in ("train", "val", "test")}

    def build(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        torch.manual_seed(self.own_seed)
        return models.build(self.architecture, shape, classes, self.width, self.dropout)


def train_local(
    subdomain: Subdomain,
    shards: dict[str, Path],
    labels: dict[str, Path],
    card: str | Path,
    settings: Settings,
    out: str | Path,
    gpus: int = 0,
    threads: int = 1,
    code: str = "",
) -> None:
    """Train a local net and write ``model.safetensors``, ``history.csv`` and ``metrics.json``.

    Args:
        subdomain: what to train.
        shards, labels: files of the splits ``train`` and ``val``.
        card: the data set's ``card.json``.
        settings: how to train.
        out: folder of the three files; an unfinished training keeps its checkpoint there.
        gpus: 0 computes on the CPU; otherwise on a GPU if there is one.
        threads: CPU threads.
        code: digest of the code, part of the checkpoint's fingerprint.
    """
    out, facts = Path(out), read_json(card)
    device = choose_device(gpus, threads)
    clock = JobClock()
    log.info("training %s, tile %s, on %s", subdomain.tiling, subdomain.tile, device.name)
    samples = {
        split: load_images(shards[split], labels[split], facts, device, settings.augment)
        for split in ("train", "val")
    }
    device.synchronize()
    clock.loaded()
    _warn_of_few_steps(len(samples["train"]), settings)
    shape, classes = tuple(samples["train"].pixels.shape[1:]), len(facts["classes"])
    net = subdomain.build(shape, classes).to(device.torch)
    fingerprint = _fingerprint(subdomain, settings, facts["checksums"], code)
    checkpoint = Checkpoint(out / "checkpoint.pt", fingerprint, settings.checkpoint_seconds)
    clock.ready()
    progress = fit(
        net,
        **samples,
        settings=settings,
        seed=subdomain.own_seed,
        device=device,
        checkpoint=checkpoint,
    )
    write_history(progress.history, out / "history.csv")
    description = asdict(subdomain) | {"input_shape": list(shape), "classes": classes}
    write_json(
        out / "metrics.json",
        description
        | training_metrics(net, shape, progress, settings, len(samples["train"].labels), device)
        | clock.metrics(),
    )
    save_weights(net, out / "model.safetensors")
    checkpoint.remove()


def _warn_of_few_steps(num_images: int, settings: Settings) -> None:
    steps = settings.epochs * num_steps_per_epoch(num_images, settings.batch_size)
    if steps < FEW_STEPS:
        log.warning(
            "warning: only %d training steps on %d images; with more epochs or a smaller "
            "batch_size the nets learn more",
            steps,
            num_images,
        )


def load_images(
    shard: str | Path,
    labels: str | Path | None,
    card: dict[str, Any],
    device: Device,
    augment: bool = False,
) -> Images:
    """A split of one tile on the device; ``augment`` as far as the card allows it."""
    axes, allowed = card["axes"], card["augment"] if augment else {"flip": [], "shift": 0}
    return Images(
        pixels=torch.from_numpy(read_shard(shard)).to(device.torch),
        labels=labels and torch.from_numpy(read_prepared(labels)).to(device.torch),
        mean=card["mean"],
        std=card["std"],
        flip=[axes.index(axis) for axis in allowed["flip"]],
        shift=allowed["shift"],
    )


def _fingerprint(
    subdomain: Subdomain, settings: Settings, checksums: dict[str, str], code: str
) -> str:
    """Stands for everything that decides a training's result."""
    return sha256(repr((subdomain, settings, sorted(checksums.items()), code)).encode()).hexdigest()


def write_probabilities(
    subdomain: Subdomain,
    shards: dict[str, Path],
    card: str | Path,
    weights: str | Path,
    out: str | Path,
    gpus: int = 0,
    threads: int = 1,
) -> None:
    """Write a local net's class probabilities, float32 ``N, K`` for every split, to ``out``.

    The key ``seconds`` holds the time of the extraction.
    """
    facts, device = read_json(card), choose_device(gpus, threads)
    samples = {s: load_images(shard, None, facts, device) for s, shard in shards.items()}
    shape = tuple(samples["train"].pixels.shape[1:])
    net = load_weights(subdomain.build(shape, len(facts["classes"])), weights).to(device.torch)
    start = time.perf_counter()
    probabilities = {
        split: F.softmax(predict_logits(net, images), dim=1).cpu().numpy()
        for split, images in samples.items()
    }
    seconds = time.perf_counter() - start
    log.info("probabilities of tile %s in %.1f s on %s", subdomain.tile, seconds, device.name)
    write_npz(out, **probabilities, seconds=np.array(seconds))
