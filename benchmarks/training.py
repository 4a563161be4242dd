"""Training of global and local nets: images and operations per second, one thread.

Against the same loop with torch's kernels alone, against Keras on TensorFlow and on PyTorch (the
same net, `fit` on arrays in memory) and against a plain PyTorch loop (DataLoader, float32, channels
first, torch.optim, torch's kernels). Every way has a process of its own that trains one epoch
whenever it is its turn; the first epoch is not counted. GFLOP/s: 6 operations (2 forward, 4
backward) for every multiply-add of convolutions and dense layers by their definition, of which
ddcnn's kernels do fewer; share: of the rate of a float32 matrix product of 1024 x 1024, measured in
the same rounds; cores used: the most CPU time over wall time of an epoch.
"""

from contextlib import ExitStack

import nets
from common import in_turn, options_of, parse, ratios, spread, summary, write_theme
from workers import BACKENDS, KERNELS_OF_TORCH, Worker, has_keras

JOBS = {
    "global-grey": nets.GLOBAL_GREY,
    "local-grey": nets.LOCAL_GREY,
    "global-colour": nets.GLOBAL_COLOUR,
    "local-colour": nets.LOCAL_COLOUR,
    "global-3d": nets.GLOBAL_3D,
    "local-3d": nets.LOCAL_3D,
}
WAYS = ("ddcnn", *KERNELS_OF_TORCH, *BACKENDS)
LIMIT = "matrix product"
QUICK = ["local-grey", "local-3d"]


def measure(job: nets.Job, ways: list[str], repeats: int) -> tuple[list[dict], dict[str, str]]:
    """Rows of one net, and versions of what is not in the project's environment."""
    versions: dict[str, str] = {}
    with ExitStack() as stack:
        workers = {way: stack.enter_context(Worker(way, job)) for way in [*ways, LIMIT]}
        for worker in workers.values():
            versions |= worker.facts.get("versions", {})
        parameters = {w.facts["parameters"] for w in workers.values() if "parameters" in w.facts}
        if len(parameters) > 1:
            raise SystemExit(f"{job.name}: the nets differ: {parameters} parameters")
        measured = in_turn({way: worker.epoch for way, worker in workers.items()}, repeats)
        peak = workers[LIMIT].facts["operations"] / summary(measured[LIMIT])["median"] / 1e9
        work = 6e-9 * workers["ddcnn"].facts["multiply_adds"]
    rows = []
    for way in ways:
        rates = [job.images / seconds for seconds in measured[way]]
        gflops = summary(rates)["median"] * work
        rows.append(
            {
                "net": job.name,
                "input": job.words,
                "batch": job.batch,
                "way": way,
                **spread("images/s (median)", rates),
                "GFLOP/s": gflops,
                "share of matrix product": gflops / peak,
                "matrix product (GFLOP/s)": peak,
                # How many times as fast the pipeline's own loop is.
                "time over ddcnn's": summary(ratios(measured[way], measured["ddcnn"]))["median"],
                "cores used": workers[way].cores,
                "n": repeats,
            }
        )
    return rows, versions


def main() -> None:
    parser = options_of(str(__doc__), repeats=5)
    parser.add_argument("--nets", nargs="+", choices=JOBS)
    parser.add_argument("--no-keras", action="store_true", help="only PyTorch")
    options = parse(parser)
    if not options.no_keras and not has_keras():
        raise SystemExit("training: there is no Keras; run make bench, or give --no-keras")
    ways = [way for way in WAYS if not (options.no_keras and way in BACKENDS)]
    rows, versions = [], {}
    for name in options.nets or (QUICK if options.quick else JOBS):
        job = JOBS[name].quick() if options.quick else JOBS[name]
        more, found = measure(job, ways, options.repeats)
        rows, versions = rows + more, versions | found
    write_theme("training", rows, str(__doc__), options.quick, versions)


if __name__ == "__main__":
    main()
