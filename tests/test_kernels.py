"""Our kernels against torch's in float64, and where there are none."""

import copy
import ctypes
import math
import os
import pickle
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations, prune

from ddcnn import nets
from ddcnn.nets import layers
from ddcnn.nets.kernels import chain, kernel, library, suitable
from ddcnn.nets.kernels.images import gather_images
from ddcnn.nets.layers import BATCH_NORM, CONVOLUTION, MAX_POOL, GlobalAverage, Layers

SOURCE = Path(library.__file__).parent
FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def used() -> list[str]:
    """Names of the kernels that ran: a comparison of torch with itself shows nothing."""
    assert library.kernels() is not None, "there is no compiler"
    return []


@pytest.fixture
def watched(used: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    used.clear()

    class Watched:
        def __getattr__(self, name: str) -> Callable[..., int]:
            def call(links: ctypes.Array, *others: object) -> int:
                way = name.removeprefix("chain_")
                used.extend(f"{kernel.KINDS[link.kind]}_{way}" for link in links)
                return getattr(library.kernels(), name)(links, *others)

            return call

    monkeypatch.setattr(chain, "kernels", Watched)
    return used


def images(batch: int, channels: int, *spatial: int, seed: int = 0) -> torch.Tensor:
    x = torch.randn(batch, *spatial, channels, generator=torch.Generator().manual_seed(seed))
    return x.movedim(-1, 1)  # channels last in memory


def results(net: nn.Module, x: torch.Tensor, dy: torch.Tensor) -> dict[str, torch.Tensor]:
    """Outputs, gradients and buffers of one step of training."""
    net = copy.deepcopy(net)
    x = x.clone(memory_format=torch.preserve_format).requires_grad_(x.shape[1] > 3)
    y = net(x)
    y.backward(dy.to(y.dtype))
    gradients = {name: p.grad for name, p in net.named_parameters()}
    found = {"y": y.detach(), **gradients, **dict(net.named_buffers())}
    return found | ({"dx": x.grad} if x.grad is not None else {})


def check(net: nn.Module, x: torch.Tensor, tolerance: float = 2e-5) -> None:
    """The same as torch in float64, which uses no kernel of ours, up to rounding."""
    reference = copy.deepcopy(net).double()
    with torch.no_grad():
        shape = copy.deepcopy(reference)(x.double()).shape
    dy = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    ours, theirs = results(net, x, dy), results(reference, x.double(), dy)
    for name in theirs:
        scale = theirs[name].double().abs().max().clamp_min(1e-3)
        error = (ours[name].double() - theirs[name].double()).abs().max() / scale
        assert error < tolerance, (name, error)


SIZES = st.integers(1, 9)
CHANNELS = st.sampled_from([4, 8, 12, 16, 20, 24, 32, 40])


@settings(max_examples=60, deadline=None)
@given(
    channels=st.tuples(st.sampled_from([1, 2, 3, 4, 8, 12, 16, 24, 28, 32]), CHANNELS),
    spatial=st.lists(SIZES, min_size=2, max_size=3),
    batch=st.integers(1, 5),
    padding=st.sampled_from([0, 1]),
    bias=st.booleans(),
)
def test_convolutions_of_all_sizes(
    channels: tuple[int, int], spatial: list[int], batch: int, padding: int, bias: bool
) -> None:
    spatial = [max(size, 3 - 2 * padding) for size in spatial]
    layer = CONVOLUTION[len(spatial)](*channels, 3, padding=padding, bias=bias)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers, "MOST_PRODUCTS", math.inf)  # in our kernels, however small the map is
        patch.setattr(suitable, "kernels", mock.Mock(wraps=library.kernels))
        check(layer, images(batch, channels[0], *spatial))
        assert suitable.kernels.called


@pytest.mark.parametrize("spatial", [(14, 14), (15, 11), (3, 3), (6, 7, 8), (2, 2, 2), (4, 9, 3)])
@pytest.mark.parametrize(
    "channels", [(1, 16), (3, 8), (2, 12), (8, 24), (16, 16), (32, 16), (12, 20)]
)
def test_convolutions_run_in_our_kernels(
    watched: list[str], spatial: tuple[int, ...], channels: tuple[int, int]
) -> None:
    check(CONVOLUTION[len(spatial)](*channels, 3, padding=1), images(4, channels[0], *spatial))
    kind = "first_layer" if channels[0] <= 3 else "convolution"
    assert watched == [f"{kind}_forward", f"{kind}_backward"]


@settings(max_examples=60, deadline=None)
@given(
    channels=st.tuples(st.sampled_from([1, 2, 3]), CHANNELS),
    spatial=st.lists(st.integers(2, 9), min_size=2, max_size=3),
    batch=st.integers(1, 5),
    padding=st.sampled_from([0, 1]),
    bias=st.booleans(),
)
def test_first_layers_with_pooling(
    channels: tuple[int, int], spatial: list[int], batch: int, padding: int, bias: bool
) -> None:
    spatial = [max(size, 4 - 2 * padding) for size in spatial]
    layer = CONVOLUTION[len(spatial)](*channels, 3, padding=padding, bias=bias)
    net = Layers(layer, MAX_POOL[len(spatial)](2), nn.ReLU())
    check(net, images(batch, channels[0], *spatial))


def test_first_layers_and_their_pooling_are_one_kernel(watched: list[str]) -> None:
    net = Layers(layers.Conv2d(1, 8, 3), nn.MaxPool2d(2), nn.ReLU(), nn.BatchNorm2d(8))
    check(net, images(3, 1, 9, 8))
    ways = [
        f"{kind}_{way}" for way in ("forward", "backward") for kind in ("first_layer_pool", "norm")
    ]
    assert watched == ways


@settings(max_examples=60, deadline=None)
@given(
    channels=CHANNELS,
    spatial=st.lists(st.integers(2, 9), min_size=2, max_size=3),
    batch=st.integers(2, 70),
    tail=st.sampled_from([(), ("relu",), ("pool", "relu")]),
    seed=st.integers(0, 99),
)
def test_batch_norm_and_what_follows(
    channels: int, spatial: list[int], batch: int, tail: tuple[str, ...], seed: int
) -> None:
    axes = len(spatial)
    norm = BATCH_NORM[axes](channels)
    torch.manual_seed(seed)
    nn.init.normal_(norm.weight)  # of both signs: the largest of a window can be the smallest x
    nn.init.normal_(norm.bias)
    kinds = {"relu": nn.ReLU(inplace=True), "pool": MAX_POOL[axes](2)}
    check(Layers(norm, *(kinds[name] for name in tail)), images(batch, channels, *spatial))


