"""One global net against packs of 4, 16 and 64 tiles on a GPU: naive loop, our loop, packed loops.

Seconds for one epoch of all nets of a case on the same number of images. Ways:
naive (DataLoader, float32 as torch comes, .item() in every step), ddcnn (its own loop, one net
after the other, auto precision), at once (ddcnn's own for packs of tiles), and, on data that stay
on the device as uint8, with bf16 on a GPU: sequential (one net after the other, without
synchronising), streams (one CUDA stream for each net), vmap (one step for all nets, torch.func over
stacked parameters), graph (a CUDA graph of a step of each net, replayed).
Floors: operations (6 for every multiply-add) over the measured rate of a matrix product of the same
type; bytes over the measured bandwidth, where bytes are the inputs and the outputs of all layers,
read and written once forward and once backward. Peak memory is that of a way's nets, their data and
an epoch of training.

It ends within --minutes: the ways share what is left, and have fewer rounds where it is short. The
table is written after every way, and an error is a row of it. Needs torch and numpy only: no
Snakemake. Without a GPU: --device cpu --quick shows that it works.
"""

import argparse
import contextlib
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))

from ddcnn import nets
from ddcnn.base.files import write_aside, write_json
from ddcnn.base.provenance import git_commit, hardware, versions
from ddcnn.nets import local_width
from ddcnn.nets.cost import multiply_adds
from ddcnn.tiles.geometry import Tiling

CLASSES, RATE, MOMENTUM, DECAY = 10, 0.01, 0.9, 5e-4
MEAN, STD = 0.5, 0.29
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Case:
    """All nets of one decomposition.

    Attributes:
        grid: tiles, without overlap; 1x1 is the global net.
        model, width: of the global net.
        shape: of the whole image, channels last.
        images, batch: of an epoch and of a step.
    """

    grid: str
    model: str
    width: int
    shape: tuple[int, ...]
    images: int
    batch: int

    @property
    def tiles(self) -> int:
        return Tiling.of("blocks", self.grid).num_tiles

    @property
    def tile_shape(self) -> tuple[int, ...]:
        tiling = Tiling.of("blocks", self.grid)
        return (*tiling.tile_shape(self.shape[:-1]), self.shape[-1])

    @property
    def local_width(self) -> int:
        return local_width(self.width, self.tiles)

    def build(self) -> nn.Module:
        return nets.build(self.model, self.tile_shape, CLASSES, self.local_width)


CASES = [
    *(Case(g, "vgg", 32, (32, 32, 3), 4096, 128) for g in ("1x1", "2x2", "4x4", "8x8")),
    *(
        Case(g, "ct3d-same", 32, (128, 128, 64, 1), 64, 8)
        for g in ("1x1x1", "2x2x1", "2x2x2", "4x4x2")
    ),
]
QUICK = [
    Case("1x1", "vgg", 8, (16, 16, 3), 32, 16),
    Case("2x2", "vgg", 8, (16, 16, 3), 32, 16),
    Case("1x1x2", "ct3d-same", 4, (16, 16, 32, 1), 4, 2),
]


@dataclass(frozen=True)
class Place:
    """Where and in which type is computed."""

    device: torch.device

    @property
    def is_gpu(self) -> bool:
        return self.device.type == "cuda"

    @property
    def name(self) -> str:
        return torch.cuda.get_device_name(self.device) if self.is_gpu else "CPU"

    def wait(self) -> None:
        if self.is_gpu:
            torch.cuda.synchronize(self.device)

    def forget_peak(self) -> None:
        if self.is_gpu:
            torch.cuda.reset_peak_memory_stats(self.device)

    def peak_mib(self) -> float | None:
        """Of the GPU's tensors; a CPU's are not counted."""
        return torch.cuda.max_memory_allocated(self.device) / 2**20 if self.is_gpu else None

    def autocast(self) -> contextlib.AbstractContextManager:
        if self.is_gpu:
            return torch.autocast("cuda", torch.bfloat16, cache_enabled=False)
        return contextlib.nullcontext()

    def seconds(self, work: Callable[[], float | None]) -> float:
        """Of some work, unless it measures its seconds itself."""
        self.wait()
        start = time.perf_counter()
        own = work()
        self.wait()
        return time.perf_counter() - start if own is None else own


