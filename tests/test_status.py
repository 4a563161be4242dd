"""How far an experiment is, told from files that a test writes, and from real processes."""

import json
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import yaml

from ddcnn.base.logs import WAITING
from ddcnn.commands.status import running
from ddcnn.experiment.configuration import load_experiment
from ddcnn.experiment.jobs import Job, experiment_jobs
from ddcnn.experiment.started import note_start
from ddcnn.experiment.status import experiment_status
from workflow_runs import PROJECT

CONFIG = {"experiment": "small", "dataset": "fashion-mnist-10k", "width": 8, "grid": "2x2"}
LOCAL = "train_local/fashion-mnist-10k/vgg-w8/blocks-2x2-overlap0/seed0"
HOLD = """
import fcntl, sys, time
file = open(sys.argv[1], "a")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def experiment():
    return load_experiment(CONFIG)


@pytest.fixture
def jobs(experiment) -> dict[str, Job]:
    return {job.name: job for job in experiment_jobs(experiment)}


def finish(folder: Path, job: Job, seconds: float | None = None) -> None:
    for path in [folder / path for path in job.outputs]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    if seconds is not None:
        path = folder / job.benchmark
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\th:m:s\n{seconds}\t0:00:00\n")


def write_log(folder: Path, job: Job, *messages: str, every: float = 10) -> Path:
    """A log whose lines are ``every`` seconds apart, the last one of now."""
    path = folder / job.log
    path.parent.mkdir(parents=True, exist_ok=True)
    now = datetime.now()
    lines = ["started on node7, process 12", *messages]
    times = [now - timedelta(seconds=every * i) for i in range(len(lines))][::-1]
    path.write_text(
        "".join(f"{t:%Y-%m-%d %H:%M:%S} {line}\n" for t, line in zip(times, lines, strict=True))
    )
    return path


def epoch_line(epoch: int, accuracy: float) -> str:
    from ddcnn.base.tasks import Classification
    from ddcnn.training.loop import _epoch_line

    row = {"epoch": epoch, "loss_train": 1.0, "accuracy_train": 0.1, "loss_val": 1.0,
           "accuracy_val": accuracy, "seconds": 1.0}  # fmt: skip
    return _epoch_line(row, epochs=8, task=Classification(10))


@pytest.fixture
def hold():
    """Processes that hold the lock of a log, as jobs do while they live."""
    held = []

    def start(path: Path) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "held\n"
        held.append(process)
        return process

    yield start
    for process in held:
        process.kill()
        process.communicate()


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ddcnn", *arguments], cwd=cwd, capture_output=True, text=True
    )


def test_nothing_has_been_started(experiment, tmp_path):
    status = experiment_status(experiment, tmp_path)
    assert status.counts() == {
        "done": 0, "running": 0, "failed": 0, "stopped": 0, "waiting": len(status.jobs),
    }  # fmt: skip
    assert status.seconds_left is None
    assert status.at_least


def test_a_training_runs_as_long_as_its_process_lives(experiment, jobs, tmp_path, hold):
    job = jobs[f"{LOCAL}/0-1"]
    lines = [epoch_line(1, 0.5), epoch_line(2, 0.6), epoch_line(3, 0.75)]
    process = hold(write_log(tmp_path, job, *lines, every=10))
    (running,) = experiment_status(experiment, tmp_path).of("running")
    assert running.job == job
    assert (running.epoch, running.epochs, running.accuracy) == (3, 8, 0.75)
    # Five epochs of 10 s are to come, whatever the clock says by now.
    assert running.seconds_left == pytest.approx(50, abs=1)
    assert running.seconds >= 29

    process.kill()
    process.wait()
    status = experiment_status(experiment, tmp_path)
    assert status.of("running") == []
    (stopped,) = status.of("stopped")
    assert (stopped.job, stopped.epoch) == (job, 3)


def test_the_time_left_of_a_pack_counts_the_tiles_that_are_still_to_come(tmp_path, hold):
    jobs = {
        job.name: job for job in experiment_jobs(load_experiment(CONFIG | {"tiles_per_job": 4}))
    }
    (pack,) = (job for job in jobs.values() if len(job.tiles) == 4)
    first = [epoch_line(epoch, 0.5) for epoch in range(1, 9)]
    lines = ["training blocks, tile 0-0, on a CPU", *first, "training blocks, tile 0-1, on a CPU"]
    path = write_log(tmp_path, pack, *lines, every=10)
    hold(path)
    experiment = load_experiment(CONFIG | {"tiles_per_job": 4})
    (running,) = experiment_status(experiment, tmp_path).of("running")
    # Three tiles of eight epochs of 10 s are to come.
    assert running.seconds_left == pytest.approx(240, abs=2)


def test_what_waits_for_a_compiler_is_not_training_and_takes_no_less_time_for_it(
    experiment, jobs, tmp_path, hold
):
    for tile in ("0-0", "1-0"):
        finish(tmp_path, jobs[f"{LOCAL}/{tile}"], 100.0)
    waits = jobs[f"{LOCAL}/0-1"], "computing on the CPU", f"{WAITING}kernels are compiled, once"
    began = jobs[f"{LOCAL}/1-1"], f"{WAITING}kernels are compiled, once", "compiled", "training x"
    hold(write_log(tmp_path, *waits, every=20))
    hold(write_log(tmp_path, *began, every=20))
    first, second = experiment_status(experiment, tmp_path).of("running")
    assert (first.waits, second.waits) == (True, False)
    # Of 100 s, which never hold a wait, 40 s and 40 s have passed beside the waits.
    assert first.seconds_left == pytest.approx(60, abs=2)
    assert second.seconds_left == pytest.approx(60, abs=2)
    shown = "\n".join(running([first, second]))
    assert shown.count("waits") == 1


def test_a_failed_job_shows_the_last_lines_of_its_log(experiment, jobs, tmp_path):
    job = jobs[f"{LOCAL}/0-0"]
    write_log(tmp_path, job, "at work", "error: the training diverged in epoch 1")
    (failed,) = experiment_status(experiment, tmp_path).of("failed")
    assert failed.job == job
    assert "the training diverged" in failed.last_lines[-1]


def test_a_job_is_done_when_all_its_outputs_are_there(experiment, jobs, tmp_path):
    job = jobs[f"{LOCAL}/0-0"]
    finish(tmp_path, job)
    assert [s.job for s in experiment_status(experiment, tmp_path).of("done")] == [job]
    (tmp_path / job.outputs[0]).unlink()
    assert experiment_status(experiment, tmp_path).of("done") == []


def test_a_job_whose_results_were_removed_waits(experiment, jobs, tmp_path):
    write_log(tmp_path, jobs[f"{LOCAL}/0-0"], "finished")
    status = experiment_status(experiment, tmp_path)
    assert status.counts()["waiting"] == len(status.jobs)


def test_stages_count_jobs_that_runs_share(experiment, jobs, tmp_path):
    for name in ("download", "prepare"):
        finish(tmp_path, jobs[f"{name}/fashion-mnist-10k"])
    finish(tmp_path, jobs[f"{LOCAL}/0-0"])
    whole, blocks = experiment_status(experiment, tmp_path).runs
    assert whole.stages["data"] == blocks.stages["data"] == (2, 2)
    assert "coarse" not in whole.stages
    assert blocks.stages["local"] == (1, 4)
    assert blocks.stages["coarse"] == (0, 1)


def test_the_time_left_is_that_of_the_jobs_at_a_time(experiment, jobs, tmp_path, hold):
    """Everything is done but two trainings, which run; a kind that was measured: 100 s a job."""
    running = [f"{LOCAL}/1-0", f"{LOCAL}/1-1"]
    later = [job for job in jobs.values() if job.rule in ("train_coarse", "evaluate", "report")]
    for job in jobs.values():
        if job.name not in running:
            finish(tmp_path, job, 100)
    for job in later:  # measured in an earlier run, and to be done again
        finish(tmp_path, job, 7)
        [(tmp_path / path).unlink() for path in job.outputs]
    start = time.time()
    for name in running:
        hold(write_log(tmp_path, jobs[name], "at work", every=40))
    status = experiment_status(experiment, tmp_path)
    assert len(status.of("running")) == 2
    assert not status.at_least
    # 60 s of the trainings side by side, then coarse net, evaluation, report.
    passed = time.time() - start + 2
    assert 60 + 3 * 7 - passed <= status.seconds_left <= 60 + 3 * 7 + 2
    assert 2 * (60 - passed) <= status.work_left - len(later) * 7 <= 2 * 62


def test_a_benchmark_cut_short_is_no_measured_time(experiment, jobs, tmp_path):
    finish(tmp_path, jobs[f"{LOCAL}/0-0"], 100)
    (tmp_path / jobs[f"{LOCAL}/0-0"].benchmark).write_text("s\th:m:s\n")
    assert experiment_status(experiment, tmp_path).at_least


# --- the command -----------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path) -> Path:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.yaml").write_text(yaml.safe_dump(CONFIG))
    return tmp_path


def test_the_command_says_that_nothing_has_been_started(project):
    done = command("status", cwd=project)
    assert done.returncode == 0, done.stderr
    assert "nothing has been started yet" in done.stdout


@pytest.mark.parametrize("place", [("my.yaml",), ("--configfile", "my.yaml")])
def test_the_command_shows_what_runs_and_what_failed(project, jobs, hold, place):
    (project / "config/config.yaml").rename(project / "my.yaml")
    hold(write_log(project, jobs[f"{LOCAL}/0-1"], epoch_line(2, 0.625)))
    write_log(project, jobs[f"{LOCAL}/1-1"], "error: no room on the disk")
    finish(project, jobs["download/fashion-mnist-10k"])
    done = command("status", *place, cwd=project)
    assert done.returncode == 0, done.stderr
    assert f"1 of {len(jobs)} jobs done, 1 running, 1 failed" in done.stdout
    assert "2/8    0.6250" in done.stdout
    assert "error: no room on the disk" in done.stdout
    assert f"logs/{LOCAL}/1-1.log" in done.stdout
    assert "\x1b" not in done.stdout


def test_what_was_started_with_other_values_is_known_by_name_and_shown_while_it_goes_on(
    project, jobs, hold
):
    asked = load_experiment(CONFIG | {"experiment": "other", "seed": 3})
    note_start(asked, project)
    log = Path(str(jobs[f"{LOCAL}/0-1"].log).replace("seed0", "seed3"))
    running = next(job for job in experiment_jobs(asked) if job.log == log)
    assert "other" not in command("status", cwd=project).stdout  # nothing of it runs
    hold(write_log(project, running, epoch_line(2, 0.625)))
    head = f"other: 0 of {len(experiment_jobs(asked))} jobs done, 1 running"
    assert command("status", "other", cwd=project).stdout.startswith(head)
    assert f"\nalso started here: other\n{head}" in command("status", cwd=project).stdout
    assert command("check", "other", cwd=project).stdout.count("seed3") == len(asked.runs)
    assert command("status", "unknown", cwd=project).returncode == 1


def test_json_holds_every_job(project, jobs):
    write_log(project, jobs[f"{LOCAL}/1-1"], "error: no room on the disk")
    done = command("status", "--json", cwd=project)
    content = json.loads(done.stdout)
    assert content["jobs_by_state"]["failed"] == 1
    assert {job["name"] for job in content["jobs"]} == set(jobs)
    (failed,) = [job for job in content["jobs"] if job["state"] == "failed"]
    assert failed["last_lines"][-1].endswith("no room on the disk")


def test_watching_through_a_pipe_says_each_change_once_and_ends_with_the_work(project, jobs):
    *first, last = jobs.values()
    for job in first:
        finish(project, job)
    watching = subprocess.Popen(
        [sys.executable, "-m", "ddcnn", "status", "--watch", "--every", "0.05"],
        cwd=project, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    said = watching.stdout.readline()
    time.sleep(0.5)
    finish(project, last)
    rest, _ = watching.communicate(timeout=60)
    assert said == f"small: {len(first)} of {len(jobs)} jobs done, 1 waiting\n"
    assert rest == f"small: {len(jobs)} of {len(jobs)} jobs done\n"
    assert watching.returncode == 0


def test_a_live_view_fits_the_terminal_and_leaves_it_as_it_was(project, jobs):
    finish(project, jobs["download/fashion-mnist-10k"])
    pty = pytest.importorskip("pty")
    shown = bytearray()

    def read(descriptor: int) -> bytes:
        import os

        data = os.read(descriptor, 4096)
        shown.extend(data)
        if b"jobs done" in shown and not read.left:
            read.left = True
            os.write(descriptor, b"\x03")  # Ctrl-C
        return data

    read.left = False
    program = (
        "import fcntl, os, struct, sys, termios\n"
        "fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack('HHHH', 6, 40, 0, 0))\n"
        "os.environ.update(TERM='xterm')\n"
        "[os.environ.pop(name, 0) for name in ('COLUMNS', 'LINES')]\n"
        "from ddcnn.__main__ import main\n"
        f"os.chdir({str(project)!r})\n"
        "sys.exit(main(['status', '--watch', '--every', '0.1']))\n"
    )
    assert pty.spawn([sys.executable, "-c", program], read) == 0
    text = shown.decode()
    assert "Traceback" not in text
    screen = text.split("\x1b[?25h\x1b[?1049l")[0].split("\x1b[H")[1]
    lines = screen.replace("\r", "").replace("^C", "").split("\x1b[J")[0].split("\n")
    assert len(lines) < 6
    assert all(len(line.removesuffix("\x1b[K")) <= 40 for line in lines)
    assert "more lines" in lines[-1]
    assert text.count("\x1b[?1049h") == text.count("\x1b[?1049l") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["status", "nowhere.yaml"], "nowhere.yaml cannot be read"),
        (["status", "--every", "0"], "--every: 0.0"),
        (["status", "--watch", "--json"], "take one of the two"),
    ],
)
def test_a_mistake_is_one_line(project, arguments, words):
    done = command(*arguments, cwd=project)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["status", "plan", "room"])
def test_help_has_examples_and_loads_no_torch(project, name):
    done = command(name, "--help", cwd=project)
    assert f"ddcnn {name}" in done.stdout.split("examples:")[1]
    program = (
        "import sys; from ddcnn.__main__ import main\n"
        "main(['status']); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=project).returncode == 0


def test_the_readme_names_the_commands():
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    for name in ("status", "plan", "room"):
        assert f"\nddcnn {name}" in text
