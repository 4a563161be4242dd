"""A finished experiment: what its report's folder holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile, is_zipfile

import numpy as np
import pandas as pd
from pandas.api.types import is_integer_dtype, is_numeric_dtype

from ddcnn.base.errors import DamagedResult, InputError
from ddcnn.base.files import read_npz
from ddcnn.base.foreign import entry, read_facts
from ddcnn.base.reading import reading
from ddcnn.report.snapshot import MERITS, SETTINGS, flatten
from ddcnn.report.summary import NAMED

SUMMARY = "summary.csv"
READ = (SUMMARY, SETTINGS, MERITS)  # of a report's folder
NAMES = dict.fromkeys(("dataset", "model", "decomposition", "grid", "overlap", "method"), str)
# What a comparison shows or chooses by; of a classification those of a regression are empty.
NUMBERS = ("accuracy_val", "accuracy_test", "r2_val", "r2_test", "parallel_seconds")


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
    settings, merits = read_settings(folder / SETTINGS), _read_merits(folder / MERITS)
    if not any(name.endswith("/groups") for name in merits):
        raise InputError(
            f"{folder / MERITS} does not say which images belong together: an earlier version of "
            "ddcnn wrote it; run its experiment again"
        )
    summary = _read_summary(folder / SUMMARY)
    _check_merits(folder / MERITS, merits, summary)
    return Finished(settings["experiment"], folder, settings, summary, merits)


def read_settings(path: Path) -> dict[str, Any]:
    """The settings of a report, with those of its entries that every comparison needs.

    Raises:
        InputError: they are of another type.
    """
    settings = read_facts(path)
    entry(settings, path, "experiment", str)
    entry(settings, path, "report.margin", float)
    try:
        dict(flatten(settings))
    except RecursionError as error:
        raise DamagedResult(path, "its keys are nested too deep") from error
    return settings


def _read_merits(path: Path) -> dict[str, np.ndarray]:
    """All arrays; packed ones, which this package never writes, may be of any size."""
    if is_zipfile(path):
        with ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > path.stat().st_size:
            raise DamagedResult(path, f"its {path.stat().st_size:,} bytes unpack to {unpacked:,}")
    return read_npz(path)


def _check_merits(path: Path, merits: Mapping[str, np.ndarray], summary: pd.DataFrame) -> None:
    """What the rows of the summary need is there, and of the images of the test split."""
    for row in summary.to_dict("records"):
        labels = merits.get(row["dataset"], np.empty(0))
        num_images = len(labels) if labels.ndim else 0
        run = "{dataset}/{model}/{decomposition}/seed{seed}/{method}".format_map(row)
        for name, kinds, sizes in (
            (row["dataset"], "biuf", [num_images]),
            (f"{row['dataset']}/groups", "iu", [0, num_images]),
            (run, "bf", [num_images]),
        ):
            found = merits.get(name, np.empty(0, object))
            flat = found.ndim == 1 or name == row["dataset"]
            fits = num_images and flat and found.dtype.kind in kinds and len(found) in sizes
            if not (fits and np.isfinite(found).all()):
                raise DamagedResult(path, f"{name} is no array of the {num_images} test images")


def _read_summary(path: Path) -> pd.DataFrame:
    with reading(path):
        # Names may look like numbers or like "NA".
        table = pd.read_csv(path, dtype=NAMES, keep_default_na=False, na_values=[""])
    if missing := {*NAMED, *NUMBERS} - set(table.columns):
        raise DamagedResult(path, f"no column {sorted(missing)[0]}")
    for column in NUMBERS:
        if not is_numeric_dtype(table[column]):
            raise DamagedResult(path, f"not all of its column {column} are numbers")
    named = table[["seed", *NAMES]].notna().all().all()
    if table.empty or not (named and is_integer_dtype(table["seed"])):
        raise DamagedResult(path, "it has no rows, or rows without a seed, data set or method")
    return table
