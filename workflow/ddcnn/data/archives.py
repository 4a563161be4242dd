"""Unpack archives that may be damaged or hostile: complete, or not at all."""

import bz2
import gzip
import lzma
import re
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ddcnn.base.disk import disk_errors, require_space
from ddcnn.base.errors import InputError
from ddcnn.base.reading import hindrance

MOST_BYTES, MOST_FILES = 32 * 2**30, 1_000_000
MOST_STEPS, MOST_STEP_BYTES, MOST_NAME = 64, 255, 2000  # of a path, as disks accept it
BLOCK_BYTES, MOST_READ_BYTES = 2**20, 2**26  # headers are shorter
ENCRYPTED, UTF8 = 0x1, 0x800  # flags of a zip member
OPENERS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open, b"": open}
DAMAGE = (OSError, RuntimeError, EOFError, ValueError, IndexError, OverflowError, struct.error)
DAMAGE += (zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile, MemoryError)


def unpack(
    archive: Path, folder: Path, most_bytes: int = MOST_BYTES, most_files: int = MOST_FILES
) -> Path:
    """Unpack a zip or tar archive (plain, .gz, .xz, .bz2); its kind is told by its content.

    Args:
        archive: the file.
        folder: a new one; rights, dates and owners in the archive do not count.
        most_bytes, most_files: of the content; folders count as files.

    Returns:
        ``folder``.

    Raises:
        InputError: no archive, a damaged or encrypted one, one with links, devices or members
            that leave the folder, or above a limit; the disk is full. There is no folder then.
    """
    contents = _Contents(archive, folder, most_bytes, most_files)
    try:
        with damage_errors(archive), archive.open("rb") as file:
            is_zip = file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
        with damage_errors(archive), disk_errors(folder):
            folder.mkdir(parents=True)
            require_space(folder, archive.stat().st_size)
            (_unzip if is_zip else _untar)(contents)
            if not any(path.is_file() for path in folder.rglob("*")):
                raise InputError(f"{archive} holds no files")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


@dataclass
class _Contents:
    """What an archive puts into ``folder``, and how much of it its headers have claimed."""

    archive: Path
    folder: Path
    most_bytes: int
    most_files: int
    size: int = 0
    files: int = 0

    def admit(self, name: str, size: int, plain: bool) -> None:
        """Refuse a member that is not ``plain`` (a file or folder), leads out or is too much."""
        self.size, self.files = self.size + max(size, 0), self.files + 1
        steps = re.split(r"[/\\]", name)
        if self.size > self.most_bytes:
            problem = f"would unpack to more than {self.most_bytes:,} bytes"
        elif self.files > self.most_files:
            problem = f"holds more than {self.most_files:,} files"
        elif not plain:
            problem = f"holds {name!r}, a link or a device, which could lead out of the folder"
        elif steps[0] == "" or ".." in steps or re.fullmatch("[A-Za-z]:", steps[0]):
            problem = f"holds {name!r}, which would be written outside the folder"
        elif re.search("[\0\ud800-\udfff]", name):
            problem = f"holds {name!r}, whose name is not UTF-8"
        elif max(len(s.encode()) for s in steps) > MOST_STEP_BYTES or (
            len(steps) > MOST_STEPS or len(name) > MOST_NAME
        ):
            problem = f"holds {name[:80]!r}..., whose name is too long or too deep"
        else:
            return
        raise InputError(f"{self.archive} {problem}; refused")


def _unzip(contents: _Contents) -> None:
    with zipfile.ZipFile(contents.archive) as file:
        for info in file.infolist():
            if not info.flag_bits & UTF8:
                with suppress(UnicodeError):  # macOS and others write UTF-8 without saying so
                    info.filename = info.filename.encode("cp437").decode("utf-8")
            kind = stat.S_IFMT(info.external_attr >> 16)
            plain = kind in (0, stat.S_IFREG, stat.S_IFDIR)
            contents.admit(info.filename, info.file_size, plain)
            if info.flag_bits & ENCRYPTED:
                raise InputError(f"{contents.archive}: {info.filename!r} is encrypted; refused")
            info.filename = info.filename.replace("\\", "/")  # some Windows programs
        for info in file.infolist():
            with disk_errors(contents.folder / info.filename, info.file_size):
                file.extract(info, contents.folder)


def _untar(contents: _Contents) -> None:
    """Read in one pass, to the end of the compression, where its checksum is."""
    headers = 4 * tarfile.BLOCKSIZE * contents.most_files + BLOCK_BYTES
    with Content(contents.archive, contents.most_bytes + headers) as stream:
        with tarfile.open(fileobj=stream, mode="r:") as tar:
            # The first releases of Python 3.11 lack it; ``admit`` is stricter.
            tar.extraction_filter = getattr(tarfile, "data_filter", lambda info, path: info)
            while info := tar.next():
                tar.members.clear()  # else it keeps all of them
                contents.admit(info.name, info.size, info.isreg() or info.isdir())
                with disk_errors(contents.folder / info.name, info.size):
                    tar.extract(info, contents.folder, set_attrs=False)
        if stream.last != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("it has no end mark")
        while stream.read():
            pass


class Content:
    """What a file holds, packed (.gz, .xz, .bz2) or not, read forward only; tarfile reads it, too.

    The checksum of a packed file is verified when its last byte is read: read until nothing comes.

    Raises:
        InputError: here or on any read: the file is missing, cut short or damaged, or its content
            is longer than ``most_bytes``.
    """

    def __init__(self, path: Path, most_bytes: int) -> None:
        self.path, self.most_bytes = path, most_bytes
        self.position, self.last = 0, b""
        with damage_errors(path):
            with path.open("rb") as file:
                head = file.read(6)
            opens = next(opener for magic, opener in OPENERS.items() if head.startswith(magic))
            self.stream = opens(path, "rb")

    def __enter__(self) -> "Content":
        return self

    def __exit__(self, *error: object) -> None:
        self.stream.close()

    def read(self, size: int = BLOCK_BYTES) -> bytes:
        """Read ``size`` bytes, fewer only at the end."""
        if not 0 <= size <= MOST_READ_BYTES:
            raise InputError(f"{self.path} has a header or block of {size:,} bytes; refused")
        with damage_errors(self.path):
            self.last = self.stream.read(size)
        self.position += len(self.last)
        if self.position > self.most_bytes:
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


@contextmanager
def damage_errors(path: Path) -> Iterator[None]:
    """Turn what decompressors and readers of archives raise into an :class:`InputError`."""
    try:
        yield
    except InputError:
        raise
    except DAMAGE as error:
        reason = getattr(error, "strerror", None) or error or type(error).__name__
        raise hindrance(path, error) or InputError(
            f"{path} is damaged or cut short, or of a kind that cannot be read ({reason}); "
            "get the file again"
        ) from error
