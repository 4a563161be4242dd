"""Snakemake's records of what made the results: kept beside them, so that they move together.

Snakemake compares the settings, code and inputs of a job with a record of each of its files. It
keeps these in its own folder, which a copy of ``results/`` leaves behind; and a file without a
record it takes for finished, whatever made it.
"""

import os
from contextlib import suppress
from pathlib import Path

from ddcnn.base.errors import InputError
from ddcnn.experiment.paths import RESULTS

SNAKEMAKES = Path(".snakemake/metadata")
RECORDS = Path(RESULTS) / ".records"


def keep_with_results(folder: str | Path = ".") -> None:
    """Let Snakemake's folder of records lead to that of the results.

    Records that Snakemake made elsewhere, and that are newer than those here, are taken over. Where
    nothing may be written there is no link: whoever writes results says so.
    """
    own, kept = Path(folder) / SNAKEMAKES, Path(folder) / RECORDS
    target = os.path.relpath(kept, own.parent)
    with suppress(OSError):
        try:
            kept.mkdir(parents=True, exist_ok=True)
        except OSError:
            if own.is_symlink() and not own.exists():
                own.unlink()
            raise
        if own.is_symlink() and str(own.readlink()) == target:
            return
        own.parent.mkdir(exist_ok=True)
        if own.is_symlink():
            own.unlink()
        elif own.is_dir():
            _move(own, kept)
        own.symlink_to(target, target_is_directory=True)


def _move(source: Path, target: Path) -> None:
    for parent, _, names in os.walk(source, topdown=False):
        for path in (Path(parent, name) for name in names):
            place = target / path.relative_to(source)
            if place.exists() and place.stat().st_mtime >= path.stat().st_mtime:
                path.unlink()
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                path.replace(place)
        Path(parent).rmdir()


def require_records(folder: str | Path = ".") -> None:
    """Raise :class:`InputError` where nets are there and no record of any file is."""
    kept, trained = Path(folder) / RECORDS, Path(folder) / RESULTS / "local"
    if any(kept.glob("*")) or not any(trained.rglob("metrics.json")):
        return
    raise InputError(
        f"{trained} holds nets, but {kept}, the record of the settings and code that made them, is "
        "missing: they would pass for those of today's. Copy it, too (it may be the folder "
        f"{SNAKEMAKES} beside the results' first place); or move {RESULTS}/ away and train again; "
        "or, if this configuration and code did make them, take them over unseen: "
        "snakemake --cores 1 --touch --forceall"
    )
