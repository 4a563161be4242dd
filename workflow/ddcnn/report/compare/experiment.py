"""A finished experiment: what its report's folder holds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ddcnn.base.errors import DamagedResult, InputError
from ddcnn.base.files import read_json, read_npz
from ddcnn.base.reading import reading
from ddcnn.report.snapshot import MERITS, SETTINGS
from ddcnn.report.summary import NAMED

SUMMARY = "summary.csv"
READ = (SUMMARY, SETTINGS, MERITS)  # of a report's folder
NAMES = dict.fromkeys(("dataset", "model", "decomposition", "grid", "overlap", "method"), str)


@dataclass(frozen=True)
class Finished:
    """An experiment with a report.

    Attributes:
        name: of the experiment.
        folder: of its report.
        settings: the configuration with all defaults.
        summary: rows of ``summary.csv``.
        merits: see :func:`ddcnn.report.snapshot.merits_of`.
    """

    name: str
    folder: Path
    settings: dict[str, Any]
    summary: pd.DataFrame
    merits: dict[str, np.ndarray]


def read(folder: Path) -> Finished:
    """What a report's folder holds.

    Raises:
        InputError: a file is missing or damaged.
    """
    for name in READ:
        if not (folder / name).is_file():
            raise InputError(
                f"{folder} holds no {name}: its experiment is not finished, or an earlier version "
                "of ddcnn wrote it, or this is no report's folder; run its experiment again"
            )
    settings, merits = read_json(folder / SETTINGS), read_npz(folder / MERITS)
    if not any(name.endswith("/groups") for name in merits):
        raise InputError(
            f"{folder / MERITS} does not say which images belong together: an earlier version of "
            "ddcnn wrote it; run its experiment again"
        )
    summary = _read_summary(folder / SUMMARY)
    return Finished(settings["experiment"], folder, settings, summary, merits)


def _read_summary(path: Path) -> pd.DataFrame:
    with reading(path):
        # Names may look like numbers or like "NA".
        table = pd.read_csv(path, dtype=NAMES, keep_default_na=False, na_values=[""])
    if missing := set(NAMED) - set(table.columns):
        raise DamagedResult(path, f"no column {sorted(missing)[0]}")
    return table
