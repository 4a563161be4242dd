"""Every net in every dimension, against published sizes, torch's counter and torchvision."""

import itertools
import math
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import VisionTransformer

from ddcnn import nets
from ddcnn.__main__ import main
from ddcnn.base.errors import InputError
from ddcnn.experiment.schema import schema
from ddcnn.nets.cost import multiply_adds, num_parameters
from ddcnn.nets.features import last_features
from ddcnn.nets.resnet import ResNet
from ddcnn.nets.vit import patch_size
from workflow_runs import PROJECT

# A large net of a kind tells nothing that its small one does not.
NETS = [name for name in nets.ARCHITECTURES if "32" not in name and "44" not in name]
CASES = [(n, axes) for n in NETS for axes in nets.ARCHITECTURES[n].num_axes]


def smallest_shape(name: str, axes: int, channels: int = 2) -> tuple[int, ...]:
    return (nets.ARCHITECTURES[name].smallest_input,) * axes + (channels,)


def images_like(shape: tuple[int, ...], num_images: int = 2) -> torch.Tensor:
    return torch.randn(num_images, shape[-1], *shape[:-1])


@pytest.mark.parametrize(("name", "axes"), CASES)
def test_a_net_learns_from_its_smallest_input_with_every_weight(name, axes):
    torch.manual_seed(0)
    shape = smallest_shape(name, axes)
    net = nets.build(name, shape, classes=3, width=4, dropout=0.2)
    logits = net(images_like(shape))
    assert logits.shape == (2, 3)
    F.cross_entropy(logits, torch.tensor([0, 2])).backward()
    gradients = {name: weight.grad for name, weight in net.named_parameters()}
    assert [n for n, g in gradients.items() if g is None or not g.isfinite().all()] == []
    # Of a single pixel batch norm sees two values, whose normalised difference is constant: the
    # gradient is 0 or next to it there. All other weights must have one.
    reached = [n for n, g in gradients.items() if g.abs().max() > 0]
    assert len(reached) > len(gradients) / 2


@pytest.mark.parametrize(("name", "axes"), CASES)
def test_an_input_below_the_smallest_is_refused(name, axes):
    *spatial, channels = smallest_shape(name, axes)
    spatial[-1] -= 1
    with pytest.raises(InputError, match=rf"{name} needs at least {spatial[-1] + 1} pixels"):
        nets.build(name, (*spatial, channels), classes=3, width=4)


ODD = ["vgg", "resnet20", "resnet20-projection", "ct3d-same", "vit", "gru", "lda"]


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("spatial", [(37,), (19, 26), (17, 16, 18)], ids=str)
def test_odd_shapes_one_output_and_a_batch_of_one_in_evaluation(name, spatial):
    torch.manual_seed(0)
    shape = (*spatial, 3)
    net = nets.build(name, shape, classes=1, width=8, dropout=0.5)
    x = images_like(shape)
    net(x).sum().backward()
    assert all(weight.grad.abs().max() > 0 for weight in net.parameters())
    net.eval()
    logits = net(x)
    assert logits.shape == (2, 1)
    assert torch.equal(net(x), logits)
    torch.testing.assert_close(net(x[:1]), logits[:1])


@pytest.mark.parametrize(("name", "axes"), CASES)
def test_multiply_adds_are_half_of_the_operations_that_torch_counts(name, axes):
    *spatial, channels = smallest_shape(name, axes)
    shape = (spatial[0] + 3, *spatial[1:], channels)
    net = nets.build(name, shape, classes=5, width=4).eval()
    # With gradients: the fast path of attention is one operation that no counter looks into.
    with FlopCounterMode(display=False) as counter:
        net(images_like(shape, num_images=1))
    assert multiply_adds(net, shape) == counter.get_total_flops() / 2


