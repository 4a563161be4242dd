"""How much every worker sends in a step, from the shape of a net alone. No torch.

Exact for what :mod:`ddcnn.parallel.door` counts where batches are full and values are float32;
rounds are what happens one after the other, as the time of a step depends on. Formulae: sums of
gradients send ``2 (W - 1) / W`` times their bytes, as a ring or any other optimal algorithm (P.
Patarasuk, X. Yuan, J. Parallel Distrib. Comput. 69, 2009); halos are the pixels that a layer looks
at beyond the own tile, by :mod:`ddcnn.parallel.cuts`; a pipeline sends activations and their
gradients at the ends of its sections.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from ddcnn.parallel.cuts import Window, bounds, grid_of, halos_of, is_too_small

VALUE, NORM_VALUE = 4, 8  # bytes: float32, and float64 for statistics
# Sums of so few bytes go to everybody at once: a message less to wait for.
ONE_ROUND_BYTES = 2**14
# Bytes after which torch's DistributedDataParallel begins the next bucket of gradients.
BUCKETS = (2**20, 25 * 2**20)


class Volume(NamedTuple):
    """What one worker sends.

    Attributes:
        bytes, messages: as the door counts them.
        rounds: exchanges one after the other, each with any number of messages.
    """

    bytes: float = 0.0
    messages: int = 0
    rounds: int = 0

    def plus(self, *others: "Volume") -> "Volume":
        """The sum."""
        return Volume(*map(sum, zip(self, *others, strict=True)))


class Talk(NamedTuple):
    """A layer at which workers with tiles talk.

    Attributes:
        kind: ``window`` (it looks at neighbouring pixels), ``norm``, ``average`` or ``flatten``.
        channels: of its input.
        pixels: of the whole map that it gets, along every axis.
        windows: along every axis, of the kind ``window``.
        learns_before: whether a gradient goes back through it.
    """

    kind: str
    channels: int
    pixels: tuple[int, ...]
    windows: tuple[Window, ...] = ()
    learns_before: bool = True


class PieceShape(NamedTuple):
    """The least that can be a section of a pipeline: numbers of one sample that it makes."""

    values: int
    learns: bool


@dataclass(frozen=True)
class NetShape:
    """What of a net decides how much its workers send.

    Attributes:
        weights: numbers of every trainable weight, in the order of the net.
        norms: channels of its batch norms.
        talks: see :class:`Talk`; None of a net that knows no tiles.
        pieces: of a pipeline; None of a net that cannot be cut into pieces.
        spatial: pixels of an image along every axis.
    """

    weights: tuple[int, ...]
    norms: tuple[int, ...]
    talks: tuple[Talk, ...] | None
    pieces: tuple[PieceShape, ...] | None
    spatial: tuple[int, ...]

    def as_dict(self) -> dict[str, Any]:
        """For a JSON file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> "NetShape":
        """What :meth:`as_dict` wrote."""
        talks, pieces = found["talks"], found["pieces"]
        if talks is not None:
            talks = tuple(
                Talk(kind, channels, tuple(pixels), tuple(Window(*w) for w in windows), learns)
                for kind, channels, pixels, windows, learns in talks
            )
        if pieces is not None:
            pieces = tuple(PieceShape(*piece) for piece in pieces)
        weights, norms, spatial = (tuple(found[key]) for key in ("weights", "norms", "spatial"))
        return cls(weights, norms, talks, pieces, spatial)


def summed(num_bytes: float, workers: int) -> Volume:
    """A sum over all workers, see :meth:`ddcnn.parallel.door.Door.sum`."""
    others = workers - 1
    if num_bytes <= ONE_ROUND_BYTES:
        return Volume(others * num_bytes, others, 1)
    return Volume(2 * others / workers * num_bytes, 2 * others, 2)


def gradient_buckets(net: NetShape) -> list[int]:
    """Bytes that are summed together, in the order in which they are ready."""
    buckets, sizes = [0], iter(BUCKETS)
    limit = next(sizes)
    for number in reversed(net.weights):
        if buckets[-1] >= limit:
            buckets.append(0)
            limit = next(sizes, limit)
        buckets[-1] += VALUE * number
    return buckets


def fits(net: NetShape, way: str, workers: int, batch: int) -> bool:
    """Whether so many workers can train the net in this way."""
    if way == "spatial":
        grid = grid_of(workers, net.spatial)
        maps = [talk.pixels for talk in net.talks or ()]
        maps += [outputs(talk) for talk in net.talks or () if talk.kind == "window"]
        return bool(maps) and not any(is_too_small(pixels, grid) for pixels in maps)
    if way == "pipeline":
        return sum(piece.learns for piece in net.pieces or ()) >= workers
    return workers <= batch