@pytest.mark.parametrize(
    ("tail", "kernel"),
    [("", "norm"), ("r", "norm"), ("pr", "norm_pool"), ("p", "norm")],
)
def test_batch_norm_runs_in_our_kernels(watched: list[str], tail: str, kernel: str) -> None:
    kinds = {"r": nn.ReLU(), "p": nn.MaxPool2d(2)}
    check(Layers(nn.BatchNorm2d(16), *map(kinds.get, tail)), images(8, 16, 6, 7))
    assert {f"{kernel}_forward", f"{kernel}_backward"} <= set(watched)


@pytest.mark.parametrize("spatial", [(6, 4), (7, 5), (4, 6, 2), (5, 3, 7)])
def test_pooling_and_relu(watched: list[str], spatial: tuple[int, ...]) -> None:
    check(Layers(MAX_POOL[len(spatial)](2), nn.ReLU()), images(3, 8, *spatial))
    assert watched.count("pool_forward") == watched.count("pool_backward") == 1


def test_of_equal_pixels_the_first_one_gets_the_gradient() -> None:
    x = torch.ones(1, 4, 4, 8).movedim(-1, 1)
    ours, theirs = x.clone().requires_grad_(), x.double().requires_grad_()
    net = Layers(nn.MaxPool2d(2), nn.ReLU())
    net(ours).sum().backward()
    net(theirs).sum().backward()
    assert torch.equal(ours.grad.double(), theirs.grad)
    assert ours.grad[0, 0].tolist() == [[1, 0, 1, 0], [0] * 4, [1, 0, 1, 0], [0] * 4]


def test_a_large_mean_costs_no_accuracy() -> None:
    """Sums of squares would: float32 has 24 bits."""
    check(Layers(nn.BatchNorm2d(8), nn.ReLU()), images(16, 8, 9, 9) + 3000, tolerance=2e-3)


@pytest.mark.parametrize("spatial", [(3, 3), (17, 19), (1, 1, 1), (3, 4, 5)])
def test_averages(watched: list[str], spatial: tuple[int, ...]) -> None:
    check(Layers(GlobalAverage()), images(5, 24, *spatial) + 3)
    assert watched == ["average_forward", "average_backward"]


def test_averages_of_other_channels_are_torch_s(watched: list[str]) -> None:
    check(Layers(GlobalAverage()), images(5, 10, 4, 4))
    assert watched == []


@settings(max_examples=60, deadline=None)
@given(
    features=CHANNELS,
    outputs=st.integers(1, 40),
    batch=st.integers(1, 20),
    relu=st.booleans(),
    bias=st.booleans(),
    seed=st.integers(0, 99),
)
def test_dense_layers_of_all_sizes(
    features: int, outputs: int, batch: int, relu: bool, bias: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    net = Layers(nn.Linear(features, outputs, bias=bias), *[nn.ReLU()] * relu)
    x = torch.randn(batch, features)
    check(net, x)
    assert [each.kind for each in chain_of(net, x).kernels] == ["dense"]


def chain_of(net: Layers, x: torch.Tensor) -> chain.Chain:
    """The chain that a net uses for inputs ``x``."""
    chains = {}

    class Noted(chain.Chain):
        def __call__(self, x: torch.Tensor) -> torch.Tensor | None:
            chains[self.shape_in] = self
            return super().__call__(x)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers, "Chain", Noted)
        copy.deepcopy(net)(x)
    return chains[tuple(x.shape)]


def head(p: float) -> Layers:
    torch.manual_seed(0)
    dense = nn.Sequential(nn.Linear(24, 16), nn.ReLU(), nn.Dropout(p))
    return Layers(GlobalAverage(), dense, nn.Linear(16, 7))


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_dropout_draws_as_torch_does(p: float, watched: list[str]) -> None:
    x = images(5, 24, 4, 3)
    dy = torch.randn(5, 7)
    torch.manual_seed(7)
    ours = results(head(p), x, dy)
    kinds = {"average", "dense"} | ({"dropout"} if p == 0.3 else set())
    assert set(watched) == {f"{kind}_{way}" for kind in kinds for way in ("forward", "backward")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suitable, "kernels", lambda: None)
        torch.manual_seed(7)
        theirs = results(head(p), x, dy)
    for name in theirs:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-4, atol=1e-6)


