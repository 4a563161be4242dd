"""What only a GPU can show; elsewhere these tests are skipped.

`make test-gpu` runs them with any Python that has torch, scipy, safetensors, threadpoolctl and
pytest; with torchvision also those of vit. DDCNN_TEST_GPU=cpu runs on the CPU what can run there:
whether the tests work.
"""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from ddcnn import nets
from ddcnn.base.tasks import Classification
from ddcnn.coarse.joint import train_coherent
from ddcnn.coarse.net import CnnDnn, CoarseNet
from ddcnn.coarse.settings import CoarseSettings
from ddcnn.coarse.stage import train_coarse
from ddcnn.local.stage import train_local, write_features
from ddcnn.local.subdomain import Subdomain
from ddcnn.tiles.geometry import Tiling
from ddcnn.training import loop
from ddcnn.training.checkpoint import Checkpoint, random_states
from ddcnn.training.device import Device, choose_device
from ddcnn.training.loop import Progress, make_optimizer, run, training
from ddcnn.training.prediction import predict_features, predict_logits
from ddcnn.training.samples import Images
from ddcnn.training.settings import Settings
from ddcnn.training.steps import Step
from ddcnn.training.together import Member, fit_together

ON_CPU = os.environ.get("DDCNN_TEST_GPU") == "cpu"
IS_GPU = torch.cuda.is_available()
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not (IS_GPU or ON_CPU), reason="torch finds no GPU here"),
]
gpu_alone = pytest.mark.skipif(not IS_GPU, reason="torch finds no GPU here")

NETS = [
    *((net, (32, 2)) for net in ("vgg", "resnet20", "ct3d-same", "vit", "gru")),
    *((net, (16, 16, 3)) for net in ("vgg", "resnet20", "ct3d-same", "vit")),
    *((net, (16, 16, 16, 1)) for net in ("vgg", "resnet20", "ct3d-same", "vit")),
]
EXACT = Settings(4, 8, "sgd", 0.005, 5e-4, label_smoothing=0.1, precision="float32")
TASK = Classification(3)


@pytest.fixture(scope="module")
def gpu() -> Device:
    device = choose_device(gpus=1, threads=1)
    assert ON_CPU or device.torch.type == "cuda"
    return device


@pytest.fixture(scope="module")
def cpu() -> Device:
    return choose_device(gpus=0, threads=1)


def images(device: Device, shape: tuple[int, ...], seed: int = 0, number: int = 24, **more):
    """Noise in which the class is the brightness of a corner."""
    draw = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 100, (number, *shape), dtype=torch.uint8, generator=draw)
    labels = torch.arange(number) % 3
    pixels[:, :4] += 50 * labels.to(torch.uint8).view(-1, *(1 for _ in shape))
    facts = {"mean": [0.3] * shape[-1], "std": [0.2] * shape[-1]}
    return Images(pixels.to(device.torch), labels.to(device.torch), **facts, **more)


def build(device: Device, net: str, shape: tuple[int, ...], seed: int = 0, dropout: float = 0.0):
    if net == "vit":
        pytest.importorskip("torchvision")
    torch.manual_seed(seed)
    return nets.build(net, shape, 3, 8, dropout).to(device.torch)


def losses(progress: Progress) -> list[float]:
    return [row[key] for row in progress.history for key in ("loss_train", "loss_val")]


@pytest.mark.parametrize(("net", "shape"), NETS)
def test_a_gpu_trains_and_predicts_as_a_cpu_does(gpu, cpu, net, shape):
    found = []
    for device in (gpu, cpu):
        built, data = build(device, net, shape), images(device, shape)
        progress = run(training(built, data, data, EXACT, 0, device, task=TASK))
        features, outputs = predict_features(built, data)
        assert torch.equal(outputs.argmax(1), predict_logits(built, data).argmax(1))
        found.append((losses(progress), outputs.cpu(), features.cpu()))
    of_losses, *of_outputs = zip(*found, strict=True)
    np.testing.assert_allclose(*of_losses, rtol=1e-3)
    for on_gpu, on_cpu in of_outputs:
        torch.testing.assert_close(on_gpu, on_cpu, rtol=0.02, atol=0.02)


@gpu_alone
def test_float32_is_computed_in_full(gpu):
    a, b = torch.randn(2, 256, 256)
    x, weight = torch.randn(4, 64, 16, 16), torch.randn(64, 64, 3, 3)
    product = (a.to(gpu.torch) @ b.to(gpu.torch)).cpu()
    convolved = torch.nn.functional.conv2d(x.to(gpu.torch), weight.to(gpu.torch)).cpu()
    exact = torch.nn.functional.conv2d(x.double(), weight.double())
    assert (product - a.double() @ b.double()).norm() < 1e-5 * product.norm()
    assert (convolved - exact).norm() < 1e-5 * convolved.norm()