def outputs(talk: Talk) -> tuple[int, ...]:
    """Pixels along every axis that a layer of the kind ``window`` makes."""
    pairs = zip(talk.windows, talk.pixels, strict=True)
    return tuple(window.num_outputs(n) for window, n in pairs)


def volumes(
    net: NetShape,
    way: str,
    workers: int,
    batch: int,
    ends: Sequence[int] = (),
    micro_batches: int | None = None,
) -> list[Volume]:
    """What every worker sends in a step.

    Args:
        net: its shape.
        way: one of :data:`ddcnn.parallel.WAYS`.
        workers: how many.
        batch: images of a step.
        ends: of the sections of a pipeline, in pieces.
        micro_batches: of a pipeline; by default twice as many as workers.
    """
    if way == "spatial":
        return _of_tiles(net, workers, batch)
    if way == "pipeline":
        return _of_sections(net, ends, batch, min(micro_batches or 2 * workers, batch))
    sent = [summed(size, workers) for size in gradient_buckets(net)]
    if way == "data-synchronised":
        sent += _of_norms(net.norms, workers)
    # Loss and merit.
    return [summed(2 * VALUE, workers).plus(*sent)] * workers


def _of_norms(norms: Sequence[int], workers: int) -> list[Volume]:
    """Mean, square and number of every channel, and back the gradients of weight and bias."""
    return [summed(n * NORM_VALUE * channels, workers) for channels in norms for n in (3, 2)]


def _of_tiles(net: NetShape, workers: int, batch: int) -> list[Volume]:
    numbers = np.arange(workers).reshape(grid_of(workers, net.spatial))
    gradients = summed(VALUE * sum(net.weights), workers)
    return [
        gradients.plus(*_of_tile(net.talks or (), numbers, index, batch))
        for index in np.ndindex(numbers.shape)
    ]


def _of_tile(
    talks: Sequence[Talk], numbers: np.ndarray, index: tuple[int, ...], batch: int
) -> Iterator[Volume]:
    workers = numbers.size
    for talk in talks:
        values = VALUE * batch * talk.channels
        if talk.kind == "norm":
            yield from _of_norms([talk.channels], workers)
        elif talk.kind == "average":
            yield summed(values, workers)
        elif talk.kind == "flatten":
            own = np.prod(_tile(numbers.shape, index, talk.pixels))
            yield Volume((workers - 1) * values * float(own), workers - 1, 1)
        else:
            yield from _of_halos(talk, numbers, index, values)


def _tile(grid: Sequence[int], index: Sequence[int], pixels: Sequence[int]) -> list[int]:
    """Pixels along every axis of a worker's part of a map."""
    cuts = map(bounds, pixels, grid)
    return [cut[i + 1] - cut[i] for cut, i in zip(cuts, index, strict=True)]


def _of_halos(
    talk: Talk, numbers: np.ndarray, index: tuple[int, ...], values: int
) -> Iterator[Volume]:
    """One axis after the other: what came along one goes on along the next, with the corners."""
    sizes = _tile(numbers.shape, index, talk.pixels)
    for halo in halos_of(numbers, index, talk.pixels, talk.windows):
        axis = halo.axis - 2
        across = values * float(np.prod(sizes)) / sizes[axis]
        sent = [across * strip.length for strip in halo.sends]
        back = [across * strip.length for strip in halo.receives]
        if sent or back:
            yield Volume(sum(sent), len(sent), 1)
            if talk.learns_before:
                yield Volume(sum(back), len(back), 1)
        sizes[axis] = halo.size


def _of_sections(net: NetShape, ends: Sequence[int], batch: int, count: int) -> list[Volume]:
    values = [VALUE * batch * (net.pieces or ())[end - 1].values for end in ends[:-1]]
    found = []
    for rank in range(len(ends)):
        sent = Volume()
        for end in (rank - 1, rank):  # back to the one before, on to the next
            if 0 <= end < len(values):
                sent = sent.plus(Volume(values[end], count, 2 * count))
        found.append(sent.plus(Volume(rounds=1)))  # loss and merit come
    others = len(ends) - 1
    found[-1] = found[-1].plus(Volume(2 * VALUE * others, others))
    return found
