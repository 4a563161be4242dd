"""What differs between the tasks, classification and regression, from the card to the loss.

The task is a property of the data set and stands in its ``card.json``. Everything that must know
it asks :func:`task_of`; torch is imported where it is needed, so that the report need not pay it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

TASKS = ("classification", "regression")

# Every way to a final decision, in the order of every table.
METHODS = (
    "global",
    "small",
    "ensemble",
    "cnn-dnn",
    "coherent",
    "transfer",
    "logistic",
    "weighted",
    "mean",
    "vote",
    "best-tile",
)
NEED_CLASSES = ("logistic", "weighted", "vote")


@dataclass(frozen=True)
class Classification:
    """One of K classes for every image, learned by cross-entropy.

    Attributes:
        num_outputs: outputs of a net: K.
        class_weights: of an image of each class in the loss, or none: all weigh the same.
    """

    num_outputs: int = 0
    class_weights: tuple[float, ...] = ()

    name = "classification"
    score = "accuracy"  # in the columns of histories: accuracy_train, accuracy_val

    def load_targets(self, y: np.ndarray) -> np.ndarray:
        """What a net learns, from ``y_{split}.npy``: the labels, int64 ``N``."""
        return y

    def loss(
        self, outputs: "torch.Tensor", targets: "torch.Tensor", label_smoothing: float = 0.0
    ) -> "torch.Tensor":
        """Mean cross-entropy of logits ``N, K``, by the weights of the classes if there are any."""
        from torch.nn import functional as F

        weights = _on_device(self.class_weights, outputs.device) if self.class_weights else None
        return F.cross_entropy(outputs, targets, weights, label_smoothing=label_smoothing)

    def weight_of(self, targets: "torch.Tensor") -> "torch.Tensor | int":
        """How much samples count in a mean loss over these and others: its sum of weights."""
        if not self.class_weights:
            return len(targets)
        return _on_device(self.class_weights, targets.device)[targets].sum()

    def merits(self, outputs: "torch.Tensor", targets: "torch.Tensor") -> "torch.Tensor":
        """What the score is made of, one number for each sample: whether it is decided rightly."""
        return outputs.argmax(1) == targets

    def score_of(self, mean_merit: float, targets: "torch.Tensor") -> float:
        """The accuracy: the mean merit itself."""
        return mean_merit

    def loss_and_score(self, logits: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
        """Mean cross-entropy, by the weights of the classes, and accuracy of logits ``N, K``."""
        true = log_softmax(logits)[np.arange(len(targets)), targets]
        weights = np.array(self.class_weights or np.ones(logits.shape[1]))[targets]
        right = logits.argmax(axis=1) == targets
        return -float(np.average(true, weights=weights)), float(right.mean())

    def predictions(self, outputs: "torch.Tensor") -> np.ndarray:
        """What is stored: probabilities, float32 ``N, K``."""
        return outputs.softmax(dim=1).cpu().numpy()

    def predictions_of(self, logits: np.ndarray) -> np.ndarray:
        """:meth:`predictions` of an array."""
        return np.exp(log_softmax(logits))


@dataclass(frozen=True)
class Regression:
    """M real targets for every image, learned as mean squared error of the standardised targets.

    Attributes:
        mean, std: of every target over the training split, in the units of the data.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    name = "regression"
    score = "r2"

    @property
    def num_outputs(self) -> int:
        """Outputs of a net: M."""
        return len(self.mean)

    def load_targets(self, y: np.ndarray) -> np.ndarray:
        """Standardised targets, float32 ``N, M``, from ``y_{split}.npy``."""
        return ((y - np.array(self.mean)) / np.array(self.std)).astype(np.float32)

    def loss(
        self, outputs: "torch.Tensor", targets: "torch.Tensor", label_smoothing: float = 0.0
    ) -> "torch.Tensor":
        """Mean squared error of standardised targets ``N, M``; there are no labels to smooth."""
        return (outputs - targets).square().mean()

    def weight_of(self, targets: "torch.Tensor") -> int:
        """How much samples count in a mean loss over these and others: their number."""
        return len(targets)

    def merits(self, outputs: "torch.Tensor", targets: "torch.Tensor") -> "torch.Tensor":
        """What the score is made of, one number for each sample: minus its squared error."""
        return -(outputs - targets).square().mean(dim=1)

    def score_of(self, mean_merit: float, targets: "torch.Tensor | np.ndarray") -> float:
        """R²: 1 - mean squared error / variance, over all (standardised) targets together.

        Of targets that are all the same it is 0, or 1 where nothing is wrong, as in scikit-learn.
        """
        if (targets == targets[0]).all():
            return float(mean_merit == 0)
        if isinstance(targets, np.ndarray):
            variance = float(targets.var(axis=0, dtype=np.float64).mean())
        else:
            variance = targets.double().var(dim=0, correction=0).mean().item()
        return 1 + mean_merit / variance

    def loss_and_score(self, outputs: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
        """Mean squared error and R² of standardised targets ``N, M``."""
        loss = float(((outputs - targets) ** 2).mean(dtype=np.float64))
        return loss, self.score_of(-loss, targets)

    def predictions(self, outputs: "torch.Tensor") -> np.ndarray:
        """What is stored: predicted targets in their own units, float32 ``N, M``."""
        return self.in_units(outputs.double().cpu().numpy())

    def predictions_of(self, outputs: np.ndarray) -> np.ndarray:
        """:meth:`predictions` of an array."""
        return self.in_units(outputs.astype(np.float64))

    def in_units(self, standardised: np.ndarray) -> np.ndarray:
        """Targets in their own units, float32 ``N, M``, from float64 standardised ones."""
        values = standardised * np.array(self.std) + np.array(self.mean)
        return values.astype(np.float32)


Task = Classification | Regression


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logarithm of the softmax along the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


@cache
def _on_device(numbers: tuple[float, ...], device: "torch.device") -> "torch.Tensor":
    """Copied once: a step must not wait for the device, and a CUDA graph cannot hold the copy."""
    import torch

    return torch.tensor(numbers, device=device)


def task_of(card: Mapping[str, Any], class_weights: str = "none") -> Task:
    """The task of the data set that a ``card.json`` describes.

    Args:
        card: its content.
        class_weights: of the loss of a classification: ``none``, or ``balanced``.
    """
    if card.get("task") == "regression":
        return Regression(tuple(card["target_mean"]), tuple(card["target_std"]))
    weights = _balanced(card) if class_weights == "balanced" else ()
    return Classification(len(card["classes"]), weights)


def _balanced(card: Mapping[str, Any]) -> tuple[float, ...]:
    """N / (K * N_k), so that every class weighs the same in the training split (King, Zeng 2001).

    A class without training images has none to weigh; in other splits its images count once.
    """
    counts = [card["counts"]["train"].get(name, 0) for name in card["classes"]]
    return tuple(sum(counts) / (len(counts) * count) if count else 1.0 for count in counts)


def methods_of(task: str) -> tuple[str, ...]:
    """Methods that a task knows: regression has no classes to vote on."""
    without = () if task == "classification" else NEED_CLASSES
    return tuple(method for method in METHODS if method not in without)