@gpu_alone
@pytest.mark.parametrize("shape", [(32, 1), (16, 16, 1), (16, 16, 16, 1)])
def test_no_step_of_an_epoch_waits_for_the_host(gpu, monkeypatch, shape):
    data = images(gpu, shape, flip=range(len(shape) - 1), shift=2)
    built = build(gpu, "vgg", shape, dropout=0.2)
    step = Step(built, make_optimizer(built, EXACT), TASK, 0.1, "bfloat16", gpu)
    progress = Progress()
    loop.run(loop._train_epoch(step, data, EXACT, 0, progress, None))  # libraries are set up
    batches = loop._train_epoch(step, data, EXACT, 1, Progress(), None)
    batch = next(batches)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(2):
            batch = batches.send(batch.learn())
    finally:
        torch.cuda.set_sync_debug_mode("default")


AUGMENTED = replace(EXACT, precision="auto", augment=True, optimizer="adamw")


@pytest.mark.parametrize("shape", [(32, 1), (16, 16, 1), (16, 16, 16, 1)])
def test_the_same_seed_and_a_resumed_training_give_the_same_bits(gpu, tmp_path, shape):
    data = images(gpu, shape, flip=[0], shift=1)

    def trained(checkpoint: Checkpoint | None = None) -> dict[str, torch.Tensor]:
        built = build(gpu, "vgg", shape, dropout=0.2)
        run(training(built, data, data, AUGMENTED, 0, gpu, checkpoint, TASK))
        return built.state_dict()

    undisturbed, again = trained(), trained()
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", "same")
    built = build(gpu, "vgg", shape, dropout=0.2)
    steps = training(built, data, data, AUGMENTED, 0, gpu, checkpoint, TASK)
    batch = next(steps)
    for number in range(5):  # in the middle of the second epoch of three steps
        if number == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        try:
            batch = steps.send(batch.learn())
        except SystemExit:
            break
    assert checkpoint.path.exists()
    resumed = trained(checkpoint)
    for name, value in undisturbed.items():
        assert torch.equal(value, again[name]), name
        assert torch.equal(value, resumed[name]), name


@gpu_alone
@pytest.mark.parametrize(("net", "shape"), [pair for pair in NETS if pair[0] != "gru"])
def test_a_cuda_graph_trains_as_plain_steps_do(gpu, monkeypatch, net, shape):
    found = []
    for graphs in ("0", "1"):
        monkeypatch.setenv("DDCNN_CUDA_GRAPHS", graphs)
        built, data = build(gpu, net, shape), images(gpu, shape)
        found.append(losses(run(training(built, data, data, EXACT, 0, gpu, task=TASK))))
    np.testing.assert_allclose(*found, rtol=1e-4)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("net", "shape"), [pair for pair in NETS if pair[0] != "gru"])
def test_a_pack_trains_at_once_as_its_tiles_do_alone(gpu, net, shape, precision):
    # In an epoch of a deep net differences of rounding grow tenfold: two of them are compared.
    settings = replace(EXACT, epochs=2, precision=precision)
    alone, built, members = [], [], []
    for tile in range(4):
        data, one = images(gpu, shape, tile), build(gpu, net, shape, tile, dropout=0.2)
        alone.append(losses(run(training(one, data, data, settings, tile, gpu, task=TASK))))
    for tile in range(4):
        data = images(gpu, shape, tile)
        built.append(build(gpu, net, shape, tile, dropout=0.2))
        steps = training(built[-1], data, data, settings, tile, gpu, None, TASK)
        members.append(Member(steps, random_states(gpu.torch), gpu))
    found = fit_together(members)
    assert [progress.at_once for progress in found] == [4] * 4
    rtol = 1e-3 if precision == "float32" else 0.1
    np.testing.assert_allclose([losses(progress) for progress in found], alone, rtol=rtol)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("shape", "grid"), [((32,), "2"), ((16, 16), "2x2"), ((16, 16, 8), "2x1x1")]
)
def test_nets_with_the_coarse_view_train_as_one_model(gpu, shape, grid, precision):
    tiling = Tiling.of("blocks", grid)
    tile_shape = (*tiling.tile_shape(shape), 1)
    local = [nets.build("vgg", tile_shape, 3, 8) for _ in range(tiling.num_tiles + 1)]
    coarse = CoarseNet(3 * len(local), 3, (8,))
    net = CnnDnn(tiling.tiles(shape), local, coarse, "logits", TASK, shape, [0.3], [0.2], 255)
    data = replace(images(gpu, (*shape, 1)), normalise=False)
    settings = replace(EXACT, precision=precision)
    progress = run(training(net.to(gpu.torch), data, data, settings, 0, gpu, task=TASK))
    assert np.isfinite(losses(progress)).all()


