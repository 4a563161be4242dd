"""Kill a workflow again and again, and compare its results with undisturbed ones.

python tests/faults/kill_repeatedly.py --config config/config.yaml --kills 5 --seed 0

Two copies of the project run: one undisturbed, one in which Snakemake and all its jobs get SIGKILL
at random moments of the time that the first one took. After each kill the folder is unlocked and
the same command runs again. At the end every predictions.npz must be the same bit for bit.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from workflow_runs import command, make_project


def main() -> int:
    """Print a table of the kills, and return 0 if all results are the same."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=Path("config/config.yaml"))
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config = options.config.resolve()
        undisturbed, killed = (make_project(Path(folder) / n) for n in ("undisturbed", "killed"))
        begin = time.monotonic()
        run(undisturbed, config)
        seconds = time.monotonic() - begin
        print(f"undisturbed: {seconds:.1f} s", flush=True)
        moments = random_moments(options.kills, seconds, options.seed)
        for number, moment in enumerate(moments, start=1):
            print(f"kill {number}: {kill_after(killed, config, moment)}", flush=True)
        begin = time.monotonic()
        run(killed, config)
        print(f"last run: {time.monotonic() - begin:.1f} s")
        return compare(undisturbed, killed)


def run(project: Path, config: Path, *arguments: str) -> None:
    """Run Snakemake to its end, however long it takes; an error prints what it said."""
    done = subprocess.run(
        command(config, *arguments),
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise SystemExit(done.stdout)


def random_moments(kills: int, seconds: float, seed: int) -> list[float]:
    """Seconds that each killed run gets: random parts of the undisturbed run's time."""
    chance = random.Random(seed)
    places = sorted(chance.uniform(0, 1) for _ in range(kills))
    # Every start costs some seconds before the first job.
    return [2 + seconds * (b - a) for a, b in zip([0.0, *places[:-1]], places, strict=True)]


def kill_after(project: Path, config: Path, seconds: float) -> str:
    """Run Snakemake for some seconds, SIGKILL it with all its jobs, and unlock."""
    running = subprocess.Popen(
        command(config),
        cwd=project,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        running.wait(timeout=seconds)
        return f"after {seconds:.1f} s there was nothing left to kill"
    except subprocess.TimeoutExpired:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    files = [path for path in (project / "results").rglob("*") if path.is_file()]
    partial = sum(path.name == "checkpoint.pt" or ".partial" in path.name for path in files)
    run(project, config, "--unlock")
    return f"after {seconds:.1f} s; {len(files)} files, {partial} of them of unfinished jobs"


def compare(undisturbed: Path, killed: Path) -> int:
    """Print for every run whether its predictions are the same; 1 if one is not."""
    different = 0
    for path in sorted(undisturbed.glob("results/runs/**/predictions.npz")):
        name = path.relative_to(undisturbed)
        same = path.read_bytes() == (killed / name).read_bytes()
        print(f"{'same' if same else 'DIFFERENT':9} {name}")
        different += not same
    leftovers = [p for p in (killed / "results").rglob("*") if ".partial" in p.name]
    print(f"{different} runs differ, {len(leftovers)} temporary files are left")
    return int(bool(different or leftovers))


if __name__ == "__main__":
    sys.exit(main())
