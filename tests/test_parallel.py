"""The other ways of parallel training: the numbers of one device, bytes, deaths and going on.

Workers are real processes that talk by gloo. Starting them takes most of the time, so those of one
number train all cases one after the other.
"""

import csv
import json
import math
import os
import pickle
import signal
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import distributed as dist
from torch import nn

import parallel_nets
from ddcnn import nets
from ddcnn.base.errors import DamagedResult, InputError
from ddcnn.local.stage import train_local
from ddcnn.local.subdomain import Subdomain
from ddcnn.parallel.cuts import Halo, Window, balanced, bounds, grid_of
from ddcnn.parallel.pipeline import pieces_of
from ddcnn.parallel.shape import shape_of
from ddcnn.parallel.spatial import cut_calls
from ddcnn.parallel.stage import SharedTraining, train_parallel
from ddcnn.parallel.volume import BUCKETS, NetShape, gradient_buckets, volumes
from ddcnn.parallel.workers import run_workers
from ddcnn.training.settings import Settings
from ddcnn.training.weights import load_weights
from parallel_nets import Case

TWO = [
    Case("vgg", (11, 8, 1), "spatial"),
    Case("unpadded", (21, 1), "spatial"),
    Case("flattened", (9, 9, 1), "spatial"),
    Case("ct3d-same", (33, 16, 16, 1), "spatial", batch=3),
    Case("resnet20", (8, 8, 1), "spatial", steps=3),
    Case("vgg", (8, 8, 1), "data-synchronised", batch=7, weights=(1.0, 2.0, 0.5)),
    Case("unpadded", (19, 20, 2), "data", batch=7, weights=(1.0, 2.0, 0.5)),
    Case("unpadded", (19, 20, 2), "pipeline", batch=7, weights=(1.0, 2.0, 0.5)),
]
# Nets with batch norm, which are others than on one device.
CUT = [Case("vgg", (8, 8, 1), "pipeline", steps=3, ends=(end, 23)) for end in (4, 9, 14)]
FOUR = [
    Case("vgg", (18, 15, 1), "spatial"),
    Case("unpadded", (19, 23, 2), "spatial"),
    Case("unpadded", (20, 19, 12, 1), "spatial", batch=3),
    Case("vgg", (8, 8, 1), "data-synchronised", batch=6),
    Case("unpadded", (19, 20, 2), "pipeline"),
]


@pytest.fixture(scope="module")
def trained():
    """What the workers gave, by number of workers and case: a list with a dict of each."""
    found = {}
    for workers, cases in ((2, TWO + CUT), (4, FOUR)):
        results = run_workers(parallel_nets.train_cases, (cases,), workers)
        for number, case in enumerate(cases):
            found[workers, case] = [result[number] for result in results]
    return found