HOLD = """if True:
    import sys, time, torch
    from ddcnn.training.device import choose_device
    device = choose_device(gpus=1, threads=1)
    start = time.monotonic()
    x = torch.zeros(2**20, device=device.torch)
    device.synchronize()
    time.sleep(1)
    uuid = torch.cuda.get_device_properties(x.device).uuid
    print(device.slot.device, uuid, start, time.monotonic())
"""


@gpu_alone
def test_processes_hold_devices_of_their_own(tmp_path):
    """One more than there are devices: one of them waits."""
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", HOLD]
    number = torch.cuda.device_count() + 1
    jobs = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(number)
    ]
    rows = [job.communicate(timeout=240)[0].split() for job in jobs]
    assert len({(name, uuid) for name, uuid, _, _ in rows}) == number - 1
    for i, (_, uuid, start, end) in enumerate(rows):
        for _, other, other_start, other_end in rows[:i]:
            together = float(start) < float(other_end) and float(other_start) < float(end)
            assert uuid != other or not together


def test_a_whole_tiny_experiment(gpu, tmp_path, monkeypatch):
    """Every training of a run; the pack of tiles at once."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # places on devices of this test's own
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("DDCNN_JOBS_PER_GPU", "8")  # every training of this process takes one
    monkeypatch.setattr("ddcnn.local.stage.takes_at_once", lambda device: True)
    shape, tiling = (16, 16), Tiling.of("blocks", "2x2")
    card = {"classes": ["a", "b", "c"], "mean": [0.3], "std": [0.2], "checksums": {}}
    card |= {"axes": ["row", "column"], "augment": {"flip": ["column"], "shift": 1}}
    card |= {"counts": {"train": {"a": 16, "b": 16, "c": 16}}, "shape": list(shape)}
    card |= {"channels": 1, "dtype": "uint8"}
    (tmp_path / "card.json").write_text(json.dumps(card))
    subdomains = [
        Subdomain("d", tiling.slug, tile, "vgg-w8", "vgg", 8, 0.2, 0)
        for tile in tiling.tiles(shape)
    ]
    for number, split in enumerate(("train", "val", "test")):
        data = images(choose_device(0, 1), (*shape, 1), number, 48)
        np.save(tmp_path / f"x_{split}.npy", data.pixels.numpy())
        np.save(tmp_path / f"y_{split}.npy", data.labels.numpy())
        for each, box in zip(subdomains, tiling.tiles(shape).values(), strict=True):
            (path,) = each.shards(tmp_path / "tiles", card)[split]
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, data.pixels.numpy()[(slice(None), *box)])
    labels = {split: tmp_path / f"y_{split}.npy" for split in ("train", "val")}
    pixels = {split: tmp_path / f"x_{split}.npy" for split in ("train", "val", "test")}
    settings = replace(AUGMENTED, epochs=6, batch_size=16)
    out = [tmp_path / each.tile for each in subdomains]
    here = {"gpus": int(not ON_CPU), "threads": 1}
    tiles, facts = tmp_path / "tiles", tmp_path / "card.json"
    train_local(subdomains, tiles, labels, facts, settings, out, **here)
    for each, folder in zip(subdomains, out, strict=True):
        metrics = json.loads((folder / "metrics.json").read_text())
        assert metrics["device"] == gpu.torch.type
        assert metrics["at_once"] == 4
        assert metrics["accuracy_val"] >= 0.3
        weights = folder / "model.safetensors"
        write_features(each, tiles, facts, weights, folder / "features.npz", **here)
    local = {
        each.tile: folder / "probabilities.npz"
        for each, folder in zip(subdomains, out, strict=True)
    }
    mlp = CoarseSettings("mlp", [8], 0.1, "features")
    train_coarse(local, labels, facts, mlp, 0, settings, 0, tmp_path / "coarse", **here)
    trained = [
        *(folder / "model.safetensors" for folder in out),
        tmp_path / "coarse/model.safetensors",
    ]
    train_coherent(
        subdomains,
        tiling,
        pixels,
        labels,
        facts,
        mlp,
        settings,
        trained,
        tmp_path / "joint",
        **here,
    )
    assert json.loads((tmp_path / "joint/metrics.json").read_text())["device"] == gpu.torch.type