class Nets:
    """The nets of a case with their data on the device.

    Attributes:
        pixels: uint8 ``T, N, *tile_shape, C``; labels int64 ``N``.
    """

    def __init__(self, case: Case, place: Place):
        self.case, self.place = case, place
        torch.manual_seed(0)
        shape = (case.tiles, case.images, *case.tile_shape)
        self.pixels = torch.randint(0, 256, shape, dtype=torch.uint8, device=place.device)
        self.labels = torch.randint(0, CLASSES, (case.images,), device=place.device)
        memory = torch.channels_last if len(case.shape) == 3 else torch.channels_last_3d
        self.nets = [
            case.build().to(place.device, memory_format=memory).train() for _ in range(case.tiles)
        ]
        self.buffers = [[torch.zeros_like(p) for p in net.parameters()] for net in self.nets]

    def batches(self) -> Iterator[torch.Tensor]:
        """Indices of the steps of an epoch."""
        order = torch.randperm(self.case.images, device=self.place.device)
        return iter(order.split(self.case.batch))

    def inputs(self, tile: int, index: torch.Tensor) -> torch.Tensor:
        return normal(self.pixels[tile][index])

    def step(self, tile: int, index: torch.Tensor) -> None:
        """One step of one net, nothing of it waits for the device."""
        net = self.nets[tile]
        with self.place.autocast():
            outputs = net(self.inputs(tile, index))
        nn.functional.cross_entropy(outputs.float(), self.labels[index]).backward()
        update(list(net.parameters()), self.buffers[tile])
        net.zero_grad(set_to_none=False)


def normal(pixels: torch.Tensor) -> torch.Tensor:
    """Float, normalised, channels first with channels last in memory."""
    return pixels.float().mul_(1 / (255 * STD)).sub_(MEAN / STD).movedim(-1, 1)


@torch.no_grad()
def update(parameters: list[torch.Tensor], buffers: list[torch.Tensor], grads=None) -> None:
    """A fused step of SGD with Nesterov momentum."""
    torch._fused_sgd_(
        parameters,
        [p.grad for p in parameters] if grads is None else grads,
        buffers,
        weight_decay=DECAY,
        momentum=MOMENTUM,
        lr=RATE,
        dampening=0.0,
        nesterov=True,
        maximize=False,
        is_first_step=False,
    )


# Ways: each takes the nets and gives a function that trains all of them for one epoch.


def naive(nets: Nets) -> Callable[[], None]:
    """A DataLoader for each net, float32, the loss read in every step."""
    from torch.utils.data import DataLoader, TensorDataset

    device, labels = nets.place.device, nets.labels.cpu()
    loaders, optimizers = [], []
    for tile, net in enumerate(nets.nets):
        x = normal(nets.pixels[tile].cpu()).contiguous()
        loaders.append(DataLoader(TensorDataset(x, labels), nets.case.batch, shuffle=True))
        settings = {"momentum": MOMENTUM, "nesterov": True, "weight_decay": DECAY}
        optimizers.append(torch.optim.SGD(net.parameters(), RATE, **settings))

    def epoch() -> None:
        for net, loader, optimizer in zip(nets.nets, loaders, optimizers, strict=True):
            total = 0.0
            for x, y in loader:
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(net(x.to(device)), y.to(device))
                loss.backward()
                optimizer.step()
                total += loss.item()

    return epoch


def trainings(nets: Nets) -> tuple[Iterator, object]:
    """The pipeline's own trainings of all nets, one epoch of each, and their device."""
    from ddcnn.training.device import Device, compute_repeatably
    from ddcnn.training.loop import training
    from ddcnn.training.samples import Images
    from ddcnn.training.settings import Settings

    place, case = nets.place, nets.case
    compute_repeatably()
    device = Device(place.device, place.name, torch.get_num_threads())
    settings = Settings(1, case.batch, "sgd", RATE, DECAY, precision="auto")
    facts = {"mean": [MEAN] * case.shape[-1], "std": [STD] * case.shape[-1]}
    samples = [Images(pixels, nets.labels, **facts) for pixels in nets.pixels]
    some = torch.arange(min(case.batch, case.images), device=place.device)
    found = (
        training(net, images, images.subset(some), settings, 0, device)
        for net, images in zip(nets.nets, samples, strict=True)
    )
    return found, device


