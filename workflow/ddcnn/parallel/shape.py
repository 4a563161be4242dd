"""What of a net decides how much its workers send: read off the net itself."""

import math
from collections.abc import Sequence

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ddcnn.base.errors import InputError
from ddcnn.parallel.pipeline import pieces_of
from ddcnn.parallel.spatial import AVERAGES, Call, cut_calls, windows_of
from ddcnn.parallel.volume import NetShape, PieceShape, Talk


def shape_of(net: nn.Module, shape: Sequence[int]) -> NetShape:
    """The shape of a net for images of ``shape``: pixels along every axis, and channels."""
    spatial = tuple(shape[:-1])
    weights = tuple(w.numel() for w in net.parameters() if w.requires_grad)
    norms = tuple(m.num_features for m in net.modules() if isinstance(m, _BatchNorm))
    return NetShape(weights, norms, _talks(net, shape), _pieces(net, shape), spatial)


def _talks(net: nn.Module, shape: Sequence[int]) -> tuple[Talk, ...] | None:
    try:
        calls = cut_calls(net, shape, (1,) * (len(shape) - 1))
    except InputError:
        return None
    talks, learns = [], False
    for call in calls:
        layer = net.get_submodule(call.name)
        if talk := _talk(call, layer, learns):
            talks.append(talk)
        learns |= any(weight.requires_grad for weight in layer.parameters())
    return tuple(talks)


def _talk(call: Call, layer: nn.Module, learns: bool) -> Talk | None:
    windows = windows_of(layer, len(call.before))
    if windows is not None:
        return Talk("window", call.channels, call.before, tuple(windows), learns)
    for kinds, name in ((_BatchNorm, "norm"), (AVERAGES, "average"), (nn.Flatten, "flatten")):
        if isinstance(layer, kinds):
            return Talk(name, call.channels, call.before, (), learns)
    return None


def _pieces(net: nn.Module, shape: Sequence[int]) -> tuple[PieceShape, ...] | None:
    try:
        pieces = pieces_of(net, shape)
    except InputError:
        return None
    return tuple(PieceShape(math.prod(piece.shape), bool(piece.weights)) for piece in pieces)