def on_one_device(case: Case) -> tuple[list[float], dict[str, torch.Tensor], dict]:
    """Losses, and gradients and state of the first step, of a plain loop with torch's optimizer."""
    net = case.build()
    optimizer = torch.optim.SGD(
        net.parameters(),
        lr=parallel_nets.RATE,
        momentum=parallel_nets.MOMENTUM,
        nesterov=True,
        weight_decay=parallel_nets.DECAY,
    )
    weights = torch.tensor(case.weights) if case.weights else None
    criterion = nn.CrossEntropyLoss(weights, label_smoothing=0.1)
    losses, gradients, state = [], {}, {}
    for images, labels in case.batches():
        loss = criterion(net(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if len(losses) == 1:
            gradients = {n: w.grad.clone() for n, w in net.named_parameters()}
            state = {name: value.clone() for name, value in net.state_dict().items()}
    return losses, gradients, state


CASES = [(2, case) for case in TWO] + [(4, case) for case in FOUR]


@pytest.mark.parametrize(
    ("workers", "case"),
    CASES,
    ids=lambda each: each if isinstance(each, int) else f"{each.way}-{each.net}",
)
def test_workers_train_with_the_numbers_of_one_device(trained, workers, case, monkeypatch):
    monkeypatch.setenv("DDCNN_KERNELS", "torch")
    losses, gradients, first_state = on_one_device(case)
    seen, found = {}, {}
    for worker in trained[workers, case]:
        assert worker["losses"] == pytest.approx(losses, rel=1e-4)
        seen |= worker["gradients"]
        found |= worker["first_state"]
    assert seen.keys() == gradients.keys()
    largest = max(float(gradient.abs().max()) for gradient in gradients.values())
    for name, gradient in gradients.items():
        torch.testing.assert_close(seen[name], gradient, rtol=1e-5, atol=1e-5 * largest)
    assert found.keys() == first_state.keys()
    for name, value in first_state.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize(
    ("workers", "case"),
    CASES,
    ids=lambda each: each if isinstance(each, int) else f"{each.way}-{each.net}",
)
def test_workers_evaluate_the_ordinary_net_of_their_weights(trained, workers, case, monkeypatch):
    monkeypatch.setenv("DDCNN_KERNELS", "torch")
    net, state = case.build(), {}
    for worker in trained[workers, case]:
        state |= worker["state"]
    net.load_state_dict(state)
    with torch.no_grad():
        outputs = net.eval()(case.batches()[0][0])
    for worker in trained[workers, case]:
        torch.testing.assert_close(worker["outputs"], outputs, rtol=1e-4, atol=1e-5)


def test_all_workers_hold_the_same_bits(trained):
    for (_, case), workers in trained.items():
        for worker in workers[1:]:
            assert worker["losses"] == workers[0]["losses"]
            assert torch.equal(worker["outputs"], workers[0]["outputs"])
            shared = worker["state"].keys() & workers[0]["state"].keys()
            assert bool(shared) == (case.way != "pipeline")
            for name in shared:
                assert torch.equal(worker["state"][name], workers[0]["state"][name]), name


def test_where_a_net_is_cut_changes_no_bit(trained):
    first, *others = ([worker["losses"] for worker in trained[2, case]] for case in CUT)
    assert len(CUT) > 2
    assert all(losses == first for losses in others)
    states = [trained[2, case][0]["state"] | trained[2, case][1]["state"] for case in CUT]
    for name, value in states[0].items():
        for state in states[1:]:
            assert torch.equal(state[name], value), name


# Bytes: against loops over pixels, and the formulas


def num_weights(net: nn.Module) -> int:
    return sum(weight.numel() for weight in net.parameters())


@pytest.mark.parametrize("workers", [2, 4])
def test_bytes_of_data_parallel_training_are_those_of_the_parameters(trained, workers):
    case = next(c for w, c in CASES if w == workers and c.way.startswith("data"))
    sent = 2 * (workers - 1) / workers * 4 * num_weights(case.build())
    # Of every batch norm sum, sum of squares and number of each channel, and back two sums: in
    # float64, to each of the others. Then loss and merit.
    channels = sum(
        layer.num_features for layer in case.build().modules() if isinstance(layer, nn.BatchNorm2d)
    )
    sent += (workers - 1) * (8 * 5 * channels + 2 * 4)
    for worker in trained[workers, case]:
        assert worker["traffic"].bytes == pytest.approx(sent, rel=0.01)


def owners(pixels: tuple[int, ...], grid: tuple[int, ...]) -> np.ndarray:
    """The worker of every pixel."""
    found = np.zeros(pixels, int)
    for axis, (n, p) in enumerate(zip(pixels, grid, strict=True)):
        cuts = bounds(n, p)
        place = np.array([sum(pixel >= cut for cut in cuts[1:]) for pixel in range(n)])
        shape = [n if a == axis else 1 for a in range(len(pixels))]
        found = found * p + place.reshape(shape)
    return found


def halo_pixels(before, after, grid, kernel, stride, padding, dilation) -> int:
    """Pixels that all workers need of each other for a layer, by a loop over all outputs."""
    inputs, outputs = owners(before, grid), owners(after, grid)
    needed = set()
    for output in product(*map(range, after)):
        for offset in product(range(kernel), repeat=len(before)):
            pixel = tuple(
                o * stride - padding + k * dilation for o, k in zip(output, offset, strict=True)
            )
            if all(0 <= each < n for each, n in zip(pixel, before, strict=True)):
                needed.add((outputs[output], pixel))
    return sum(inputs[pixel] != worker for worker, pixel in needed)


def test_bytes_of_spatial_training_are_those_of_the_halos(trained):
    case = Case("unpadded", (19, 23, 2), "spatial")
    grid, net, sent, first = (2, 2), case.build(), 0, True
    assert trained[4, case][0]["facts"] == {"grid": [2, 2]}
    x = torch.zeros(1, 2, 19, 23)
    for layer in net:
        y = layer(x)
        if isinstance(layer, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
            settings = [
                layer.kernel_size,
                layer.stride,
                layer.padding,
                getattr(layer, "dilation", 1),
            ]
            numbers = [each if isinstance(each, int) else each[0] for each in settings]
            pixels = halo_pixels(tuple(x.shape[2:]), tuple(y.shape[2:]), grid, *numbers)
            # Gradients come back, but not to the images.
            sent += pixels * x.shape[1] * case.batch * 4 * (1 if first else 2)
            first = False
        x = y
    # The average's sums, and a gradient of every weight, to the three others and from them.
    sent += 4 * 3 * (4 * 4 * case.batch + 4 * num_weights(net))
    found = sum(worker["traffic"].bytes for worker in trained[4, case])
    assert found == pytest.approx(sent, rel=0.01)


@pytest.mark.parametrize(
    ("workers", "case"),
    CASES,
    ids=lambda each: each if isinstance(each, int) else f"{each.way}-{each.net}",
)
def test_what_is_sent_is_what_the_formula_says_from_the_shape_of_the_net(trained, workers, case):
    shape = shape_of(case.build(), case.shape)
    assert NetShape.from_dict(json.loads(json.dumps(shape.as_dict()))) == shape
    ends = trained[workers, case][0]["facts"].get("section_ends", ())
    expected = volumes(shape, case.way, workers, case.batch, ends, 3)
    for worker, volume in zip(trained[workers, case], expected, strict=True):
        traffic = worker["traffic"]
        assert traffic.bytes == pytest.approx(volume.bytes, rel=0.01)
        assert (traffic.messages, traffic.rounds) == (volume.messages, volume.rounds)


def test_gradients_are_summed_in_the_buckets_of_torch():
    sizes = [3, 300_000, 40, 7_000_000, 100_000, 10]
    net = nn.ParameterList([nn.Parameter(torch.zeros(size)) for size in sizes])
    expected, _ = dist._compute_bucket_assignment_by_size(list(net)[::-1], list(BUCKETS))
    expected = [4 * sum(sizes[::-1][place] for place in bucket) for bucket in expected]
    assert gradient_buckets(NetShape(tuple(sizes), (), None, None, (8, 8))) == expected


def test_bytes_of_a_pipeline_are_those_of_the_activations(trained):
    case = next(c for c in TWO if c.way == "pipeline")
    first, last = trained[2, case]
    pieces = pieces_of(case.build(), case.shape)
    values = math.prod(pieces[first["facts"]["section_ends"][0] - 1].shape) * case.batch
    assert first["traffic"].bytes == 4 * values
    assert last["traffic"].bytes == 4 * values + 2 * 4  # gradients; and loss and merit
    assert first["traffic"].messages == 3  # micro-batches


# Geometry, and what is refused before any process starts


@pytest.mark.parametrize(
    ("num_pixels", "num_tiles", "window"),
    [
        (n, p, window)
        for n, p in ((12, 2), (13, 3), (17, 4), (9, 4))
        for window in (
            Window(3, padding=1),
            Window(3),
            Window(2, stride=2),
            Window(3, stride=2, padding=1),
            Window(1, stride=2),
            Window(3, padding=2, dilation=2),
        )
        if len(set(bounds(window.num_outputs(n), p))) > p
    ],
)
def test_a_halo_holds_what_the_outputs_of_a_worker_look_at(num_pixels, num_tiles, window):
    cuts = bounds(num_pixels, num_tiles)
    outputs = bounds(window.num_outputs(num_pixels), num_tiles)
    halos = [Halo.of(2, num_pixels, window, range(num_tiles), i) for i in range(num_tiles)]
    for number, halo in enumerate(halos):
        first = outputs[number] * window.stride - window.padding
        last = (outputs[number + 1] - 1) * window.stride - window.padding
        last += window.dilation * (window.kernel - 1)
        found = np.full(halo.size, -1)
        own = np.arange(cuts[number], cuts[number + 1])
        kept = own[halo.skipped : halo.skipped + halo.kept.length]
        found[halo.kept.start : halo.kept.start + len(kept)] = kept
        for piece in halo.receives:
            sent = next(each for each in halos[piece.worker].sends if each.worker == number)
            assert sent.length == piece.length
            begin = cuts[piece.worker] + sent.start
            found[piece.start : piece.start + piece.length] = np.arange(begin, begin + sent.length)
        before, after = halo.padding
        found = np.concatenate([np.full(before, -1), found, np.full(after, -1)])
        wanted = np.arange(first, last + 1)
        np.testing.assert_array_equal(
            found, np.where((wanted < 0) | (wanted >= num_pixels), -1, wanted)
        )


def test_the_grid_of_workers_cuts_through_few_pixels():
    assert grid_of(4, (32, 32)) == (2, 2)
    assert grid_of(2, (16, 64, 16)) == (1, 2, 1)
    assert grid_of(4, (64, 8)) == (4, 1)


@pytest.mark.parametrize(
    ("net", "shape", "words"),
    [
        (nets.build("vit", (16, 16, 1), 3, 8), (16, 16, 1), "computes something of its own"),
        (nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4)), (16, 16, 1), "GroupNorm"),
        (nn.Sequential(nn.Conv2d(1, 4, 3), nn.Dropout(0.5)), (16, 16, 1), "drop other pixels"),
        (nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()), (16, 16, 1), "neither a global average"),
        (nets.build("vgg", (8, 8, 1), 3, 4), (4, 4, 1), "too few for the grid"),
    ],
)
def test_a_net_that_cannot_work_on_tiles_is_refused_in_one_line(net, shape, words):
    with pytest.raises(InputError, match=words) as error:
        cut_calls(net, shape, (2, 2))
    assert "\n" not in str(error.value)


