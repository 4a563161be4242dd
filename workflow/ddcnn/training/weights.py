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

    parts = [(n, f"torch.{w.dtype}", w.shape, np.ascontiguousarray(w)) for n, w in weights.items()]
    content = save(
        {name: array for name, _, _, array in parts},
        metadata=description | {"sha256": digest_of(parts)},
    )
    with write_aside(path) as aside:
        aside.write_bytes(content)


def digest_of(parts: Iterable[tuple[str, str, Sequence[int], Any]]) -> str:
    """Of name, type (as torch names it), shape and bytes of every weight."""
    digest = sha256()
    for name, dtype, shape, content in sorted(parts, key=lambda part: part[0]):
        digest.update(f"{name} {dtype} {list(shape)}\n".encode())
        digest.update(content)
    return digest.hexdigest()
