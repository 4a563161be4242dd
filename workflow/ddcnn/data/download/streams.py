"""Read compressed files that may be damaged or hostile: bounded, and with clear errors."""

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ddcnn.base.errors import InputError

BLOCK_BYTES = 2**20
HEADER_BYTES = 4 * tarfile.BLOCKSIZE  # of one member of a tar, generously
DECOMPRESSORS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
DAMAGE = (
    *(EOFError, ValueError, IndexError, OverflowError, RuntimeError, struct.error),
    *(zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile),
)


@contextmanager
def damage_errors(path: Path) -> Iterator[None]:
    """Turn what decompressors and readers of archives raise into one clear error.

    Raises:
        InputError: names ``path`` and what is wrong with it.
    """
    try:
        yield
    except InputError:
        raise
    except NotImplementedError as error:  # zip members have many kinds of compression
        raise InputError(f"{path} cannot be unpacked ({error}); unpack it by hand") from error
    except DAMAGE as error:
        raise InputError(_damaged(path, error)) from error
    except OSError as error:
        # Without a number it is not the disk: bz2 and gzip raise it for damaged content.
        if error.errno is None:
            raise InputError(_damaged(path, error)) from error
        raise


def _damaged(path: Path, error: Exception) -> str:
    return f"{path} is damaged or cut short ({error or type(error).__name__}); get the file again"


@contextmanager
def reading_errors(path: Path) -> Iterator[None]:
    """Turn a file that cannot be opened into an :class:`InputError`."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error


def open_gzip(path: str | Path, most_bytes: int) -> io.BufferedReader:
    """Open a gzip file as a stream of its content.

    The checksum at its end is verified when the last byte is read: read until nothing comes.

    Raises:
        InputError: on opening or on any read: the file is missing, no gzip file, cut short or
            damaged, or its content is longer than ``most_bytes``.
    """
    return io.BufferedReader(_Gzip(Path(path), most_bytes), BLOCK_BYTES)


class _Gzip(io.RawIOBase):
    def __init__(self, path: Path, most_bytes: int) -> None:
        super().__init__()
        self.path, self.most_bytes, self.done = path, most_bytes, 0
        with reading_errors(path):
            self.stream = gzip.GzipFile(path)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        with damage_errors(self.path):
            data = self.stream.read(len(buffer))
        self.done += len(data)
        if self.done > self.most_bytes:
            raise InputError(f"{self.path} unpacks to more than {self.most_bytes:,} bytes; refused")
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self.stream.close()
        super().close()


class TarStream:
    """The tar archive in a file, compressed or not, read forward only.

    ``tarfile`` reads through it, so that no header makes it take more memory than a block.

    Attributes:
        last: what the last read returned; at the archive's end a block of zeros.
    """

    def __init__(self, path: Path, most_bytes: int, most_files: int) -> None:
        with path.open("rb") as file:
            head = file.read(6)
        opens = [opener for magic, opener in DECOMPRESSORS.items() if head.startswith(magic)]
        self.stream: BinaryIO = opens[0](path, "rb") if opens else path.open("rb")
        self.path, self.most_bytes = path, most_bytes
        self.end = most_bytes + most_files * HEADER_BYTES + BLOCK_BYTES
        self.position, self.last = 0, b""

    def __enter__(self) -> "TarStream":
        return self

    def __exit__(self, *error: object) -> None:
        self.stream.close()

    def read(self, size: int) -> bytes:
        """Read ``size`` bytes, fewer only at the end."""
        if not 0 <= size <= BLOCK_BYTES:
            raise InputError(f"{self.path} has a header of {size:,} bytes; refused")
        self.last = self.stream.read(size)
        self.position += len(self.last)
        if self.position > self.end:
            raise InputError(f"{self.path} unpacks to more than {self.most_bytes:,} bytes; refused")
        return self.last

    def tell(self) -> int:
        """Bytes read so far."""
        return self.position

    def seek(self, position: int) -> None:
        """Go forward to ``position``, or to the end."""
        if position < self.position:
            raise tarfile.ReadError("a member overlaps another one")
        while self.position < position and self.read(min(BLOCK_BYTES, position - self.position)):
            pass

    def drain(self) -> None:
        """Read what follows the archive: the checksum of the compression is at the very end."""
        while self.read(BLOCK_BYTES):
            pass