def test_multiply_adds_of_a_transformer_by_hand():
    tokens, hidden = 4 * 4 + 1, 8
    block = tokens * 4 * hidden**2 + 2 * tokens**2 * hidden + 2 * tokens * hidden * 4 * hidden
    by_hand = 16 * hidden * 3 * 2**2 + 6 * block + hidden * 5
    net = nets.build("vit", (8, 8, 3), classes=5, width=hidden)
    assert multiply_adds(net, (8, 8, 3)) == by_hand


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_multiply_adds_of_recurrent_layers_are_those_that_torch_counts(kind):
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.recurrent = kind(3, 4, num_layers=2, batch_first=True, bidirectional=True)
            self.packed = kind(8, 2)

        def forward(self, x):
            steps, _ = self.recurrent(x.transpose(1, 2))
            packed = nn.utils.rnn.pack_padded_sequence(steps, [7], batch_first=True)
            return self.packed(packed)[0].data

    first = kind(3, 4, num_layers=2, batch_first=True, bidirectional=True)
    with FlopCounterMode(display=False) as counter:
        first(torch.zeros(1, 9, 3))
        kind(8, 2)(torch.zeros(7, 1, 8))
    assert multiply_adds(Own(), (9, 3)) == counter.get_total_flops() / 2


def test_multiply_adds_of_layers_that_only_a_user_has():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(6, 3, 2, 2))
            self.up = nn.ConvTranspose2d(6, 2, 2)

        def forward(self, x):
            x = self.up(F.conv2d(x, self.weight))  # 7 x 7, then 8 x 8
            return torch.einsum("nchw,ndhw->ncd", x, x).flatten(1)

    by_hand = 49 * 6 * 12 + 49 * 6 * 2 * 4 + 64 * 2 * 2
    assert multiply_adds(Own(), (8, 8, 3)) == by_hand


# --- residual nets --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parameters"), [("resnet20", 269_722), ("resnet20-projection", 272_474)]
)
def test_residual_nets_have_the_published_size(name, parameters):
    net = nets.build(name, (32, 32, 3), classes=10, width=16)
    assert num_parameters(net) == parameters


@pytest.mark.parametrize("depth", [20, 32, 44, 56])
def test_the_name_of_a_residual_net_counts_its_layers(depth):
    plain, projected = (
        nets.build(f"resnet{depth}{suffix}", (8, 8, 3), 10, 4) for suffix in ("", "-projection")
    )

    def layers(net: nn.Module) -> int:
        return sum(isinstance(layer, nn.Conv2d | nn.Linear) for layer in net.modules())

    assert layers(plain) == depth
    assert layers(projected) == depth + 2


@pytest.mark.parametrize("spatial", [(9,), (8, 7), (4, 5, 6)], ids=str)
def test_the_shortcut_without_parameters_takes_every_second_pixel(spatial):
    net = ResNet((*spatial, 3), classes=2, width=2, depth=20)
    blocks = [m for m in net.modules() if type(m).__name__ == "ResidualBlock"]
    x = torch.randn(2, 2, *spatial)
    y = blocks[3].shortcut(x)
    assert y.shape == (2, 4, *(math.ceil(n / 2) for n in spatial))
    for pixel in itertools.product(*map(range, y.shape[2:])):
        source = tuple(2 * i for i in pixel)
        assert torch.equal(y[(slice(None), slice(2), *pixel)], x[(slice(None), slice(2), *source)])
    assert not y[:, 2:].any()


def test_residual_nets_start_with_activations_that_neither_vanish_nor_explode():
    torch.manual_seed(0)
    net = nets.build("resnet56", (32, 32, 3), classes=10, width=16)
    features, _ = last_features(net, images_like((32, 32, 3), 8))
    assert 0.1 < features.std() < 10


# --- the net for CT scans -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ct3d", "ct3d-same"])
def test_the_ct_net_has_the_size_that_keras_prints(name):
    net = nets.build(name, (128, 128, 64, 1), classes=1, width=64)
    assert num_parameters(net) == 1_351_873
    running = [v for n, v in net.named_buffers() if n.endswith(("running_mean", "running_var"))]
    assert num_parameters(net) + sum(v.numel() for v in running) == 1_352_897


@pytest.mark.parametrize("name", ["ct3d", "ct3d-same"])
def test_the_smallest_input_of_the_ct_net_is_the_smallest_that_runs(name):
    net = nets.build(name, (64,) * 3 + (1,), classes=2, width=1).eval()

    def runs(pixels: int) -> bool:
        try:
            with torch.no_grad():
                return net(torch.zeros(1, 1, pixels, pixels, pixels)).shape == (1, 2)
        except RuntimeError:
            return False

    assert min(filter(runs, range(1, 60))) == nets.ARCHITECTURES[name].smallest_input


# --- the transformer ------------------------------------------------------------------------


