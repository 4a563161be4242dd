"""The file ``ddcnn.safetensors``: tensors, and a description as JSON. NumPy alone.

Safetensors holds numbers and text, so that reading a file that somebody sent runs no code. The
digest in its metadata covers the tensors and the description: the format notices a cut-off file,
but no wrong byte.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from ddcnn.base.errors import DamagedResult, InputError
from ddcnn.base.files import write_aside
from ddcnn.base.foreign import check_regular
from ddcnn.base.memory import require_memory
from ddcnn.base.reading import reading, shortened
from ddcnn.bundle.checked import parsed
from ddcnn.training.weights import digest_of_arrays

COPIES = 3  # of a file: its bytes, its arrays, its tensors
FORMAT = 1  # of the description and the names of the tensors
KEY = "ddcnn"  # of the metadata; one alone, because the library writes several in any order
_JSON_ERRORS = (ValueError, RecursionError)

Tensors = dict[str, np.ndarray]


@dataclass(frozen=True)
class Bundle:
    """What a file holds.

    Attributes:
        description: plan, nets, reading, scores, card, versions; see :mod:`ddcnn.bundle.stage`.
        tensors: by the names of :class:`ddcnn.bundle.model.Model`.
    """

    description: dict[str, Any]
    tensors: Tensors


def write_bundle(path: str | Path, bundle: Bundle) -> None:
    """Write a bundle; the same content always gives the same bytes."""
    text = json.dumps(bundle.description, ensure_ascii=False, allow_nan=False)
    facts = {
        "format": FORMAT,
        "description": text,
        "sha256": digest_of_arrays(bundle.tensors, text),
    }
    content = save(bundle.tensors, {KEY: json.dumps(facts, ensure_ascii=False)})
    with write_aside(path) as aside:
        aside.write_bytes(content)


def read_bundle(path: str | Path) -> Bundle:
    """Read a bundle, compared with its digest.

    Raises:
        InputError: no such file; not a model of ddcnn; of another version; truncated or damaged.
    """
    path = Path(path)
    check_regular(path)
    require_memory(str(path), COPIES * path.stat().st_size, "free some, or allow more")
    try:
        tensors, metadata = _read(path)
    except DamagedResult as error:
        raise InputError(
            f"{path} is not a readable model: it is truncated, damaged or no safetensors file "
            f"({shortened(error.__cause__)}); get it again"
        ) from error
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist any more; get it again") from error
    facts = _facts(metadata)
    if "format" not in facts:
        raise InputError(
            f"{path} holds no model of ddcnn, but other tensors; accepted: the file "
            "ddcnn.safetensors of a run (results/runs/.../seed0/ddcnn.safetensors)"
        )
    if facts["format"] != FORMAT:
        raise InputError(
            f"{path} has the format {str(facts['format'])[:20]}, this version of ddcnn reads "
            f"{FORMAT}; use the version that wrote it, or write it again"
        )
    text = str(facts.get("description"))
    if facts.get("sha256") != digest_of_arrays(tensors, text):
        raise InputError(
            f"{path} is damaged: its content does not have the digest that was written with it; "
            "get it again"
        )
    try:
        return Bundle(parsed(text), tensors)
    # The digest is right, so it was written like this: by another version, or by hand.
    except InputError as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"{path}: its description does not fit this version of ddcnn ({reason}); write it "
            "again, or get it from where it was made"
        ) from error


def _facts(metadata: dict[str, str]) -> dict[str, Any]:
    try:
        facts = json.loads(metadata.get(KEY, "{}"))
        facts = facts if isinstance(facts, dict) else {}
        str(facts.get("description")).encode()  # a lone surrogate is no text
    except _JSON_ERRORS:
        return {}
    return facts


def read_weights(path: str | Path) -> Tensors:
    """The weights of one net as ``training.checkpoint`` saved them, compared with their digest.

    Raises:
        DamagedResult: the file is not as it was written.
    """
    path = Path(path)
    tensors, metadata = _read(path)
    if metadata.get("sha256") != digest_of_arrays(tensors):
        raise DamagedResult(path, "the weights do not have the digest that was written with them")
    return tensors


def _read(path: Path) -> tuple[Tensors, dict[str, str]]:
    with reading(path):
        content = path.read_bytes()
        tensors = load(content)
        size = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + size]).get("__metadata__") or {}
    return tensors, metadata
