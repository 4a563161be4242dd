"""A folder per class, with or without ``train``, ``val`` and ``test`` above them.

birds/robin/1.png           birds/train/robin/1.png
birds/robin/garden/2.png    birds/test/robin/2.png
"""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ddcnn.base.errors import InputError
from ddcnn.data.labelled import ACCEPTED, UNPRINTABLE, LabelledFiles, kind_of, leaves
from ddcnn.data.labels import SPLIT_WORDS
from ddcnn.data.options import ReadOptions
from ddcnn.data.samples import Collection

IGNORED = ("__MACOSX",)
LAYOUT = "one folder per class with images in it, or train, test (and val) with such folders"


def read_folder(raw: list[Path], options: ReadOptions) -> Collection:
    """Images or volumes in one folder per class.

    Args:
        raw: the folder.
        options: shape, channels, window and limits.

    Raises:
        InputError: another layout, an empty class, one class only, a class of a split that train
            lacks, links that leave the folder, images of different sizes without a shape.
    """
    (folder,) = raw
    if options.task == "regression":
        raise InputError(
            f"{folder}: folders are classes, which task: regression does not have; accepted: a CSV "
            "with the columns file,target, or arrays"
        )
    found, others = LabelledFiles(folder, folder), Counter()
    for split, label, place in _class_folders(folder):
        others_before, usable = others.total(), 0
        for name in _files(folder, place):
            if kind_of(name):
                found.add(split, name, label)
                usable += 1
            else:
                others[Path(name).suffix.lower() or Path(name).name] += 1
        if not usable:
            rest = others.total() - others_before
            raise InputError(
                f"{folder / place} holds no image ({rest} files of other kinds); accepted: "
                f"{ACCEPTED}; add images or remove the folder"
            )
    found.notes += _notes_on_the_rest(folder, others)
    return found.collection(options)


def _notes_on_the_rest(folder: Path, others: Counter[str]) -> list[str]:
    notes = []
    if others:
        kinds = ", ".join(f"{count} {kind}" for kind, count in others.most_common(5))
        notes.append(f"files of other kinds left out: {kinds}; accepted: {ACCEPTED}")
    parents = {(folder / place).parent for _, _, place in _class_folders(folder)}
    loose = sorted(parent / n for parent in parents for n in _inside(parent)[1] if kind_of(n))
    if loose:
        notes.append(f"files that lie in no class folder left out: {len(loose)} ({loose[0]}, ...)")
    return notes


def first_files(folder: Path) -> Iterator[Path]:
    """Images or volumes in the order in which they are read, without listing all of them."""
    for _, _, place in _class_folders(folder):
        yield from (folder / name for name in _files(folder, place) if kind_of(name))


def _class_folders(folder: Path) -> list[tuple[str, str, str]]:
    """Split, class and relative place of every class folder, sorted."""
    inside = _inside(folder)[0]
    if not inside:
        raise InputError(f"{folder} has no folders; accepted: {LAYOUT}; or a CSV of file,label")
    splits = [name for name in inside if name in SPLIT_WORDS]
    classes = {name: _inside(folder / name)[0] for name in splits}
    if not any(classes.values()):  # a class may be called train: it is a vehicle
        if splits == inside:
            raise InputError(f"{folder / splits[0]} has no class folders; accepted: {LAYOUT}")
        return [("all", _checked_name(folder, name), name) for name in inside]
    if splits != inside:
        other = next(name for name in inside if name not in splits)
        raise InputError(
            f"{folder} has {other!r} beside {', '.join(splits)}; accepted: {LAYOUT}; move or "
            "rename it"
        )
    _check_splits(folder, classes)
    return [
        (SPLIT_WORDS[split], _checked_name(folder / split, name), f"{split}/{name}")
        for split in splits
        for name in classes[split]
    ]


def _check_splits(folder: Path, classes: dict[str, list[str]]) -> None:
    meanings = [SPLIT_WORDS[split] for split in classes]
    if len(set(meanings)) < len(meanings):
        names = ", ".join(split for split in classes if SPLIT_WORDS[split] == "val")
        raise InputError(f"{folder} has several folders for validation ({names}); keep one")
    for split, names in classes.items():
        if not names:
            raise InputError(f"{folder / split} has no class folders; add them, or remove it")


def _checked_name(parent: Path, name: str) -> str:
    if UNPRINTABLE.search(name):
        raise InputError(
            f"{parent} holds {name!r}, a name with control characters or not in UTF-8; rename it"
        )
    return name


def _files(folder: Path, place: str) -> Iterator[str]:
    """Files below a class folder, relative to ``folder``, in a fixed order."""
    waiting = [place]
    while waiting:
        current = waiting.pop()
        inside, names = _inside(folder / current, folder)
        for name in names:
            yield f"{current}/{_checked_name(folder / current, name)}"
        waiting += [f"{current}/{name}" for name in reversed(inside)]


def _inside(place: Path, folder: Path | None = None) -> tuple[list[str], list[str]]:
    """Names of the folders and of the files in a folder, sorted; hidden ones are not seen.

    Links to folders are refused: they may leave the data, run in circles or count images twice.
    Links to files are refused where they leave ``folder``.
    """
    real = os.path.realpath(folder) if folder else None
    folders, files = [], []
    try:
        with os.scandir(place) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name in IGNORED:
                    continue
                is_folder = entry.is_dir()
                if entry.is_symlink() and (is_folder or (real and leaves(entry.path, real))):
                    what = "to a folder" if is_folder else f"that leaves {folder}"
                    raise InputError(f"{entry.path} is a link {what}; copy what it points to")
                (folders if is_folder else files).append(entry.name)
    except OSError as error:
        raise InputError(f"{place} cannot be listed ({error.strerror})") from error
    return sorted(folders), sorted(files)