@pytest.mark.parametrize(("pixels", "patch"), [(16, 2), (28, 4), (32, 4)])
def test_the_transformer_is_torchvision_s(pixels, patch):
    torch.manual_seed(0)
    ours = nets.build("vit", (pixels, pixels, 3), classes=5, width=30).eval()
    theirs = VisionTransformer(pixels, patch, 6, 4, 32, 128, num_classes=5).eval()
    names = {"patches.": "conv_proj.", "classifier.": "heads.head."}

    def renamed(name: str) -> str:
        for our, their in names.items():
            name = name.replace(our, their)
        return name

    theirs.load_state_dict({renamed(n): value for n, value in ours.state_dict().items()})
    x = images_like((pixels, pixels, 3))
    torch.testing.assert_close(ours(x), theirs(x))
    fresh = VisionTransformer(pixels, patch, 6, 4, 32, 128).conv_proj.weight
    assert ours.patches.weight.std().item() == pytest.approx(fresh.std().item(), rel=0.15)


def test_the_transformer_fills_tiles_up_with_zeros():
    torch.manual_seed(0)
    net = nets.build("vit-patch4", (6, 9, 1), classes=2, width=8).eval()
    x = images_like((6, 9, 1))
    padded = torch.zeros(2, 1, 8, 12)
    padded[:, :, :6, :9] = x
    same = nets.build("vit-patch4", (8, 12, 1), classes=2, width=8).eval()
    same.load_state_dict(net.state_dict())
    torch.testing.assert_close(net(x), same(padded))


def test_about_eight_patches_lie_along_the_longest_axis():
    for pixels in range(4, 513):
        patch = patch_size((3, pixels))
        assert math.log2(patch).is_integer()
        assert pixels / patch < 12
        assert patch == 2 or pixels / patch > 5


def test_torchvision_is_imported_for_a_transformer_only():
    script = (
        "import sys; from ddcnn import nets\n"
        "nets.build('resnet20', (8, 8, 1), 2, 4)\n"
        "assert 'torchvision' not in sys.modules\n"
        "nets.build('vit', (8, 8, 1), 2, 4)\n"
        "assert 'torchvision' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


# --- the recurrent net ----------------------------------------------------------------------


def read_by_hand(net: nn.Module, steps_TF: torch.Tensor) -> torch.Tensor:
    """Logits of one sequence by the equations of Cho et al., a unit of time after the other."""
    weights, units = dict(net.recurrent.named_parameters()), net.recurrent.hidden_size
    for layer in range(2):
        directions = []
        for suffix, order in (("", 1), ("_reverse", -1)):
            w_x, w_h, b_x, b_h = (
                weights[f"{name}_l{layer}{suffix}"]
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            h, seen = torch.zeros(units), []
            for x in steps_TF if order == 1 else steps_TF.flip(0):
                of_x, of_h = (w_x @ x + b_x).split(units), (w_h @ h + b_h).split(units)
                reset, update = ((a + b).sigmoid() for a, b in zip(of_x[:2], of_h[:2], strict=True))
                new = (of_x[2] + reset * of_h[2]).tanh()
                h = update * h + (1 - update) * new
                seen.append(h)
            directions.append(torch.stack(seen[::order]))
        steps_TF = torch.cat(directions, dim=1)
    return net.classifier(steps_TF.mean(dim=0))


def test_the_recurrent_net_reads_rows_slices_and_frames_in_their_order():
    torch.manual_seed(0)
    signal, image, volume = (19, 2), (5, 4, 3), (3, 4, 5, 1)
    for shape in (signal, image, volume):
        net = nets.build("gru", shape, classes=3, width=2).eval()
        x = images_like(shape, 1)
        if shape == signal:
            padded = torch.zeros(24, 2)
            padded[:19] = x[0].T
            steps = [padded[8 * k : 8 * k + 8].flatten() for k in range(3)]
        elif shape == image:
            steps = [x[0, :, row].flatten() for row in range(5)]
        else:
            steps = [x[0, ..., place].flatten() for place in range(5)]
        torch.testing.assert_close(net(x)[0], read_by_hand(net, torch.stack(steps)))


@pytest.mark.parametrize(("shape", "tile"), [((427, 1), (131, 1)), ((32, 32, 3), (16, 16, 3))])
def test_four_local_recurrent_nets_are_about_as_large_as_the_global_one(shape, tile):
    whole = num_parameters(nets.build("gru", shape, 10, 32))
    local = num_parameters(nets.build("gru", tile, 10, nets.local_width(32, 4)))
    assert 0.2 < local / whole < 0.3


# --- in closed form -------------------------------------------------------------------------


def test_a_net_in_closed_form_has_one_width_and_no_random_numbers_in_its_name():
    assert nets.is_closed_form("lda")
    assert not any(map(nets.is_closed_form, ("vgg", "gru", "my_nets:lda")))
    assert nets.width_of("lda", 64) == nets.local_width(nets.width_of("lda", 64), 9) == 1
    assert nets.width_of("gru", 64) == nets.width_of("my_nets:lda", 64) == 64


# --- the last features ----------------------------------------------------------------------


@pytest.mark.parametrize("name", NETS)
def test_the_last_features_make_the_logits(name):
    shape = smallest_shape(name, axes=2)
    net = nets.build(name, shape, classes=3, width=4, dropout=0.5)
    features, logits = last_features(net, images_like(shape))  # in training, with dropout
    assert features.shape[0] == 2
    torch.testing.assert_close(net.classifier(features), logits)
    logits.sum().backward()
    assert not any(m._forward_pre_hooks for m in net.modules())


def test_the_last_features_are_those_of_the_layer_that_runs_last():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.first = nn.Linear(5, 2), nn.Linear(3, 5)

        def forward(self, x):
            return self.last(self.first(x))

    net, x = Own(), torch.randn(4, 3)
    features, logits = last_features(net, x)
    assert torch.equal(features, net.first(x))
    assert torch.equal(logits, net(x))


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (nn.Sequential(nn.Conv2d(1, 2, 4), nn.Flatten()), "it has none"),
        (nn.Sequential(nn.Linear(4, 2), nn.Flatten()), r"the last one takes \(2, 1, 4, 4\)"),
    ],
)
def test_a_net_without_last_features_is_refused(net, words):
    with pytest.raises(InputError, match=rf"must end in a torch\.nn\.Linear.*{words}"):
        last_features(net, torch.zeros(2, 1, 4, 4))


