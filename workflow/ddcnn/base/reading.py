"""Why a file cannot be read: it is damaged, it may not be read, or there is no memory for it.

Only damage is put right by writing the file again; whatever else it is, the file stays.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path

from ddcnn.base.errors import DamagedResult, Hindrance, InputError

# Of what libraries raise who have no exception of their own for it; torch on a CPU is one.
NO_MEMORY = ("cannot allocate memory", "can't allocate memory", "not enough memory")
NO_MEMORY += ("out of memory", "bad_alloc", "os error 12")
NO_ROOM = "failed to map segment from shared object"  # of a library; other reasons would follow
NO_HINDRANCE = (None, errno.EINVAL)  # numbers of system errors that a wrong content leads to
TOO_MANY = (errno.EMFILE, errno.ENFILE)
MOST_REASON = 200  # characters


@contextmanager
def reading(path: str | Path, stands_for: str | Path | None = None) -> Iterator[None]:
    """Say of a file that this pipeline wrote why it cannot be read.

    Args:
        path: the file.
        stands_for: see :class:`DamagedResult`.

    Raises:
        FileNotFoundError: it is missing.
        DamagedResult: its content is not what was written.
        Hindrance: it may not be read, the disk fails, or the memory does not suffice.
    """
    try:
        yield
    except (FileNotFoundError, InputError):
        raise
    except Exception as error:  # what damaged bytes make libraries raise has no end
        found = None if _claims_more_than_it_holds(Path(path), error) else hindrance(path, error)
        raise found or DamagedResult(path, error, stands_for) from error


def hindrance(path: str | Path, error: Exception) -> Hindrance | None:
    """What keeps a file from being read although nothing is known to be wrong with it, or None."""
    if lacks_memory(error):
        return Hindrance(
            f"the memory does not suffice to read {path} ({shortened(error)}); allow more memory, "
            "or fewer jobs or cores at a time, and run again"
        )
    if isinstance(error, OSError) and error.errno not in NO_HINDRANCE:
        advice = "check its owner, its rights and the disk"
        if error.errno in TOO_MANY:
            advice = "allow more open files (ulimit -n), or use fewer cores"
        return Hindrance(f"{path} cannot be read ({error.strerror}); {advice}")
    return None


def in_one_line(error: Exception) -> str | None:
    """What to say of a failure of the system that no reader or writer has put into words.

    None: it may be a fault of this program, whose traceback is worth something.
    """
    if lacks_memory(error):
        return f"the memory does not suffice ({shortened(error)}); allow more memory, or less work"
    if isinstance(error, OSError) and error.errno is not None:
        what = error.filename or "a file, or the standard output,"
        return f"{what} cannot be used ({error.strerror}); check it, its rights and its disk"
    return None


def lacks_memory(error: BaseException) -> bool:
    """Whether an exception says that the memory does not suffice, of a GPU included."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    text = str(error).lower()
    if isinstance(error, ImportError) and text.endswith(NO_ROOM):
        return True
    is_failure = isinstance(error, RuntimeError | OSError | ImportError)
    return is_failure and any(words in text for words in NO_MEMORY)


def shortened(error: BaseException) -> str:
    """What an exception says, in one line."""
    return " ".join(str(error).split())[:MOST_REASON] or "no memory is left"


def _claims_more_than_it_holds(path: Path, error: Exception) -> bool:
    """Whether NumPy found no room for an array that is larger than its file: a wrong header."""
    shape, dtype = getattr(error, "shape", None), getattr(error, "dtype", None)
    if shape is None or dtype is None:
        return False
    return prod(shape) * dtype.itemsize > path.stat().st_size
