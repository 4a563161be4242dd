"""What the coarse solvers see of local probabilities ``p_NTK``: N images, T tiles, K classes."""

import numpy as np

# Below it a probability says no more than "never", and its logarithm would drown the others.
SMALLEST_PROBABILITY = 1e-6
# Inputs that spread by less are not blown up any further.
SMALLEST_SPREAD = 0.01


def log_rows(p_NTK: np.ndarray) -> np.ndarray:
    """Log-probabilities of all tiles side by side, ``N, T * K``."""
    return np.log(np.clip(p_NTK, SMALLEST_PROBABILITY, 1)).reshape(len(p_NTK), -1)
