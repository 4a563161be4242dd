"""The data sets that are known by name, and the description of people's own.

Every job imports this package, so it imports no reader: those bring libraries for images and
scans, and are imported when something is read.
"""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ddcnn.base.errors import InputError
from ddcnn.data.download import SourceFile
from ddcnn.data.options import ReadOptions
from ddcnn.data.registry.dataset import AXES, Dataset
from ddcnn.data.registry.entries import EMBEDDED, REGISTRY

__all__ = ["AXES", "EMBEDDED", "REGISTRY", "Dataset", "dataset_of"]

OPTION_KEYS = {option.name for option in fields(ReadOptions)} - {"split_shares"}
PHANTOM_KEYS = ("count", "seed", "spacing", "shape")
ALWAYS = ("name", "flip", "shift")
OWN_KEYS = (
    *("path", "title", "licence", "synthetic", "unreadable", "shape", "channels", "fit"),
    *("window", "intensity", "frame", "spacing", "most_megapixels", "split_seed", "task"),
    *("group", "columns", "classes"),
)


def dataset_of(entry: str | dict[str, Any]) -> Dataset:
    """The data set that a configuration's ``dataset`` asks for.

    Args:
        entry: the name of a registered data set; or a mapping with ``name`` and ``path`` (people's
            own data), or with the name of a registered one and other options.

    Raises:
        InputError: an unknown name, a path that is of no known kind, or a key that does not fit.
    """
    if isinstance(entry, str):
        entry = {"name": entry}
    entry = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}
    name = entry["name"]
    if "path" in entry:
        return _own_dataset(entry)
    if name not in REGISTRY:
        raise InputError(
            f"dataset: {name!r} is not one of {', '.join(REGISTRY)}; for your own data write a "
            "mapping with name and path"
        )
    dataset = REGISTRY[name]
    _check_keys(entry, dataset.accepts)
    dataset = _with_options(dataset, entry)
    if dataset.phantoms is None:
        return dataset
    changes = {key: entry[key] for key in PHANTOM_KEYS if key in entry}
    return replace(dataset, phantoms=replace(dataset.phantoms, **changes))


def _own_dataset(entry: dict[str, Any]) -> Dataset:
    from ddcnn.data import own

    if entry["name"] in REGISTRY:
        raise InputError(
            f"dataset: the name {entry['name']!r} is taken; give your data another one"
        )
    _check_keys(entry, OWN_KEYS)
    try:
        path = Path(entry["path"]).expanduser().absolute()
        task = own.task(path, _options(entry))
        own.check_group(path, _options(entry))
    except (OSError, RuntimeError) as error:
        raise InputError(f"dataset: path {entry['path']!r} cannot be read ({error})") from error
    dataset = Dataset(
        name=entry["name"],
        title=entry.get("title", entry["name"]),
        source=str(path),
        licence=entry.get("licence", "not stated"),
        public_files=(SourceFile(path.name, (str(path),), in_place=True),),
        reader="read_own",
        path=path,
        task=task,
        unreadable="skip",
        synthetic=entry.get("synthetic", False),
        split_rule="",
    )
    return _with_options(dataset, entry)


def _check_keys(entry: dict[str, Any], accepted: tuple[str, ...]) -> None:
    for key in entry:
        if key not in (*ALWAYS, *accepted):
            takers = [name for name, dataset in REGISTRY.items() if key in dataset.accepts]
            known = f"only {', '.join(takers)} takes it" if "path" in entry else ""
            known = known or f"accepted: {', '.join((*ALWAYS[1:], *accepted))}"
            raise InputError(f"dataset.{key}: {entry['name']} does not take this key; {known}")


def _options(entry: dict[str, Any], before: ReadOptions | None = None) -> ReadOptions:
    """How files are read, as a configuration's mapping asks for it."""
    changes = {key: value for key, value in entry.items() if key in OPTION_KEYS}
    for key in {"columns", "classes"} & set(changes):  # YAML reads the class 0 as a number
        changes[key] = {str(old): str(new) for old, new in changes[key].items()}
    return replace(before or ReadOptions(), **changes)


def _with_options(dataset: Dataset, entry: dict[str, Any]) -> Dataset:
    """The data set with the options of a configuration's mapping."""
    own_spacing = dataset.phantoms is not None  # that of the phantoms is no target
    read = {key: value for key, value in entry.items() if not (own_spacing and key == "spacing")}
    options = _options(read, dataset.options)
    window = options.window
    if window and not window[0] < window[1]:
        raise InputError(f"dataset.window: {list(window)}; the first value must be the smaller")
    if window and options.intensity not in (None, "window"):
        raise InputError(
            f"dataset.intensity: {options.intensity!r}, but window: {list(window)} is set, too; "
            "remove one of them"
        )
    shape, spatial = options.shape, (dataset.prepared_shape or ())[:-1]
    if shape and spatial and len(shape) != len(spatial):
        raise InputError(f"dataset.shape: {list(shape)}; {dataset.name} has {len(spatial)} axes")
    changed = replace(
        dataset,
        options=options,
        unreadable=entry.get("unreadable", dataset.unreadable),
        flip=tuple(entry.get("flip", dataset.flip)),
        shift=entry.get("shift", dataset.shift),
    )
    axes = AXES[len(changed.shape)]
    for axis in changed.flip:
        if axis not in axes:
            raise InputError(
                f"dataset.flip: {axis!r} is no axis of the images of {changed.name} "
                f"({'x'.join(map(str, changed.shape))} pixels); accepted: {', '.join(axes)}"
            )
    return changed
