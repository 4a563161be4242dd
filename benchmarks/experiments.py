"""Expected size, time and memory of every experiment in config/, from a few training steps each.

The nets are trained for some steps on random pixels of the data set's shape; time per image,
times images, epochs and seeds, gives the expected time. Nothing is downloaded.
"""

import argparse
import json
import math
import re
import subprocess
import sys
import time
from pathlib import Path

import yaml
from common import write_theme

from ddcnn.base.defaults import chosen
from ddcnn.experiment.chosen import facts_of
from ddcnn.experiment.configuration import load_experiment
from ddcnn.experiment.runs import Experiment
from ddcnn.experiment.without_steps import is_alone

CONFIG = Path(__file__).parents[1] / "config"


def steps(job: dict) -> None:
    """The child: train a net for some seconds, print seconds per image and peak memory in MiB."""
    import torch

    from ddcnn import nets
    from ddcnn.training.optimizers import Sgd

    torch.set_num_threads(1)
    net = nets.build(job["model"], job["shape"], job["classes"], job["width"])
    optimizer = Sgd(net.parameters(), 0.9, 5e-4)
    x = torch.randn(job["batch"], *job["shape"]).movedim(-1, 1)
    y = torch.randint(0, job["classes"], (job["batch"],))
    done, start = -1, time.perf_counter()
    while done < 1 or time.perf_counter() - start < job["seconds"]:
        net.zero_grad()
        torch.nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step(0.01)
        if done < 0:  # the first step prepares what the others use
            start = time.perf_counter()
        done += 1
    seconds = (time.perf_counter() - start) / done / job["batch"]
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    print(json.dumps([seconds, int(peak.group(1)) / 1024]))


def measure(experiment: Experiment, seconds: float) -> dict[str, object]:
    """One row of the table."""
    minutes, peaks, nets = {}, [], {}
    for run in experiment.runs:
        dataset, settings = experiment.datasets[run.dataset], experiment.settings["local"]
        facts = facts_of(dataset, CONFIG.parent / "results")
        settings = settings | chosen(settings, facts)
        shape = (*run.tiling.tile_shape(dataset.shape), dataset.image_shape[-1])
        images = facts.num_images
        net = (run.is_global, run.architecture, shape, run.local_width)
        nets |= {run.local_folder(tile): net for tile in run.decomposition.subdomains}
        if net not in minutes:
            job = {
                "model": run.architecture,
                "shape": shape,
                "classes": len(dataset.classes) or 38,
                "width": run.local_width,
                "batch": settings["batch_size"],
                "seconds": seconds,
            }
            command = [sys.executable, __file__, "--job", json.dumps(job)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            per_image, peak = json.loads(done.stdout)
            minutes[net] = per_image * images * settings["epochs"] / 60
            peaks.append(peak + images * math.prod(shape) / 2**20)
    return {
        "experiment": experiment.name,
        "trainings": len(nets),
        "global net (min)": round(max(m for net, m in minutes.items() if net[0]), 2),
        "slowest local net (min)": round(max(m for net, m in minutes.items() if not net[0]), 2),
        "all trainings (core hours)": round(sum(minutes[net] for net in nets.values()) / 60, 2),
        "largest job (MiB)": round(max(peaks)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="of measuring per net")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        steps(json.loads(options.job))
        return
    rows = []
    for path in sorted(CONFIG.glob("*.yaml")):
        experiment = load_experiment(yaml.safe_load(path.read_text()))
        if not is_alone(experiment.settings):  # nets in closed form have no steps to measure
            rows.append(measure(experiment, options.seconds))
            print(rows[-1], flush=True)
    write_theme("experiments", rows, str(__doc__))


if __name__ == "__main__":
    main()
