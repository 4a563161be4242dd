"""Which nets can be trained in which way, told before any job starts."""

from collections.abc import Iterable, Sequence
from typing import Any

from ddcnn import nets
from ddcnn.base.errors import InputError
from ddcnn.parallel.cuts import balanced, grid_of


def check_ways(trainings: Iterable[dict[str, Any]]) -> None:
    """:func:`check_way` for every training that a configuration asks for; a line a mistake."""
    mistakes = []
    for training in trainings:
        try:
            check_way(**training)
        except InputError as error:
            mistakes.append(str(error))
    if mistakes:
        raise InputError("\n".join(dict.fromkeys(mistakes)))


def check_way(
    architecture: str, width: int, shape: Sequence[int], outputs: int, way: str, workers: int
) -> None:
    """Raise :class:`InputError` where a net cannot be trained in this way by so many workers.

    Args:
        architecture, width: of the net, see :func:`ddcnn.nets.build`.
        shape: pixels along every axis of an image, and channels.
        outputs: of the net.
        way: one of :data:`ddcnn.parallel.WAYS`.
        workers: how many.
    """
    if way.startswith("data"):
        return
    # Here, so that a configuration without the key does not wait for torch.
    from ddcnn.parallel.pipeline import pieces_of
    from ddcnn.parallel.spatial import cut_calls

    net = nets.build(architecture, shape, outputs, width)
    if way == "spatial":
        cut_calls(net, shape, grid_of(workers, shape[:-1]))
    else:
        pieces = pieces_of(net, shape)
        balanced([1.0] * len(pieces), [bool(piece.weights) for piece in pieces], workers)
