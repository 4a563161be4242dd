"""Predictions of whatever is asked for, batch by batch."""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from ddcnn.base.errors import InputError
from ddcnn.base.memory import require_memory
from ddcnn.base.reading import lacks_memory, shortened
from ddcnn.base.text import counted
from ddcnn.bundle.expected import Expected
from ddcnn.bundle.inputs import Batch, Files, Inputs
from ddcnn.bundle.large import described, predict_large
from ddcnn.bundle.model import Explanation, Model

BYTES_A_VALUE = 1 + 4  # as it is read, and as the nets take it
DEVICES = ("auto", "cpu", "cuda")


@dataclass
class Predicted:
    """Predictions of a batch.

    Attributes:
        batch: the images; None of a volume that was never in memory as a whole.
        names: of the inputs.
        values: probabilities or targets, float32 ``n, K``.
        explanation: if it was asked for.
    """

    batch: Batch | None
    names: list[str]
    values: np.ndarray
    explanation: Explanation | None = None


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


def predict(
    model: Model, inputs: Inputs, batch_size: int, device: torch.device, explain: bool = False
) -> Iterator[Predicted]:
    """Predictions in the order of the inputs; those that fail are noted in ``inputs.failures``.

    Raises:
        InputError: the memory does not take a batch.
    """
    model.to(device)
    if not inputs.expected.large:
        _require_memory(model, min(batch_size, len(inputs)))
    with enough_memory(batch_size):
        if inputs.expected.large:
            yield from _predict_large(model, inputs, device)
            return
        for batch in inputs.batches(batch_size):
            yield _predict_batch(model, batch, device, explain)


def _require_memory(model: Model, images: int) -> None:
    """Refuse a batch before anything is read: its values as bytes and as numbers, at least."""
    values = images * math.prod(model.shape)
    advice = "add a smaller --batch-size, or allow more memory"
    require_memory(f"a batch of {counted(images, 'input')}", values * BYTES_A_VALUE, advice)


@torch.no_grad()
def _predict_batch(model: Model, batch: Batch, device: torch.device, explain: bool) -> Predicted:
    images = torch.from_numpy(batch.images).to(device)
    # torch takes other kernels for a single image, whose rounding differs.
    twice = torch.cat([images, images]) if len(images) == 1 else images
    pixels = twice.float().movedim(-1, 1)
    explanation = model.explain(pixels) if explain else None
    values = explanation.predictions if explanation else model(pixels)
    return Predicted(batch, batch.names, values[: len(images)].cpu().numpy(), explanation)


def _predict_large(model: Model, inputs: Inputs, device: torch.device) -> Iterator[Predicted]:
    """Volumes of which not even one is read into memory; arrays come image by image anyway."""
    expected: Expected = inputs.expected
    for source in inputs.sources:
        if not isinstance(source, Files):
            try:
                for batch in source.chunks(inputs.failures):
                    yield _predict_batch(model, batch, device, explain=False)
            except InputError as error:
                inputs.failures.append(str(error))
            continue
        for path in source:
            try:
                inputs.look(str(path), described(path, expected))
                values = predict_large(model, path, expected, device)
            except InputError as error:
                inputs.failures.append(str(error))
                continue
            yield Predicted(None, [str(path)], values.cpu().numpy())


@contextmanager
def enough_memory(batch_size: int) -> Iterator[None]:
    """Say clearly what is missing."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        raise InputError(
            f"the memory does not suffice ({shortened(error)}); add a --batch-size below "
            f"{batch_size}, or allow more memory"
        ) from error
