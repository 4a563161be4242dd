"""People's own data: the kind recognised from the path, and who reads it."""

from collections.abc import Callable
from pathlib import Path

from ddcnn.base.errors import InputError
from ddcnn.data import arrays, folders, labelled, tables
from ddcnn.data.groups import group_finder, is_rule, wanted
from ddcnn.data.npy import open_store
from ddcnn.data.options import ReadOptions
from ddcnn.data.samples import Collection

READERS = {
    "folder": folders.read_folder,
    "table": tables.read_table,
    "arrays": arrays.read_arrays,
}
GIVERS = {"folder": "the folders", "table": "the table", "arrays": "the arrays"}  # of splits
ACCEPTED = (
    "a folder with one folder per class, a .csv with the columns file,label[,split] (or "
    "file,target[,split]), or arrays (.npz, .npy)"
)


def recognise(path: Path) -> str:
    """``folder``, ``table`` or ``arrays``.

    Raises:
        InputError: the path does not exist, or is of no known kind; says what to do.
    """
    if path.is_dir():
        return _kind_of_folder(path)
    if not path.is_file():
        raise InputError(f"dataset: path {str(path)!r} does not exist; accepted: {ACCEPTED}")
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        return "table"
    if suffix in (".npz", ".npy"):
        return "arrays"
    advice = f"accepted: {ACCEPTED}"
    if path.name.lower().endswith((".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")):
        advice = "unpack it and give the folder"
    elif labelled.kind_of(path.name):
        advice = "give the folder that holds a folder per class, or a .csv"
    raise InputError(f"dataset: path {str(path)!r} is of no known kind; {advice}")


def _kind_of_folder(path: Path) -> str:
    if arrays.IMAGE_NAMES & open_store(path).keys:
        return "arrays"
    names = [entry.name for entry in path.iterdir() if not entry.name.startswith(".")]
    if any((path / name).is_dir() for name in names):
        return "folder"
    table = next((name for name in sorted(names) if name.lower().endswith(".csv")), None)
    if table:
        raise InputError(
            f"dataset: path {str(path)!r} has no folders; for its table give path: {path / table}"
        )
    raise InputError(f"dataset: path {str(path)!r} has no folders in it; accepted: {ACCEPTED}")


def task(path: Path, options: ReadOptions) -> str:
    """``classification`` or ``regression``: what is wanted, else what a table's columns say."""
    if recognise(path) == "table" and not options.task and tables.target_columns(path, options):
        return "regression"
    return options.task or "classification"


def check_group(path: Path, options: ReadOptions) -> None:
    """Refuse a rule for groups that is none before any job starts."""
    if not wanted(options.group):
        return
    kind = recognise(path)
    if kind == "folder" or (kind == "table" and is_rule(options.group)):
        group_finder(options.group, path)


def reader(kind: str) -> Callable[[list[Path], ReadOptions], Collection]:
    """The reader of a kind that :func:`recognise` names."""
    return READERS[kind]


def image_shape(path: Path, options: ReadOptions) -> tuple[int, ...]:
    """Spatial axes and channels of one image, without reading the data set.

    For the check of a configuration: from the first readable file or the array's header, changed
    by the options. The preparation finds out whether the others agree. Whether images without
    ``channels`` become RGB because a later one has colours is not known here.

    Raises:
        InputError: nothing at the path can be read.
    """
    kind = recognise(path)
    if kind == "arrays":
        return arrays.image_shape(path, options)
    files = folders.first_files(path) if kind == "folder" else tables.first_files(path, options)
    return labelled.image_shape(files, options)
