"""Steps of two workers on links of 0.1, 1 and 10 Gbit/s, against what the model says of them.

Each worker is in a network namespace of its own; between them is a veth pair whose ends send no
faster than tc's token bucket filter lets them. Needs root, ip and tc (Debian's iproute2).

The model gets nothing from limited links. It knows what a step of two workers takes without a
limit, what the net costs on one device, what is sent by its shape, and the nominal bandwidth.
"""

import itertools
import statistics
from dataclasses import replace

from common import options_of, parse, ratios, spread, write_theme
from namespaces import rounds_on_links, run_joined

from ddcnn.base.text import counted
from ddcnn.parallel import WAYS
from ddcnn.parallel.model import Link, calibrated, step_of
from ddcnn.parallel.probe import Probe, net_shape, work_of

GIGABITS = (0.1, 1.0, 10.0)
STEPS = 3
NETS = {
    "vgg-w16, 28x28": Probe("vgg", 16, (28, 28, 1), 10, 128),
    "ct3d-same-w8, 32x32x32": Probe("ct3d-same", 8, (32, 32, 32, 1), 2, 16),
}
WORKERS = 2


def rows_of(name: str, rounds: int, steps: int) -> list[dict[str, object]]:
    """A row for each way and link: medians over the rounds."""
    base = replace(NETS[name], steps=steps)
    net, work = net_shape(base), work_of(base, net_shape(base))
    probes = [replace(base, way=way) for way in WAYS]
    first, second = run_joined(rounds_on_links, probes, (None, *GIGABITS), rounds)
    work = replace(work, ends={WORKERS: first["ends"]})
    measured, model = {}, {}
    for number in range(rounds):
        # Both take a step together: the slower one says how long it took.
        ones, others = (worker["seconds"][number] for worker in (first, second))
        seconds = {key: max(one, others[key]) for key, one in ones.items()}
        own = Link(**first["link"][number])
        here = {way: seconds[None, way] for way in WAYS}
        known = calibrated(work, here, WORKERS, net, own)
        for gigabits, way in itertools.product(GIGABITS, WAYS):
            link = own.behind(0.0, gigabits * 1e9)
            measured.setdefault((way, gigabits), []).append(seconds[gigabits, way])
            step = step_of(way, WORKERS, net, known, link)
            model.setdefault((way, gigabits), []).append(step.seconds)
    return [_row(name, *key, measured[key], model[key]) for key in measured]


def _row(
    name: str, way: str, gigabits: float, measured: list[float], model: list[float]
) -> dict[str, object]:
    return {
        "net": name,
        "way": way,
        "Gbit/s": gigabits,
        **spread("measured ms", [1000 * seconds for seconds in measured]),
        "model ms": 1000 * statistics.median(model),
        # Round by round, so that both were measured side by side.
        "error %": 100 * (statistics.median(ratios(model, measured)) - 1),
    }


def main() -> None:
    parser = options_of(__doc__.split("\n")[0], repeats=7)
    parser.add_argument("--remarks", default="", help="what a reader must know of this run")
    options = parse(parser)
    steps = 1 if options.quick else STEPS
    rows = [row for name in NETS for row in rows_of(name, options.repeats, steps)]
    errors = [abs(row["error %"]) for row in rows]
    text = (
        "Two workers, one thread each, in two network namespaces; the ends of the veth pair "
        f"between them are limited by tc's tbf. Medians of {options.repeats} rounds, with their "
        f"least and most; a round takes {counted(steps, 'step')} of every way on every link in "
        "turn, and without a limit. The model knows the net on one device and a round's steps "
        "without a limit, what is sent by the shape of the net and where the pipeline cut "
        "it, and the nominal bandwidth. Error: "
        f"model over measured, within a round. Of {len(rows)} errors the median is "
        f"{statistics.median(errors):.0f} %, the largest {max(errors):.0f} %. "
        f"{options.remarks}"
    ).strip()
    write_theme("links", rows, text, options.quick)
    print(text)


if __name__ == "__main__":
    main()
