"""Time series in the text format ``.ts`` of the UCR, UEA and TSER archives.

Comments begin with ``#``, the header with ``@``; below ``@data`` every line is a series: its
channels, separated by colons, of values separated by commas, and at last its class or target.
"""

from pathlib import Path

import numpy as np

from ddcnn.base.errors import InputError
from ddcnn.base.foreign import check_regular


def read_series(path: Path) -> tuple[np.ndarray, list[str], list[str]]:
    """All series of a file.

    Returns:
        float32 ``N, T, C``; the class or target of each as text; the names of the classes in the
        header's order, none for regression.

    Raises:
        InputError: another format, time stamps, missing values, or series of different lengths.
    """
    check_regular(path)
    header, found, data = path.read_text(encoding="utf-8").partition("\n@data\n")
    if not found:
        raise InputError(f"{path} is no .ts file of series: it has no line @data; get it again")
    facts = dict(_fact(line) for line in header.splitlines() if line.startswith("@"))
    if facts.get("timestamps") == "true":
        raise InputError(f"{path} has time stamps, which are not read; accepted: equal steps")
    lines = [line for line in data.splitlines() if line.strip()]
    series, labels = [], []
    for number, line in enumerate(lines):
        *channels, label = line.split(":")
        series.append(_values(path, number, channels))
        labels.append(label.strip())
    if len({each.shape for each in series}) != 1:
        raise InputError(f"{path} holds series of different lengths; accepted: one length")
    return np.stack(series), labels, facts.get("classlabel", "false").split()[1:]


def _fact(line: str) -> tuple[str, str]:
    key, _, value = line[1:].partition(" ")
    return key.lower(), value.strip()


def _values(path: Path, number: int, channels: list[str]) -> np.ndarray:
    """float32 ``T, C`` of one line."""
    try:
        values = np.array([channel.split(",") for channel in channels], np.float32).T
    except ValueError as error:
        raise InputError(f"{path}: series {number} holds no numbers ({error})") from error
    if values.ndim != 2 or not np.isfinite(values).all():
        raise InputError(f"{path}: series {number} has missing or infinite values")
    return values
