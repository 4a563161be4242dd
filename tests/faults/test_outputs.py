"""What an output must not replace: devices, pipes, folders, links, what is read or printed into."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ddcnn.base.disk import check_outputs
from ddcnn.base.errors import InputError
from ddcnn.base.files import write_aside


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


def link_to_pipe(folder: Path) -> Path:
    (folder / "link").symlink_to(pipe(folder))
    return folder / "link"


def device(folder: Path) -> Path:
    """One of this test's own, as /dev/null is one."""
    if os.geteuid():
        pytest.skip("only root makes devices")
    os.mknod(folder / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    return folder / "null"


def output_by_name(folder: Path) -> Path:
    """As /dev/stdout is."""
    (folder / "stdout").symlink_to("/proc/self/fd/1")
    return folder / "stdout"


def subfolder(folder: Path) -> Path:
    (folder / "sub").mkdir()
    return folder / "sub"


def loop(folder: Path) -> Path:
    (folder / "loop").symlink_to("loop")
    return folder / "loop"


def below_loop(folder: Path) -> Path:
    return loop(folder) / "deep" / "a.csv"


def below_file(folder: Path) -> Path:
    (folder / "file").touch()
    return folder / "file" / "a.csv"


def long_name(folder: Path) -> Path:
    return folder / ("x" * 300 + ".csv")


def long_aside(folder: Path) -> Path:
    return folder / ("x" * 250 + ".csv")


def long_folder(folder: Path) -> Path:
    return folder / "/".join(["x" * 200] * 30) / "a.csv"


def no_place(folder: Path) -> Path:
    return Path("/proc/a.csv")


PLACES = [
    *(pipe, link_to_pipe, device, output_by_name, subfolder, loop, below_loop, below_file),
    *(long_name, long_aside, long_folder, no_place),
]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_what_no_file_may_replace_stays_and_is_one_clear_error(tmp_path, place):
    path = place(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    kind = path.lstat().st_mode if before and path in before else 0
    with pytest.raises(InputError) as caught, write_aside(path) as aside:
        aside.write_text("new")
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before
    assert not kind or path.lstat().st_mode == kind


def test_a_link_stays_and_its_file_is_replaced(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there/a.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to("there/a.csv")
    with write_aside(tmp_path / "link.csv") as aside:
        aside.write_text("new")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "there/a.csv").read_text() == "new"


def test_the_file_that_a_command_prints_into_is_not_replaced(tmp_path):
    out = tmp_path / "out.txt"
    code = f"""if True:
        from ddcnn.base.disk import check_outputs
        from pathlib import Path
        print("printed", flush=True)
        check_outputs([Path({str(out)!r})])"""
    with out.open("w") as file:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=file, stderr=subprocess.PIPE, text=True
        )
    assert "out.txt is the file that this command prints into" in done.stderr
    assert out.read_text() == "printed\n"


def test_two_outputs_of_one_name_and_what_is_read_are_refused(tmp_path):
    read, other = tmp_path / "read.csv", tmp_path / "other.csv"
    read.touch()
    (tmp_path / "hard.csv").hardlink_to(read)
    (tmp_path / "soft.csv").symlink_to(read)
    check_outputs([other, None], [read, tmp_path / "missing", tmp_path / ("x" * 300)])
    with pytest.raises(InputError, match="are one file"):
        check_outputs([other, tmp_path / "." / "other.csv"])
    for name in ("read.csv", "hard.csv", "soft.csv"):
        with pytest.raises(InputError, match=f"{name} is also read"):
            check_outputs([tmp_path / name], [read])
