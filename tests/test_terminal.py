"""What a run shows: lines in a file, a live screen on a terminal, and last what failed."""

import fcntl
import logging
import os
import pty
import re
import struct
import subprocess
import termios
from pathlib import Path

import pytest

from snakemake_logger_plugin_ddcnn.follower import is_chatter
from snakemake_logger_plugin_ddcnn.overheard import Overheard
from snakemake_logger_plugin_ddcnn.screen import shortened
from workflow_runs import (
    command,
    make_project,
    planned_jobs,
    small_fashion,
    snakemake,
    write_config,
)

COLUMNS = 80
MOST_LINES = 40  # of the quickstart, without a terminal
JOB = re.compile(r"\d\d:\d\d:\d\d +(\d+)/(\d+)  [A-Z].* \(.*\)")
SCRIPT = "workflow/scripts/train_local.py"
WARN = "__import__('logging').getLogger('ddcnn').warning('warning: made up')"
FAIL = "if '1-0' in snakemake.output.model[0]: raise FloatingPointError('made to fail')"


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """Two tiles and the global net, on real images."""
    folder = tmp_path_factory.mktemp("terminal")
    data = {"name": "fashion", "path": str(small_fashion(folder / "fashion.npz", 240))}
    small = {"grid": "2x1", "overlap": 0, "coarse_view": False, "width": 4, "dataset": data}
    script = make_project(folder / "project") / SCRIPT
    script.write_text(script.read_text().replace("    folders = ", f"    {WARN}\n    folders = "))
    write_config(folder / "project/tiny.yaml", **small, local={"epochs": 300})
    return folder / "project"


@pytest.fixture(scope="module")
def failed(project) -> list[str]:
    """Lines of a run without a terminal, in which one training fails."""
    script = project / SCRIPT
    content = script.read_text()
    script.write_text(content.replace("    folders = ", f"    {FAIL}\n    folders = "))
    done = snakemake(project, project / "tiny.yaml", check=False)
    script.write_text(content)
    assert done.returncode == 1
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def watched(project, failed) -> str:
    """What the next run, which succeeds, sends to a terminal."""
    keeper, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    running = subprocess.Popen(
        command(project / "tiny.yaml"),
        cwd=project,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=os.environ | {"TERM": "xterm-256color"},
    )
    os.close(terminal)
    said = b""
    while part := read_terminal(keeper):
        said += part
    assert running.wait() == 0, said.decode()
    return said.decode()


def read_terminal(keeper: int) -> bytes:
    """Empty when the last process has left the terminal, which is an error of its own on Linux."""
    try:
        return os.read(keeper, 1 << 16)
    except OSError:
        return b""


def test_a_file_gets_a_line_a_job_in_plain_words(failed):
    jobs = [found for line in failed if (found := JOB.fullmatch(line))]
    assert [int(found[1]) for found in jobs] == list(range(1, len(jobs) + 1))
    (training,) = (line for line in failed if "whole, tile 0-0" in line)
    assert re.search(r"\(.* s; validation accuracy 0\.\d\d\d\)$", training)
    text = "\n".join(failed)
    for word in (
        "Reason",
        "Shell command",
        "Host:",
        "jobid",
        "\x1b",
        "RuleException",
        "Select jobs",
    ):
        assert word not in text


def test_what_failed_stands_last_with_the_lines_of_its_log(failed):
    last = failed[failed.index("", -12) + 1 :]
    assert last[0].startswith("failed: Training vgg-w4 on fashion, blocks-2x1-overlap0, tile 1-0")
    assert last[1].startswith(
        "  its log: logs/train_local/fashion/vgg-w4/blocks-2x1-overlap0/seed0/1"
    )
    assert last[-1] == "  | FloatingPointError: made to fail"
    assert all(line.startswith("  | ") for line in last[2:])
    assert failed.count("warning: made up") == 1
    assert failed.count(last[0]) == 2  # as it happened, and at the end
    assert any("run the same command again" in line for line in failed)


def test_a_terminal_gets_a_live_screen_and_keeps_the_figures(watched):
    assert "\x1b[?25l" in watched  # hides the cursor
    assert watched.rindex("\x1b[?25h") > watched.rindex("\x1b[?25l")
    assert re.search(r"tiny: \d of \d+ jobs done, [12] running; .*", watched)
    assert re.search(r"\d+/300 +0\.\d{4} .*seed0/1-0", watched)
    shown = watched[watched.rindex("jobs done, in") :]
    lines = [line for line in shown.splitlines() if not line.startswith("\x1b[33m")]
    assert lines[1].startswith("Test accuracy of the CNN-DNN: 0.")
    assert lines[-1] == "Report: results/reports/tiny/report.html"
    assert watched.index("warning: made up") < watched.index(lines[0])
    assert re.search(r"\x1b\[33mwarning: made up( \(\d times\))?\x1b", shown)  # again
    assert JOB.search(watched) is None


