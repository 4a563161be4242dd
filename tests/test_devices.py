"""GPUs without one: what torch says of devices is simulated, or tensors hold no numbers."""

import os
from itertools import takewhile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ddcnn import nets
from ddcnn.base.tasks import Classification
from ddcnn.coarse.net import CnnDnn, CoarseNet
from ddcnn.tiles.geometry import Tiling
from ddcnn.training import loop, slots
from ddcnn.training.device import Device, choose_device
from ddcnn.training.loop import Progress, make_optimizer, run, training
from ddcnn.training.samples import Images, generator_of
from ddcnn.training.settings import Settings
from ddcnn.training.steps import Step, precision_of

GPU = Device(torch.device("cuda", 0), "no such GPU", 1)


@pytest.mark.parametrize(("capability", "precision"), [(7, "float32"), (8, "bfloat16")])
def test_emulated_bfloat16_is_not_taken_for_real(monkeypatch, capability, precision):
    """A T4 or V100 (7) makes tensors of bfloat16, and computes with them in other types."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    of_it = SimpleNamespace(major=capability)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: of_it)
    monkeypatch.setattr(torch.cuda, "_check_bf16_tensor_supported", lambda device: True)
    assert precision_of("auto", GPU) == precision
    assert precision_of("bfloat16", GPU) == "bfloat16"


class Driver:
    """A simulated CUDA driver of four GPUs: it reads the environment once, when it starts.

    torch counts devices without starting it only where it finds NVML.
    """

    def __init__(self, monkeypatch, broken: bool = False) -> None:
        self.seen: list[str] | None = None
        self.broken, self.current = broken, 0
        for name in ("is_available", "device_count", "set_device", "get_device_name"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))

    def device_count(self) -> int:
        if self.seen is None:
            asked = os.environ.get("CUDA_VISIBLE_DEVICES", "0,1,2,3")
            self.seen = list(takewhile(lambda name: name in [*"0123"], asked.split(",")))
        return len(self.seen)

    def is_available(self) -> bool:
        return self.device_count() > 0 and not self.broken

    def set_device(self, device: torch.device) -> None:
        self.current = device.index

    def get_device_name(self, device: torch.device) -> str:
        return f"simulated GPU {self.seen[device.index]}"


@pytest.fixture(autouse=True)
def own_locks(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.fixture
def own_settings():
    """torch's global ones, restored."""
    parts = [torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn]
    before = [part.fp32_precision for part in parts]
    deterministic = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    yield
    for part, precision in zip(parts, before, strict=True):
        part.fp32_precision = precision
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = deterministic
    torch.use_deterministic_algorithms(False)


def held_locks() -> set[str]:
    """Names of the device locks that somebody holds: a second holder is refused."""
    folder = next(Path(os.environ["TMPDIR"]).glob("ddcnn-devices-*"), None)
    free = [slots._try_lock(path) is not None for path in folder.iterdir()] if folder else []
    names = [path.name for path in folder.iterdir()] if folder else []
    return {name for name, is_free in zip(names, free, strict=True) if not is_free}


@pytest.mark.parametrize("given", [None, "3,1"])
def test_every_job_computes_on_the_device_that_it_holds(monkeypatch, own_settings, given):
    if given:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    names = (given or "0,1,2,3").split(",")
    jobs = []
    for name in names:
        driver = Driver(monkeypatch)  # every job is a process of its own
        jobs.append(choose_device(gpus=1, threads=1))
        assert jobs[-1].slot.device == name
        assert jobs[-1].name == f"simulated GPU {name}"
        assert driver.seen[driver.current] == name


@pytest.mark.parametrize(
    ("given", "broken"), [("-1", False), ("", False), ("2", True), ("9", False)]
)
def test_a_job_without_a_gpu_holds_none_and_waits_for_none(monkeypatch, caplog, given, broken):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    Driver(monkeypatch, broken)
    first, second = choose_device(gpus=1, threads=1), choose_device(gpus=1, threads=1)
    assert first.torch.type == second.torch.type == "cpu"
    assert first.slot is second.slot is None
    assert not held_locks()
    warned = [each.levelname for each in caplog.records] == ["WARNING", "WARNING"]
    assert warned == (given not in ("", "-1"))


