"""The registered data sets, from ``datasets.yaml``."""

import re
from pathlib import Path
from typing import Any

from ddcnn.base.own_yaml import read_own_yaml
from ddcnn.data.download import SourceFile
from ddcnn.data.options import ReadOptions
from ddcnn.data.phantom import Phantoms
from ddcnn.data.registry.dataset import Dataset
from ddcnn.data.registry.nearby import NEARBY

DATA = Path(__file__).parents[1]
EMBEDDED = DATA / "embedded"


def _dataset(name: str, entry: dict[str, Any]) -> Dataset:
    entry = _with_tuples(entry)
    return Dataset(
        name=name,
        public_files=tuple(map(_source_file, entry.pop("files", ()))),
        nearby=NEARBY[entry.pop("nearby")] if "nearby" in entry else None,
        counts={split: _count(count) for split, count in entry.pop("counts", {}).items()},
        options=ReadOptions(**entry.pop("options", {})),
        phantoms=Phantoms(**entry.pop("phantoms")) if "phantoms" in entry else None,
        **entry,
    )


def _with_tuples(value: Any) -> Any:
    """Lists as tuples, which cannot be changed by who reads the registry."""
    if isinstance(value, list):
        return tuple(map(_with_tuples, value))
    if isinstance(value, dict):
        return {key: _with_tuples(item) for key, item in value.items()}
    return value


def _source_file(file: dict[str, Any]) -> SourceFile:
    urls = (url.format(name=file["name"]) for url in file.get("urls", ()))
    return SourceFile(**{**file, "urls": tuple(u if "://" in u else str(DATA / u) for u in urls)})


def _count(count: Any) -> int | tuple[int, ...]:
    """Images of a split, or of each of its classes; ``10 x 6000`` is ten times the same."""
    if isinstance(count, str):
        classes, images = map(int, re.fullmatch(r"(\d+) x (\d+)", count).groups())
        return (images,) * classes
    return count


_ENTRIES = read_own_yaml(Path(__file__).with_name("datasets.yaml"))
REGISTRY = {name: _dataset(name, entry) for name, entry in _ENTRIES.items()}
