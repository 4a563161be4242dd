"""Archives: real ones come out as they are, hostile and broken ones leave nothing behind."""

import bz2
import gzip
import io
import lzma
import random
import shutil
import stat
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from ddcnn.base import disk
from ddcnn.base.errors import InputError
from ddcnn.data.archives import Content, unpack
from full_disk import largest_file

FILES = {
    "flowers/daisy/1.jpg": b"\xff\xd8daisy",
    "flowers/two words/b.png": b"\x89PNG" * 5000,
    "flowers/Gänseblümchen 菊/c.pgm": b"P5 1 1 255 \x00",
    "flowers/<b>&amp;/d.txt": b"",
}
NOISE = random.Random(0).randbytes(200_000)


def write_tar(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o4777
            archive.addfile(info, io.BytesIO(content))
    return path


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def read_folder(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def refusal(archive: Path, *words: str, **limits: int) -> str:
    """Unpacking is refused with one line that names the archive, and nothing is left behind."""
    folder = archive.parent / "out"
    before = sorted(archive.parent.iterdir())
    with pytest.raises(InputError) as error:
        unpack(archive, folder, **limits)
    print(str(error.value))
    assert str(archive) in str(error.value)
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)
    assert sorted(archive.parent.iterdir()) == before
    return str(error.value)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_tar_archives_come_out_as_they_went_in(tmp_path, monkeypatch, mode, form):
    monkeypatch.setattr(tarfile.TarFile, "format", form)
    files = {**FILES, f"{'long/' * 30}{'n' * 120}": NOISE}
    archive = write_tar(tmp_path / "a.bin", files, mode)
    assert read_folder(unpack(archive, tmp_path / "out")) == files


def test_zip_archives_come_out_as_they_went_in(tmp_path):
    archive = write_zip(tmp_path / "a.bin", FILES)
    assert unpack(archive, tmp_path / "deep" / "out") == tmp_path / "deep" / "out"
    assert read_folder(tmp_path / "deep" / "out") == FILES


@pytest.mark.parametrize("write", [write_tar, write_zip])
def test_rights_are_not_those_of_the_archive(tmp_path, write):
    folder = unpack(write(tmp_path / "a", FILES), tmp_path / "out")
    for path in folder.rglob("*"):  # the tar archives want 4777
        assert path.is_dir() or not path.stat().st_mode & 0o7111


def test_empty_folders_are_kept_and_the_root_entry_is_no_member(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name in ("./", "./empty class"):
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE
            archive.addfile(info)
        archive.addfile(tarfile.TarInfo("./full/1.png"), io.BytesIO())
    unpack(tmp_path / "a.tar", tmp_path / "out")
    assert (tmp_path / "out" / "empty class").is_dir()
    assert (tmp_path / "out" / "full" / "1.png").is_file()


def test_zip_names_in_utf8_without_the_flag_and_with_backslashes(tmp_path):
    archive = write_zip(tmp_path / "a.zip", {"x\\caf_/1.png": b"1"})
    content = archive.read_bytes().replace(b"caf_", b"c\xc3\xa9_"[:4])
    archive.write_bytes(content)
    assert read_folder(unpack(archive, tmp_path / "out")) == {"x/cé_/1.png": b"1"}


# What leaves the folder


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/etc/evil", "..", "..\\evil", "C:\\evil", "\\evil"]
)
@pytest.mark.parametrize("write", [write_tar, write_zip])
def test_members_that_leave_the_folder_are_refused(tmp_path, write, name):
    refusal(write(tmp_path / "a", {"good": b"1", name: b"2"}), "outside the folder")
    assert not (tmp_path.parent / "evil").exists()


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        (tarfile.SYMTYPE, "/etc/passwd"),
        (tarfile.SYMTYPE, "good"),
        (tarfile.LNKTYPE, "good"),
        (tarfile.LNKTYPE, "../../etc/passwd"),
        (tarfile.FIFOTYPE, ""),
        (tarfile.CHRTYPE, ""),
        (tarfile.BLKTYPE, ""),
    ],
)
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind, target):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("good"))
        info = tarfile.TarInfo("bad")
        info.type, info.linkname = kind, target
        archive.addfile(info)
    refusal(tmp_path / "a.tar", "holds 'bad', a link or a device")


def test_links_in_a_zip_are_refused(tmp_path):
    info = zipfile.ZipInfo("bad")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    refusal(tmp_path / "a.zip", "holds 'bad', a link or a device")


