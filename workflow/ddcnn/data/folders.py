"""A folder per class, with or without ``train``, ``val`` and ``test`` above them.

birds/robin/1.png           birds/train/robin/1.png
birds/robin/garden/2.png    birds/test/robin/2.png
"""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ddcnn.base.errors import InputError
from ddcnn.base.names import check_name
from ddcnn.data.groups import Grouping, group_finder, wanted
from ddcnn.data.labelled import ACCEPTED, LabelledFiles, kind_of, leaves
from ddcnn.data.labels import check_label, split_of
from ddcnn.data.left_out import Unreadable
from ddcnn.data.options import ReadOptions
from ddcnn.data.samples import Collection

# What systems leave beside the files of people: thumbnails, bins, indices. Hidden ones are, too.
IGNORED = {
    *("__macosx", "@eadir", "@__thumb", "@recycle", "#recycle", "#snapshot", "@tmp", "lost+found"),
    *("$recycle.bin", "system volume information", "thumbs.db", "ehthumbs.db", "desktop.ini"),
}
# Files that describe images; others of unread kinds may be images that would be missed.
BESIDE_IMAGES = {
    *(".txt", ".md", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".html", ".htm"),
    *(".log", ".pdf", ".ini", ".xls", ".xlsx", ".doc", ".docx", ".py", ".ipynb", ".bval", ".bvec"),
}
MOST_KINDS = 10  # folders of several classes, such as images and masks; more are patients
OTHER_KIND = "of a kind that is not read"
MISSING_FOLDER = "nan"  # written by a program; somebody may well call a folder none
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
    places = _class_folders(folder)
    found = LabelledFiles(
        folder,
        folder,
        groups=Grouping(options.group) if wanted(options.group) else None,
        depth=places[0][2].count("/") + 1,
    )
    find = group_finder(options.group, folder) if wanted(options.group) else None
    beside, inner = Counter(), Inner()
    for split, label, place in places:
        if label.lower() == MISSING_FOLDER and label not in options.classes:
            check_label(label, str(folder / place))
        usable = rest = 0
        for name in _files(folder, place):
            below = name.removeprefix(f"{place}/")
            if kind_of(name):
                found.add(split, name, label, find(below) if find else None)
                inner.add(label, below)
                usable += 1
                continue
            rest += 1
            suffix = Path(name).suffix.lower()
            if suffix in BESIDE_IMAGES:
                beside[suffix] += 1
            else:
                found.left_out.add(_of_other_kind(folder, name))
        if not usable:
            raise InputError(
                f"{folder / place} holds no image ({rest} files of other kinds); accepted: "
                f"{ACCEPTED}; add images or remove the folder"
            )
    _note_beside(found, beside)
    _judge_inner(found, inner)
    return found.collection(options)


