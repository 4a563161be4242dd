"""Nets that are a chain of layers, as a list without torch.

The module of torch is built of it (:func:`ddcnn.nets.layers.build_plan`), and so is whatever else
computes the net: neither says again which layers there are.
"""

from collections.abc import Iterator
from dataclasses import dataclass

WINDOW = 3  # pixels of a convolution along every axis
POOLED = 2  # pixels that the maximum is taken of, along every axis


@dataclass(frozen=True)
class Convolution:
    """Of 3 pixels along every axis, stride 1, with ``padding`` zeros around its input."""

    channels_in: int
    channels_out: int
    padding: int
    bias: bool


@dataclass(frozen=True)
class Norm:
    """Batch norm."""

    channels: int


@dataclass(frozen=True)
class Dense:
    """A linear layer."""

    num_in: int
    num_out: int


@dataclass(frozen=True)
class Drop:
    """Dropout with this probability; nothing outside of training."""

    probability: float


@dataclass(frozen=True)
class Relu:
    """What is negative becomes zero."""


@dataclass(frozen=True)
class Pool:
    """The maximum of 2 pixels along every axis, side by side."""


@dataclass(frozen=True)
class Average:
    """Mean over all pixels: ``N, C`` of ``N, C, *spatial``."""


@dataclass(frozen=True)
class Flatten:
    """All values of an image side by side."""


Layer = Convolution | Norm | Dense | Drop | Relu | Pool | Average | Flatten
# Parts by their names in the module, or in a list by their numbers.
Plan = dict[str, "Layer | list"]


def layers_of(plan: "Plan | list", before: str = "") -> Iterator[tuple[str, Layer]]:
    """The layers in the order in which they compute, by their names in the module's state."""
    parts = enumerate(plan) if isinstance(plan, list) else plan.items()
    for name, part in parts:
        if isinstance(part, list):
            yield from layers_of(part, f"{before}{name}.")
        else:
            yield f"{before}{name}", part


def shapes_of(plan: Plan, num_axes: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Type of numbers and shape of every weight, by its name in the module's state.

    Args:
        plan: the net.
        num_axes: spatial axes of its inputs.
    """
    shapes = {}
    for name, layer in layers_of(plan):
        for weight, shape in _weights(layer, num_axes).items():
            dtype = "int64" if weight == "num_batches_tracked" else "float32"
            shapes[f"{name}.{weight}"] = dtype, shape
    return shapes


def _weights(layer: Layer, num_axes: int) -> dict[str, tuple[int, ...]]:
    match layer:
        case Convolution(before, after, _, bias):
            weight = {"weight": (after, before, *[WINDOW] * num_axes)}
            return weight | ({"bias": (after,)} if bias else {})
        case Norm(channels):
            names = "weight", "bias", "running_mean", "running_var"
            return {**dict.fromkeys(names, (channels,)), "num_batches_tracked": ()}
        case Dense(num_in, num_out):
            return {"weight": (num_out, num_in), "bias": (num_out,)}
    return {}
