"""How many steps an epoch has, and how large each of them is."""

import math


def num_steps_per_epoch(num_samples: int, batch_size: int) -> int:
    """Whole batches in an epoch; the samples left over are others in every epoch."""
    return max(1, num_samples // batch_size)


def one_cycle(step: int, num_steps: int, peak: float) -> float:
    """Learning rate of a step: a cosine up to the peak in 30 % of the steps, a cosine down to 0.

    The one-cycle policy of Smith and Topin (arXiv 1708.07120) as in torch's ``OneCycleLR``.
    """
    first, last = peak / 25, peak / 25e4
    summit = 0.3 * num_steps - 1
    if step <= summit:
        return _cosine(first, peak, step / summit)
    return _cosine(peak, last, (step - summit) / (num_steps - 1 - summit))


def _cosine(start: float, end: float, fraction: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * fraction))
