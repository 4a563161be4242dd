"""Which tiles are trained by one job: each by its own, or several, one after the other.

Starting a job costs seconds; where a tile's training does not take many, packs of tiles pay them
once. What is trained, and which files that makes, is the same for every packing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ddcnn.tiles.geometry import VIEW


@dataclass(frozen=True)
class Pack:
    """Tiles of one tiling that a job trains.

    Attributes:
        tiles: their names; ``("{tile}",)``, a wildcard, stands for any single one.
    """

    tiles: tuple[str, ...]

    @property
    def name(self) -> str:
        """In paths of the job: the tile's name, or that of the first and the last."""
        return self.tiles[0] if len(self.tiles) == 1 else f"{self.tiles[0]}..{self.tiles[-1]}"


def packs_of(names: Sequence[str], tiles_per_job: int) -> list[Pack]:
    """All tiles in their order, in packs of so many; the coarse view has a job of its own."""
    tiles = [name for name in names if name != VIEW]
    starts = range(0, len(tiles), tiles_per_job)
    packs = [Pack(tuple(tiles[k : k + tiles_per_job])) for k in starts]
    return [*packs, Pack((VIEW,))] if VIEW in names else packs
