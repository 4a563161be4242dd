"""Whether the weights in a model file are those that its description asks for; no torch."""

import importlib
import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ddcnn import nets
from ddcnn.base.errors import InputError
from ddcnn.base.memory import require_memory
from ddcnn.bundle.expected import Expected
from ddcnn.bundle.file import Bundle, read_bundle
from ddcnn.nets import own

VIEW_BYTES = 24  # of a weight of the coarse view, which is made of whole numbers
Wanted = Mapping[str, tuple[str, tuple[int, ...]]]  # type of numbers and shape by name


class Unfit(InputError):
    """Tensors are not those of the description."""


def read_model(path: str | Path, net_file: str | Path | None = None) -> Bundle:
    """A file whose description is sound and whose nets may be built.

    Raises:
        InputError: see :func:`ddcnn.load`; or the memory does not take its coarse view.
    """
    bundle = read_bundle(path)
    description = bundle.description
    Expected.of(description)
    _check_nets(path, description["nets"][0]["architecture"], net_file)
    require_memory(f"{path}: its coarse view", _view_bytes(description), "allow more memory")
    return bundle


@contextmanager
def building(path: str | Path) -> Iterator[None]:
    """Say of what is built of a file why it cannot be.

    Raises:
        InputError: description and weights do not fit each other.
    """
    try:
        yield
    # The digest is right, so it was written like this: by another version, or by hand.
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, InputError) and not isinstance(error, Unfit):
            raise
        if "allocate memory" in str(error):
            raise
        reason = " ".join(f"{error}".split())[:300]
        raise InputError(
            f"{path}: its description does not fit its weights ({reason}); write it again with "
            "this version of ddcnn"
        ) from error


def check_tensors(wanted: Wanted, tensors: Mapping[str, np.ndarray], before: str = "") -> None:
    """Raise :class:`Unfit` where the file's tensors have other names, sizes or types of numbers."""
    for name, (dtype, shape) in wanted.items():
        found, asked = tensors.get(before + name), f"torch.{dtype} {shape}"
        has = "none" if found is None else f"torch.{found.dtype} {found.shape}"
        if has != asked:
            raise Unfit(f"{before}{name}: {has}, its description asks for {asked}")
        if found.dtype.kind == "f" and not np.isfinite(found).all():
            raise Unfit(f"{before}{name}: not all of its numbers are finite")


def check_means(wanted: Wanted, num_inputs: int | None, tensors: Mapping[str, np.ndarray]) -> None:
    """The same of what nets say on average, and of how many inputs the coarse net has.

    Args:
        wanted: ``mean_outputs``, and ``mean_features`` where the coarse net sees features.
        num_inputs: of the coarse net; None without one.
        tensors: of the file.
    """
    if num_inputs is not None:
        _, shape = wanted.get("mean_features", wanted["mean_outputs"])
        if num_inputs != math.prod(shape):
            raise Unfit(f"net.coarse.shift: {num_inputs}, its nets give {math.prod(shape)}")
    check_tensors(wanted, tensors)


def _view_bytes(description: dict[str, Any]) -> int:
    """Memory of the matrices that average images to the coarse view, while they are made."""
    plan = description["plan"]
    pairs = zip(plan["shape"], plan["tile_shape"], strict=True)
    return VIEW_BYTES * sum(map(math.prod, pairs)) * description["run"]["coarse_view"]


def _check_nets(path: str | Path, name: str, net_file: str | Path | None) -> None:
    """No name in the file may import anything: the user's own net only from a file he names."""
    if not own.is_own(name):
        if name not in nets.ARCHITECTURES:
            raise InputError(f"{path}: it has nets {name!r}, which this version does not know")
        return
    if net_file is None:
        raise InputError(
            f"{path}: its nets are {name}, Python code that is not in the file; if you have "
            "it and trust it, name it: --net-file my_nets.py (in Python: net_file=)"
        )
    _allow(name, Path(net_file))


def _allow(name: str, file: Path) -> None:
    """Make ``module:factory`` importable from the file that the user names, and only from it."""
    module = own.module_of(name)
    parts = Path(*module.split(".")).with_suffix(".py").parts
    file = file.resolve()
    if not file.is_file() or file.parts[-len(parts) :] != parts:
        raise InputError(f"--net-file {file}: the model's nets are {name}, so in {'/'.join(parts)}")
    folder = str(file.parents[len(parts) - 1])
    if folder not in sys.path:
        sys.path.append(folder)
    importlib.invalidate_caches()
    found = own.folder_of(name) / Path(*parts)
    if not found.is_file() or not found.samefile(file):
        raise InputError(f"--net-file {file}: {found} hides it; give it another folder or name")
