"""The nets: what is known of them without torch, and :func:`build`, which needs it.

A net is one module of this package and one entry of :data:`ARCHITECTURES`, or a factory in a module
of the user, named ``module:factory`` (:mod:`ddcnn.nets.own`).
"""

import importlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ddcnn.base.digests import code_digest
from ddcnn.base.errors import InputError
from ddcnn.nets import own

if TYPE_CHECKING:
    from torch import nn

    from ddcnn.nets.plan import Plan

LAYERS = f"{__name__}.layers"  # builds what is a plan


@dataclass(frozen=True)
class Architecture:
    """What the configuration must know of a net before any job starts.

    Attributes:
        module: of this package, imported when the net is built.
        factory: its class, called with shape, classes, width and dropout; or the function that
            says which layers it has.
        description: one line for people.
        standard_width: the published width, or what suits images of 32 x 32 pixels.
        smallest_input: pixels that every axis of its input must have.
        num_axes: numbers of spatial axes it is defined for.
        options: further arguments of the factory.
        is_plan: whether its factory gives a :data:`ddcnn.nets.plan.Plan`, without torch.
        closed_form: its weights are the solution of a linear system: it has no training steps, no
            width and nothing random.
    """

    module: str
    factory: str
    description: str
    standard_width: int
    smallest_input: int
    num_axes: tuple[int, ...] = (1, 2, 3)
    options: Mapping[str, Any] = field(default_factory=dict)
    is_plan: bool = False
    closed_form: bool = False


def _resnet(depth: int, projection: bool) -> Architecture:
    how = "projections where the channels double" if projection else "shortcuts without parameters"
    options = {"depth": depth, "projection": projection}
    # Below 4 pixels the strides of the second and third stage have nothing to halve.
    return Architecture(
        "resnet", "ResNet", f"{depth} layers (He et al.), {how}", 16, 4, options=options
    )


def _ct3d(padding: int, smallest: int) -> Architecture:
    how = "padded" if padding else "unpadded"
    text = f"4 x [convolution 3, ReLU, max pool 2, batch norm], {how}, for CT scans"
    options = {"padding": padding}
    return Architecture("ct3d", "ct3d", text, 64, smallest, options=options, is_plan=True)


def _vit(patch: int | None) -> Architecture:
    how = f"patches of {patch}" if patch else "about 8 patches along the longest axis"
    text = f"vision transformer, 6 blocks of 4 heads, {how}"
    return Architecture("vit", "Vit", text, 64, patch or 4, options={"patch": patch})


ARCHITECTURES = {
    "vgg": Architecture(
        "vgg",
        "vgg",
        "3 stages of 2 x [convolution 3, batch norm, ReLU], pooling between stages",
        standard_width=32,
        smallest_input=4,
        is_plan=True,
    ),
    **{f"resnet{depth}": _resnet(depth, False) for depth in (20, 32, 44, 56)},
    **{f"resnet{depth}-projection": _resnet(depth, True) for depth in (20, 32, 44, 56)},
    "ct3d": _ct3d(padding=0, smallest=46),
    "ct3d-same": _ct3d(padding=1, smallest=16),
    "vit": _vit(None),
    **{f"vit-patch{patch}": _vit(patch) for patch in (4, 8, 16)},
    "gru": Architecture(
        "gru",
        "Gru",
        "2 bidirectional layers of GRUs along time (8 samples a step), rows or slices",
        standard_width=32,
        smallest_input=2,
    ),
    "lda": Architecture(
        "lda",
        "lda",
        "linear discriminant analysis, solved in closed form: no training steps, no width",
        standard_width=1,
        smallest_input=1,
        is_plan=True,
        closed_form=True,
    ),
}


def build(
    name: str, shape: Sequence[int], classes: int, width: int, dropout: float = 0.0
) -> "nn.Module":
    """A net with random weights, mapping float ``N, C, *spatial`` to logits ``N, classes``.

    Args:
        name: a key of :data:`ARCHITECTURES`, or ``module:factory``.
        shape: spatial axes and channels of one input, channels last, as in ``card.json``.
        classes: number of classes K.
        width: channels of the first stage.
        dropout: probability of dropping a feature before the last layer.

    Raises:
        InputError: an unknown net, an input too small for it, or a user's factory that fails.
    """
    check_input(name, shape[:-1])
    if own.is_own(name):
        return own.build(name, tuple(shape), classes, width, dropout)
    made = _made(name, shape, classes, width, dropout)
    if not ARCHITECTURES[name].is_plan:
        return made
    return importlib.import_module(LAYERS).build_plan(made, len(shape) - 1)


def planned(
    name: str, shape: Sequence[int], classes: int, width: int, dropout: float = 0.0
) -> "Plan | None":
    """The layers of the net that :func:`build` makes, without torch; None: it is no chain of them.

    Raises:
        InputError: an unknown net, or an input too small for it.
    """
    check_input(name, shape[:-1])
    if own.is_own(name) or not ARCHITECTURES[name].is_plan:
        return None
    return _made(name, shape, classes, width, dropout)


def _made(name: str, shape: Sequence[int], *arguments: Any) -> "nn.Module | Plan":
    architecture = ARCHITECTURES[name]
    # By name: the digest of the code behind a training must not hold the other nets.
    module = importlib.import_module(f"{__name__}.{architecture.module}")
    return getattr(module, architecture.factory)(tuple(shape), *arguments, **architecture.options)


def code_of(name: str) -> str:
    """Digest of the code of this net and no other: of its module and of what that imports."""
    if own.is_own(name):
        return code_digest(outside=(own.module_of(name), own.folder_of(name)))
    architecture = ARCHITECTURES[name]
    builders = [LAYERS.removeprefix("ddcnn.")] if architecture.is_plan else []
    return code_digest(f"nets.{architecture.module}", *builders)


def check_input(name: str, shape: Sequence[int]) -> None:
    """Raise :class:`InputError` where the net cannot take inputs with these spatial axes.

    What a user's net takes is not known before it is built: see :func:`ddcnn.nets.own.check`.
    """
    if own.is_own(name):
        return
    if name not in ARCHITECTURES:
        raise InputError(
            f"model: {name!r} is not one of {', '.join(ARCHITECTURES)}, nor my_module:factory"
        )
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


def is_closed_form(name: str) -> bool:
    """Whether a net's weights are computed without training steps."""
    return name in ARCHITECTURES and ARCHITECTURES[name].closed_form


def width_of(name: str, width: int) -> int:
    """The width of a net for which ``width`` is configured: 1 for those that have none."""
    return ARCHITECTURES[name].standard_width if is_closed_form(name) else width


def local_width(width: int, num_tiles: int) -> int:
    """Width of a local net by the proportional rule.

    ``width / sqrt(num_tiles)``, rounded up to a multiple of 4 but never above ``width``: so the
    parameters of a local net are about 1/N of the global net's (arXiv 2408.14442, abstract).
    Few channels make slow convolutions, hence the multiple; it also suits the 4 heads of ``vit``.
    """
    return min(width, 4 * math.ceil(width / math.sqrt(num_tiles) / 4))


def model_slug(name: str, width: int, explicit_local_width: int | None = None) -> str:
    """Name of the model in paths: ``vgg-w16``, or ``vgg-w16-local8`` with an explicit width.

    A user's ``my_module:factory`` is ``my_module.factory-w16``: no name above holds a dot.
    """
    slug = f"{name.replace(':', '.')}-w{width}"
    return slug if explicit_local_width is None else f"{slug}-local{explicit_local_width}"