# --- documents ------------------------------------------------------------------------------


def test_the_configuration_takes_all_nets():
    (names, own) = schema()["properties"]["model"]["items"]["anyOf"]
    assert names["enum"] == list(nets.ARCHITECTURES)
    assert own["examples"] == ["my_module:factory"]


def test_the_table_of_the_documentation_is_what_the_command_prints(capsys):
    assert main(["nets"]) == 0
    table = capsys.readouterr().out
    assert len(table.splitlines()) == len(nets.ARCHITECTURES) + 2
    assert table in (PROJECT / "docs/reference/nets.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_pooling_before_relu_is_the_published_order_bit_for_bit(axes, monkeypatch):
    """Outputs and gradients of vgg and ct3d against their layers written down one by one."""
    monkeypatch.setattr(
        "ddcnn.nets.kernels.suitable.kernels", lambda: None
    )  # torch's against torch's
    convolve, pool = getattr(F, f"conv{axes}d"), getattr(F, f"max_pool{axes}d")

    def norm(x: torch.Tensor, layer: torch.nn.Module) -> torch.Tensor:
        return F.batch_norm(x, None, None, layer.weight, layer.bias, training=True)

    def vgg(net: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        for stage in (0, 2, 4):
            for k in (0, 3):
                x = convolve(x, net.stages[stage][k].weight, padding=1)
                x = norm(x, net.stages[stage][k + 1]).relu()
            x = pool(x, 2) if stage < 4 else x
        return net.classifier(x.flatten(start_dim=2).mean(dim=2))

    def ct3d(net: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        for k in (0, 4, 8, 12):
            x = convolve(x, net.stages[k].weight, net.stages[k].bias, padding=1).relu()
            x = norm(pool(x, 2), net.stages[k + 3])
        return net.classifier(net.dense(x.flatten(start_dim=2).mean(dim=2)))

    shape = (16,) * axes
    for name, published in (("vgg", vgg), ("ct3d-same", ct3d)):
        torch.manual_seed(0)
        net = nets.build(name, (*shape, 1), 3, 8).train()
        x = torch.randn(4, *shape, 1).movedim(-1, 1)
        gradients = []
        for forward in (net, lambda x, net=net, published=published: published(net, x)):
            net.zero_grad()
            outputs = forward(x)
            outputs.square().sum().backward()
            gradients.append([outputs, *(p.grad for p in net.parameters())])
        for ours, theirs in zip(*gradients, strict=True):
            assert torch.equal(ours, theirs)
