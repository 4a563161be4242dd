"""What every training is told and what it writes down of itself; numbers and texts, no torch."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddcnn.base.files import write_aside
from ddcnn.base.process import found_place, peak_memory_bytes
from ddcnn.base.provenance import hardware, versions


@dataclass(frozen=True)
class Settings:
    """How a net is trained; the keys of ``local`` and ``coarse`` in the configuration.

    The first five and ``label_smoothing`` may be ``auto`` until a stage knows the data set
    (:func:`ddcnn.base.defaults.chosen`); a training takes their values.
    """

    epochs: int | str
    batch_size: int | str
    optimizer: str  # sgd (Nesterov momentum) or adamw
    learning_rate: float | str  # the peak of the one-cycle schedule
    weight_decay: float | str
    momentum: float = 0.9  # sgd only
    label_smoothing: float | str = 0.0  # classification only
    class_weights: str = "none"  # or balanced; see ddcnn.base.tasks.task_of
    augment: bool = False  # flips and shifts that the data set's card allows
    precision: str = "float32"  # or bfloat16, or auto; see ddcnn.training.steps
    weights: str = "last"  # or best: those of the epoch with the smallest validation loss
    patience: int = 0  # epochs without a smaller one after which a training ends; 0: none does


@dataclass(frozen=True)
class ClosedFormSettings:
    """What the keys of ``local`` mean to a net that is solved in closed form."""

    class_weights: str = "none"  # or balanced: the classes are equally frequent a priori


def write_history(history: list[dict[str, float]], path: str | Path) -> None:
    """One row per epoch."""
    with write_aside(path) as aside, aside.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(history[0]))
        writer.writeheader()
        writer.writerows(history)


def metrics_of(
    net: Mapping[str, int],
    last: Mapping[str, float],
    seconds: float,
    setup_seconds: float,
    settings: Mapping[str, Any],
    num_images: int,
    place: Mapping[str, Any],
    resumed: Sequence[Mapping[str, int]] = (),
) -> dict[str, Any]:
    """What every training reports in its ``metrics.json``.

    Args:
        net: its ``parameters`` and ``multiply_adds``.
        last: how many epochs and steps it took, and losses and scores at its end.
        seconds: of the training steps alone, without the set-up of libraries and device.
        setup_seconds: of that set-up.
        settings: in numbers.
        num_images: it was trained on.
        place: where it was computed: device, threads, precision, memory.
        resumed: where it went on after an interruption.
    """
    return {
        **net,
        "settings": dict(settings),
        "epochs": last["epoch"],
        "steps": last["step"],
        "images": num_images,
        **{key: last[key] for key in last if key.endswith(("_train", "_val"))},  # loss and score
        "train_seconds": round(seconds, 4),
        "setup_seconds": round(setup_seconds, 4),
        "images_per_second": round(num_images * last["epoch"] / seconds, 2),
        **place,
        "resumed": list(resumed),
        "versions": versions(),
        "hardware": hardware(),
    }


def place_on_cpu(threads: int) -> dict[str, Any]:
    """Where a job computes that does without torch."""
    return {
        "peak_memory_bytes": peak_memory_bytes(),
        "device": "cpu",
        "device_name": str(hardware()["processor"]),
        "device_slot": None,
        "given": found_place(),
        "threads": threads,
    }