def test_names_that_are_both_file_and_folder_are_refused(tmp_path):
    tar = write_tar(tmp_path / "a.tar", {"a": b"1", "a/b": b"2"})
    archive = write_zip(tmp_path / "b.zip", {"a/b": b"1", "a": b"2"})
    for path, words in ((tar, "a/b cannot be written"), (archive, "a cannot be written")):
        with pytest.raises(InputError, match=words):
            unpack(path, tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_names_that_are_no_text_are_refused(tmp_path):
    archive = write_tar(tmp_path / "a.tar", {"caf\udce9/1.png": b"1"})
    refusal(archive, "not UTF-8").encode()  # and the message can be written


@pytest.mark.parametrize("name", ["n" * 300, "d/" * 100 + "f", f"{'d' * 99}/" * 30 + "f"])
@pytest.mark.parametrize("write", [write_tar, write_zip])
def test_very_long_and_very_deep_names_are_refused(tmp_path, write, name):
    refusal(write(tmp_path / "a", {name: b"1"}), "too long or too deep")


# Bombs


def test_a_zip_that_claims_too_much_is_refused_at_once(tmp_path):
    archive = write_zip(tmp_path / "a.zip", {"zeros": bytes(20_000_000)})
    assert archive.stat().st_size < 50_000
    refusal(archive, "would unpack to more than 10,000,000 bytes", most_bytes=10_000_000)


def test_a_zip_that_claims_too_little_is_refused(tmp_path):
    archive = write_zip(tmp_path / "a.zip", {"zeros": bytes(20_000_000)})
    said = struct.pack("<L", 20_000_000)
    archive.write_bytes(archive.read_bytes().replace(said, struct.pack("<L", 1000)))
    refusal(archive, "damaged", most_bytes=10_000_000)


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_a_tar_bomb_is_refused(tmp_path, mode):
    files = {f"{i}": bytes(4_000_000) for i in range(5)}
    archive = write_tar(tmp_path / "a.tar", files, mode)
    assert archive.stat().st_size < 50_000
    refusal(archive, "would unpack to more than 10,000,000 bytes", most_bytes=10_000_000)


def test_a_bomb_behind_the_end_of_a_tar_is_refused(tmp_path):
    small = write_tar(tmp_path / "a.tar", {"a": b"1"}).read_bytes()
    (tmp_path / "a.tar").write_bytes(gzip.compress(small + bytes(20_000_000)))
    refusal(tmp_path / "a.tar", "unpacks to more than", most_bytes=1000, most_files=10)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_tar_header_cannot_fill_the_memory(tmp_path, kind):
    info = tarfile.TarInfo("header")
    info.type, info.size = kind, 2**40
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(10_000))
    refusal(tmp_path / "a.tar", "header or block of 1,099,511,627,776 bytes")


def test_a_chain_of_tar_headers_is_refused(tmp_path):
    info = tarfile.TarInfo("header")
    info.type = tarfile.XHDTYPE
    (tmp_path / "a.tar").write_bytes(info.tobuf() * 5000 + bytes(1024))
    refusal(tmp_path / "a.tar", "damaged")


@pytest.mark.parametrize("write", [write_tar, write_zip])
def test_too_many_files_are_refused(tmp_path, write):
    archive = write(tmp_path / "a", {str(i): b"" for i in range(11)})
    refusal(archive, "more than 10 files", most_files=10)
    unpack(archive, tmp_path / "out", most_files=11)


# Broken ones


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz", "zip"])
def test_truncated_archives_are_refused(tmp_path, mode, share):
    files = {"1": NOISE, "2": NOISE[::-1], "3": b"3"}
    path = tmp_path / "a"
    write_zip(path, files) if mode == "zip" else write_tar(path, files, mode)
    content = path.read_bytes()
    if mode == "w":  # the last 10 kB of a plain tar are padding
        content = content[: content.rindex(b"3") + 1]
    path.write_bytes(content[: int(share * len(content))])
    refusal(path, "damaged or cut short")


def test_a_tar_cut_between_two_members_is_refused(tmp_path):
    content = write_tar(tmp_path / "a.tar", {"1": b"1", "2": b"2"}).read_bytes()
    (tmp_path / "a.tar").write_bytes(content[:1024])
    refusal(tmp_path / "a.tar", "no end mark")


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz", "zip"])
def test_damaged_archives_are_refused(tmp_path, mode):
    path = tmp_path / "a"
    write_zip(path, {"1": NOISE}) if mode == "zip" else write_tar(path, {"1": NOISE}, mode)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    refusal(path, "damaged or cut short")