class Inner:
    """Folders inside class folders."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.classes: dict[str, set[str]] = {}

    def add(self, label: str, below: str) -> None:
        """Count an image by the uppermost folder that it has below its class folder."""
        name, slash, _ = below.partition("/")
        if slash:
            self.counts[name] += 1
            self.classes.setdefault(name, set()).add(label)


def _judge_inner(found: LabelledFiles, inner: Inner) -> None:
    """Folders inside class folders may be patients, or masks that nobody wants as images."""
    if not inner.counts:
        return
    counts = ", ".join(f"{name} ({count:,})" for name, count in inner.counts.most_common(5))
    more = f" and {len(inner.counts) - 5} more" if len(inner.counts) > 5 else ""
    text = f"folders inside class folders, whose files are images of the class: {counts}{more}"
    kinds = [name for name, classes in inner.classes.items() if len(classes) > 1]
    if 2 <= len(kinds) <= MOST_KINDS:
        found.warnings.append(
            f"{found.source.name}: {text}; {kinds[0]} and {kinds[1]} are in several classes: if "
            "one holds other things than images, such as masks, move it elsewhere"
        )
    else:
        found.notes.append(text)


def _of_other_kind(folder: Path, name: str) -> Unreadable:
    """A file that may be an image which no reader takes."""
    reason = f"{folder / name} is of a kind that is not read; accepted: {ACCEPTED}"
    return Unreadable(name, f"{reason}; convert it, or move it elsewhere", OTHER_KIND)


def _note_beside(found: LabelledFiles, beside: Counter[str]) -> None:
    """Note what describes images and is none, and images that are in no class."""
    if beside:
        counts = ", ".join(f"{count} {kind}" for kind, count in beside.most_common(5))
        found.notes.append(f"files beside the images left out: {counts}")
    loose = _loose_files(found.folder)
    if loose:
        found.notes.append(
            f"files that lie in no class folder left out: {len(loose)} ({loose[0]}, ...)"
        )


def _loose_files(folder: Path) -> list[Path]:
    parents = {(folder / place).parent for _, _, place in _class_folders(folder)}
    return sorted(parent / n for parent in parents for n in _inside(parent)[1] if kind_of(n))


def first_files(folder: Path) -> Iterator[Path]:
    """Images or volumes in the order in which they are read, without listing all of them."""
    for _, _, place in _class_folders(folder):
        yield from (folder / name for name in _files(folder, place) if kind_of(name))


def _class_folders(folder: Path) -> list[tuple[str, str, str]]:
    """Split, class and relative place of every class folder, sorted."""
    inside = _inside(folder)[0]
    if not inside:
        raise InputError(f"{folder} has no folders; accepted: {LAYOUT}; or a CSV of file,label")
    splits = [name for name in inside if split_of(name)]
    classes = {name: _inside(folder / name)[0] for name in splits}
    if not any(classes.values()):  # a class may be called train: it is a vehicle
        if splits == inside:
            raise InputError(f"{folder / splits[0]} has no class folders; accepted: {LAYOUT}")
        return [("all", check_name(name, f"{folder}:"), name) for name in inside]
    if splits != inside:
        other = next(name for name in inside if name not in splits)
        raise InputError(
            f"{folder} has {other!r} beside {', '.join(splits)}; accepted: {LAYOUT}; move or "
            "rename it"
        )
    _check_splits(folder, classes)
    return [
        (split_of(split), check_name(name, f"{folder / split}:"), f"{split}/{name}")
        for split in splits
        for name in classes[split]
    ]


def _check_splits(folder: Path, classes: dict[str, list[str]]) -> None:
    for meaning, name in {"train": "training", "val": "validation", "test": "testing"}.items():
        same = [split for split in classes if split_of(split) == meaning]
        if len(same) > 1:
            names = ", ".join(same)
            raise InputError(f"{folder} has several folders for {name} ({names}); keep one")
    for split, names in classes.items():
        if not names:
            raise InputError(f"{folder / split} has no class folders; add them, or remove it")


def _files(folder: Path, place: str) -> Iterator[str]:
    """Files below a class folder, relative to ``folder``, in a fixed order."""
    waiting = [place]
    while waiting:
        current = waiting.pop()
        inside, names = _inside(folder / current, folder)
        for name in names:
            yield f"{current}/{check_name(name, f'{folder / current}:')}"
        waiting += [f"{current}/{name}" for name in reversed(inside)]


def is_ignored(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or a system's and nobody's data."""
    return name.startswith(".") or name.lower() in IGNORED


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
                if is_ignored(entry.name):
                    continue
                is_folder = entry.is_dir()
                if entry.is_symlink() and (is_folder or (real and leaves(entry.path, real))):
                    what = "to a folder" if is_folder else f"that leaves {folder}"
                    raise InputError(f"{entry.path} is a link {what}; copy what it points to")
                (folders if is_folder else files).append(entry.name)
    except OSError as error:
        raise InputError(f"{place} cannot be listed ({error.strerror})") from error
    return sorted(folders), sorted(files)