def test_a_dropout_drops_as_many_as_it_says_and_nothing_in_evaluation(watched: list[str]) -> None:
    net = Layers(GlobalAverage(), nn.Dropout(0.25)).train()
    x = torch.ones(100, 40, 1, 1).to(memory_format=torch.channels_last)
    y = net(x)
    assert "dropout_forward" in watched
    assert set(y.unique().tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    assert 0.2 < (y == 0).double().mean() < 0.3
    net.train(False)
    assert torch.equal(net(x), torch.ones(100, 40))
    net.train()
    net[1].p = 0.9
    assert (net(x) == 0).double().mean() > 0.8


def gradients(net: nn.Module) -> dict[str, torch.Tensor]:
    return {name: weight.grad for name, weight in net.named_parameters()}


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(
    ("name", "shape", "dropout"),
    [
        ("vgg", (14, 14, 1), 0.0),
        ("vgg", (10, 10, 3), 0.2),
        ("vgg", (12, 10, 9, 1), 0.2),
        ("ct3d-same", (16, 17, 18, 1), 0.0),
        ("ct3d-same", (16, 17, 18, 1), 0.3),
    ],
)
def test_learning_in_one_call_is_a_forward_and_a_backward_pass(
    watched: list[str], name: str, shape: tuple[int, ...], dropout: float, smoothing: float
) -> None:
    torch.manual_seed(0)
    *spatial, channels = shape
    net = nets.build(name, shape, 10, 8, dropout)
    x, labels = images(12, channels, *spatial), torch.arange(12) % 10
    other = copy.deepcopy(net)
    for number in range(3):  # the second time gradients of the first one are there
        torch.manual_seed(number)
        loss, num_right = net.learn_in_one_call(x, labels, smoothing)
        torch.manual_seed(number)
        outputs = other(x)
        expected = nn.functional.cross_entropy(outputs, labels, label_smoothing=smoothing)
        other.zero_grad()
        expected.backward()
        torch.testing.assert_close(loss, expected.detach())
        assert num_right == (outputs.argmax(1) == labels).sum()
        found, wanted = gradients(net), gradients(other)
        for weight in wanted:
            torch.testing.assert_close(
                found[weight],
                wanted[weight],
                rtol=1e-4,
                atol=1e-5 * float(wanted[weight].abs().max()),
            )
    assert same(dict(net.named_buffers()), dict(other.named_buffers()))
    assert "dense_learn" in watched


@settings(max_examples=100, deadline=None)
@given(
    rows=st.integers(1, 9),
    classes=st.integers(1, 12),
    scale=st.sampled_from([0.0, 1.0, 30.0, 1e4]),
    smoothing=st.sampled_from([0.0, 0.1, 1.0]),
    seed=st.integers(0, 99),
)
def test_the_cross_entropy(
    rows: int, classes: int, scale: float, smoothing: float, seed: int
) -> None:
    """Of logits as they are: the layer before is the identity."""
    torch.manual_seed(seed)
    layer = nn.Linear(4 * classes, classes, bias=False)
    nn.init.zeros_(layer.weight)
    layer.weight.data[:, :classes].fill_diagonal_(1.0)
    x = torch.zeros(rows, 4 * classes)
    x[:, :classes] = scale * torch.randn(rows, classes)
    labels = torch.randint(0, classes, (rows,))
    loss, num_right = Layers(layer).learn_in_one_call(x, labels, smoothing)
    reference = copy.deepcopy(layer).double()
    logits = reference(x.double())
    reference.weight.grad = None
    expected = nn.functional.cross_entropy(logits, labels, label_smoothing=smoothing)
    expected.backward()
    torch.testing.assert_close(loss.double(), expected.detach(), rtol=1e-5, atol=1e-5)
    tolerance = 1e-5 * max(1.0, float(x.abs().max()))
    torch.testing.assert_close(
        layer.weight.grad.double(), reference.weight.grad, rtol=1e-4, atol=tolerance
    )
    assert num_right == (logits.argmax(1) == labels).sum()


def test_logits_that_are_no_numbers_are_no_loss() -> None:
    net = Layers(nn.Linear(8, 4))
    x = torch.randn(3, 8)
    x[1, 2] = torch.nan
    loss, _ = net.learn_in_one_call(x, torch.zeros(3, dtype=torch.int64))
    assert loss.isnan()


def test_of_equal_logits_the_first_decides() -> None:
    net = Layers(nn.Linear(8, 4))
    for weight in net.parameters():
        nn.init.zeros_(weight)
    _, num_right = net.learn_in_one_call(torch.randn(3, 8), torch.tensor([0, 1, 0]))
    assert num_right == 2


def frozen(net: Layers, x: torch.Tensor, y: torch.Tensor) -> None:
    net.classifier.bias.requires_grad_(False)


def shared(net: Layers, x: torch.Tensor, y: torch.Tensor) -> None:
    net.stages[0][0].bias = net.stages[0][1].bias


def with_hook_on_layer(net: Layers, x: torch.Tensor, y: torch.Tensor) -> None:
    net.stages[2].register_forward_hook(lambda *_: None)


def with_hook_on_net(net: Layers, x: torch.Tensor, y: torch.Tensor) -> None:
    net.register_forward_hook(lambda *_: None)


def with_hook_on_weight(net: Layers, x: torch.Tensor, y: torch.Tensor) -> None:
    net.classifier.weight.register_hook(lambda _: None)


def with_later_hook_on_weight(net: Layers, x: torch.Tensor, y: torch.Tensor) -> None:
    net.classifier.weight.register_post_accumulate_grad_hook(lambda _: None)


def of_another_layer(net: Layers, x: torch.Tensor, y: torch.Tensor) -> None:
    net.classifier = nn.Bilinear(4, 4, 4)


def of_unknown_class(net: Layers, x: torch.Tensor, y: torch.Tensor) -> None:
    y[3] = 10


def of_negative_class(net: Layers, x: torch.Tensor, y: torch.Tensor) -> None:
    y[3] = -1


def of_wanted_input(net: Layers, x: torch.Tensor, y: torch.Tensor) -> None:
    x.requires_grad_()


def evaluated(net: Layers, x: torch.Tensor, y: torch.Tensor) -> None:
    net.eval()


def of_a_class_of_the_users(net: Layers, x: torch.Tensor, y: torch.Tensor) -> None:
    class Mine(type(net)):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x.abs())

    net.__class__ = Mine


@pytest.mark.parametrize(
    "change",
    [
        *(frozen, shared, with_hook_on_layer, with_hook_on_net, with_hook_on_weight),
        *(with_later_hook_on_weight, of_another_layer, of_unknown_class, of_negative_class),
        *(of_wanted_input, evaluated, of_a_class_of_the_users),
    ],
)
def test_what_is_not_learned_in_one_call_changes_nothing(change: Callable[..., None]) -> None:
    torch.manual_seed(0)
    net = nets.build("vgg", (8, 8, 1), 10, 8)
    x, labels = images(6, 1, 8, 8), torch.arange(6)
    before = copy.deepcopy(net.state_dict())
    change(net, x, labels)
    assert net.learn_in_one_call(x, labels) is None
    assert all(weight.grad is None for weight in net.parameters())
    assert same({k: v for k, v in net.state_dict().items() if k in before}, before) or (
        change in (shared, of_another_layer)
    )


@pytest.mark.parametrize(
    "labels", [torch.zeros(6), torch.zeros(5, dtype=torch.int64), torch.zeros(6, 2, dtype=int)]
)
def test_other_labels_are_torch_s(labels: torch.Tensor) -> None:
    assert nets.build("vgg", (8, 8, 1), 10, 8).learn_in_one_call(images(6, 1, 8, 8), labels) is None


def test_gradients_of_learning_are_those_of_the_last_batch_whatever_its_size() -> None:
    torch.manual_seed(0)
    net, labels = nets.build("vgg", (8, 8, 1), 10, 8), torch.arange(6)
    for batch in (6, 4, 6):
        x = images(batch, 1, 8, 8, seed=batch)
        net.learn_in_one_call(x, labels[:batch])
        found = {name: gradient.clone() for name, gradient in gradients(net).items()}
        net.zero_grad()
        nn.functional.cross_entropy(net(x), labels[:batch]).backward()
        for name, gradient in gradients(net).items():
            torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.lists(st.integers(1, 12), min_size=2, max_size=4),
    images=st.integers(1, 20),
    seed=st.integers(0, 99),
)
def test_gathered_images_have_the_bits_of_torch_s(shape: list[int], images: int, seed: int) -> None:
    torch.manual_seed(seed)
    pixels = torch.randint(0, 256, (images, *shape), dtype=torch.uint8)
    index = torch.randint(0, images, (7,))
    scale, offset = torch.rand(shape[-1]), torch.randn(shape[-1])
    expected = pixels[index].float().mul(scale).add(offset)
    assert torch.equal(gather_images(pixels, index, scale, offset), expected)


