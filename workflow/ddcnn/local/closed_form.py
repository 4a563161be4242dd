"""The stages train_local and train_fold of nets that are solved in closed form: ``lda``.

Linear discriminant analysis of every tile, with a dense net over the local decisions, is the
decomposed LDA of arXiv 2410.23359. The jobs do without torch, whose import would take longer than
what they compute. What they write is what :mod:`ddcnn.local.stage` writes.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from ddcnn.base.errors import InputError
from ddcnn.base.files import read_joined, read_json, read_prepared, write_json, write_npz
from ddcnn.base.listing import groups_of
from ddcnn.base.memory import memory_left
from ddcnn.base.process import JobClock
from ddcnn.base.splits import FITTING
from ddcnn.base.tasks import Task, task_of
from ddcnn.base.text import size
from ddcnn.local.subdomain import Subdomain, deal_training
from ddcnn.tiles.packs import Pack
from ddcnn.tiles.shards import read_shard
from ddcnn.training.discriminant import Discriminant, Values, discriminant, matrix_bytes
from ddcnn.training.settings import ClosedFormSettings, metrics_of, place_on_cpu, write_history
from ddcnn.training.weights import save_arrays

log = logging.getLogger(__name__)

SETTINGS = ClosedFormSettings


@dataclass(frozen=True)
class TileImages:
    """Images of a split as the net of a tile sees them.

    Attributes:
        pixels: as stored, ``N, *spatial, C``.
        mean, std: per channel, from the card.
        labels: int64 ``N``; None where only decisions are wanted.
    """

    pixels: np.ndarray
    mean: Sequence[float]
    std: Sequence[float]
    labels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.pixels)

    def subset(self, index: np.ndarray) -> "TileImages":
        """The images ``index``."""
        return TileImages(self.pixels[index], self.mean, self.std, self.labels[index])

    @cached_property
    def values(self) -> Values:
        """One row an image, channels last."""
        places = self.pixels[0].size // len(self.mean)
        white = 255 if self.pixels.dtype == np.uint8 else 1
        mean, std = (np.tile(np.array(each, np.float64), places) for each in (self.mean, self.std))
        return Values(self.pixels.reshape(len(self), -1), 1 / (white * std), -mean / std)


@dataclass(frozen=True)
class AffineNet:
    """What :func:`ddcnn.nets.lda.lda` computes with the weights that are saved of it.

    Attributes:
        weight, bias: float32 ``K, D`` and ``K``, of values with the channels last.
    """

    weight: np.ndarray
    bias: np.ndarray

    @classmethod
    def of(cls, solved: Discriminant) -> "AffineNet":
        """In the precision of nets."""
        return cls(solved.weight.astype(np.float32), solved.bias.astype(np.float32))

    def logits(self, samples: TileImages) -> np.ndarray:
        """Float32 ``N, K``, of sums in double precision."""
        values, weight_DK = samples.values, self.weight.T.astype(np.float64)
        parts = [values.normalised(rows) @ weight_DK + self.bias for rows in values.row_blocks()]
        return np.concatenate(parts).astype(np.float32)

    def save(self, path: Path, shape: tuple[int, ...]) -> None:
        """Write the weights; a net sees the channels of ``shape``, the last number, first."""
        last = self.weight.reshape(-1, *shape)
        first = np.moveaxis(last, -1, 1).reshape(self.weight.shape)
        save_arrays({"classifier.bias": self.bias, "classifier.weight": first}, path)


def train_local(
    subdomains: Sequence[Subdomain],
    tiles: str | Path,
    labels: dict[str, Path],
    card: str | Path,
    settings: ClosedFormSettings,
    out: Sequence[str | Path],
    gpus: int = 0,
    threads: int = 1,
    code: str = "",
    checkpoint_seconds: float = 0.0,
    refit: bool = False,
) -> None:
    """Solve local nets and write what they say of all images.

    Arguments and files are those of :func:`ddcnn.local.stage.train_local`; ``gpus``, ``code`` and
    ``checkpoint_seconds`` have a use for trainings in steps alone.

    Raises:
        InputError: the system needs more memory than there is.
    """
    assert not refit  # refused with the configuration
    facts, clock = read_json(card), JobClock()
    task, job = task_of(facts, settings.class_weights), [each.tile for each in subdomains]
    for subdomain, folder in zip(subdomains, map(Path, out), strict=True):
        log.info("training %s, tile %s, in closed form", subdomain.tiling, subdomain.tile)
        shards = subdomain.shards(Path(tiles), facts)
        samples = {s: _load(shards[s], facts, labels[s]) for s in FITTING}
        clock.loaded()
        net, metrics = _solve(subdomain, samples, task, settings, threads, clock, folder)
        _write_probabilities(net, samples | {"test": _load(shards["test"], facts)}, task, folder)
        metrics["job"] = Pack(tuple(job)).name
        write_json(folder / "metrics.json", metrics | clock.metrics())
        net.save(folder / "model.safetensors", samples["train"].pixels.shape[1:])
        clock = JobClock(first=False)


def train_fold(
    subdomain: Subdomain,
    fold: int,
    num_folds: int,
    tiles: str | Path,
    labels: dict[str, Path],
    card: str | Path,
    listing: str | Path,
    settings: ClosedFormSettings,
    coarse_input: str,
    out: str | Path,
    gpus: int = 0,
    threads: int = 1,
    code: str = "",
    checkpoint_seconds: float = 0.0,
) -> None:
    """Solve a local net without a part of the training split, and let it judge that part.

    Arguments and files are those of :func:`ddcnn.local.stage.train_fold`.
    """
    out, facts, clock = Path(out), read_json(card), JobClock()
    task = task_of(facts, settings.class_weights)
    log.info("training %s, tile %s, without fold %d", subdomain.tiling, subdomain.tile, fold + 1)
    shards = subdomain.shards(Path(tiles), facts)
    samples = {s: _load(shards[s], facts, labels[s]) for s in FITTING}
    groups = groups_of(Path(listing).parent, ["train"])
    index, others = deal_training(samples["train"].labels, num_folds, subdomain.seed, fold, groups)
    left_out = samples["train"].subset(index)
    samples["train"] = samples["train"].subset(others)
    clock.loaded()
    net, metrics = _solve(subdomain, samples, task, settings, threads, clock)
    outputs = _outputs(net, left_out, task, "train", with_logits=coarse_input == "logits")
    write_npz(out / "held_out.npz", index=index, **outputs)
    metrics |= {"fold": fold, "folds": num_folds}
    write_json(out / "metrics.json", metrics | clock.metrics())


def _load(files: Sequence[Path], card: Mapping[str, Any], labels: Path | None = None) -> TileImages:
    targets = None if labels is None else read_prepared(labels)
    return TileImages(read_joined(files, read_shard), card["mean"], card["std"], targets)


def _solve(
    subdomain: Subdomain,
    samples: dict[str, TileImages],
    task: Task,
    settings: ClosedFormSettings,
    threads: int,
    clock: JobClock,
    history: Path | None = None,
) -> tuple[AffineNet, dict[str, Any]]:
    """The net and its metrics; its history goes into a folder if there is one."""
    train = samples["train"]
    _check_memory(train.values.stored.shape)
    clock.ready()
    start = time.perf_counter()
    with threadpool_limits(threads):
        solved = discriminant(train.values, train.labels, task.num_outputs, task.class_weights)
    seconds, net = time.perf_counter() - start, AffineNet.of(solved)
    log.info("solved in %.2f s, shrinkage %.3g", seconds, solved.shrinkage)
    measured: dict[str, float] = {}
    for split, part in samples.items():
        loss, score = task.loss_and_score(net.logits(part), part.labels)
        measured |= {f"loss_{split}": loss, f"{task.score}_{split}": score}
    found = {"shrinkage": solved.shrinkage, **measured, "seconds": seconds}
    if history:
        write_history([found], history / "history.csv")
    work = {"parameters": net.weight.size + net.bias.size, "multiply_adds": net.weight.size}
    metrics = metrics_of(
        work,
        {"epoch": 1, "step": 1} | measured,
        seconds,
        0.0,
        asdict(settings) | {"shrinkage": solved.shrinkage},
        len(train),
        place_on_cpu(threads) | {"precision": "float64", "kernels": "scipy"},
    )
    shape = {"input_shape": list(train.pixels.shape[1:])}
    return net, asdict(subdomain) | shape | metrics


def _check_memory(shape: tuple[int, int]) -> None:
    needed, left = matrix_bytes(*shape), memory_left()
    if needed > left:
        raise InputError(
            f"model: lda of {shape[0]} images of {shape[1]} values takes {size(needed)} of memory, "
            f"{size(left)} are left; cut smaller tiles (grid), give the job more memory, or take "
            "another net"
        )


def _write_probabilities(
    net: AffineNet, samples: dict[str, TileImages], task: Task, out: Path
) -> None:
    start = time.perf_counter()
    outputs: dict[str, np.ndarray] = {}
    for split, part in samples.items():
        outputs |= _outputs(net, part, task, split, with_logits=True)
    seconds = time.perf_counter() - start
    write_npz(out / "probabilities.npz", **outputs, seconds=np.array(seconds))


def _outputs(
    net: AffineNet, samples: TileImages, task: Task, split: str, with_logits: bool
) -> dict[str, np.ndarray]:
    logits = net.logits(samples)
    extra = {f"{split}_logits": logits} if with_logits else {}
    return {split: task.predictions_of(logits)} | extra
