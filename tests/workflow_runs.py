"""Helpers of the workflow tests: a project of its own in a temporary folder, run for real."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

PROJECT = Path(__file__).parents[1]
EMBEDDED = PROJECT / "workflow/ddcnn/data/embedded/fashion-mnist-10k.npz"

# Small enough for a test, large enough that the nets learn something.
TINY = {
    "experiment": "tiny",
    "width": 8,
    "grid": "2x2",
    "overlap": 4,
    "coarse_view": True,
    "seed": 0,
    "local": {"epochs": 4, "batch_size": 32},
    "coarse": {"epochs": 3, "batch_size": 64},
}


def make_project(folder: Path) -> Path:
    """A copy of the workflow as a clone has it, whose code a test may edit."""
    for name in ("Snakefile", "workflow", "profiles", "config", "envs"):
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / name)
    return folder


def small_fashion(path: Path, num_images: int = 480) -> Path:
    """Real images: the first of the embedded data set, without a split."""
    with np.load(EMBEDDED) as data:
        np.savez(path, x=data["x_train"][:num_images], y=data["y_train"][:num_images])
    return path


def synthetic_volumes(path: Path, num_images: int = 120) -> Path:
    """Synthetic 12 x 16 x 8 volumes of two classes: a bright ball in the upper or lower half."""
    rng = np.random.default_rng(0)
    y = np.arange(num_images) % 2
    x = rng.normal(60, 20, (num_images, 12, 16, 8))
    rows, columns, slices = np.ogrid[:12, :16, :8]
    for image, label in zip(x, y, strict=True):
        center = (3 + 6 * label, *rng.integers(4, 12, 1), 4)
        inside = (rows - center[0]) ** 2 + (columns - center[1]) ** 2 + (slices - center[2]) ** 2
        image[inside <= 9] += 120
    np.savez(path, x=np.clip(x, 0, 255).astype(np.uint8), y=y)
    return path


def picture_folder(folder: Path) -> Path:
    """Real images of two classes with awkward names, as PNG of several sizes; one is broken."""
    with np.load(EMBEDDED) as data:
        for label, name in enumerate(("Möwe", "<b>bold</b>".replace("/", "\N{DIVISION SLASH}"))):
            (folder / name).mkdir(parents=True)
            for i, pixels in enumerate(data["x_train"][data["y_train"] == label][:12]):
                Image.fromarray(pixels).resize((28 + i, 30)).save(folder / name / f"{i}.png")
    (folder / "Möwe/broken.png").write_bytes(b"no picture")
    return folder


def write_config(path: Path, **changes) -> Path:
    """The tiny configuration with changes, ``local`` and ``coarse`` key by key."""
    config = {**TINY, **changes}
    for section in ("local", "coarse"):
        config[section] = {**TINY[section], **changes.get(section, {})}
    path.write_text(yaml.safe_dump(config))
    return path


def command(config: Path, *arguments: str, cores: int | None = 2) -> list[str]:
    limit = [] if cores is None else ["--cores", str(cores)]
    return [
        *(sys.executable, "-m", "snakemake", *limit),
        *("--configfile", str(config), *arguments),
    ]


def snakemake(
    project: Path, config: Path, *arguments: str, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run the workflow; its output goes into the error of a failing test."""
    done = subprocess.run(
        command(config, *arguments),
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    if check and done.returncode:
        raise AssertionError(done.stdout)
    return done


def snakemakes_log(project: Path) -> str:
    """Everything that Snakemake itself said in all its runs, whatever the terminal shows."""
    return "".join(path.read_text() for path in sorted(project.glob(".snakemake/log/*.log")))


def planned_jobs(project: Path, config: Path, *arguments: str) -> dict[str, int]:
    """Number of jobs by rule that a dry run announces."""
    output = snakemake(project, config, "--dry-run", *arguments).stdout
    rows = re.findall(r"^(\w+) +(\d+)$", output, re.MULTILINE)
    return {rule: int(count) for rule, count in rows if rule not in ("all", "total")}