def test_images_with_factors_of_another_type_are_torch_s() -> None:
    pixels, factors = torch.zeros(3, 4, 4, 1, dtype=torch.uint8), torch.ones(1, dtype=torch.float64)
    assert gather_images(pixels, torch.tensor([0]), factors, factors) is None


@pytest.mark.parametrize("index", [[0, 3], [-1], [2**40]])
def test_an_image_that_is_not_there_is_an_error(index: list[int]) -> None:
    factors = torch.ones(1)
    with pytest.raises(IndexError, match="of 3"):
        gather_images(
            torch.zeros(3, 4, 4, 1, dtype=torch.uint8), torch.tensor(index), factors, factors
        )


@pytest.mark.parametrize("position", [(0, 0, 0, 0), (1, 5, 3, 2), (3, 7, 5, 5)])
@pytest.mark.parametrize(
    "net",
    [
        nn.Sequential(layers.Conv2d(8, 8, 3, padding=1)),
        Layers(nn.BatchNorm2d(8), nn.ReLU()),
        Layers(nn.BatchNorm2d(8), nn.MaxPool2d(2), nn.ReLU()),
        Layers(nn.MaxPool2d(2), nn.ReLU()),
        Layers(GlobalAverage()),
    ],
)
def test_what_is_no_number_stays_so(net: nn.Module, position: tuple[int, ...]) -> None:
    """A training that diverges must be noticed."""
    x = images(4, 8, 6, 6)
    x[position] = torch.nan
    assert net(x).isnan().any()


@pytest.mark.parametrize("position", [(0, 0, 0, 0), (1, 0, 3, 2), (3, 0, 5, 5)])
def test_what_is_no_number_in_an_image_stays_so(position: tuple[int, ...]) -> None:
    net = Layers(layers.Conv2d(1, 8, 3, padding=1), nn.MaxPool2d(2), nn.ReLU())
    x = images(4, 1, 6, 6)
    x[position] = torch.nan
    assert net(x).isnan().any()


def test_a_variance_beyond_float32_is_noticed() -> None:
    x = images(4, 8, 6, 6) * 1e30
    assert Layers(nn.BatchNorm2d(8), nn.ReLU())(x).isnan().any()


def test_first_layers_of_large_volumes_lose_no_accuracy() -> None:
    """One sum in float32 over all voxels of a volume would be wrong in the fourth digit."""
    torch.manual_seed(0)  # a channel that is never positive has no gradient to compare
    x = torch.rand(1, 96, 96, 96, 1, generator=torch.Generator().manual_seed(0)).movedim(-1, 1)
    layer = layers.Conv3d(1, 8, 3, padding=1)
    for net, side in ((nn.Sequential(layer), 96), (Layers(layer, nn.MaxPool3d(2), nn.ReLU()), 48)):
        dy = torch.rand(1, *3 * [side], 8, generator=torch.Generator().manual_seed(1)).movedim(
            -1, 1
        )
        ours, theirs = results(net, x, dy), results(copy.deepcopy(net).double(), x.double(), dy)
        for name in ("0.weight", "0.bias"):
            error = (ours[name].double() - theirs[name]) / theirs[name]
            assert error.abs().max() < 1e-5, name


class Doubling(nn.ReLU):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


def reflecting(channels: int) -> nn.Module:
    return layers.Conv2d(channels, 8, 3, padding=1, padding_mode="reflect")


@pytest.mark.parametrize(
    "made",
    {
        "stride": lambda: layers.Conv2d(8, 8, 3, stride=2),
        "dilation": lambda: layers.Conv2d(8, 8, 3, dilation=2),
        "groups": lambda: layers.Conv2d(8, 8, 3, groups=2),
        "kernel": lambda: layers.Conv2d(8, 8, 5),
        "mixed padding": lambda: layers.Conv2d(8, 8, 3, padding=(0, 1)),
        "reflection": lambda: reflecting(8),
        "10 channels": lambda: layers.Conv2d(8, 10, 3),
        "weights in another order": lambda: layers.Conv2d(8, 8, 3).to(
            memory_format=torch.channels_last
        ),
        "no momentum": lambda: Layers(nn.BatchNorm2d(8, momentum=None), nn.ReLU()),
        "no weights": lambda: Layers(nn.BatchNorm2d(8, affine=False), nn.ReLU()),
        "no statistics": lambda: Layers(nn.BatchNorm2d(8, track_running_stats=False)),
        "small epsilon": lambda: Layers(nn.BatchNorm2d(8, eps=1e-9), nn.ReLU()),
        "ceil": lambda: Layers(nn.MaxPool2d(2, ceil_mode=True), nn.ReLU()),
        "overlapping": lambda: Layers(nn.MaxPool2d(3, 2), nn.ReLU()),
        "one axis": lambda: Layers(nn.MaxPool2d((1, 2)), nn.ReLU()),
        "another ReLU": lambda: Layers(nn.BatchNorm2d(8), Doubling()),
        "leaky": lambda: Layers(nn.MaxPool2d(2), nn.LeakyReLU()),
    }.items(),
    ids=lambda item: item[0],
)
def test_other_layers_are_torch_s(made: tuple[str, Callable[[], nn.Module]]) -> None:
    torch.manual_seed(0)
    check(made[1](), images(4, 8, 7, 6))


def test_what_does_not_fit_is_torch_s_error() -> None:
    for layer, x in (
        (layers.Conv2d(8, 8, 3), images(2, 16, 6, 6)),
        (layers.Conv2d(1, 8, 3), images(2, 3, 6, 6)),
        (layers.Conv2d(8, 8, 3), images(2, 8, 6, 6, 6)),
        (layers.Conv2d(8, 8, 3).double(), images(2, 8, 6, 6)),
        (layers.Conv2d(8, 8, 3), images(2, 8, 2, 6)),
        (Layers(nn.BatchNorm2d(8), nn.ReLU()), images(2, 8, 6, 6, 6)),
        (Layers(nn.BatchNorm2d(16), nn.ReLU()), images(2, 8, 6, 6)),
        (Layers(nn.BatchNorm2d(8), nn.ReLU()), images(1, 8, 1, 1)),
    ):
        with pytest.raises((RuntimeError, ValueError)):
            layer(x)


