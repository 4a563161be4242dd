"""What the coarse solvers see of local probabilities ``p_NTK``: N images, T tiles, K classes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ddcnn.base.files import read_npz
from ddcnn.base.tasks import Task, log_softmax

# Below it a probability says no more than "never", and its logarithm would drown the others.
SMALLEST_PROBABILITY = 1e-6
# Inputs that spread by less are not blown up any further.
SMALLEST_SPREAD = 0.01


@dataclass(frozen=True)
class Rows:
    """What the local nets give, ``N, F``, their average ``N, K``, and targets."""

    inputs: np.ndarray
    average: np.ndarray
    targets: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def subset(self, index: np.ndarray) -> "Rows":
        """The samples ``index``."""
        return Rows(self.inputs[index], self.average[index], self.targets[index])


def rows_of(
    outputs_NTK: np.ndarray,
    kind: str,
    task: Task,
    features_NTF: np.ndarray | None = None,
    targets: np.ndarray | None = None,
) -> Rows:
    """What :func:`ddcnn.coarse.net.coarse_input` makes of the same arguments, in arrays."""
    if task.name == "regression":
        inputs, average_NK = outputs_NTK, outputs_NTK.mean(axis=1)
    else:
        log_p_NTK = np.maximum(log_softmax(outputs_NTK), math.log(SMALLEST_PROBABILITY))
        p_NTK = np.exp(log_p_NTK)
        average_NK = np.log(p_NTK.mean(axis=1))
        inputs = {"probabilities": p_NTK, "log-probabilities": log_p_NTK}.get(kind, outputs_NTK)
    if kind == "features":
        inputs = features_NTF
    inputs = inputs.reshape(len(inputs), -1).astype(np.float32, copy=False)
    return Rows(inputs, average_NK.astype(np.float32, copy=False), targets)


def log_rows(p_NTK: np.ndarray) -> np.ndarray:
    """Log-probabilities of all tiles side by side, ``N, T * K``."""
    return np.log(np.clip(p_NTK, SMALLEST_PROBABILITY, 1)).reshape(len(p_NTK), -1)


def join_folds(folder: Path, num_folds: int, names: Sequence[str]) -> dict[str, np.ndarray]:
    """A tile's outputs on the training split, every image's by the net that has not seen it.

    Args:
        folder: of the tile's local net.
        num_folds: of the training split.
        names: of the outputs: ``train``, ``train_logits``, ``train_features``.
    """
    files = [folder / f"fold{k}" / "held_out.npz" for k in range(num_folds)]
    parts = [read_npz(file, "index", *names) for file in files]
    order = np.argsort(np.concatenate([part["index"] for part in parts]))
    return {name: np.concatenate([part[name] for part in parts])[order] for name in names}
