"""Damage, absence of rights and want of memory: only what is damaged is put aside or begun anew."""

import io
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import psutil
import pytest
import tifffile
import torch
from PIL import Image

from ddcnn.base.errors import DamagedResult, Hindrance, InputError
from ddcnn.base.files import read_json, read_npz, read_prepared, write_json, write_npy, write_npz
from ddcnn.base.listing import read_files
from ddcnn.base.logs import log_to
from ddcnn.bundle.file import read_bundle, read_weights
from ddcnn.data import images, volumes
from ddcnn.data.archives import unpack
from ddcnn.data.download.fetch import Fetch
from ddcnn.data.download.source import SourceFile
from ddcnn.data.npy import open_store
from ddcnn.data.options import ReadOptions
from ddcnn.tiles.shards import read_shard
from ddcnn.tiles.staging import STAGE, staged
from ddcnn.training.checkpoint import Checkpoint
from ddcnn.training.weights import load_weights, save_weights
from own_data import class_folders, read

SIZE = 2**25  # bytes; a quarter is what a process may take under `little_memory`
NUMBERS = np.zeros(SIZE, np.uint8)


def net() -> torch.nn.Module:
    return torch.nn.Linear(1, SIZE // 8)  # weight and bias, four bytes each


def write_listing(path: Path) -> None:
    path.write_text(f"split,file\n{'x' * SIZE},a.png\n")


def write_archive(path: Path) -> None:
    (path.parent / "content").mkdir()
    (path.parent / "content/a.png").write_bytes(b"content")
    shutil.make_archive(str(path.parent / "images"), path.suffix[1:], path.parent / "content")


def read_picture(path: Path) -> None:
    images.decode_image(path, ReadOptions(), 1)


def read_volume(path: Path) -> None:
    volumes.decode_volume(path, ReadOptions())


# How a file is written, and how it is read again.
PLANE, VOLUME = NUMBERS.reshape(2**12, -1), NUMBERS.reshape(2**10, 2**10, -1)
FILES: dict[str, tuple[Callable, Callable]] = {
    "card.json": (lambda path: write_json(path, "x" * SIZE), read_json),
    "probabilities.npz": (lambda path: write_npz(path, x=NUMBERS), read_npz),
    "y_train.npy": (lambda path: write_npy(path, NUMBERS), read_prepared),
    "x_train.npy": (lambda path: write_npy(path, NUMBERS), read_shard),
    "samples.csv": (write_listing, read_files),
    "model.safetensors": (
        lambda path: save_weights(net(), path),
        lambda path: load_weights(torch.nn.Linear(1, 1), path),
    ),
    "weights.safetensors": (lambda path: save_weights(net(), path), read_weights),
    "ddcnn.safetensors": (lambda path: save_weights(net(), path), read_bundle),
    "checkpoint.pt": (
        lambda path: Checkpoint(path, "mine").save({"x": torch.from_numpy(NUMBERS)}),
        lambda path: Checkpoint(path, "mine").load(),
    ),
    "a.png": (lambda path: Image.fromarray(PLANE).save(path), read_picture),
    "a.tif": (lambda path: tifffile.imwrite(path, PLANE), read_picture),
    "a.nii": (lambda path: nib.Nifti1Image(VOLUME, np.eye(4)).to_filename(path), read_volume),
    "a.nii.gz": (lambda path: nib.Nifti1Image(VOLUME, np.eye(4)).to_filename(path), read_volume),
    "images.npy": (
        lambda path: np.save(path, NUMBERS),
        lambda path: open_store(path).read("images"),
    ),
    "images.npz": (
        lambda path: np.savez_compressed(path, x=NUMBERS),
        lambda path: open_store(path).read("x"),
    ),
    "images.zip": (write_archive, lambda path: unpack(path, path.parent.parent / "zip")),
    "images.tar": (write_archive, lambda path: unpack(path, path.parent.parent / "tar")),
}
IN_PIECES = ("images.zip", "images.tar")  # they need little memory


@contextmanager
def little_memory() -> Iterator[None]:
    """As under ``ulimit -v``."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    limit = psutil.Process().memory_info().vms + SIZE // 4
    resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@contextmanager
def no_more_files() -> Iterator[None]:
    """As under ``ulimit -n``."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@contextmanager
def without_rights() -> Iterator[None]:
    """Root may read everything, so it becomes nobody for a while."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.fixture
def project(monkeypatch) -> Iterator[Path]:
    """A project that everybody may enter."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    monkeypatch.chdir(folder)
    Path("results/d").mkdir(parents=True)
    yield folder
    shutil.rmtree(folder)


HINDERED = {
    "cannot be read": without_rights,
    "memory": little_memory,
    "Too many open files": no_more_files,
}


def path_of(name: str) -> Path:
    """In a folder of its own, or the card would count as that of the arrays."""
    return Path("results", name, name)


def said_by_a_job(name: str, words: str) -> str:
    """What a job says on the terminal that reads a file of ``FILES``."""
    read, path = FILES[name][1], path_of(name)
    if words == "Too many open files":  # what is imported here is a file, too
        with suppress(Exception):
            read(path)
        path.chmod(0o644)
    with redirect_stderr(io.StringIO()) as said, suppress(SystemExit), log_to("job.log"):
        with HINDERED[words]():
            read(path)
        print("it was read", file=said)
    return said.getvalue()


@pytest.fixture(scope="module")
def hindered(tmp_path_factory) -> Iterator[tuple[Path, dict[str, dict[str, str]]]]:
    """A folder with all files, and what jobs said that could not read them.

    They ran in a process of its own: in this one other tests have left memory that could be used.
    """
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    for name, (write, _) in FILES.items():
        path = folder / path_of(name)
        path.parent.mkdir(parents=True)
        write(path)
        path.chmod(0)
        os.utime(path, (1, 1))
    code = f"""if True:
        import json, sys
        sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}
        from test_reading import FILES, HINDERED, said_by_a_job
        print(json.dumps({{n: {{w: said_by_a_job(n, w) for w in HINDERED}} for n in FILES}}))"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=100
    )
    yield folder, json.loads(done.stdout.splitlines()[-1]) if done.stdout else done.stderr
    shutil.rmtree(folder)


CASES = [(words, name) for words in HINDERED for name in FILES]
CASES = [case for case in CASES if case[0] != "memory" or case[1] not in IN_PIECES]


@pytest.mark.parametrize(("words", "name"), CASES)
def test_what_cannot_be_read_now_stays_and_is_one_line(hindered, name, words):
    folder, said = hindered
    assert words in said[name][words]
    assert name in said[name][words]
    assert "damaged" not in said[name][words]
    assert len(said[name][words].splitlines()) == 1
    assert (folder / path_of(name)).stat().st_mtime == 1


def test_a_picture_without_rights_makes_no_other_data_of_the_rest(project):
    pictures = class_folders(project / "pictures", count=20)
    hidden = pictures / "cat/0.png"
    found = replace(read(pictures).splits["all"], workers=1)
    hidden.chmod(0)
    with without_rights():
        with pytest.raises(Hindrance, match=r"0\.png cannot be read"):  # by its header
            read(pictures)
        (item,) = [item for chunk in found.chunks() for item in chunk.unreadable]
    assert item.is_hindered
    assert "cannot be read" in item.reason


def claim(path: Path, shape: tuple[int, ...]) -> None:
    """An array whose header promises more than the file holds."""
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(b"few")


def test_a_header_that_claims_more_than_its_file_holds_is_damage_and_no_want_of_memory(tmp_path):
    claim(tmp_path / "y_test.npy", (2**50,))
    with pytest.raises(DamagedResult, match=r"y_test\.npy is damaged"):
        read_prepared(tmp_path / "y_test.npy")


def test_a_damaged_copy_on_a_node_is_made_again_and_its_shard_stays(project, monkeypatch, caplog):
    shard = Path("results/tiles/d/blocks/0-0/x_train.npy")
    write_npy(shard, np.arange(60))
    crc = {"crc32": zlib.crc32(np.arange(60).data)}
    write_json("results/tiles/d/blocks/plan.json", {"shards": {"0-0/x_train.npy": crc}})
    monkeypatch.setenv(STAGE, str(project / "stage"))
    copy = staged(shard)
    for damage in (lambda content: content[:-1] + b"?", lambda content: bytes(len(content))):
        copy.write_bytes(damage(shard.read_bytes()))
        np.testing.assert_array_equal(read_shard(shard), np.arange(60))
        assert "and not its copy" in caplog.text
        assert staged(shard) == copy
        assert copy.read_bytes() == shard.read_bytes()
    assert not list(Path("results").rglob("*.damaged"))


def test_a_copy_that_somebody_else_could_have_made_is_not_read(project, monkeypatch, caplog):
    shard = Path("results/d/x_train.npy")
    write_npy(shard, np.arange(60))
    monkeypatch.setenv(STAGE, str(project / "stage"))
    copy = staged(shard)
    write_npy(copy, np.arange(60)[::-1].copy())
    copy.parent.chmod(0o777)
    np.testing.assert_array_equal(read_shard(shard), np.arange(60))
    assert "others may write" in caplog.text


@pytest.mark.parametrize("value", ["local", "$DDCNN_NOT_SET/stage"])
def test_a_wrong_place_for_copies_harms_no_shard(project, monkeypatch, capsys, value):
    shard = Path("results/tiles/d/blocks/0-0/x_train.npy")
    write_npy(shard, np.arange(60))
    write_json("results/tiles/d/blocks/plan.json", {})
    monkeypatch.setenv(STAGE, value)
    before = sorted(Path("results").rglob("*"))
    with pytest.raises(SystemExit), log_to("job.log"):
        read_shard(shard)
    assert "is not an absolute path" in capsys.readouterr().err
    assert sorted(Path("results").rglob("*")) == before


def test_a_downloaded_file_that_may_not_be_read_is_not_called_wrong(project):
    target = project / "results/d/images.zip"
    target.write_bytes(b"published")
    target.chmod(0)
    target.parent.chmod(0o777)
    fetch = Fetch(SourceFile("images.zip", ()), target, None, threading.Event())
    with without_rights(), pytest.raises(InputError, match=r"images\.zip.*cannot be read"):
        fetch.run()
    assert list(target.parent.iterdir()) == [target]
