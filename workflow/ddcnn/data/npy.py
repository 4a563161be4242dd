"""Arrays in .npz and .npy files as streams: memory stays bounded, nothing is unpickled.

``np.load`` would bring a compressed array into memory as a whole, and believe its header.
"""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from ddcnn.base.errors import InputError
from ddcnn.base.foreign import check_regular
from ddcnn.base.reading import hindrance
from ddcnn.data.samples import CHUNK_BYTES
from ddcnn.data.survey import reason

HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
DEFLATE_MOST = 1032  # times that a deflate stream can grow at most
PIECE = 2**20  # bytes; zipfile copies what it is asked for several times


class ArrayHeader(NamedTuple):
    """Shape and type of a stored array."""

    shape: tuple[int, ...]
    dtype: np.dtype


@dataclass(frozen=True)
class ArrayStore:
    """The arrays of an .npz, or the .npy files of one folder.

    Attributes:
        path: the .npz, or the folder.
        keys: names of the arrays.
    """

    path: Path
    keys: frozenset[str]

    @property
    def zipped(self) -> bool:
        """Whether the arrays are members of one .npz."""
        return self.path.suffix.lower() == ".npz"

    def source(self, key: str) -> str:
        """What messages call an array: its file, and its name in an .npz."""
        return f"{self.path}: {key}" if self.zipped else str(self.file(key))

    def file(self, key: str) -> Path:
        """The file that an array lies in."""
        return self.path if self.zipped else self.path / f"{key}.npy"

    def header(self, key: str) -> ArrayHeader:
        """Shape and type, checked against the bytes that are there.

        Raises:
            InputError: objects, which would have to be unpickled; Fortran order, which cannot be
                streamed image by image; a header that claims more or less than is stored.
        """
        with self._opened(key) as (file, size):
            return self._read_header(key, file, size)

    def blocks(self, key: str) -> Iterator[np.ndarray]:
        """The array along its first axis, about 4 MB at a time, in its stored type."""
        with self._opened(key) as (file, size):
            shape, dtype = self._read_header(key, file, size)
            rows = max(1, CHUNK_BYTES // max(1, prod(shape[1:]) * dtype.itemsize))
            for first in range(0, shape[0], rows):
                block = np.empty((min(rows, shape[0] - first), *shape[1:]), dtype)
                _fill(file, block)
                yield block
            file.read(1)  # at its end a zip member compares its checksum

    def read(self, key: str) -> np.ndarray:
        """A small array as a whole."""
        with self._opened(key) as (file, size):
            array = np.empty(*self._read_header(key, file, size))
            _fill(file, array)
            file.read(1)  # as in :meth:`blocks`
        return array

    @contextmanager
    def _opened(self, key: str) -> Iterator[tuple[BinaryIO, int]]:
        """The bytes of an array's .npy file, and how many there are."""
        try:
            if not self.zipped:
                path = self.file(key)
                with path.open("rb") as file:
                    yield file, path.stat().st_size
                return
            with zipfile.ZipFile(self.path) as archive, archive.open(f"{key}.npy") as member:
                info = archive.getinfo(f"{key}.npy")
                if info.compress_type == zipfile.ZIP_DEFLATED:
                    self._check_ratio(key, info)
                yield member, info.file_size
        except InputError:
            raise
        except _READ_ERRORS as error:
            raise hindrance(self.source(key), error) or InputError(
                f"{self.source(key)} is truncated or broken ({reason(error)}); save it again"
            ) from error

    def _check_ratio(self, key: str, info: zipfile.ZipInfo) -> None:
        if info.file_size > DEFLATE_MOST * info.compress_size:
            raise InputError(
                f"{self.source(key)} claims {info.file_size:,} bytes, but its "
                f"{info.compress_size:,} packed bytes cannot hold them; save it again"
            )

    def _read_header(self, key: str, file: BinaryIO, size: int) -> ArrayHeader:
        shape, fortran, dtype = HEADERS[np.lib.format.read_magic(file)](file)
        if dtype.hasobject:
            raise InputError(
                f"{self.source(key)} holds Python objects, which are never loaded (they can run "
                "code); save an array of numbers"
            )
        if fortran and len(shape) > 1:
            raise InputError(
                f"{self.source(key)} is in Fortran order; save np.ascontiguousarray({key})"
            )
        claimed, stored = prod(shape) * dtype.itemsize, size - file.tell()
        if min(shape, default=0) < 0 or claimed != stored:
            raise InputError(
                f"{self.source(key)} claims the shape {shape} of {dtype} ({claimed:,} bytes), but "
                f"{stored:,} bytes are stored; it is truncated or broken: save it again"
            )
        return ArrayHeader(shape, dtype)


# What a broken zip or header makes zipfile and numpy raise; RuntimeError: a password is needed.
_READ_ERRORS = (
    OSError, EOFError, ValueError, KeyError, SyntaxError, RuntimeError, NotImplementedError,
    OverflowError, MemoryError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def open_store(path: Path) -> ArrayStore:
    """The arrays of an .npz, of the folder of an .npy, or of a folder."""
    if path.is_dir() or path.suffix.lower() == ".npy":
        folder = path if path.is_dir() else path.parent
        names = (entry.stem for entry in folder.glob("*.npy") if entry.is_file())
        return ArrayStore(folder, frozenset(names))
    check_regular(path)
    try:
        with zipfile.ZipFile(path) as archive:
            names = [Path(name) for name in archive.namelist() if name.endswith(".npy")]
    except _READ_ERRORS as error:
        raise hindrance(path, error) or InputError(
            f"{path} is not a readable .npz ({reason(error)}); it is truncated or broken: save it "
            "again"
        ) from error
    return ArrayStore(path, frozenset(name.stem for name in names if name.name == str(name)))


def _fill(file: BinaryIO, array: np.ndarray) -> None:
    """Read the bytes of ``array``, which is contiguous, from a file."""
    view = memoryview(array.reshape(-1).view(np.uint8))
    while len(view):
        count = file.readinto(view[:PIECE])
        if not count:
            raise EOFError("it ends early")
        view = view[count:]
