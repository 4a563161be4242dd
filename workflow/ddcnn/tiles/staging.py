"""Copies of shards on a node's own disk, for clusters whose shared file system is slow.

A job reads each of its shards once, from begin to end, so a copy for that job alone saves nothing.
What it saves are the readings of later jobs on the same node: the other seeds and models of a
tiling, and the probabilities after a training.
"""

import logging
import os
import shutil
from hashlib import sha256
from pathlib import Path

from ddcnn.base.disk import own_folder
from ddcnn.base.errors import InputError
from ddcnn.base.files import write_aside

log = logging.getLogger(__name__)

STAGE = "DDCNN_STAGE"


def staged(path: str | Path) -> Path:
    """The file to read instead of ``path``: its copy below ``DDCNN_STAGE``, made if needed.

    Without the variable, or where the copy cannot be made, that is ``path`` itself. Variables in
    the folder's name (``$TMPDIR``) are those of the job. Copies lie in a folder of the user's own
    below it, where nobody else can put one. The copy's name contains size and time of the original,
    so a changed original gets another copy.

    Raises:
        InputError: the folder is not an absolute path; a variable in it is not set.
        OSError: ``path`` cannot be read.
    """
    path, text = Path(path), os.environ.get(STAGE, "")
    if not text:
        return path
    folder = Path(os.path.expandvars(text))
    if not folder.is_absolute() or "$" in str(folder):
        raise InputError(
            f"{STAGE}: {text!r} is not an absolute path (here it means {folder}); give a folder "
            "on the node's own disk, or unset it"
        )
    original = path.stat()
    key = f"{path.resolve()} {original.st_size} {original.st_mtime_ns}"
    copy = (
        folder / f"ddcnn-{os.geteuid()}" / f"{sha256(key.encode()).hexdigest()[:24]}{path.suffix}"
    )
    try:
        own_folder(copy.parent)
        if not _has_size(copy, original.st_size):
            _copy(path, copy)
        if _has_size(copy, original.st_size):
            return copy
        log.warning("warning: %s: the copy of %s has another size; reading %s", STAGE, path, path)
    except (OSError, InputError) as error:
        log.warning("warning: %s: no copy of %s (%s); reading the original", STAGE, path, error)
    return path


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _copy(source: Path, target: Path) -> None:
    with write_aside(target) as aside:
        shutil.copyfile(source, aside)
    log.info("copied %s to %s", source, target)