def ddcnn_loop(nets: Nets) -> Callable[[], float]:
    """The pipeline's loop, one net after the other; the validation behind it is not counted."""
    from ddcnn.training.loop import run

    return lambda: sum(run(steps).seconds for steps in trainings(nets)[0])


def ddcnn_at_once(nets: Nets) -> Callable[[], float] | None:
    """The pipeline's loop for packs; the validation behind it is not counted."""
    if nets.case.tiles == 1:
        return None
    from ddcnn.training.checkpoint import random_states
    from ddcnn.training.together import Member, fit_together

    def epoch() -> float:
        found, device = trainings(nets)
        members = [Member(steps, random_states(device.torch), device) for steps in found]
        ends = fit_together(members)
        if {end.at_once for end in ends} != {nets.case.tiles}:
            raise RuntimeError("the nets were not trained at once")
        return ends[0].seconds

    return epoch


def sequential(nets: Nets) -> Callable[[], None]:
    """One net after the other, nothing waits for the device."""

    def epoch() -> None:
        for tile in range(nets.case.tiles):
            for index in nets.batches():
                nets.step(tile, index)

    return epoch


def streams(nets: Nets) -> Callable[[], None] | None:
    """A CUDA stream for each net (at most 16): the nets' kernels may overlap."""
    if not nets.place.is_gpu or nets.case.tiles == 1:
        return None
    own = [torch.cuda.Stream() for _ in range(min(16, nets.case.tiles))]

    def epoch() -> None:
        current = torch.cuda.current_stream()
        for index in nets.batches():
            for tile in range(nets.case.tiles):
                stream = own[tile % len(own)]
                stream.wait_stream(current)
                with torch.cuda.stream(stream):
                    nets.step(tile, index)
        for stream in own:
            current.wait_stream(stream)

    return epoch


def batched(nets: Nets) -> Callable[[], None] | None:
    """One step for all nets: their parameters stacked, ``torch.func.vmap`` over them."""
    if nets.case.tiles == 1:
        return None
    for net in nets.nets:  # running means change in place, which vmap does not allow
        for module in net.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.track_running_stats = False
                module.running_mean = module.running_var = module.num_batches_tracked = None
    parameters, others = stack_module_state(nets.nets)
    parameters = {name: p.detach().contiguous() for name, p in parameters.items()}
    momenta = [torch.zeros_like(p) for p in parameters.values()]
    net = nets.nets[0]

    def loss(parameters, others, x, y):
        with nets.place.autocast():
            outputs = functional_call(net, (parameters, others), (x,))
        return nn.functional.cross_entropy(outputs.float(), y)

    gradients = vmap(grad_and_value(loss), in_dims=(0, 0, 0, None), randomness="different")

    def epoch() -> None:
        for index in nets.batches():
            x = nets.pixels[:, index].float().mul_(1 / (255 * STD)).sub_(MEAN / STD)
            found, _ = gradients(parameters, others, x.movedim(-1, 2), nets.labels[index])
            grads = [found[name].contiguous() for name in parameters]
            update(list(parameters.values()), momenta, grads)

    return epoch


def graph(nets: Nets) -> Callable[[], None] | None:
    """A CUDA graph of one step of every net, replayed: no Python, no launches one by one."""
    if not nets.place.is_gpu:
        return None
    index = torch.arange(nets.case.batch, device=nets.place.device)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            for tile in range(nets.case.tiles):
                nets.step(tile, index)
    torch.cuda.current_stream().wait_stream(side)
    recorded = torch.cuda.CUDAGraph()
    with torch.cuda.graph(recorded):
        for tile in range(nets.case.tiles):
            nets.step(tile, index)

    def epoch() -> None:
        for part in nets.batches():
            index.copy_(part)
            recorded.replay()

    return epoch