class Condition(nn.Module):
    """Does one thing or another by the values that it gets."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        return self.layer(x) if x.sum() > 0 else x


class DropsByHand(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        return self.layer(torch.dropout(x, 0.5, self.training))


@pytest.mark.parametrize(
    ("net", "words"), [(Condition(), "cannot follow"), (DropsByHand(), "otherwise in training")]
)
def test_a_net_that_cannot_be_followed_is_refused_for_a_pipeline(net, words):
    with pytest.raises(InputError, match=words):
        pieces_of(net, (4,))


def test_sections_take_about_the_same_time():
    learns = (True,) * 5
    assert balanced([1, 1, 1, 1, 4], learns, 2) == [4, 5]
    assert balanced([3, 1, 1, 1, 1], learns, 3) == [1, 3, 5]
    with pytest.raises(InputError, match="6 workers"):
        balanced([1] * 5, learns, 6)


# What happens to workers


@pytest.mark.parametrize(
    ("function", "arguments", "kind", "words"),
    [
        (parallel_nets.die, (1,), InputError, "worker 1 died by SIGKILL"),
        (parallel_nets.fail, (1, InputError), InputError, "^too many cooks$"),
        (parallel_nets.fail, (0, ValueError), RuntimeError, "worker 0.*too many cooks"),
    ],
)
def test_one_worker_that_fails_ends_all_with_one_message(function, arguments, kind, words):
    with pytest.raises(kind, match=f"(?s){words}"):
        run_workers(function, arguments, 2)


def test_a_damaged_result_stays_one_from_process_to_process():
    error = DamagedResult("file", "its checksum is wrong", stands_for="plan.json")
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.path, copy.stands_for) == (str(error), error.path, error.stands_for)


@pytest.mark.parametrize("workers", [2, 3])
def test_sums_are_in_the_order_of_the_workers_however_they_are_put_together(workers):
    sizes = (5, 10_001, 1, 0)
    found = run_workers(parallel_nets.sums, (sizes,), workers)
    numbers = []
    for worker in range(workers):
        random = torch.Generator().manual_seed(worker)
        numbers.append([torch.randn(size, generator=random) for size in sizes])
    for place in range(len(sizes)):
        total = numbers[0][place]
        for worker in range(1, workers):
            total = total + numbers[worker][place]
        for worker in range(workers):
            assert torch.equal(found[worker][place], total)


# The whole stage


SETTINGS = Settings(3, 8, "sgd", 0.05, 1e-3)


class Data:
    """Images of three classes as the stages before leave them: whole, 8 x 8 pixels."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.subdomain = Subdomain("d", "whole", "0-0", "vgg-w4", "vgg", 4, 0.0, 0)
        card = {"classes": ["a", "b", "c"], "mean": [0.25], "std": [0.2], "checksums": {}}
        card |= {"axes": ["row", "column"], "augment": {"flip": ["column"], "shift": 1}}
        card |= {"counts": {"train": {"all": 35}}, "shape": [8, 8], "channels": 1}
        (folder / "card.json").write_text(json.dumps(card))
        rng = np.random.default_rng(0)
        for split, number in (("train", 35), ("val", 13), ("test", 9)):
            labels = np.arange(number) % 3
            pixels = rng.integers(0, 100, (number, 8, 8, 1), dtype=np.uint8)
            pixels[np.arange(number), 1 + 2 * labels] += 100
            shard = self.subdomain.shards(folder / "tiles", card)[split][0]
            shard.parent.mkdir(parents=True, exist_ok=True)
            np.save(shard, pixels)
            np.save(folder / f"y_{split}.npy", labels)

    @property
    def labels(self) -> dict[str, Path]:
        return {split: self.folder / f"y_{split}.npy" for split in ("train", "val")}

    def job(self, name: str, way: str, workers: int = 2, **others) -> SharedTraining:
        settings = others.pop("settings", SETTINGS)
        files = (self.folder / "tiles", self.labels, self.folder / "card.json")
        return SharedTraining(
            self.subdomain, *files, settings, self.folder / name, way, workers, **others
        )


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open() as file:
        return [
            {key: value for key, value in row.items() if key != "seconds"}
            for row in csv.DictReader(file)
        ]


