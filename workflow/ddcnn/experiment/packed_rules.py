"""The rules that train local nets: one for single tiles, and one for every pack of tiles.

Snakemake's wildcards cannot say "these eight": outputs of a rule are a fixed list of patterns, so
that every pack is a rule of its own.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ddcnn.experiment.paths import BENCHMARKS, LOGS, WILDCARDS, outputs_of
from ddcnn.tiles.geometry import VIEW, Tiling
from ddcnn.tiles.packs import Pack, packs_of

RULE = "train_local"
WHOLE = "whole"
LONGEST = 1_000_000  # priority of the global net, more than that of any pack
AWAITED = LONGEST + 1  # priority of short jobs without which no training can be chosen


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

    @property
    def outputs(self) -> dict[str, list[str]]:
        """The files of all its nets, by name."""
        return {
            name: [str(file).replace("{tile}", tile) for tile in self.pack.tiles]
            for name, file in outputs_of(0)[RULE].items()
        }

    @property
    def log(self) -> str:
        return LOGS[RULE].replace("{tile}", self.pack.name)

    @property
    def benchmark(self) -> str:
        return BENCHMARKS[RULE].replace("{tile}", self.pack.name)

    @property
    def words(self) -> str:
        """What it trains, for its message, where a wildcard is written differently."""
        more = len(self.pack.tiles) - 1
        first = self.pack.tiles[0].replace("{tile}", "{wildcards.tile}")
        return f"{first} and {more} more" if more else first


def local_rules(tilings: Iterable[Tiling], tiles_per_job: int) -> dict[str, LocalRule]:
    """Name and content of every rule that trains local nets of these tilings."""
    single = WILDCARDS["tile"] if tiles_per_job == 1 else VIEW
    rules = {RULE: LocalRule(Pack(("{tile}",)), WILDCARDS["tiling"], single)}
    if tiles_per_job > 1:
        for tiling in {tiling.slug: tiling for tiling in tilings}.values():
            for number, pack in enumerate(packs_of(tiling.names, tiles_per_job)):
                name = f"{RULE}_{tiling.slug}_{number}".replace("-", "_")
                rules[name] = LocalRule(pack, tiling.slug, VIEW)
    return rules