def test_on_a_gpu_float32_is_float32_and_nothing_is_left_to_chance(monkeypatch, own_settings):
    assert torch.backends.cudnn.conv.fp32_precision != "ieee"  # torch's own choice
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    Driver(monkeypatch)
    choose_device(gpus=1, threads=1)
    parts = [torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn]
    assert {part.fp32_precision for part in parts} == {"ieee"}
    assert torch.backends.cudnn.deterministic
    assert not torch.backends.cudnn.benchmark
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.is_deterministic_algorithms_warn_only_enabled()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_a_gpu_s_peak_memory_is_reset(monkeypatch):
    reset = []
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", reset.append)
    GPU.forget_peak_memory()
    assert reset == [GPU.torch]


@pytest.mark.parametrize("white", [1, 255])
@pytest.mark.parametrize(
    ("shape", "grid"), [((32,), "2"), ((16, 16), "2x2"), ((16, 16, 8), "2x1x1")]
)
def test_nets_with_the_coarse_view_train_together_in_bfloat16(shape, grid, white):
    """The view itself is resampled in full, as without autocast."""
    tiling, task = Tiling.of("blocks", grid), Classification(3)
    tile_shape = (*tiling.tile_shape(shape), 1)
    local = [nets.build("vgg", tile_shape, 3, 8) for _ in range(tiling.num_tiles + 1)]
    coarse = CoarseNet(3 * len(local), 3, (8,))
    net = CnnDnn(tiling.tiles(shape), local, coarse, "logits", task, shape, [0.5], [0.2], white)
    pixels = torch.randint(0, 256, (8, *shape, 1)).to(torch.uint8 if white == 255 else torch.float)
    exact = list(net.subdomains(pixels.movedim(-1, 1).float()))[-1]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(list(net.subdomains(pixels.movedim(-1, 1).float()))[-1], exact)
    images = Images(pixels, torch.arange(8) % 3, [0.5], [0.2], normalise=False)
    settings = Settings(2, 4, "adamw", 0.003, 0.01, precision="bfloat16")
    progress = run(training(net, images, images, settings, 0, choose_device(0, 1), task=task))
    assert len(progress.history) == 2


class Copies(TorchDispatchMode):
    """Counts copies from one kind of device to another; each makes the host wait."""

    number = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten._fused_sgd_.default:
            return None  # it has no form for tensors without numbers
        found = function(*args, **(kwargs or {}))
        if isinstance(found, torch.Tensor):
            kinds = {each.device.type for each in args if isinstance(each, torch.Tensor)}
            self.number += bool(kinds - {found.device.type}) and found.numel() > 0
        return found


@pytest.mark.parametrize(
    ("net", "shape"),
    [
        ("vgg", (32, 1)),
        ("resnet20", (12, 10, 3)),
        ("vit", (16, 16, 1)),
        ("ct3d-same", (16, 16, 16, 1)),
        ("gru", (24, 1)),
    ],
)
def test_no_step_of_an_epoch_waits_for_the_host(monkeypatch, net, shape):
    """The device is torch's "meta": no number of it can be read, and copies to it are counted."""
    monkeypatch.setattr(loop, "_add", lambda *arguments: None)  # what the epoch's end reads
    monkeypatch.setattr(loop, "generator_of", lambda *numbers, device="cpu": generator_of(*numbers))
    settings, meta = Settings(1, 4, "sgd", 0.1, 1e-3), torch.device("meta")
    built = nets.build(net, shape, 3, 8, 0.2).to(meta)
    pixels, labels = torch.zeros(20, *shape, dtype=torch.uint8), torch.zeros(20).long()
    augmented = {"flip": range(len(shape) - 1), "shift": 2}
    facts = {"mean": [0.5] * shape[-1], "std": [0.2] * shape[-1]}
    images = Images(pixels.to(meta), labels.to(meta), **facts, **augmented)
    optimizer = make_optimizer(built, settings)
    step = Step(built, optimizer, Classification(3), 0.1, "float32", Device(meta, "none", 1))
    with Copies() as copies:
        loop.run(loop._train_epoch(step, images, settings, 0, Progress(), None))
    assert copies.number == 1  # the order of the samples, before the first of five steps


def test_seeds_mean_as_much_to_a_gpu_as_to_a_cpu():
    """A CPU's generator takes 32 bits of a seed, a GPU's 64."""
    seeds = {generator_of(seed, 0, step).initial_seed() for seed in range(50) for step in range(50)}
    assert len(seeds) == 2500
    assert max(seeds) < 2**32