def test_a_spatial_training_writes_the_files_and_numbers_of_the_global_net(tmp_path, monkeypatch):
    data, augmented = Data(tmp_path), Settings(3, 8, "sgd", 0.05, 1e-3, augment=True)
    train_parallel(data.job("spatial", "spatial", settings=augmented))
    monkeypatch.setenv("DDCNN_KERNELS", "torch")
    card, alone = tmp_path / "card.json", tmp_path / "alone"
    train_local([data.subdomain], tmp_path / "tiles", data.labels, card, augmented, [alone])
    files = {file.name for file in alone.iterdir()}
    assert {file.name for file in (tmp_path / "spatial").iterdir()} == files
    for ours, theirs in zip(history(tmp_path / "spatial"), history(alone), strict=True):
        for key, value in theirs.items():
            assert float(ours[key]) == pytest.approx(float(value), rel=1e-3), key
    found = np.load(tmp_path / "spatial" / "probabilities.npz")
    expected = np.load(alone / "probabilities.npz")
    for split in ("train", "val", "test"):
        np.testing.assert_allclose(found[split], expected[split], atol=1e-3)
    net = data.subdomain.build((8, 8, 1), 3)
    load_weights(net, tmp_path / "spatial" / "model.safetensors")
    metrics = json.loads((tmp_path / "spatial" / "metrics.json").read_text())
    assert metrics["kernels"] == "torch"
    costs = metrics["parallel"]
    assert (costs["way"], costs["workers"], costs["grid"]) == ("spatial", 2, [2, 1])
    assert costs["steps"] == 3 * 4
    for key in ("compute_seconds", "bytes_per_step", "messages_per_step", "peak_memory_bytes"):
        assert len(costs[key]) == 2, key
        assert min(costs[key]) > 0, key


