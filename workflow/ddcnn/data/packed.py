"""Files that may be compressed by gzip, as a stream of bounded memory."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from isal import igzip, isal_zlib  # unpacks in a third of the time that gzip takes

from ddcnn.base.errors import InputError
from ddcnn.base.reading import hindrance
from ddcnn.data.survey import reason

GZIP_START = b"\x1f\x8b"
SKIP_BYTES = 2**20


def skip(file: BinaryIO, count: int) -> None:
    """Go on by ``count`` bytes, or to the end."""
    while count > 0 and (content := file.read(min(count, SKIP_BYTES))):
        count -= len(content)


def is_packed(path: Path) -> bool:
    """Whether a file is compressed by gzip, whatever its name says."""
    with path.open("rb") as file:
        return file.read(2) == GZIP_START


@contextmanager
def stream(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes, unpacked if they are gzip whatever the name says."""
    with igzip.open(path, "rb") if is_packed(path) else path.open("rb") as file:
        yield file


@contextmanager
def broken_files_named(path: Path) -> Iterator[None]:
    """Turn what libraries raise on a broken file into an error that names it."""
    try:
        yield
    except InputError:
        raise
    except (EOFError, zlib.error, igzip.BadGzipFile, isal_zlib.error) as error:
        raise InputError(
            f"{path} is truncated or broken ({reason(error)}); get it again or remove it",
            "truncated or broken",
        ) from error
    except Exception as error:  # on a broken header nibabel may raise anything
        raise hindrance(path, error) or InputError(
            f"{path} cannot be read as a NIfTI volume ({reason(error)}); replace or remove it"
        ) from error