def test_a_finished_run_says_so_and_a_dry_run_has_a_line_a_job(project, watched):
    again = snakemake(project, project / "tiny.yaml").stdout
    assert again.splitlines()[1:] == [
        "Nothing to be done (all requested files are present and up to date)."
    ]
    (project / "results/reports/tiny/report.html").unlink()
    dry = snakemake(project, project / "tiny.yaml", "--dry-run").stdout
    assert dry.splitlines().count("Writing the report of tiny") == 1
    assert "Missing output" not in dry
    asked = snakemake(project, project / "tiny.yaml", "--dry-run", "--verbose").stdout
    assert "Reason: Missing output files: results/reports/tiny/report.html" in asked
    assert planned_jobs(project, project / "tiny.yaml") == {"report": 1}


def test_quiet_leaves_the_figures_or_nothing(project, watched):
    page = project / "results/reports/tiny/report.html"
    page.unlink(missing_ok=True)
    lines = snakemake(project, project / "tiny.yaml", "--quiet", "rules").stdout.splitlines()
    assert lines[1].startswith("1 of 1 jobs done, in ")
    assert lines[2].startswith("Test accuracy of the CNN-DNN")
    page.unlink()
    assert snakemake(project, project / "tiny.yaml", "--quiet", "all").stdout.splitlines()[1:] == []


def test_another_snakemake_runs_without_this_logger(project, watched, monkeypatch):
    """As one of another environment, on whose path this project is not."""
    hook = project.parent / "hook/sitecustomize.py"
    hook.parent.mkdir()
    hook.write_text(
        "import os, sys\n"
        "sys.path[:] = [p for p in sys.path"
        " if not os.path.isdir(os.path.join(p, 'snakemake_logger_plugin_ddcnn'))]\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(hook.parent))
    (project / "results/reports/tiny/report.html").unlink(missing_ok=True)
    said = snakemake(project, project / "tiny.yaml").stdout
    assert "Finished jobid" in said  # Snakemake's own words
    assert "Report: results/reports/tiny/report.html" in said


def test_the_quickstart_has_few_and_short_lines(project, failed):
    """Scaled: as many lines as it has jobs, and all but those of jobs in this run."""
    jobs = sum(planned_jobs(project, project / "config/config.yaml").values())
    good = failed[: failed.index("", -12)]
    others = [line for line in good if not JOB.fullmatch(line) and not line.startswith("  | ")]
    assert jobs > 20
    assert jobs + len(others) <= MOST_LINES
    assert max(map(len, good)) <= 150


@pytest.mark.parametrize(
    ("text", "level", "is_known"),
    [
        ("Job 4 has been submitted with SLURM jobid 1 (log: a.log).", logging.INFO, True),
        ("Building DAG of jobs...", logging.INFO, True),
        ("Building DAG of jobs...", logging.WARNING, False),
        ("Creating conda environment envs/ddcnn.yaml...", logging.INFO, False),
        ("WorkflowError:\nAt least one job did not complete successfully.", logging.ERROR, True),
        ("WorkflowError:\nOther.", logging.ERROR, False),
    ],
)
def test_only_what_is_known_to_be_of_no_interest_is_left_out(text, level, is_known):
    assert is_chatter(logging.makeLogRecord({"msg": text, "levelno": level})) == is_known


def test_what_jobs_write_is_heard_without_reports_of_errors():
    heard = Overheard()
    try:
        subprocess.run(
            ["bash", "-c", "printf 'note: a\\nTraceback (most recent call last):\\n"
             "  File x\\nValueError: b\\nwarning: c\\nRuleException:\\nerror: d\\nno end' >&2"],
            check=True,
        )  # fmt: skip
        lines = heard.lines()
    finally:
        heard.close()
        heard.terminal.close()
    assert lines == ["note: a", "warning: c"]
    assert heard.traceback[-1] == "ValueError: b"


def test_a_long_row_keeps_its_numbers_and_its_tile():
    row = "3/60  0.8123  train_local fashion-mnist-10k/vgg-w16/blocks-2x2-overlap4/seed0/0-1"
    short = shortened(row, 40)
    assert len(short) == 40
    assert (short[:12], short[-9:]) == (row[:12], row[-9:])
    assert shortened(row, 200) == row
    assert shortened(row, 60) == "3/60  0.8123  train_local …w16/blocks-2x2-overlap4/seed0/0-1"
