"""What the coarse solvers see of local probabilities ``p_NTK``: N images, T tiles, K classes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ddcnn.base.files import read_npz

# Below it a probability says no more than "never", and its logarithm would drown the others.
SMALLEST_PROBABILITY = 1e-6
# Inputs that spread by less are not blown up any further.
SMALLEST_SPREAD = 0.01


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
