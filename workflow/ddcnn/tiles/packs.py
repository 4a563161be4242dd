"""Which tiles are trained by one job: each by its own, or several, one after the other.

Starting a job costs seconds; where a tile's training does not take many, packs of tiles pay them
once. What is trained, and which files that makes, is the same for every packing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ddcnn.tiles.geometry import VIEW, Tiling

RULE = "train_local"
WHOLE = "whole"
LONGEST = 1_000_000  # priority of the global net, more than that of any pack
AWAITED = LONGEST + 1  # priority of short jobs without which no training can be chosen
ANY_TILE = rf"\d+(-\d+)*|{VIEW}"


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

    @property
    def words(self) -> str:
        """For a rule's message, where a wildcard is written differently."""
        more = len(self.tiles) - 1
        first = self.tiles[0].replace("{tile}", "{wildcards.tile}")
        return f"{first} and {more} more" if more else first


@dataclass(frozen=True)
class LocalRule:
    """A rule that trains local nets.

    Attributes:
        pack: what one of its jobs trains.
        tiling, tile: regular expressions of what its wildcards take.
    """

    pack: Pack
    tiling: str
    tile: str

    @property
    def priority(self) -> int:
        """The longest job first: begun last, it would be waited for alone.

        Every training comes before what other rules make of it, which is short.
        """
        return LONGEST if self.tiling == WHOLE else len(self.pack.tiles)


def packs_of(names: Sequence[str], tiles_per_job: int) -> list[Pack]:
    """All tiles in their order, in packs of so many; the coarse view has a job of its own."""
    tiles = [name for name in names if name != VIEW]
    starts = range(0, len(tiles), tiles_per_job)
    packs = [Pack(tuple(tiles[k : k + tiles_per_job])) for k in starts]
    return packs + [Pack((VIEW,))] * (VIEW in names)


def local_rules(
    tilings: Iterable[Tiling], tiles_per_job: int, any_tiling: str
) -> dict[str, LocalRule]:
    """Name and content of every rule that trains local nets.

    One rule takes single tiles. Snakemake's wildcards cannot say "these eight", so that every pack
    is a rule.

    Args:
        tilings: of the experiment.
        tiles_per_job: as configured.
        any_tiling: a regular expression.
    """
    single = ANY_TILE if tiles_per_job == 1 else VIEW
    rules = {RULE: LocalRule(Pack(("{tile}",)), any_tiling, single)}
    if tiles_per_job > 1:
        for tiling in {tiling.slug: tiling for tiling in tilings}.values():
            for number, pack in enumerate(packs_of(tiling.names, tiles_per_job)):
                name = f"{RULE}_{tiling.slug}_{number}".replace("-", "_")
                rules[name] = LocalRule(pack, tiling.slug, VIEW)
    return rules
