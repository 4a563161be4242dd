"""Predictions of volumes that are too large for the memory: one tile after the other.

The bytes of a tile are read from where they lie in the file. What is in memory at a time is one
tile and what its net computes from it; for the coarse view one slice.
"""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ddcnn.base.memory import require_memory
from ddcnn.bundle.expected import Expected, decode, read_header
from ddcnn.bundle.model import Model
from ddcnn.coarse.net import stacked
from ddcnn.data.nifti import read_stored
from ddcnn.data.packed import is_packed
from ddcnn.data.volumes import decode_box, settled
from ddcnn.tiles.geometry import area_counts

Box = tuple[slice, ...]
Read = Callable[[Box], np.ndarray]

COPIES = 2  # of a packed volume, while its axes are turned
WHOLE = slice(None)


@torch.no_grad()
def predict_large(
    model: Model, path: Path, expected: Expected, device: torch.device
) -> torch.Tensor:
    """Probabilities or targets ``1, K`` of one volume.

    Raises:
        InputError: as :func:`ddcnn.bundle.expected.decode`; or the file is packed and the memory
            does not take the volume as a whole.
    """
    read_header(path, expected)
    return _predict(model, _reader(path, expected), device)


def _reader(path: Path, expected: Expected) -> Read:
    """What gives the pixels of a box, uint8 ``*box, 1``."""
    shape = read_stored(path, expected.options).result_shape
    as_stored = shape == expected.shape and expected.options.spacing is None
    if as_stored and not is_packed(path):
        options = settled(path, expected.options)
        return lambda box: decode_box(path, options, box)
    if as_stored:
        require_memory(
            f"{path} is packed, so that its parts cannot be read one by one: as a whole it",
            COPIES * math.prod(expected.shape),
            "unpack it (gunzip), then one tile at a time is enough",
        )
    volume = decode(path, expected).image
    return lambda box: volume[box]


def _predict(model: Model, read: Read, device: torch.device) -> torch.Tensor:
    net, outputs = model.net, []
    for index in range(len(net.nets)):
        is_view = index == len(net.tiles)
        pixels = _view(model, read) if is_view else read(net.tiles[index])
        part = torch.from_numpy(pixels).to(device).float().movedim(-1, 0)[None]
        outputs.append(net.local_output(index, net.normalised(part)))
    return model.decide(*stacked(outputs))


def _view(model: Model, read: Read) -> np.ndarray:
    """The coarse view, uint8 ``*tile_shape, 1``, added up from one slice after the other."""
    plan = model.description["plan"]
    shape, tile_shape = plan["shape"], plan["tile_shape"]
    rows, columns, slices = (
        area_counts(*sizes).astype(np.float64) for sizes in zip(shape, tile_shape, strict=True)
    )
    total = np.zeros(tile_shape)
    for index in range(shape[2]):
        plane = rows @ read((WHOLE, WHOLE, slice(index, index + 1)))[:, :, 0, 0] @ columns.T
        for covering in np.flatnonzero(slices[:, index]):
            total[:, :, covering] += slices[covering, index] * plane
    return np.rint(total / math.prod(shape)).astype(np.uint8)[..., None]
