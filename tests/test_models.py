"""The nets: shapes, sizes and costs, against numbers worked out by hand and by torch."""

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from ddcnn import nets
from ddcnn.base.errors import InputError
from ddcnn.local.subdomain import Subdomain
from ddcnn.nets.cost import multiply_adds, num_parameters

SHAPES = [
    (4, 1),
    (9, 2),
    (4, 4, 1),
    (5, 7, 3),
    (28, 28, 1),
    (4, 4, 4, 1),
    (6, 5, 4, 2),
]  # with channels


def images_like(shape: tuple[int, ...], num_images: int = 2) -> torch.Tensor:
    *spatial, channels = shape
    return torch.randn(num_images, channels, *spatial)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_net_gives_one_logit_per_class_and_every_weight_a_gradient(shape):
    torch.manual_seed(0)
    net = nets.build("vgg", shape, classes=5, width=4)
    logits = net(images_like(shape))
    assert logits.shape == (2, 5)
    F.cross_entropy(logits, torch.tensor([0, 4])).backward()
    assert all(torch.isfinite(weight.grad).all() for weight in net.parameters())
    # A layer that does not reach the output would have the gradient 0.
    assert all(weight.grad.abs().max() > 0 for weight in net.parameters())


def test_the_net_of_the_measurements_has_its_288170_parameters():
    assert num_parameters(nets.build("vgg", (28, 28, 1), classes=10, width=32)) == 288_170


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_parameters_are_those_of_the_layers(axes):
    width, channels, classes = 6, 3, 7
    pairs = [(channels, 6), (6, 6), (6, 12), (12, 12), (12, 24), (24, 24)]
    convolutions = sum(a * b * 3**axes for a, b in pairs)
    norms = sum(2 * b for _, b in pairs)
    net = nets.build("vgg", (8,) * axes + (channels,), classes, width)
    assert num_parameters(net) == convolutions + norms + 24 * classes + classes


def test_frozen_weights_are_not_counted_as_parameters():
    net = torch.nn.Linear(3, 2)
    net.bias.requires_grad_(False)
    assert num_parameters(net) == 6


def test_multiply_adds_are_those_counted_by_hand():
    # Width 4 on 8 x 8 pixels with 1 channel: two convolutions of 3 x 3 per stage, pooling between.
    by_hand = 9 * (
        8 * 8 * (1 * 4 + 4 * 4)
        + 4 * 4 * (4 * 8 + 8 * 8)
        + 2 * 2 * (8 * 16 + 16 * 16)
    )  # fmt: skip
    by_hand += 16 * 10
    assert multiply_adds(nets.build("vgg", (8, 8, 1), 10, 4), (8, 8, 1)) == by_hand


def test_counting_leaves_the_net_as_it_was():
    net = nets.build("vgg", (8, 8, 1), 3, 4, dropout=0.5).train()
    before = copy.deepcopy(net.state_dict())
    multiply_adds(net, (8, 8, 1))
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not any(module._forward_hooks for module in net.modules())


def test_dropout_acts_in_training_only():
    net = nets.build("vgg", (8, 8, 1), 3, 4, dropout=0.5)
    x = images_like((8, 8, 1))
    assert not torch.equal(net(x), net(x))
    assert torch.equal(net.eval()(x), net(x))


@pytest.mark.parametrize(
    ("width", "num_tiles", "local"),
    [(32, 1, 32), (32, 4, 16), (16, 4, 8), (32, 9, 12), (36, 9, 12), (64, 16, 16), (8, 64, 4)],
)
def test_the_proportional_width_divides_by_the_root_of_the_number_of_tiles(width, num_tiles, local):
    assert nets.local_width(width, num_tiles) == local


@given(st.integers(1, 4096), st.integers(1, 1000))
def test_the_proportional_width_is_rounded_up_to_four_but_never_above_the_global_one(
    width, num_tiles
):
    local = nets.local_width(width, num_tiles)
    assert local == width or local % 4 == 0
    assert min(width, width / math.sqrt(num_tiles)) <= local <= width
    assert local < width / math.sqrt(num_tiles) + 4


def test_a_local_net_has_about_one_nth_of_the_parameters():
    size = num_parameters(nets.build("vgg", (28, 28, 1), 10, 64))
    for num_tiles in (4, 16):
        local = nets.local_width(64, num_tiles)
        ratio = size / num_parameters(nets.build("vgg", (14, 14, 1), 10, local))
        assert ratio == pytest.approx(num_tiles, rel=0.05)


def test_a_model_s_name_holds_its_width():
    assert nets.model_slug("vgg", 16) == "vgg-w16"
    assert nets.model_slug("vgg", 16, 8) == "vgg-w16-local8"
    assert nets.model_slug("my.nets:small", 16, 8) == "my.nets.small-w16-local8"


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("vgg", (3, 28, 1), ["vgg", "at least 4 pixels", "3x28"]),
        ("vgg", (4, 4, 3, 1), ["vgg", "at least 4 pixels", "4x4x3"]),
        ("vgg", (1,), ["vgg", "1 or 2 or 3 axes, not 0"]),
        ("vgg", (8, 8, 8, 8, 1), ["vgg", "1 or 2 or 3 axes", "8x8x8x8"]),
        ("ct3d", (128, 128, 32, 1), ["ct3d", "at least 46 pixels", "128x128x32"]),
        ("vggg", (28, 28, 1), ["'vggg'", "vgg", "module:factory"]),
    ],
)
def test_an_input_that_a_net_cannot_take_is_refused_with_its_pixels(name, shape, words):
    with pytest.raises(InputError) as caught:
        nets.build(name, shape, classes=10, width=8)
    assert all(word in str(caught.value) for word in words), caught.value


def test_nets_of_different_tiles_and_seeds_start_from_different_weights():
    def weights(tile: str = "0-0", seed: int = 0) -> torch.Tensor:
        where = ("fashion", "blocks-2x2-overlap0", tile, "vgg-w8", "vgg", 4, 0.0, seed)
        return next(Subdomain(*where).build((8, 8, 1), 3).parameters())

    assert torch.equal(weights(), weights())
    assert not torch.equal(weights(), weights(tile="0-1"))
    assert not torch.equal(weights(), weights(seed=1))
