"""What a net costs: parameters and floating-point work of one image."""

import math
from collections.abc import Sequence

import torch
from torch import nn

COUNTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.MultiheadAttention, nn.RNNBase)
ELEMENT_WISE = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)
# Classes with calculations of their own that are made of layers of torch.nn.
MADE_OF_LAYERS = ("ddcnn.", "torchvision.models.vision_transformer")


def num_parameters(net: nn.Module) -> int:
    """Trainable parameters."""
    return sum(p.numel() for p in net.parameters() if p.requires_grad)


def multiply_adds(net: nn.Module, shape: Sequence[int]) -> int:
    """Multiply-adds of convolutions, linear and recurrent layers and attention, forward.

    The ratio global/local is the ideal parallel speed-up; element-wise work is not counted.

    Args:
        net: takes ``N, C, *spatial``; it is not changed.
        shape: spatial axes and channels of one image, channels last.
    """
    # torch's own counter takes any net, but its import 3 s: it is for nets of users.
    count = _by_layers if all(map(_is_known, net.modules())) else _by_torch
    was_training, fast_path = net.training, torch.backends.mha.get_fastpath_enabled()
    *spatial, channels = shape
    image = torch.zeros(1, channels, *spatial, device=next(net.parameters()).device)
    # The fast path of attention is one operation, in which nothing can be counted.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad():
            return count(net.eval(), image)
    finally:
        net.train(was_training)
        torch.backends.mha.set_fastpath_enabled(fast_path)


def _is_known(module: nn.Module) -> bool:
    """Whether all multiply-adds of a module are in layers that are counted."""
    if type(module).__module__.startswith(MADE_OF_LAYERS):
        return True
    own_weights = next(module.parameters(recurse=False), None) is not None
    known = isinstance(module, (*COUNTED, *ELEMENT_WISE)) or not own_weights
    return known and type(module).__module__.startswith("torch.nn.")


def _by_layers(net: nn.Module, image: torch.Tensor) -> int:
    counted = 0

    def count(layer: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        nonlocal counted
        if isinstance(layer, nn.MultiheadAttention):
            counted += _of_attention(layer, *inputs[:3])
        elif isinstance(layer, nn.RNNBase):
            counted += _of_recurrent(layer, inputs[0])
        else:
            # Every output value is a sum over the weights of its channel.
            counted += output.numel() * layer.weight[0].numel()

    hooks = [m.register_forward_hook(count) for m in net.modules() if isinstance(m, COUNTED)]
    try:
        net(image)
    finally:
        for hook in hooks:
            hook.remove()
    return counted


def _of_attention(
    layer: nn.MultiheadAttention, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
) -> int:
    """Four projections, the products of queries and keys, and those with the values."""
    queries, keys = (math.prod(x.shape[:-1]) for x in (query, key))
    width = layer.embed_dim
    projections = 2 * queries * width + keys * (key.shape[-1] + value.shape[-1])
    return projections * width + 2 * queries * keys * width


def _of_recurrent(layer: nn.RNNBase, x: torch.Tensor) -> int:
    """In every step one product with every matrix; ``data`` is that of packed sequences, too."""
    weights = sum(w.numel() for name, w in layer.named_parameters() if name.startswith("weight"))
    return math.prod(x.data.shape[:-1]) * weights


def _by_torch(net: nn.Module, image: torch.Tensor) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        net(image)
    return counter.get_total_flops() // 2
