"""What a later comparison needs of an experiment, kept beside its page.

The folders of the runs do not name all settings: another experiment may have trained the same runs
with more epochs since. The report's folder alone holds what its tables were made of.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ddcnn.base.files import write_json, write_npz
from ddcnn.report.study import RunResult

SETTINGS, MERITS = "settings.json", "merits.npz"


def write_snapshot(runs: Iterable[RunResult], settings: Mapping[str, Any], out: Path) -> None:
    """Write ``settings.json`` and ``merits.npz`` to ``out``."""
    write_json(out / SETTINGS, settings)
    write_npz(out / MERITS, **merits_of(runs))


def merits_of(runs: Iterable[RunResult]) -> dict[str, np.ndarray]:
    """For every run and method, what each test image contributes to the score.

    Returns:
        by ``{dataset}/{model}/{decomposition}/seed{seed}/{method}`` bool ``N`` (is the decision
        right), of a regression float ``N`` (their mean is R² - 1); by ``{dataset}`` the labels or
        targets of the test split, and by ``{dataset}/groups`` what makes its images depend on each
        other, see :attr:`ddcnn.report.study.RunResult.groups`, empty where nothing does.
    """
    arrays = {}
    for run in runs:
        facts = run.evaluation
        folder = "{dataset}/{model}/{decomposition}/seed{seed}".format_map(facts)
        arrays[facts["dataset"]] = run.labels
        groups = np.empty(0, np.int64) if run.groups is None else run.groups
        arrays[f"{facts['dataset']}/groups"] = groups
        arrays |= {f"{folder}/{method}": run.merits(method) for method in facts["methods"]}
    return arrays


def flatten(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """``local: {epochs: 8}`` as ``("local.epochs", "8")``."""
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            values = value if isinstance(value, list | tuple) else [value]
            yield f"{prefix}{key}", ", ".join(map(_as_written, values))


def _as_written(value: Any) -> str:
    """Text as it stands, everything else as a configuration file has it: ``true``, ``null``."""
    return value if isinstance(value, str) else json.dumps(value, default=str)
