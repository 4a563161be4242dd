"""What zip and tar archives hold, one file after the other, links and devices refused."""

import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ddcnn.base.errors import InputError
from ddcnn.data.download.check import HEAD_BYTES, Unfit, refuse_page
from ddcnn.data.download.streams import DECOMPRESSORS, TarStream, reading_errors

ENCRYPTED, UTF8 = 0x1, 0x800  # flags of a zip member
TAR_END = bytes(tarfile.BLOCKSIZE)


@dataclass(frozen=True)
class Member:
    """A file or folder of an archive.

    Attributes:
        name: as the archive gives it, unchecked.
        size: bytes that the archive claims.
        content: the file's bytes; None for a folder.
    """

    name: str
    size: int
    content: IO[bytes] | None


@dataclass(frozen=True)
class Limits:
    """Above them an archive counts as a decompression bomb."""

    most_bytes: int
    most_files: int

    def check(self, archive: Path, size: int, files: int) -> None:
        """Raise an :class:`InputError` that names the limit."""
        if size > self.most_bytes:
            raise InputError(
                f"{archive} would unpack to more than {self.most_bytes:,} bytes; refused"
            )
        if files > self.most_files:
            raise InputError(f"{archive} holds more than {self.most_files:,} files; refused")


def reader_of(archive: Path) -> Callable[[Path, Limits], Iterator[Member]]:
    """The function that reads the members; the kind is told by the file's first bytes.

    Raises:
        InputError: no archive.
    """
    with reading_errors(archive), archive.open("rb") as file:
        head = file.read(HEAD_BYTES)
    try:
        refuse_page(head, "archive")
    except Unfit as error:
        raise InputError(f"{archive} is no archive: {error}; get the file again") from error
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return zip_members
    if head.startswith(tuple(DECOMPRESSORS)) or _is_tar_header(head):
        return tar_members
    found = f"it begins with {head[:16]!r}" if head else "it is empty"
    raise InputError(f"{archive} is no archive: {found}; accepted: zip, tar, tar.gz/.xz/.bz2")


def _is_tar_header(head: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(head[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except tarfile.TarError:
        return False
    return True


def zip_members(archive: Path, limits: Limits) -> Iterator[Member]:
    """Read a zip archive; what it claims is checked before the first member comes."""
    with zipfile.ZipFile(archive) as file:
        infos = file.infolist()
        limits.check(archive, sum(info.file_size for info in infos), len(infos))
        for info in infos:
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _special(archive, info.filename)
            if info.flag_bits & ENCRYPTED:
                raise InputError(
                    f"{archive}: {info.filename!r} is encrypted; get the file without a password"
                )
        for info in infos:
            content = None if info.is_dir() else file.open(info)
            yield Member(_zip_name(info), info.file_size, content)


def _zip_name(info: zipfile.ZipInfo) -> str:
    name = info.filename
    if not info.flag_bits & UTF8:
        with suppress(UnicodeError):  # macOS and others write UTF-8 without saying so
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")  # some Windows programs


def tar_members(archive: Path, limits: Limits) -> Iterator[Member]:
    """Read a tar archive in one pass, to the end of its compression."""
    size = count = 0
    with TarStream(archive, limits.most_bytes, limits.most_files) as stream:
        with _open_tar(archive, stream) as tar:
            while info := tar.next():
                tar.members.clear()  # else it keeps all of them
                size, count = size + max(info.size, 0), count + 1
                limits.check(archive, size, count)
                if not (info.isreg() or info.isdir()):
                    raise _special(archive, info.name)
                yield Member(info.name, info.size, tar.extractfile(info))
        if stream.last != TAR_END:
            raise tarfile.ReadError("it has no end mark")
        stream.drain()


def _open_tar(archive: Path, stream: TarStream) -> tarfile.TarFile:
    try:
        return tarfile.open(fileobj=stream, mode="r:")
    except tarfile.ReadError as error:
        raise InputError(
            f"{archive} is damaged or cut short, or holds no tar archive ({error}); "
            "get the file again"
        ) from error


def _special(archive: Path, name: str) -> InputError:
    return InputError(
        f"{archive}: {name!r} is a link or a device, which could lead out of the folder; refused"
    )
