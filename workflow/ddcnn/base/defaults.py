"""How long nets are trained and in how large steps, where the configuration says ``auto``."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from ddcnn.base.tasks import task_of

AUTO = "auto"


@dataclass(frozen=True)
class StepsRule:
    """How many steps a training takes, and of how many samples each.

    Attributes:
        steps: that a training takes at least.
        epochs: that a training takes at least.
        batches: steps in an epoch above which the batch may grow.
        batch_size: smallest and largest.
    """

    steps: int
    epochs: int
    batches: int
    batch_size: tuple[int, int]

    def batch_size_of(self, num_samples: int) -> int:
        """A power of two between the two bounds."""
        smallest, largest = self.batch_size
        grown = 2 ** (max(1, num_samples // self.batches).bit_length() - 1)
        return min(largest, max(smallest, grown))

    def epochs_of(self, num_samples: int, batch_size: int) -> int:
        """Enough for the steps; the last samples of an epoch that fill no batch make no step."""
        return max(self.epochs, ceil(self.steps / max(1, num_samples // batch_size)))


# Images: 8 epochs are enough for 7,000 of them, and far too few steps for 200. What 600 steps of 32
# give is in benchmarks/panel. Batches grow with the data for the sake of time, and from 400 steps
# in an epoch on, where enough steps are left.
# Signals: their steps cost less, and twice as many were better on osu-leaf.
# Regression: numbers are learned more slowly than classes, see tecator there.
# Volumes: memory and time go with their voxels, and half of the steps were enough.
# An MLP as coarse net: its steps cost little, so that they may be many and large.
RULES = {
    "signal": StepsRule(1200, 8, 200, (16, 128)),
    "image": StepsRule(600, 8, 200, (32, 128)),
    "regression": StepsRule(2400, 8, 200, (16, 128)),
    "volume": StepsRule(300, 8, 200, (16, 128)),
    "coarse": StepsRule(400, 15, 25, (32, 256)),
}
LABEL_SMOOTHING = 0.1  # helped or changed nothing on images; regression has no labels
LEARNING_RATE = {"sgd": 0.05, "adamw": 0.003}
WEIGHT_DECAY = {"sgd": 0.0005, "adamw": 0.01}
# The method transfer begins with nets that are trained already.
TRANSFER_EPOCHS, TRANSFER_RATE = 3 / 8, 5  # share of the epochs, divisor of the rate
KINDS = {1: "signal", 2: "image", 3: "volume"}


@dataclass(frozen=True)
class Facts:
    """What the rule must know of a data set.

    Attributes:
        num_images: of the training split.
        kind: ``signal``, ``image`` or ``volume``.
        task: ``classification`` or ``regression``.
    """

    num_images: int
    kind: str
    task: str

    @classmethod
    def of_card(cls, card: Mapping[str, Any]) -> "Facts":
        """Of prepared data."""
        num_images = sum(card["counts"]["train"].values())
        return cls(num_images, KINDS[len(card["axes"])], task_of(card).name)


def chosen(settings: Mapping[str, Any], facts: Facts, part: str = "local") -> dict[str, Any]:
    """What the settings of a training become that say ``auto``.

    Args:
        settings: of one training, by the keys of the configuration; no others count.
        facts: of the data set.
        part: ``local``, ``transfer`` (all nets as one model, trained before) or ``coarse``, whose
            samples are the decisions on the images.
    """
    is_regression = facts.task == "regression"
    kind = "regression" if is_regression and facts.kind != "volume" else facts.kind
    rule = RULES["coarse" if part == "coarse" else kind]
    batch_size, optimizer = settings["batch_size"], settings["optimizer"]
    if batch_size == AUTO:
        batch_size = rule.batch_size_of(facts.num_images)
    if optimizer == AUTO:
        optimizer = "adamw" if is_regression else "sgd"
    epochs, rate = rule.epochs_of(facts.num_images, batch_size), LEARNING_RATE[optimizer]
    if part == "transfer":
        epochs, rate = ceil(TRANSFER_EPOCHS * epochs), rate / TRANSFER_RATE
    values = {
        "epochs": epochs,
        "batch_size": batch_size,
        "optimizer": optimizer,
        "learning_rate": rate,
        "weight_decay": WEIGHT_DECAY[optimizer],
        "label_smoothing": 0.0 if is_regression else LABEL_SMOOTHING,
    }
    return {key: value for key, value in values.items() if settings[key] == AUTO}
