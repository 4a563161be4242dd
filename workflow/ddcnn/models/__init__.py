"""The nets: what is known of them without torch, and :func:`build`, which needs it.

A net is one module of this package and one entry of :data:`ARCHITECTURES`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ddcnn.errors import InputError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Architecture:
    """What the configuration must know of a net before any job starts.

    Attributes:
        smallest_input: pixels that every axis of its input must have.
        num_axes: numbers of spatial axes it is defined for.
        description: one line for people.
    """

    smallest_input: int
    num_axes: tuple[int, ...]
    description: str


ARCHITECTURES = {
    "vgg": Architecture(
        smallest_input=4,
        num_axes=(1, 2, 3),
        description="3 stages of 2 x [convolution 3, batch norm, ReLU], pooling between stages",
    ),
}


def build(
    name: str, shape: Sequence[int], classes: int, width: int, dropout: float = 0.0
) -> "nn.Module":
    """A net with random weights, mapping float ``N, C, *spatial`` to logits ``N, classes``.

    Args:
        name: a key of :data:`ARCHITECTURES`.
        shape: spatial axes and channels of one input, channels last, as in ``card.json``.
        classes: number of classes K.
        width: channels of the first stage.
        dropout: probability of dropping a feature before the last layer.

    Raises:
        InputError: an unknown net, or an input too small for it.
    """
    check_input(name, shape[:-1])
    from ddcnn.models import vgg

    builders = {"vgg": vgg.Vgg}
    return builders[name](tuple(shape), classes, width, dropout)


def check_input(name: str, shape: Sequence[int]) -> None:
    """Raise :class:`InputError` where the net cannot take inputs with these spatial axes."""
    if name not in ARCHITECTURES:
        raise InputError(f"model: {name!r} is not one of {', '.join(ARCHITECTURES)}")
    architecture = ARCHITECTURES[name]
    pixels = "x".join(map(str, shape))
    if len(shape) not in architecture.num_axes:
        raise InputError(
            f"model: {name} takes images with {' or '.join(map(str, architecture.num_axes))} "
            f"axes, not {len(shape)} ({pixels})"
        )
    if min(shape) < architecture.smallest_input:
        raise InputError(
            f"model: {name} needs at least {architecture.smallest_input} pixels on every axis, "
            f"a tile has {pixels}; take fewer tiles (grid) or a larger overlap"
        )


def local_width(width: int, num_tiles: int) -> int:
    """Width of a local net by the proportional rule.

    ``width / sqrt(num_tiles)``, rounded up to a multiple of 4 but never above ``width``: so the
    parameters of a local net are about 1/N of the global net's (arXiv 2408.14442, abstract).
    Few channels make slow convolutions, hence the multiple.
    """
    return min(width, 4 * math.ceil(width / math.sqrt(num_tiles) / 4))


def model_slug(name: str, width: int, explicit_local_width: int | None = None) -> str:
    """Name of the model in paths: ``vgg-w16``, or ``vgg-w16-local8`` with an explicit width."""
    slug = f"{name}-w{width}"
    return slug if explicit_local_width is None else f"{slug}-local{explicit_local_width}"
