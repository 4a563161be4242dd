"""Amounts with units as people write them: memory, bandwidths, times."""

import argparse
import math
import re
from collections.abc import Callable

PREFIXES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
BINARY = {f"{prefix}i": 1024**power for power, prefix in enumerate("kmgt", start=1)}
SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
MEMORY = {f"{prefix}b": float(number) for prefix, number in (PREFIXES | BINARY).items()}
BANDWIDTHS = {
    f"{prefix}{unit}": number * bits
    for prefix, number in PREFIXES.items()
    for unit, bits in {"bit": 1.0, "bit/s": 1.0, "b/s": 8.0}.items()
}


def amount_in(units: dict[str, float], examples: str) -> Callable[[str], float]:
    """A type of an argument: a number above 0 with one of these units, in lower case.

    The function raises :class:`argparse.ArgumentTypeError` with ``examples`` of what is accepted.
    """

    def amount(text: str) -> float:
        found = re.fullmatch(r"\s*([0-9.]+(?:e[+-]?[0-9]+)?)\s*([a-zµ/]+)\s*", text.lower())
        try:
            value = float(found[1]) * units[found[2]] if found else math.nan
        except (ValueError, KeyError):
            value = math.nan
        if not 0 < value < math.inf:
            raise argparse.ArgumentTypeError(f"{text!r} is not an amount such as {examples}")
        return value

    return amount


memory = amount_in(MEMORY, "16GB, 512MB or 16GiB")
bandwidth = amount_in(BANDWIDTHS, "10Gbit, 100Mbit or 25GB/s")
latency = amount_in(SECONDS, "50us, 0.1ms or 1s")
