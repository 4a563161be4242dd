"""How much room every stage's files take, and their removal where the workflow can make them again.

Nothing is removed while jobs run, and nothing that was not named.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from ddcnn.base import events
from ddcnn.base.errors import InputError
from ddcnn.base.logs import is_held
from ddcnn.experiment.job_times import measured_seconds
from ddcnn.experiment.paths import BENCHMARKS_FOLDER, LOGS_FOLDER, RESULTS, RULES
from ddcnn.tiles.geometry import VIEW


@dataclass(frozen=True)
class Stage:
    """Files that belong together.

    Attributes:
        pattern: of their paths below the project's folder; ``*`` also stands for folders.
        but: pattern of those among them that belong to another stage, or must stay.
        made_again: rules whose jobs are repeated once something needs these files; Snakemake does
            not miss intermediate files as long as what was made from them is there.
        note: what else their removal means.
    """

    pattern: str
    but: tuple[str, ...] = ()
    made_again: tuple[str, ...] = ()
    note: str = ""

    def holds(self, path: str) -> bool:
        return fnmatch(path, self.pattern) and not any(fnmatch(path, p) for p in self.but)


def _below(rule: str) -> str:
    """Pattern of all files at the level of a rule's files."""
    return f"{RESULTS}/{RULES[rule].level}/*"


def _from(rule: str) -> tuple[str, ...]:
    """This rule and those of later stages."""
    names = list(RULES)
    return tuple(names[names.index(rule) :])


_PARTIAL = f"{RESULTS}/*/.*.partial*"
_CHECKPOINT = f"{RESULTS}/*checkpoint.pt"
_RAW = f"{_below('download')}/raw/*"

STAGES = {
    "raw": Stage(_RAW, (_PARTIAL,), _from("download"), "downloaded again"),
    "data": Stage(_below("prepare"), (_RAW, _PARTIAL), _from("prepare")),
    # The plans stay: a training that needs a tile cuts it again by them, and nothing else is
    # repeated. The coarse view is an output that Snakemake would miss.
    "tiles": Stage(
        f"{_below('tile')}.npy",
        (f"{_below('tile')}/{VIEW}/*", _PARTIAL),
        note="a later training cuts its tile again",
    ),
    "local": Stage(_below("train_local"), (_CHECKPOINT, _PARTIAL), _from("train_local")),
    "parallel": Stage(
        _below("train_parallel"),
        (_CHECKPOINT, _PARTIAL),
        ("train_parallel", *_from("evaluate")),
    ),
    "runs": Stage(_below("train_coarse"), (_CHECKPOINT, _PARTIAL), _from("train_coarse")),
    "reports": Stage(_below("report"), (_PARTIAL,), _from("report")),
    "tensorboard": Stage(f"{events.FOLDER}/*", note="only another training writes them again"),
    "checkpoints": Stage(
        _CHECKPOINT, note="interrupted trainings start anew instead of going on"
    ),
    "partial": Stage(_PARTIAL, note="left by killed jobs, of no use"),
    "benchmarks": Stage(f"{BENCHMARKS_FOLDER}/*", note="time left and plans need them"),
    "logs": Stage(
        f"{LOGS_FOLDER}/*", note="status shows neither running nor failed jobs without them"
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Room:
    """What a stage takes: its files, and their bytes in all."""

    files: list[Path]
    bytes: int


def room_by_stage(folder: str | Path = ".") -> dict[str, Room]:
    """What every stage takes, in the order of :data:`STAGES`."""
    folder = Path(folder)
    files: dict[str, list[Path]] = {name: [] for name in STAGES}
    for path in _files(folder):
        relative = path.relative_to(folder).as_posix()
        for name, stage in STAGES.items():
            if stage.holds(relative):
                files[name].append(path)
    return {
        name: Room(paths, sum(path.lstat().st_size for path in paths))
        for name, paths in files.items()
    }


def _files(folder: Path) -> Iterator[Path]:
    for top in (RESULTS, LOGS_FOLDER):
        for parent, _, names in os.walk(folder / top):
            yield from (Path(parent) / name for name in names)


def made_again(stages: list[str], folder: str | Path = ".") -> dict[str, tuple[int, float]]:
    """Jobs to be repeated once something needs what is removed, and their seconds, by rule."""
    rules = {rule for name in stages for rule in STAGES[name].made_again}
    repeated: dict[str, tuple[int, float]] = {}
    for name, seconds in measured_seconds(Path(folder) / RESULTS).items():
        rule = name.split("/")[0]
        if rule in rules:
            number, total = repeated.get(rule, (0, 0.0))
            repeated[rule] = (number + 1, total + seconds)
    return {rule: repeated[rule] for rule in RULES if rule in repeated}


def refuse_while_running(folder: str | Path = ".") -> None:
    """Raise :class:`InputError` while Snakemake or one of its jobs works in this folder."""
    folder = Path(folder)
    locks = folder / ".snakemake" / "locks"
    if locks.is_dir() and any(locks.iterdir()):
        raise InputError(
            f"Snakemake runs in {folder.resolve()}, or was killed there: wait for its end, or, if "
            "none runs, unlock the folder (snakemake --unlock); nothing was removed"
        )
    for path in filter(Path.is_file, (folder / LOGS_FOLDER).rglob("*.log")):
        with path.open() as file:
            if is_held(file.fileno()):
                raise InputError(f"the job that writes {path} still runs; nothing was removed")


def remove(files: list[Path], folder: str | Path = ".") -> None:
    """Delete files, and the folders that are empty without them."""
    top = Path(folder).resolve()
    parents = set()
    for path in files:
        path.unlink(missing_ok=True)
        parents |= {p for p in path.resolve().parents if top in p.parents}
    for parent in sorted(parents, key=lambda path: -len(path.parts)):
        if not any(parent.iterdir()):
            parent.rmdir()
