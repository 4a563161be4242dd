"""Predictions of whatever is asked for, batch by batch."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ddcnn.base.errors import InputError
from ddcnn.base.memory import require_memory
from ddcnn.base.process import count_gpus
from ddcnn.base.reading import lacks_memory, shortened
from ddcnn.base.text import counted
from ddcnn.bundle.expected import Expected, described
from ddcnn.bundle.fit import building, read_model
from ddcnn.bundle.inputs import Batch, Files, Inputs
from ddcnn.bundle.served import Served

if TYPE_CHECKING:
    from ddcnn.bundle.model import Explanation
    from ddcnn.bundle.on_device import OnDevice

BYTES_A_VALUE = 1 + 4  # as it is read, and as the nets take it


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
    explanation: "Explanation | None" = None


def open_model(
    path: Path, net_file: Path | None, device: str = "auto", explain: bool = False
) -> "Served | OnDevice":
    """The model in a file; with torch only where it is needed, which takes seconds to start.

    That is for a GPU, for explanations, for nets that are no plain chains of layers, and for
    volumes, which ddcnn's kernels predict four times as fast as onnxruntime.

    Args:
        path: the file.
        net_file: see :func:`ddcnn.load`.
        device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda``.
        explain: whether explanations will be asked for.

    Raises:
        InputError: see :func:`ddcnn.load`; or there is no such device.
    """
    is_on_cpu = device == "cpu" or (device == "auto" and not count_gpus())
    if is_on_cpu and not explain:
        bundle = read_model(path, net_file)
        with building(path):
            is_volume = len(bundle.description["data"]["shape"]) > 2
            served = None if is_volume else Served.of(bundle)
        if served:
            return served
    from ddcnn import load
    from ddcnn.bundle.on_device import OnDevice, choose

    place = choose(device)
    return OnDevice(load(path, net_file).to(place), place)


def predict(
    model: "Served | OnDevice", inputs: Inputs, batch_size: int, explain: bool = False
) -> Iterator[Predicted]:
    """Predictions in the order of the inputs; those that fail are noted in ``inputs.failures``.

    Raises:
        InputError: the memory does not take a batch.
    """
    if not inputs.expected.large:
        _require_memory(inputs.expected, min(batch_size, len(inputs)))
    with enough_memory(batch_size):
        if inputs.expected.large:
            yield from _predict_large(model, inputs)
            return
        for batch in inputs.batches(batch_size):
            if explain:
                found = model.explain(batch.images)
                yield Predicted(batch, batch.names, found.predictions.numpy(), found)
            else:
                yield Predicted(batch, batch.names, model.predict(batch.images))


def _require_memory(expected: Expected, images: int) -> None:
    """Refuse a batch before anything is read: its values as bytes and as numbers, at least."""
    values = images * math.prod(expected.shape) * expected.channels
    advice = "add a smaller --batch-size, or allow more memory"
    require_memory(f"a batch of {counted(images, 'input')}", values * BYTES_A_VALUE, advice)


def _predict_large(model: "OnDevice", inputs: Inputs) -> Iterator[Predicted]:
    """Volumes of which not even one is read into memory; arrays come image by image anyway."""
    for source in inputs.sources:
        if not isinstance(source, Files):
            try:
                for batch in source.chunks(inputs.failures):
                    yield Predicted(batch, batch.names, model.predict(batch.images))
            except InputError as error:
                inputs.failures.append(str(error))
            continue
        for path in source:
            try:
                inputs.look(str(path), described(path, inputs.expected))
                values = model.predict_large(path, inputs.expected)
            except InputError as error:
                inputs.failures.append(str(error))
                continue
            yield Predicted(None, [str(path)], values)


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
