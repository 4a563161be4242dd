"""A local net: what it is, who trains it, and which images it is trained without. No torch."""

import importlib
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from ddcnn import nets
from ddcnn.base.errors import InputError
from ddcnn.base.splits import SPLITS

if TYPE_CHECKING:
    from torch import nn


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
        return {split: folder / f"x_{split}.npy" for split in SPLITS}

    def build(self, shape: tuple[int, ...], classes: int) -> "nn.Module":
        """The net with random weights."""
        import torch

        torch.manual_seed(self.own_seed)
        return nets.build(self.architecture, shape, classes, self.width, self.dropout)


def trainer_name(architecture: str) -> str:
    """The module of this package that trains such nets."""
    return "local.closed_form" if nets.is_closed_form(architecture) else "local.stage"


def trainer_of(architecture: str) -> ModuleType:
    """This module: ``train_local``, ``train_fold`` and ``SETTINGS``, the class of their settings.

    By name: the digest of the code behind a training must not hold the other module.
    """
    return importlib.import_module(f"ddcnn.{trainer_name(architecture)}")


def deal(num_images: int, seed: int, fold: int, num_folds: int) -> tuple[np.ndarray, np.ndarray]:
    """Which training images a fold leaves out, and all others, each in ascending order.

    Args:
        num_images: of the training split.
        seed: of the run: all its tiles deal alike.
        fold, num_folds: which part of how many.

    Raises:
        InputError: too many parts.
    """
    if num_images < 2 * num_folds:
        raise InputError(
            f"coarse.folds: {num_folds} parts of {num_images} training images; take at most "
            f"{num_images // 2}, or coarse.fit_on: train"
        )
    order = np.random.default_rng(seed).permutation(num_images)
    part = np.arange(num_images) % num_folds
    return np.sort(order[part == fold]), np.sort(order[part != fold])
