"""Weights on disk: safetensors, which holds no code, with a digest of the weights.

The format notices a cut-off file, but no wrong byte. Nets of torch and arrays of numpy give the
same bytes; torch is imported by those who have a net.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ddcnn.base.errors import DamagedResult, InputError
from ddcnn.base.files import write_aside
from ddcnn.base.reading import reading

if TYPE_CHECKING:
    import torch
    from torch import nn


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


def save_weights(net: "nn.Module", path: str | Path, **description: str) -> None:
    """Write the weights as safetensors, which holds no code; ``description`` goes along.

    The metadata get a digest of the weights: the format notices a cut-off file, but no wrong byte.
    """
    import torch
    from safetensors.torch import save  # here: a training loop needs torch and numpy alone

    # Copies: safetensors refuses two names of one tensor, as nets with tied weights have.
    weights = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in net.state_dict().items()
    }
    content = save(weights, metadata=description | {"sha256": _digest(weights)})
    with write_aside(path) as aside:
        aside.write_bytes(content)


def _digest(weights: "dict[str, torch.Tensor]") -> str:
    import torch

    return digest_of(
        (name, str(value.dtype), tuple(value.shape), value.reshape(-1).view(torch.uint8).numpy())
        for name, value in weights.items()
    )


def load_weights(net: "nn.Module", path: str | Path) -> "nn.Module":
    """Fill ``net`` with weights from :func:`save_weights`.

    Raises:
        DamagedResult: the file is not as it was written.
        InputError: it belongs to another net.
    """
    from safetensors import safe_open
    from safetensors.torch import load_file

    with reading(path):
        Path(path).open("rb").close()  # safetensors calls a file missing that may not be read
        with safe_open(path, "pt") as file:
            expected = (file.metadata() or {}).get("sha256")
        weights = load_file(path)
    if _digest(weights) != expected:
        raise DamagedResult(path, "the weights do not have the digest that was written with them")
    try:
        net.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(
            f"{path} does not hold this net's weights ({error}); delete it and run again"
        ) from error
    return net
