"""Weights as a file of arrays: safetensors, which holds no code, with a digest of the weights.

The format notices a cut-off file, but no wrong byte. numpy only; nets of torch go through
:mod:`ddcnn.training.checkpoint`, which writes the same bytes.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from ddcnn.base.files import write_aside


def save_arrays(weights: Mapping[str, np.ndarray], path: str | Path, **description: str) -> None:
    """Write arrays under the names a net has for them; ``description`` goes along."""
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(array) for name, array in weights.items()}
    content = save(arrays, metadata=description | {"sha256": digest_of_arrays(arrays)})
    with write_aside(path) as aside:
        aside.write_bytes(content)


def digest_of_arrays(arrays: Mapping[str, np.ndarray], text: str = "") -> str:
    """The digest of arrays: that of torch's tensors of the same content."""
    parts = (
        # A single number has the shape (), which ascontiguousarray would make (1,).
        (n, f"torch.{a.dtype.name}", a.shape, np.ascontiguousarray(a).reshape(-1).view(np.uint8))
        for n, a in arrays.items()
    )
    return digest_of(parts, text)


def digest_of(parts: Iterable[tuple[str, str, Sequence[int], Any]], text: str = "") -> str:
    """SHA-256 of name, type (as torch names it), shape and bytes of every weight, and of a text.

    The weights count in the order of their names.
    """
    digest = sha256()
    for name, dtype, shape, content in sorted(parts, key=lambda part: part[0]):
        digest.update(f"{name} {dtype} {list(shape)}\n".encode())
        digest.update(content)
    digest.update(text.encode())
    return digest.hexdigest()
