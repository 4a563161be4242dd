"""A local net: what it is, who trains it, and which images it is trained without. No torch."""

import importlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from ddcnn import nets
from ddcnn.base.division import deal
from ddcnn.base.errors import InputError
from ddcnn.base.splits import SPLITS, parts_of

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

    def shards(self, tiles: Path, card: Mapping[str, Any]) -> dict[str, list[Path]]:
        """The files that every split consists of, below the folder ``results/tiles``."""
        folder = tiles / self.dataset / self.tiling / self.tile
        return {
            split: [folder / f"x_{part}.npy" for part in parts_of(card, split)] for split in SPLITS
        }

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


def deal_training(
    labels: np.ndarray, num_folds: int, seed: int, fold: int, groups: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Which training images a fold leaves out, and all others, each in ascending order.

    Args:
        labels: int64 ``N`` or targets float ``N, M`` of the training split.
        num_folds: into how many parts the images are dealt.
        seed: of the run: all its tiles deal alike.
        fold: which part is left out.
        groups: int64 ``N`` of images that stay together, if there are any.

    Raises:
        InputError: too few images or groups for so many parts.
    """
    if len(labels) < 2 * num_folds:
        raise InputError(
            f"coarse.folds: {num_folds} parts of {len(labels)} training images; take at most "
            f"{len(labels) // 2}, or coarse.fit_on: train"
        )
    if groups is not None and len(np.unique(groups)) < num_folds:
        raise InputError(
            f"coarse.folds: {num_folds} parts of {len(np.unique(groups))} groups of training "
            "images; take no more parts than groups, or coarse.fit_on: train"
        )
    is_left_out = deal(labels, num_folds, seed, groups) == fold
    return np.flatnonzero(is_left_out), np.flatnonzero(~is_left_out)