WAYS = {
    "naive": naive,
    "ddcnn": ddcnn_loop,
    "at once": ddcnn_at_once,
    "sequential": sequential,
    "streams": streams,
    "vmap": batched,
    "graph": graph,
}


# Floors


def matrix_rates(place: Place, size: int) -> dict[str, float]:
    """Operations per second of products of square matrices, by type."""
    rates = {}
    kinds = {"float32": (torch.float32, False)}
    if place.is_gpu:
        kinds |= {"tf32": (torch.float32, True), "bf16": (torch.bfloat16, False)}
    for name, (dtype, tf32) in kinds.items():
        torch.backends.cuda.matmul.fp32_precision = "tf32" if tf32 else "ieee"
        a, b = torch.randn(2, size, size, device=place.device).to(dtype)
        out = torch.empty_like(a)
        torch.mm(a, b, out=out)
        times = [place.seconds(lambda a=a, b=b, out=out: _mm(a, b, out)) for _ in range(9)]
        rates[name] = 2 * size**3 / statistics.median(times)
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    return rates


def _mm(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> None:
    torch.mm(a, b, out=out)


def bandwidth(place: Place, megabytes: int) -> float:
    """Bytes per second, read and written, of copying an array."""
    source = torch.empty(megabytes * 2**20, dtype=torch.uint8, device=place.device)
    target = torch.empty_like(source)
    target.copy_(source)

    def copy() -> None:
        target.copy_(source)

    times = [place.seconds(copy) for _ in range(9)]
    return 2 * source.numel() / statistics.median(times)


def layer_values(case: Case) -> int:
    """Numbers that the layers of one net read and write for one image, forward."""
    net, total = case.build(), 0

    def count(layer: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        nonlocal total
        total += inputs[0].numel() + output.numel()

    for module in net.modules():
        if not list(module.children()):
            module.register_forward_hook(count)
    with torch.no_grad():
        *spatial, channels = case.tile_shape
        net.eval()(torch.zeros(1, channels, *spatial))
    return total


def floors(case: Case, place: Place, rates: dict[str, float], bytes_per_second: float) -> dict:
    """Least seconds of an epoch of all nets, by operations and by bytes."""
    kind, size = ("bf16", 2) if place.is_gpu else ("float32", 4)
    images = case.images * case.tiles
    operations = 6 * multiply_adds(case.build(), case.tile_shape) * images
    # Backward reads what forward wrote and both gradients: about twice the forward.
    moved = 3 * size * layer_values(case) * images
    return {
        "floor by operations (s)": operations / rates[kind],
        "floor by bytes (s)": moved / bytes_per_second,
    }


# Measuring

MEASURED = ("seconds (median)", "least", "most", "tile images/s", "peak memory (MiB)", "n")


def as_torch_comes() -> None:
    """What ddcnn's own ways set, as it was before."""
    torch.backends.cudnn.conv.fp32_precision = torch.backends.cudnn.rnn.fp32_precision = "tf32"
    torch.backends.cudnn.deterministic = False
    torch.use_deterministic_algorithms(False)


def measure(case: Case, place: Place, way: str, repeats: int, seconds: float) -> dict | None:
    """What a way takes for a case: fewer repeats where they take more than ``seconds`` in all.

    An epoch before them is not counted. None: the way says nothing of this case.
    """
    as_torch_comes()
    place.forget_peak()
    end = time.perf_counter() + seconds
    epoch = WAYS[way](Nets(case, place))
    if epoch is None:
        return None
    place.seconds(epoch)
    taken: list[float] = []
    while len(taken) < repeats and (not taken or time.perf_counter() + taken[-1] < end):
        taken.append(place.seconds(epoch))
    median = statistics.median(taken)
    return {
        "seconds (median)": median,
        "least": min(taken),
        "most": max(taken),
        "tile images/s": case.images * case.tiles / median,
        "peak memory (MiB)": place.peak_mib(),
        "n": len(taken),
    }


def rows_of(case: Case, place: Place, ways: list[str], repeats: int, limits: dict, end: float):
    """One row for each way, also where it fails; the ways share the time until ``end``."""
    about = {
        "shape": "x".join(map(str, case.shape)),
        "grid": case.grid,
        "nets": case.tiles,
        "model": f"{case.model} width {case.local_width}",
    }
    for number, way in enumerate(ways):
        left = (end - time.perf_counter()) / (len(ways) - number)
        measured, error = None, ""
        try:
            if left > 0:
                measured = measure(case, place, way, repeats, left)
            else:
                error = "no time was left"
        except Exception as problem:  # of a way or a device: the rest is worth measuring
            error = f"{type(problem).__name__}: {str(problem).partition(chr(10))[0][:120]}"
            print(f"{case.grid}, {way}: {error}", file=sys.stderr, flush=True)
        if place.is_gpu:
            torch.cuda.empty_cache()
        if measured is None and not error:
            continue
        found = measured or dict.fromkeys(MEASURED)
        times = found["seconds (median)"] and found["seconds (median)"] / max(limits.values())
        yield (
            about
            | {"way": way}
            | found
            | limits
            | {
                "times the larger floor": times,
                "error": error,
            }
        )


def write(rows: list[dict], about: dict, path: Path) -> None:
    """The table as JSON and Markdown."""
    write_json(path, about | {"rows": rows})
    origin = json.dumps({k: v for k, v in about.items() if k != "theme"})
    with write_aside(path.with_suffix(".md")) as aside:
        aside.write_text("\n".join(["# gpu", "", str(__doc__), "", *table(rows), "", origin, ""]))


def table(rows: list[dict]) -> list[str]:
    columns = list(rows[0])
    shown = [[f"{v:.3g}" if isinstance(v, float) else str(v) for v in r.values()] for r in rows]
    return ["| " + " | ".join(cells) + " |" for cells in [columns, ["---"] * len(columns), *shown]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    gpu = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", choices=("cuda", "cpu"), default=gpu)
    parser.add_argument("--quick", action="store_true", help="whether it works; writes no result")
    parser.add_argument("--repeats", type=int, default=5, help="rounds (%(default)s)")
    parser.add_argument("--minutes", type=float, default=7.0, help="in all (%(default)s)")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of gpu.json and gpu.md")
    options = parser.parse_args()
    start = time.perf_counter()
    place = Place(torch.device(options.device))
    if not place.is_gpu:
        torch.set_num_threads(1)
        if not options.quick:
            print("gpu: there is no GPU; --device cpu --quick shows that the script works")
            return
    repeats = 1 if options.quick else options.repeats
    rates = matrix_rates(place, 256 if options.quick else 8192)
    bytes_per_second = bandwidth(place, 8 if options.quick else 1024)
    about = {
        "theme": "gpu",
        "date": datetime.now(UTC).date().isoformat(),
        "command": " ".join(["python", "benchmarks/gpu.py", *sys.argv[1:]]),
        "commit": git_commit(),
        "device": place.name,
        "hardware": hardware(),
        "versions": versions() | {"cuda": str(torch.version.cuda)},
        "matrix product (TFLOP/s)": {name: rate / 1e12 for name, rate in rates.items()},
        "bandwidth (GB/s)": bytes_per_second / 1e9,
    }
    print({name: about[name] for name in ("device", *list(about)[-2:])}, flush=True)
    rows: list[dict] = []
    cases = QUICK if options.quick else CASES
    for number, case in enumerate(cases):
        limits = floors(case, place, rates, bytes_per_second)
        now, end = time.perf_counter(), start + 60 * options.minutes
        of_case = now + (end - now) / (len(cases) - number)
        for row in rows_of(case, place, options.ways, repeats, limits, of_case):
            rows.append(row)
            print("\n".join(table([row])[0 if len(rows) == 1 else 2 :]), flush=True)
            if not options.quick:
                write(rows, about, options.out / "gpu.json")


if __name__ == "__main__":
    main()
