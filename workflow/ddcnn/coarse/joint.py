"""The stage train_coherent: local nets and coarse net trained as one model.

Two of the six ways to decide that arXiv 2408.14442 compares: ``coherent`` starts from random
weights, ``transfer`` from the local nets and the coarse net that were trained one after the other.
The job sees whole images and holds all nets at once: what it gains in accuracy it pays with the
method's parallelism.
"""

import logging
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ddcnn.base.files import read_json, read_prepared, write_json, write_npz
from ddcnn.base.process import JobClock
from ddcnn.base.splits import SPLITS, parts_of
from ddcnn.base.tasks import Task, task_of
from ddcnn.coarse.net import CnnDnn, CoarseNet
from ddcnn.coarse.settings import CoarseSettings
from ddcnn.local.stage import fitting_settings, load_images
from ddcnn.local.subdomain import Subdomain
from ddcnn.nets.features import num_features
from ddcnn.tiles.geometry import Tiling
from ddcnn.training.checkpoint import Checkpoint, fingerprint_of
from ddcnn.training.device import choose_device
from ddcnn.training.loop import run, training, training_metrics
from ddcnn.training.prediction import evaluate, predict_logits
from ddcnn.training.samples import Images
from ddcnn.training.settings import Settings, write_history
from ddcnn.training.weights import load_weights, save_weights

log = logging.getLogger(__name__)


def build_cnn_dnn(
    subdomains: Sequence[Subdomain], tiling: Tiling, coarse: CoarseSettings, card: dict[str, Any]
) -> CnnDnn:
    """The two-level net with random local nets, each with the seed of its tile.

    Args:
        subdomains: in the order of the decomposition.
        tiling: how the images are cut.
        coarse: which coarse net.
        card: the data set's ``card.json``.
    """
    shape, task = tuple(card["shape"]), task_of(card)
    tile_shape = (*tiling.tile_shape(shape), card["channels"])
    nets = [subdomain.build(tile_shape, task.num_outputs) for subdomain in subdomains]
    per_tile = num_features(nets[0], tile_shape) if coarse.input == "features" else task.num_outputs
    torch.manual_seed(subdomains[0].seed)
    return CnnDnn(
        tiling.tiles(shape),
        nets,
        CoarseNet.of(coarse, len(nets) * per_tile, task.num_outputs),
        coarse.input,
        task,
        shape,
        card["mean"],
        card["std"],
        white=255 if card["dtype"] == "uint8" else 1,
    )


def load_parts(net: CnnDnn, trained: Sequence[Path]) -> None:
    """Give the model the weights of nets that were trained one after the other.

    Args:
        net: from :func:`build_cnn_dnn`.
        trained: ``model.safetensors`` of every local net, in the order of the decomposition, and of
            the coarse net.
    """
    for part, weights in zip([*net.nets, net.coarse], trained, strict=True):
        load_weights(part, weights)


def train_coherent(
    subdomains: Sequence[Subdomain],
    tiling: Tiling,
    images: dict[str, Path],
    labels: dict[str, Path],
    card: str | Path,
    coarse: CoarseSettings,
    settings: Settings,
    trained: Sequence[Path],
    out: str | Path,
    gpus: int = 0,
    threads: int = 1,
    code: str = "",
    checkpoint_seconds: float = 0.0,
) -> None:
    """Train the whole two-level net; write its weights, history, metrics and probabilities.

    Args:
        subdomains: the local nets, in the order of the decomposition.
        tiling: how the images are cut.
        images: ``x_{part}.npy`` of the data set by part, see :func:`ddcnn.base.splits.parts_of`.
        labels: ``y_{split}.npy`` of ``train`` and ``val``.
        card: the data set's ``card.json``.
        coarse: which coarse net.
        settings: how the model is trained; ``auto`` becomes what fits the data.
        trained: weights to start from (``transfer``): of the local nets, then of the coarse net;
            none for ``coherent``.
        out: folder of the four files; an unfinished training keeps its checkpoint there.
        gpus: 0 computes on the CPU; otherwise on a GPU if there is one.
        threads: CPU threads.
        code: digest of the code, part of the checkpoint's fingerprint.
        checkpoint_seconds: least time between two checkpoints; no result depends on it.
    """
    out, facts, device = Path(out), read_json(card), choose_device(gpus, threads)
    clock, task = JobClock(waited=device.waited), task_of(facts, settings.class_weights)
    settings = fitting_settings(settings, facts, "transfer" if trained else "local")
    samples = {
        split: load_images(
            [images[part] for part in parts_of(facts, split)],
            labels.get(split),
            facts,
            device,
            settings.augment,
            normalise=False,
            read=read_prepared,
        )
        for split in SPLITS
    }
    device.synchronize()
    clock.loaded()
    net = build_cnn_dnn(subdomains, tiling, coarse, facts)
    if trained:
        load_parts(net, trained)
    net.to(device.torch)
    log.info("training the %d nets of %s as one model", len(subdomains), tiling.slug)
    start = [sha256(path.read_bytes()).hexdigest() for path in trained]
    fingerprint = fingerprint_of(
        subdomains, tiling, facts["checksums"], coarse, settings, start, code
    )
    checkpoint = Checkpoint(out / "checkpoint.pt", fingerprint, checkpoint_seconds)
    loss, score = evaluate(net, samples["val"], task)
    log.info("before the first step: validation loss %.4f, %s %.4f", loss, task.score, score)
    clock.ready()
    progress = run(
        training(
            net,
            samples["train"],
            samples["val"],
            settings,
            subdomains[0].seed,
            device,
            checkpoint=checkpoint,
            task=task,
        )
    )
    write_history(progress.history, out / "history.csv")
    shape, num_images = (*facts["shape"], facts["channels"]), len(samples["train"])
    write_json(
        out / "metrics.json",
        {"tile": out.name, "tiles": [s.tile for s in subdomains], "seed": subdomains[0].seed}
        | {"loss_val_at_start": loss, f"{task.score}_val_at_start": score}
        | training_metrics(net, shape, progress, settings, num_images, device)
        | clock.metrics(),
    )
    write_npz(out / "probabilities.npz", **predictions(net, samples, task))
    save_weights(net, out / "model.safetensors")
    checkpoint.remove()


def predictions(net: CnnDnn, samples: dict[str, Images], task: Task) -> dict[str, np.ndarray]:
    """What the model says of every image of every split: float32 ``N, K``."""
    return {
        split: task.predictions(predict_logits(net, part, batch_size=256))
        for split, part in samples.items()
    }