def test_a_volume_without_a_batch_is_torch_s() -> None:
    layer, x = layers.Conv3d(8, 8, 3, padding=1), images(1, 8, 4, 5, 6)
    torch.testing.assert_close(layer(x[0]), layer(x)[0])


def test_an_empty_batch_is_torch_s() -> None:
    assert layers.Conv2d(8, 8, 3)(images(0, 8, 6, 6)).shape == (0, 8, 4, 4)


def net_of_layers() -> Layers:
    """Something of everything; the last layer has no kernel."""
    torch.manual_seed(0)
    return Layers(
        Layers(layers.Conv2d(8, 16, 3, padding=1), nn.MaxPool2d(2), nn.ReLU()),
        Layers(nn.BatchNorm2d(16), layers.Conv2d(16, 8, 3, padding=1, bias=False)),
        Layers(nn.BatchNorm2d(8), nn.ReLU(inplace=True), layers.Conv2d(8, 24, 3, bias=False)),
        Layers(nn.BatchNorm2d(24), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(24, 8, 1)),
    )


def same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in theirs)


def test_a_chain_gives_the_bits_of_its_kernels_alone(
    watched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever in memory things lie that others have used before."""
    net, x = net_of_layers(), images(6, 8, 14, 15)
    check(net, x)
    dy = torch.randn(net(x).shape)
    together = results(net, x, dy)

    def first_alone(of: Sequence[nn.Module], x: torch.Tensor) -> chain.Chain | None:
        kernel = layers._kernel(of, tuple(x.shape), x.requires_grad)
        return kernel and chain.Chain([kernel], x.shape, torch.is_grad_enabled())

    monkeypatch.setattr(layers, "_chain", first_alone)
    watched.clear()
    assert same(results(net, x, dy), together)
    kinds = ["convolution", "pool", "norm", "convolution", "norm", "convolution", "norm_pool"]
    assert watched == [
        *(f"{kind}_forward" for kind in kinds),
        *(f"{kind}_backward" for kind in reversed(kinds)),
    ]


@pytest.mark.parametrize("frozen", [r"^0\.", r"^[012]\.", r"weight$", r"^3\.0", r"1\.0\.bias"])
@pytest.mark.parametrize("of_x", [True, False])
def test_frozen_weights_have_no_gradient_and_the_others_keep_theirs(
    frozen: str, of_x: bool
) -> None:
    net, x = net_of_layers(), images(6, 8, 14, 15).requires_grad_()
    net(x).square().sum().backward()
    expected = {name: weight.grad for name, weight in net.named_parameters()} | {"x": x.grad}
    net.zero_grad()
    for name, weight in net.named_parameters():
        weight.requires_grad_(not re.search(frozen, name))
    x = x.detach().requires_grad_(of_x)
    net(x).square().sum().backward()
    for name, weight in (*net.named_parameters(), ("x", x)):
        if weight.requires_grad:
            assert torch.equal(weight.grad, expected[name]), name
        else:
            assert weight.grad is None, name


def test_without_a_gradient_less_memory_gives_the_same_outputs() -> None:
    net, x = net_of_layers(), images(6, 8, 14, 15)
    expected = net(x)
    with torch.no_grad():
        assert torch.equal(net(x), expected)
    with torch.inference_mode():
        assert torch.equal(net(x), expected)


def test_a_graph_can_be_kept_for_a_second_backward_pass() -> None:
    net, x = net_of_layers(), images(6, 8, 14, 15).requires_grad_()
    loss = net(x).square().sum()
    loss.backward(retain_graph=True)
    expected = {name: weight.grad for name, weight in net.named_parameters()} | {"x": x.grad}
    net.zero_grad()
    x.grad = None
    net(x + 1)  # somebody else uses the memory in between
    loss.backward()
    found = {name: weight.grad for name, weight in net.named_parameters()} | {"x": x.grad}
    assert same(found, expected)


def test_two_passes_at_once_keep_apart() -> None:
    net = net_of_layers()
    xs = [images(6, 8, 14, 15, seed=seed).requires_grad_() for seed in (0, 1)]
    losses = [net(x).square().sum() for x in xs]
    for loss in losses:
        loss.backward()
    alone = [x.detach().requires_grad_() for x in xs]
    for x in alone:
        net(x).square().sum().backward()
    assert all(torch.equal(x.grad, y.grad) for x, y in zip(xs, alone, strict=True))


def test_steps_use_the_same_memory_again_and_graphs_in_use_have_their_own() -> None:
    net, x = net_of_layers(), images(6, 8, 14, 15)
    free = chain._Memory._free
    free.clear()
    for _ in range(3):
        net(x).sum().backward()
        with torch.no_grad():
            net(x[:2])
    (block,) = free
    held = [net(x).sum() for _ in range(3)]
    assert not free
    del held
    assert len(free) == 3
    assert any(each is block for each in free)
    net(torch.cat([x, x]))
    assert [len(each) > len(block) for each in free] == [True]


def test_second_derivatives_are_refused() -> None:
    net, x = net_of_layers(), images(2, 8, 14, 15).requires_grad_()
    (gradient,) = torch.autograd.grad(net(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="first derivatives"):
        gradient.sum().backward()
    with pytest.raises(RuntimeError, match="first derivatives"):
        torch.autograd.functional.hessian(lambda x: net(x).square().sum(), x[:1].detach())
    (gradient,) = torch.autograd.grad(net(x).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="first derivatives"):
        torch.autograd.grad(gradient.sum(), x, allow_unused=True)


def test_an_input_changed_before_the_backward_pass_is_noticed() -> None:
    net, x = net_of_layers(), images(2, 8, 14, 15)
    loss = net(x).sum()
    x += 1
    with pytest.raises(RuntimeError, match="inplace operation"):
        loss.backward()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_of_a_used_net_has_its_own_weights(
    copied: Callable[[nn.Module], nn.Module],
) -> None:
    net, x = net_of_layers(), images(2, 8, 14, 15)
    net(x)
    other = copied(net)
    with torch.no_grad():
        before = net(x)
        for weight in other.parameters():
            weight.zero_()
        assert other(x).abs().max() == 0
        assert torch.equal(net(x), before)


def test_what_happens_to_a_net_in_use_is_seen(watched: list[str]) -> None:
    net, x = net_of_layers(), images(6, 8, 14, 15)
    net(x)
    net.double().float()  # other tensors in place of the old ones
    net(x)
    assert net[1][0].num_batches_tracked == 2
    net[1][0].momentum = 0.5
    net(x)
    check(net, x)
    seen: list[nn.Module] = []
    handle = net[1][1].register_forward_hook(lambda layer, *_: seen.append(layer))
    net(x)
    handle.remove()
    net(x)
    assert seen == [net[1][1]]
    net[1][1].weight.data = net[1][1].weight.to(memory_format=torch.channels_last)
    watched.clear()
    check(net, x)
    assert watched.count("convolution_forward") == 2  # the others
    net[2] = Layers(layers.Conv2d(8, 24, 3, bias=False))
    check(net, x)
    net.eval()
    with torch.no_grad():
        expected = copy.deepcopy(net).double()(x.double())
        torch.testing.assert_close(net(x).double(), expected, rtol=1e-4, atol=1e-4)


def convolution(**options: Any) -> layers.Conv2d:
    torch.manual_seed(0)
    return layers.Conv2d(8, 8, 3, **options)


def norm() -> Layers:
    return Layers(nn.BatchNorm2d(8), nn.ReLU())


def with_hidden_bias(layer: nn.Module) -> None:
    bias = layer.bias.detach() + 5
    del layer.bias
    layer.bias = bias


@pytest.mark.parametrize(
    ("made", "change"),
    {
        "pruned weights": (convolution, lambda net: prune.l1_unstructured(net, "weight", 0.5)),
        "pruned bias": (convolution, lambda net: prune.l1_unstructured(net, "bias", 0.5)),
        "weight norm": (convolution, parametrizations.weight_norm),
        "a bias that is no parameter": (convolution, with_hidden_bias),
        "a new bias": (
            lambda: convolution(bias=False),
            lambda net: setattr(net, "bias", nn.Parameter(torch.ones(8))),
        ),
        "no bias any more": (convolution, lambda net: setattr(net, "bias", None)),
        "padding": (convolution, lambda net: setattr(net, "padding", (1, 1))),
        "stride": (convolution, lambda net: setattr(net, "stride", (2, 2))),
        "reflection": (
            lambda: convolution(padding=1),
            lambda net: (
                setattr(net, "padding_mode", "reflect"),
                setattr(net, "_reversed_padding_repeated_twice", [1] * 4),
            ),
        ),
        "fewer channels": (
            lambda: convolution(bias=False),
            lambda net: (
                setattr(net, "out_channels", 4),
                setattr(net, "weight", nn.Parameter(net.weight[:4].detach())),
            ),
        ),
        "epsilon": (norm, lambda net: setattr(net[0], "eps", 10.0)),
        "a norm without a bias": (norm, lambda net: setattr(net[0], "bias", None)),
        "no statistics": (norm, lambda net: setattr(net[0], "track_running_stats", False)),
        "a norm that is no norm": (norm, lambda net: setattr(net[0], "forward", lambda x: -x)),
        "windows": (
            lambda: Layers(nn.MaxPool2d(2), nn.ReLU()),
            lambda net: setattr(net[0], "kernel_size", 3),
        ),
    }.values(),
    ids=lambda item: None,
)
@pytest.mark.parametrize("used_before", [False, True])
def test_changed_layers_are_what_they_are_now(
    made: Callable[[], nn.Module], change: Callable[[nn.Module], object], used_before: bool
) -> None:
    net, x = made(), images(4, 8, 9, 8)
    other = copy.deepcopy(net)
    if used_before:
        net(x)
        other.load_state_dict(net.state_dict())
    change(net)
    change(other)
    y = net(x)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suitable, "kernels", lambda: None)
        expected = other(x)
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-5)
    for found, wanted in zip(net.buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_weights_of_another_shape_are_torch_s_error() -> None:
    layer, x = convolution(), images(2, 8, 6, 6)
    layer(x)
    with pytest.raises(RuntimeError):
        torch.func.functional_call(layer, {"weight": torch.randn(8, 4, 3, 3)}, (x,))
    weights = {"weight": torch.randn(4, 8, 3, 3), "bias": torch.zeros(4)}
    assert torch.func.functional_call(layer, weights, (x,)).shape == (2, 4, 4, 4)
    layer.weight = nn.Parameter(torch.randn(8, 4, 3, 3))
    with pytest.raises(RuntimeError):
        layer(x)


def test_negated_views_of_weights_and_gradients() -> None:
    layer, x = convolution(), images(2, 8, 6, 6)
    expected = torch.func.functional_call(layer, {"weight": -layer.weight}, (x,))
    view = {"weight": torch._neg_view(layer.weight.detach())}
    torch.testing.assert_close(torch.func.functional_call(layer, view, (x,)), expected)
    y = layer(x)
    y.backward(-torch.ones_like(y), retain_graph=True)
    expected = layer.weight.grad
    layer.weight.grad = None
    y.backward(torch._neg_view(torch.ones_like(y)))
    assert torch.equal(layer.weight.grad, expected)


def test_tensors_saved_elsewhere_come_back_in_any_order_of_memory() -> None:
    net, x = net_of_layers(), images(6, 8, 14, 15)
    net(x).square().sum().backward()
    expected = {name: gradient.clone() for name, gradient in gradients(net).items()}
    net.zero_grad()
    elsewhere = torch.autograd.graph.saved_tensors_hooks
    with elsewhere(lambda t: t.contiguous().clone(), lambda t: t):
        y = net(x)
    y.square().sum().backward()
    for name, gradient in gradients(net).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-3, atol=1e-3)


def test_frozen_weights_get_no_gradient_that_anomaly_detection_could_see() -> None:
    layer, x = convolution(), images(2, 8, 6, 6)
    layer.bias.requires_grad_(False)
    y = layer(x)
    found = y.grad_fn.apply(torch.ones_like(y))
    assert [g is None for g in found] == [True, True, True, True, False, True]


def test_statistics_follow_with_a_momentum_of_one() -> None:
    net = Layers(nn.BatchNorm2d(8, momentum=1.0), nn.ReLU())
    x = 1e-3 * images(8, 8, 5, 5)
    net(x)
    expected = x.double().transpose(0, 1).flatten(1).var(dim=1)
    torch.testing.assert_close(net[0].running_var.double(), expected, rtol=1e-6, atol=0)


def test_who_watches_everything_sees_everything() -> None:
    class Calls(torch.overrides.TorchFunctionMode):
        seen: ClassVar[list[str]] = []

        def __torch_function__(self, function, types, args=(), kwargs=None):
            self.seen.append(getattr(function, "__name__", ""))
            return function(*args, **(kwargs or {}))

    net, x = net_of_layers(), images(2, 8, 14, 15)
    with Calls():
        net(x)
    assert Calls.seen.count("conv2d") == 4
    seen = []
    handle = torch.nn.modules.module.register_module_forward_hook(
        lambda layer, *_: seen.append(layer)
    )
    net(x)
    handle.remove()
    assert {type(layer) for layer in seen} >= {layers.Conv2d, nn.BatchNorm2d, nn.MaxPool2d}


def test_derivatives_forwards_are_torch_s() -> None:
    net, x = net_of_layers().eval(), images(2, 8, 14, 15)
    with torch.autograd.forward_ad.dual_level():
        y = net(torch.autograd.forward_ad.make_dual(x, torch.ones_like(x)))
        found = torch.autograd.forward_ad.unpack_dual(y).tangent
    step = 1e-3
    reference = copy.deepcopy(net).double()
    ends = [reference(x.double() + sign * step) for sign in (1, -1)]
    torch.testing.assert_close(
        found.double(), (ends[0] - ends[1]) / (2 * step), rtol=1e-2, atol=1e-2
    )


def test_inputs_of_many_shapes_do_not_pile_up() -> None:
    net = net_of_layers()
    for height in range(10, 60):
        net(images(1, 8, height, 12))
    assert len(net._chains) <= layers.MOST_CHAINS


def test_hooks_are_called() -> None:
    net, seen = nets.build("vgg", (14, 14, 1), 10, 8), []
    for name, layer in net.named_modules():
        layer.register_forward_hook(lambda *_, name=name: seen.append(name))
    net(images(4, 1, 14, 14))
    assert set(seen) == {name for name, _ in net.named_modules()}


def test_who_counts_operations_sees_all_of_them() -> None:
    from ddcnn.nets.cost import multiply_adds

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nets.build("vgg", (14, 14, 1), 10, 8)
            self.factor = nn.Parameter(torch.ones(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.factor * self.inner(x)

    expected = multiply_adds(nets.build("vgg", (14, 14, 1), 10, 8), (14, 14, 1))
    assert multiply_adds(Own(), (14, 14, 1)) == expected


def test_transforms_of_functions_are_torch_s() -> None:
    layer, x = layers.Conv2d(8, 8, 3), images(3, 8, 6, 6)
    mapped = torch.func.vmap(lambda image: layer(image[None])[0])(x)
    torch.testing.assert_close(mapped, layer(x), rtol=1e-4, atol=1e-5)


def test_other_default_types_change_nothing() -> None:
    torch.set_default_dtype(torch.float32)
    net, x = nets.build("vgg", (14, 14, 1), 10, 8), images(4, 1, 14, 14)
    expected = net(x)
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(net(x), expected)
    finally:
        torch.set_default_dtype(torch.float32)


def test_evaluation_uses_running_statistics(watched: list[str]) -> None:
    net = nets.build("vgg", (14, 14, 1), 10, 16)
    x = images(32, 1, 14, 14)
    for _ in range(3):
        net(x)
    net.eval()
    watched.clear()
    with torch.no_grad():
        error = (net(x).double() - copy.deepcopy(net).double()(x.double())).abs().max()
        before = [buffer.clone() for buffer in net.buffers()]
        net(x)
    assert {"norm_forward", "norm_pool_forward", "convolution_forward"} <= set(watched)
    assert error < 1e-5
    assert all(map(torch.equal, before, net.buffers()))


@pytest.mark.parametrize(
    ("name", "shape", "width"),
    [
        ("vgg", (14, 14, 1), 16),
        ("vgg", (15, 11, 3), 8),
        ("vgg", (10, 10, 1), 12),
        ("vgg", (12, 10, 9, 1), 8),
        ("ct3d-same", (16, 17, 18, 1), 8),
        ("resnet20", (12, 12, 3), 8),
    ],
)
def test_whole_nets(watched: list[str], name: str, shape: tuple[int, ...], width: int) -> None:
    torch.manual_seed(0)
    *spatial, channels = shape
    check(nets.build(name, shape, 10, width), images(16, channels, *spatial), tolerance=1e-4)
    assert watched


def test_outputs_of_torch_s_layers_in_another_order_of_memory(watched: list[str]) -> None:
    """Of one channel the order is not known: torch's convolution of 6 channels puts them first."""
    convolutions = (layers.Conv2d(1, 6, 3, bias=False), layers.Conv2d(6, 8, 3, bias=False))
    net = Layers(*convolutions, nn.BatchNorm2d(8), nn.ReLU())
    check(net, torch.randn(5, 1, 8, 6))
    check(net, images(5, 1, 8, 6))
    assert "norm_forward" in watched


def test_gradients_in_evaluation_mode_are_torch_s(watched: list[str]) -> None:
    net = nets.build("vgg", (8, 8, 1), 10, 8).eval()
    x = images(2, 1, 8, 8).requires_grad_()
    net(x).sum().backward()
    assert x.grad is not None
    assert "norm_forward" not in watched


@pytest.mark.parametrize("change", ["threads", "channels first", "double", "autocast", "switch"])
def test_what_the_kernels_are_not_for(
    watched: list[str], change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, x = nets.build("vgg", (14, 14, 3), 10, 8), images(4, 3, 14, 14)
    if change == "threads":
        torch.set_num_threads(2)
    if change == "switch":
        monkeypatch.setattr(suitable, "kernels", lambda: None)
    if change == "double":
        net, x = net.double(), x.double()
    if change == "channels first":
        x = x.contiguous()
    with torch.autocast("cpu", torch.bfloat16, enabled=change == "autocast"):
        assert net(x).isfinite().all()
    assert "convolution_forward" not in watched or change == "channels first"
    assert "first_layer_forward" not in watched


def in_a_process(code: str, folder: Path, **environment: str) -> str:
    """Output of code; the user's cache is in the folder."""
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")} | environment
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


# The source as if nobody had compiled it, in a read-only folder (root may write everywhere).
FRESH = """
import logging, os, pathlib, shutil, sys, tempfile
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
from ddcnn.nets.kernels import chain, kernel, library, suitable
from ddcnn.nets.kernels.images import gather_images
copy = pathlib.Path(tempfile.mkdtemp())
for path in library.FOLDER.glob("*.[ch]*"):
    shutil.copy(path, copy)
library.FOLDER = copy
access = os.access
library.os.access = lambda path, mode: path != copy and access(path, mode)
"""


def test_without_a_compiler_torch_computes(tmp_path: Path) -> None:
    code = FRESH + "print(library.kernels())"
    said = in_a_process(code, tmp_path, PATH="", CXX="")
    assert "there is no C++ compiler" in said
    assert said.endswith("None")


def test_a_compiler_that_fails_is_no_error(tmp_path: Path) -> None:
    compiler = tmp_path / "c++"
    compiler.write_text("#!/bin/sh\necho 'no room for me' >&2\nexit 3\n")
    compiler.chmod(0o755)
    said = in_a_process(FRESH + "print(library.kernels())", tmp_path, CXX=str(compiler))
    assert "no room for me" in said
    assert said.endswith("None")
    assert not list(tmp_path.rglob("*.so"))


@pytest.mark.parametrize("content", [b"", b"no library"])
def test_a_library_that_cannot_be_loaded_is_made_again(tmp_path: Path, content: bytes) -> None:
    in_a_process(FRESH + "library.kernels()", tmp_path)
    (path,) = tmp_path.rglob("*.so")
    path.unlink()
    path.write_bytes(content)
    said = in_a_process(FRESH + "print(library.kernels()._name)", tmp_path)
    assert said.splitlines()[-1] == str(path)
    assert path.stat().st_size > 1000


# Loading a cut-off library would kill the process, so this tells instead of doing it.
WAITING = "waiting: the kernels for this kind of processor are compiled, once"
NEVER_BROKEN = """
load = library.ctypes.CDLL
def careful(path):
    if pathlib.Path(path).read_bytes() == pathlib.Path(os.environ["BROKEN"]).read_bytes():
        print("the broken one is loaded")
        raise OSError("refused by the test")
    return load(path)
library.ctypes.CDLL = careful
print(library.kernels()._name)
"""


@pytest.fixture(scope="module")
def quick_compiler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Takes no time: it gives what the compiler made of the sources, once for all tests."""
    folder = tmp_path_factory.mktemp("compiled")
    in_a_process(FRESH + "library.kernels()", folder)
    (path,) = folder.rglob("*.so")
    (folder / "made").write_bytes(path.read_bytes()[: -library.DIGEST_BYTES])
    compiler = folder / "c++"
    compiler.write_text(f'#!/bin/sh\nfor out; do :; done\ncp "{folder}/made" "$out"\n')
    compiler.chmod(0o755)
    return compiler


@pytest.mark.parametrize("how", ["cut", "one byte less", "zeros", "wrong byte"])
def test_a_library_that_is_not_whole_is_made_again_and_never_loaded(
    tmp_path: Path, quick_compiler: Path, how: str
) -> None:
    in_a_process(FRESH + "library.kernels()", tmp_path, CXX=str(quick_compiler))
    (path,) = tmp_path.rglob("*.so")
    content = path.read_bytes()
    middle = len(content) // 2
    broken = {
        "cut": content[:middle],
        "one byte less": content[:-1],
        "zeros": bytes(len(content)),
        "wrong byte": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
    }[how]
    path.write_bytes(broken)
    (tmp_path / "broken").write_bytes(broken)
    environment = {"BROKEN": str(tmp_path / "broken"), "CXX": str(quick_compiler)}
    said = in_a_process(FRESH + NEVER_BROKEN, tmp_path, **environment)
    assert said.splitlines() == [WAITING, f"compiled {path.name}", str(path)]
    assert path.read_bytes() == content


@pytest.mark.parametrize("how", ["foreign", "open to others"])
def test_a_library_that_somebody_else_may_have_written_is_made_again(
    tmp_path: Path, quick_compiler: Path, how: str
) -> None:
    in_a_process(FRESH + "library.kernels()", tmp_path, CXX=str(quick_compiler))
    (path,) = tmp_path.rglob("*.so")
    if how == "open to others":
        path.chmod(0o777)
    elif os.geteuid():
        pytest.skip("only root gives files away")
    else:
        os.chown(path, 65534, 65534)
    code = FRESH + "print(library.kernels()._name)"
    said = in_a_process(code, tmp_path, CXX=str(quick_compiler))
    assert said.splitlines() == [WAITING, f"compiled {path.name}", str(path)]
    assert path.stat().st_uid == os.geteuid()
    assert not path.stat().st_mode & 0o022


def test_a_user_without_a_home_or_a_place_to_write_computes_with_torch(tmp_path: Path) -> None:
    code = (
        FRESH
        + """
def homeless(path):
    raise RuntimeError("Could not determine home directory.")
pathlib.Path.expanduser = homeless
print(library.kernels())
"""
    )
    said = in_a_process(code, tmp_path, XDG_CACHE_HOME="")
    assert said.endswith("None")
    assert "can be written" in said


def test_a_read_only_installation_compiles_into_the_user_s_cache(tmp_path: Path) -> None:
    said = in_a_process(FRESH + "print(library.kernels()._name)", tmp_path)
    folder = tmp_path / "cache" / "ddcnn" / "kernels"
    assert said.splitlines()[-1].startswith(f"{folder}/kernels-")
    assert len(list(tmp_path.rglob("*.so"))) == 1
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_library_that_others_may_have_put_there_is_not_run(tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "ddcnn" / "kernels"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    assert "can be written" in in_a_process(FRESH + "print(library.kernels())", tmp_path)
    folder.chmod(0o700)
    (loaded,) = in_a_process(FRESH + "print(library.kernels()._name)", tmp_path).splitlines()[-1:]
    folder.chmod(0o777)
    assert Path(loaded).is_file()
    assert in_a_process(FRESH + "print(library.kernels())", tmp_path).endswith("None")


def test_the_switch(tmp_path: Path) -> None:
    assert (
        in_a_process(FRESH + "print(library.kernels())", tmp_path, DDCNN_KERNELS="torch") == "None"
    )


def test_code_digests_hold_the_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ddcnn.base import digests

    files = digests._imported_files(["ddcnn.nets.layers"], {"ddcnn": digests.PACKAGE.parent})
    assert {*library.SOURCES, "kernels.h", "pooling.h", "vector.h"} <= {path.name for path in files}
