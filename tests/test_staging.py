"""Copies on a node's own disk: made once, for the right file, and never in the way."""

import logging
import os

import numpy as np
import pytest

from ddcnn.base.errors import InputError
from ddcnn.tiles.shards import read_shard
from ddcnn.tiles.staging import STAGE, staged

A = np.arange(60, dtype=np.uint8).reshape(5, 3, 4, 1)


@pytest.fixture
def shard(tmp_path):
    path = tmp_path / "shared" / "x_train.npy"
    path.parent.mkdir()
    np.save(path, A)
    return path


@pytest.fixture
def disk(tmp_path, monkeypatch):
    """The node's own disk, as a job's TMPDIR."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "local"))
    monkeypatch.setenv(STAGE, "$TMPDIR/stage")
    return tmp_path / "local" / "stage"


def test_without_the_variable_the_shared_file_is_read(shard, monkeypatch):
    monkeypatch.delenv(STAGE, raising=False)
    assert staged(shard) == shard


def test_the_shard_is_copied_once_and_read_from_the_copy(shard, disk):
    first = staged(shard)
    assert first.parent == disk / f"ddcnn-{os.geteuid()}"
    times = first.stat().st_mtime_ns
    np.testing.assert_array_equal(read_shard(shard), A)
    assert staged(shard) == first
    assert first.stat().st_mtime_ns == times
    assert len(list(first.parent.iterdir())) == 1
    np.save(first, A + 1)  # the same size: a reader that took the original would not see it
    np.testing.assert_array_equal(read_shard(shard), A + 1)


def test_a_changed_shard_of_the_same_size_is_copied_anew(shard, disk):
    before = staged(shard)
    np.save(shard, A + 1)
    os.utime(shard, ns=(1, 1))
    assert staged(shard) != before
    np.testing.assert_array_equal(read_shard(shard), A + 1)


def test_shards_of_two_tiles_do_not_mix(shard, disk):
    other = shard.parent / "other" / shard.name
    other.parent.mkdir()
    np.save(other, A + 1)
    os.utime(other, ns=(shard.stat().st_atime_ns, shard.stat().st_mtime_ns))
    np.testing.assert_array_equal(read_shard(shard), A)
    np.testing.assert_array_equal(read_shard(other), A + 1)


def test_a_cut_off_copy_is_replaced(shard, disk):
    copy = staged(shard)
    copy.write_bytes(copy.read_bytes()[:-7])
    np.testing.assert_array_equal(read_shard(shard), A)
    assert copy.stat().st_size == shard.stat().st_size


def test_where_no_copy_can_be_made_the_original_is_read_with_a_warning(shard, disk, caplog):
    disk.parent.mkdir()
    disk.write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING, "ddcnn"):
        np.testing.assert_array_equal(read_shard(shard), A)
    assert "reading the original" in caplog.text


@pytest.mark.parametrize("folder", ["local", "$DDCNN_NOT_SET/stage", "/tmp/$DDCNN_NOT_SET"])
def test_a_folder_that_depends_on_luck_is_one_clear_error(shard, monkeypatch, folder):
    monkeypatch.setenv(STAGE, folder)
    with pytest.raises(InputError, match=r"DDCNN_STAGE.*absolute path"):
        staged(shard)


def test_a_missing_shard_is_still_one_clear_error(shard, disk):
    shard.unlink()
    with pytest.raises(InputError, match=r"x_train\.npy.*missing"):
        read_shard(shard)
