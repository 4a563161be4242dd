"""What surrounds a command: streams that are full or closed, other encodings, folders, signals."""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ddcnn.base.logs import log_to
from workflow_runs import command, make_project

DDCNN = [sys.executable, "-m", "ddcnn"]
FULL = Path("/dev/full")


def test_a_full_standard_output_is_one_line_and_a_status():
    with FULL.open("w") as full:
        done = subprocess.run([*DDCNN, "nets"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "No space left" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "2>/dev/full"])
def test_closed_streams_change_no_status(closed):
    words = f"exec '{sys.executable}' -m ddcnn"
    fine = subprocess.run(["sh", "-c", f"{words} nets {closed}"], capture_output=True, text=True)
    wrong = ["sh", "-c", f"{words} check missing.yaml {closed}"]
    refused = subprocess.run(wrong, capture_output=True, text=True)
    assert (fine.returncode, refused.returncode) == (0, 1)
    assert "Traceback" not in fine.stderr + refused.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_what_an_encoding_lacks_is_written_out(tmp_path, encoding):
    name = "\N{SNOWMAN}.yaml"
    done = subprocess.run(
        [*DDCNN, "check", name],
        env=os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
        cwd=tmp_path,
        capture_output=True,
    )
    assert done.returncode == 1
    assert b"\\u2603.yaml cannot be read" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_what_an_encoding_lacks_is_written_out_in_what_a_command_prints(tmp_path, encoding):
    classes = ["\N{SNOWMAN}", "b"]
    counts = {split: dict.fromkeys(classes, 2) for split in ("train", "val", "test")}
    facts = {"classes": classes, "counts": counts, "task": "classification"}
    card = tmp_path / "results/data/fashion-mnist-10k/card.json"
    card.parent.mkdir(parents=True)
    card.write_text(json.dumps(facts | {"axes": ["row", "column"]}))
    (tmp_path / "mine.yaml").write_text("experiment: mine\ndataset: fashion-mnist-10k\n")
    done = subprocess.run(
        [*DDCNN, "check", "mine.yaml"],
        env=os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
        cwd=tmp_path,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert b"fashion-mnist-10k, train: 2 \\u2603, 2 b" in done.stdout


def test_modules_of_the_folder_that_it_is_called_in_are_not_run(tmp_path):
    for name in ("yaml", "typing", "argparse", "numpy", "difflib"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('it ran')")
    done = subprocess.run([*DDCNN, "check", "a.yaml"], cwd=tmp_path, capture_output=True, text=True)
    assert "it ran" not in done.stdout + done.stderr
    assert "a.yaml cannot be read" in done.stderr


@pytest.mark.parametrize("name", ["with:colon", "with{x}"])
def test_a_project_whose_path_means_something_else_is_refused(tmp_path, name):
    project = make_project(tmp_path / name)
    done = subprocess.run(
        command(project / "config/config.yaml", "--dry-run"),
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode != 0
    assert f"has a {name[4]!r} in its name; rename it" in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize("error", [MemoryError(), PermissionError(13, "Permission denied", "a")])
def test_a_job_that_lacks_memory_or_rights_says_so_in_one_line(tmp_path, capsys, error):
    with pytest.raises(SystemExit) as caught, log_to(tmp_path / "job.log"):
        raise error
    said = capsys.readouterr().err
    assert caught.value.code == 1
    assert said.startswith("error: ")
    assert len(said.splitlines()) == 1
    assert "Traceback" in (tmp_path / "job.log").read_text()  # where it can be looked up
    assert said in (tmp_path / "job.log").read_text()


@pytest.mark.parametrize("kilobytes", [600_000, 1_500_000])
def test_too_little_memory_for_torch_itself_is_one_line_in_the_log_too(tmp_path, kilobytes):
    code = "from ddcnn.base.logs import job\nwith job('a.log'): import torch"
    limit = (1024 * kilobytes,) * 2
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, limit),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: the memory does not suffice")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr in (tmp_path / "a.log").read_text()


def test_what_ends_a_process_without_python_leaves_a_word_in_the_log(tmp_path):
    code = "import os\nfrom ddcnn.base.logs import log_to\nwith log_to('a.log'): os.abort()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)),
    )
    assert done.returncode == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in (tmp_path / "a.log").read_text()


def test_processes_of_tests_obey_ctrl_c_where_a_shell_lets_it_be_ignored():
    print_it = "import signal; print(signal.getsignal(signal.SIGINT))"
    code = f"import conftest, subprocess, sys; subprocess.run([sys.executable, '-c', {print_it!r}])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[1],
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        capture_output=True,
        text=True,
    )
    assert "default_int_handler" in done.stdout
