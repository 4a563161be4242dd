"""Predictions of a model by torch, on a GPU or a CPU: what needs it, see :func:`open_model`."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ddcnn.base.errors import InputError
from ddcnn.bundle.expected import Expected
from ddcnn.bundle.large import predict_large
from ddcnn.bundle.model import Explanation, Model

DEVICES = ("auto", "cpu", "cuda")


def choose(device: str) -> torch.device:
    """The device of this name; ``auto`` is a GPU where there is one."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise InputError(f"--device {device!r}; accepted: {', '.join(DEVICES)}")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"--device {device}: torch {torch.__version__} finds no GPU here")
    if (torch.device(device).index or 0) >= max(1, torch.cuda.device_count()):
        raise InputError(f"--device {device}: there are {torch.cuda.device_count()} GPUs here")
    return torch.device(device)


@dataclass(frozen=True)
class OnDevice:
    """A model on a device."""

    model: Model
    device: torch.device

    @property
    def description(self) -> dict[str, Any]:
        """Of the file."""
        return self.model.description

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Probabilities or targets, float32 ``N, K``, of images ``N, *spatial, C``."""
        with torch.no_grad():
            return self.model(self._pixels(images))[: len(images)].cpu().numpy()

    def explain(self, images: np.ndarray) -> Explanation:
        """The same with votes and weights, on the CPU."""
        found = self.model.explain(self._pixels(images))
        parts = found.predictions, found.votes, found.weights
        return Explanation(*(part[: len(images)].cpu() for part in parts))

    def predict_large(self, path: Path, expected: Expected) -> np.ndarray:
        """Of one volume, ``1, K``, which is not read into memory as a whole."""
        return predict_large(self.model, path, expected, self.device).cpu().numpy()

    def _pixels(self, images: np.ndarray) -> torch.Tensor:
        pixels = torch.from_numpy(images).to(self.device)
        # torch takes other kernels for a single image, whose rounding differs.
        twice = torch.cat([pixels, pixels]) if len(images) == 1 else pixels
        return twice.float().movedim(-1, 1)
