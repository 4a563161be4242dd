"""What a job does with a damaged result: it says so in one line and puts the file aside."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from ddcnn.base.errors import DamagedResult
from ddcnn.base.files import map_prepared, read_prepared, write_json, write_npy
from ddcnn.base.logs import log_to
from ddcnn.base.recovery import put_aside


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(name)
    return path


def fail(error: Exception) -> None:
    with log_to("logs/job.log"):
        raise error


def test_a_job_names_the_file_and_puts_it_aside(capsys):
    path = write("results/local/d/model.safetensors")
    with pytest.raises(SystemExit) as caught:
        fail(DamagedResult(path, "a wrong byte"))
    assert caught.value.code == 1
    message = capsys.readouterr().err
    assert message == (
        "error: results/local/d/model.safetensors is damaged (a wrong byte); it is put aside "
        "(model.safetensors.damaged): run the same command again, and it is made anew with all "
        "that stands on it\n"
    )
    assert message.strip() in Path("logs/job.log").read_text()
    assert not path.exists()
    assert path.with_name("model.safetensors.damaged").read_text() == str(path)


def test_with_a_shard_goes_the_plan_that_stands_for_it():
    plan, shard = write("results/tiles/d/t/plan.json"), write("results/tiles/d/t/0-0/x_train.npy")
    other = write("results/tiles/d/t/0-1/x_train.npy")
    assert "(plan.json.damaged)" in put_aside(DamagedResult(shard, "?", stands_for=plan))
    assert not plan.exists()
    assert not shard.exists()
    assert other.exists()


def test_a_file_that_another_job_put_aside_is_no_bug(capsys):
    path = write("results/local/d/metrics.json")
    put_aside(DamagedResult(path, "?"))
    with pytest.raises(SystemExit), log_to("logs/job.log"):
        path.read_text()
    assert capsys.readouterr().err.startswith(f"error: {path} is damaged and put aside; run")
    with pytest.raises(FileNotFoundError), log_to("logs/job.log"):
        Path("results/other.json").read_text()
    assert "Traceback" in Path("logs/job.log").read_text()


@pytest.mark.parametrize(
    "name", ["results/data/d/raw/images.zip", "mine/images.npz", "results.json", "../x.npz"]
)
def test_downloaded_files_and_those_of_people_stay(name):
    path = write(name)
    assert f"delete {path} and run again" in put_aside(DamagedResult(path, "?"))
    assert path.read_text() == name


def test_prepared_arrays_are_those_of_the_card():
    labels = np.arange(100)
    write_npy("results/y_train.npy", labels)
    path = Path("results/y_train.npy")
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    np.testing.assert_array_equal(np.load(path), labels)
    np.testing.assert_array_equal(read_prepared(path), labels)
    write_json("results/card.json", {"checksums": {"y_train.npy": f"sha256:{digest}"}})
    np.testing.assert_array_equal(read_prepared(path), labels)
    for wrong in (content[:-8], b"", content[:-1] + b"\x01", content + b"\0"):
        path.write_bytes(wrong)
        with pytest.raises(DamagedResult, match=r"results/y_train\.npy is damaged"):
            read_prepared(path)


@pytest.mark.parametrize("size", [0, 60, 300])
def test_a_cut_off_array_is_named_without_a_checksum(size):
    write_npy("x.npy", np.arange(100))
    content = Path("x.npy").read_bytes()
    Path("x.npy").write_bytes(content[:size])
    for read in (read_prepared, map_prepared):
        with pytest.raises(DamagedResult, match=r"x\.npy is damaged"):
            read("x.npy")