LOG_AND_TRAIN = """
import pickle, sys
from pathlib import Path
from ddcnn.base.logs import log_to
from ddcnn.parallel.stage import train_parallel
with log_to(sys.argv[1]):
    train_parallel(pickle.loads(Path(sys.argv[2]).read_bytes()))
"""


def start(job: SharedTraining) -> subprocess.Popen:
    job.out.mkdir(exist_ok=True)
    description = job.out.with_suffix(".pickle")
    description.write_bytes(pickle.dumps(job))
    command = [sys.executable, "-c", LOG_AND_TRAIN, str(job.out.with_suffix(".log"))]
    return subprocess.Popen([*command, str(description)], stderr=subprocess.PIPE, text=True)


def until(job: SharedTraining, words: str) -> str:
    """The job's log, as soon as it holds these words."""
    for _ in range(6000):
        log = job.out.with_suffix(".log")
        if log.exists() and words in log.read_text():
            return log.read_text()
        time.sleep(0.05)
    raise AssertionError(f"{words} is not in the log")


LONG = Settings(25, 8, "sgd", 0.02, 1e-3, augment=True)


@pytest.mark.faults
@pytest.mark.parametrize(
    ("way", "victim", "number"),
    [
        ("data", "worker", signal.SIGKILL),
        ("data-synchronised", "all", signal.SIGTERM),
        ("spatial", "all", signal.SIGKILL),
        ("pipeline", "worker", signal.SIGKILL),
    ],
)
def test_a_killed_training_goes_on_to_the_same_bits(tmp_path, way, victim, number):
    data = Data(tmp_path)
    train_parallel(data.job("undisturbed", way, settings=LONG))
    job = data.job("killed", way, settings=LONG)
    process = start(job)
    log = until(job, "epoch 2/25")
    pid = process.pid
    if victim == "worker":
        pid = int(log.partition("worker 1 is process ")[2].split()[0])
    os.kill(pid, number)
    _, errors = process.communicate(timeout=120)
    if victim == "worker":
        assert process.returncode == 1
        assert errors.strip().splitlines()[-1].startswith("error: worker 1 died by SIGKILL")
    else:
        assert process.returncode == (143 if number == signal.SIGTERM else -number)
    assert (job.out / "checkpoint.pt").exists()
    assert not (job.out / "model.safetensors").exists()
    train_parallel(job)
    assert not (job.out / "checkpoint.pt").exists()
    metrics = json.loads((job.out / "metrics.json").read_text())
    assert metrics["resumed"][0]["epoch"] >= 1
    assert history(job.out) == history(tmp_path / "undisturbed")
    for name in ("model.safetensors", "probabilities.npz"):
        ours, theirs = (
            load_arrays(folder / name) for folder in (job.out, tmp_path / "undisturbed")
        )
        for key, value in theirs.items():
            np.testing.assert_array_equal(ours[key], value, err_msg=key)


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    if path.suffix == ".npz":
        return {key: value for key, value in np.load(path).items() if key != "seconds"}
    return load_file(path)


@pytest.mark.parametrize(
    ("way", "workers", "words"),
    [
        ("data", 9, "workers: 9 for batches of 8 images"),
        ("spatial", 16, "too few for the grid"),
        ("pipeline", 40, "pipeline: 40 workers, but the net can be cut into"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_any_process_starts(tmp_path, way, workers, words):
    with pytest.raises(InputError, match=words):
        train_parallel(Data(tmp_path).job("out", way, workers))
    assert not (tmp_path / "out").exists()
