"""By the validation loss: which epoch's weights a training keeps, and whether it ends early."""

from collections.abc import Mapping, Sequence

from ddcnn.training.settings import Settings

History = Sequence[Mapping[str, float]]


def best_epoch(history: History) -> int:
    """The epoch, counted from 1, of the smallest validation loss; of equal ones the first."""
    losses = [row["loss_val"] for row in history]
    return losses.index(min(losses)) + 1


def kept_epoch(history: History, settings: Settings) -> int:
    """The epoch, counted from 1, whose weights a training ends with."""
    return best_epoch(history) if settings.weights == "best" else len(history)


def is_over(history: History, settings: Settings) -> bool:
    """Whether no epoch follows: all are trained, or ``patience`` in a row were no better."""
    if len(history) == settings.epochs:
        return True
    waited = len(history) - best_epoch(history) if settings.patience and history else -1
    return waited >= settings.patience