def test_a_damaged_header_in_a_tar_is_refused(tmp_path):
    content = bytearray(write_tar(tmp_path / "a.tar", {"1": b"1", "2": b"2"}).read_bytes())
    content[1024 + 150] ^= 0xFF
    (tmp_path / "a.tar").write_bytes(content)
    refusal(tmp_path / "a.tar", "damaged or cut short")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "of a kind that cannot be read (empty file)"),
        (b"this is text", "of a kind that cannot be read"),
        (b"\x89PNG\r\n\x1a\n" + bytes(2000), "of a kind that cannot be read"),
        (bytes(10_240), "holds no files"),
        (gzip.compress(NOISE), "of a kind that cannot be read"),
        (bz2.compress(b"text"), "of a kind that cannot be read"),
        (lzma.compress(bytes(10_240)), "holds no"),
        (b"PK\x03\x04" + NOISE, "damaged or cut short"),
        (b"PK\x05\x06" + bytes(18), "holds no files"),
    ],
)
def test_what_is_no_archive_is_refused(tmp_path, content, words):
    (tmp_path / "a.zip").write_bytes(content)
    refusal(tmp_path / "a.zip", words)


def test_an_encrypted_zip_is_refused(tmp_path):
    archive = write_zip(tmp_path / "a.zip", {"secret": b"1"})
    content = bytearray(archive.read_bytes())
    for magic, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(magic) + place] |= 1
    archive.write_bytes(content)
    refusal(archive, "'secret' is encrypted")


def test_an_unknown_compression_is_refused(tmp_path):
    archive = write_zip(tmp_path / "a.zip", {"a": b"1" * 100})
    content = bytearray(archive.read_bytes())
    for magic, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        content[content.index(magic) + place] = 9  # deflate64
    archive.write_bytes(content)
    refusal(archive, "compression method is not supported")


def test_a_missing_archive_is_named(tmp_path):
    refusal(tmp_path / "missing.zip", "cannot be read (No such file or directory)")


def test_random_damage_never_escapes_as_another_error(tmp_path):
    chance = random.Random(1)
    small = {f"folder {i}/{'x' * i}": NOISE[: 300 * i] for i in range(6)}
    for mode in ("w", "w:gz", "zip"):
        path = tmp_path / "a"
        write_zip(path, small) if mode == "zip" else write_tar(path, small, mode)
        whole = path.read_bytes()
        for _ in range(60):
            content = bytearray(whole)
            for _ in range(chance.randint(1, 8)):
                content[chance.randrange(len(content))] = chance.randrange(256)
            path.write_bytes(content)
            try:
                unpack(path, tmp_path / "out")
            except InputError:
                assert not (tmp_path / "out").exists() or read_folder(tmp_path / "out")


# Disk


@pytest.mark.parametrize("write", [write_tar, write_zip])
def test_a_full_disk_leaves_nothing_behind(tmp_path, write):
    archive = write(tmp_path / "a", {"fits": b"1", "large": bytes(5_000_000)})
    with pytest.raises(InputError) as error, largest_file(4_000_000):
        unpack(archive, tmp_path / "out")
    print(str(error.value))
    assert "large is full: it needs 5,000,000 bytes more" in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_disk_too_small_for_the_archive_is_told_before(tmp_path, monkeypatch):
    archive = write_zip(tmp_path / "a.zip", {"a": NOISE})
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 0))
    with pytest.raises(InputError, match=r"is full: it needs 200,\d+ bytes more \(0 are free\)"):
        unpack(archive, tmp_path / "out")


# Packed files


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, bytes])
def test_a_packed_file_is_read_in_pieces(tmp_path, pack):
    (tmp_path / "a.gz").write_bytes(pack(NOISE) + pack(b"more"))
    with Content(tmp_path / "a.gz", most_bytes=200_004) as stream:
        assert stream.read(10) == NOISE[:10]
        assert stream.read() == NOISE[10:] + b"more"
        assert stream.read(1) == b""
    assert stream.stream.closed


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (gzip.compress(NOISE, mtime=0)[:-100], "damaged or cut short"),
        (gzip.compress(NOISE, mtime=0)[:-1], "damaged or cut short"),
        (gzip.compress(NOISE, mtime=0)[:5], "damaged or cut short"),
        (gzip.compress(NOISE, mtime=0)[:-8] + bytes(8), "(CRC"),
        (gzip.compress(NOISE + b"x", mtime=0), "unpacks to more than 200,000 bytes"),
        (gzip.compress(bytes(50_000_000), mtime=0), "unpacks to more than 200,000 bytes"),
        (None, "No such file"),
    ],
)
def test_what_is_wrong_with_a_packed_file_is_named(tmp_path, content, words):
    path = tmp_path / "a.gz"
    if content is not None:
        path.write_bytes(content)

    def read() -> None:
        with Content(path, most_bytes=200_000) as stream:
            while stream.read(1000):
                pass

    with pytest.raises(InputError) as error:
        read()
    print(str(error.value))
    assert str(path) in str(error.value)
    assert words in str(error.value)
