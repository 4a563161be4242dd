"""The residual nets for small images of He, Zhang, Ren and Sun (arXiv 1512.03385, section 4.2)."""

import torch
from torch import nn
from torch.nn import functional as F

from ddcnn.nets.layers import BATCH_NORM, CONVOLUTION, GlobalAverage, Layers


class ResNet(nn.Module):
    """6n + 2 layers in three stages of n blocks (width w, 2w, 4w), global average, linear layer.

    At width 16, 32 x 32 pixels and 3 channels it is the published net for CIFAR-10.

    Args:
        shape: spatial axes (one to three) and channels of one input.
        classes: number of classes K.
        width: channels w of the first stage.
        dropout: probability of dropping a feature before the linear layer; 0 as published.
        depth: 6n + 2: 20, 32, 44 or 56.
        projection: where the channels double, shortcuts are convolutions of 1 pixel with batch
            norm (option B of the paper) instead of every second pixel and zeros (option A).
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        classes: int,
        width: int,
        dropout: float = 0.0,
        *,
        depth: int,
        projection: bool = False,
    ):
        super().__init__()
        *spatial, channels = shape
        axes, blocks = len(spatial), (depth - 2) // 6
        layers: list[nn.Module] = [*_convolution(axes, channels, width), nn.ReLU(inplace=True)]
        before = width
        for after in (width, 2 * width, 4 * width):
            for _ in range(blocks):
                layers.append(ResidualBlock(axes, before, after, projection))
                before = after
        self.stages = Layers(*layers, GlobalAverage())
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(4 * width, classes)
        for layer in self.modules():
            if isinstance(layer, CONVOLUTION[axes]):
                nn.init.kaiming_normal_(layer.weight)  # reference 13 of the paper

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits ``N, K`` of images ``N, C, *spatial``."""
        features = self.stages(x)
        return self.classifier(self.dropout(features))


class ResidualBlock(nn.Module):
    """Two convolutions, their result added to the input; the first has stride 2 in a new stage."""

    def __init__(self, axes: int, before: int, after: int, projection: bool):
        super().__init__()
        stride = 1 if before == after else 2
        self.residual = Layers(
            *_convolution(axes, before, after, stride=stride),
            nn.ReLU(inplace=True),
            *_convolution(axes, after, after),
        )
        self.shortcut: nn.Module = nn.Identity()
        if before != after and projection:
            self.shortcut = nn.Sequential(*_convolution(axes, before, after, 1, stride))
        elif before != after:
            self.shortcut = EverySecondPixel(axes, after - before)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.residual(x) + self.shortcut(x))


class EverySecondPixel(nn.Module):
    """The shortcut without parameters: every second pixel, the new channels zero."""

    def __init__(self, axes: int, new_channels: int):
        super().__init__()
        self.every_second = (..., *[slice(None, None, 2)] * axes)
        self.padding = [0, 0] * axes + [0, new_channels]  # the last axis first, as F.pad wants it

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.pad(x[self.every_second], self.padding)


def _convolution(
    axes: int, before: int, after: int, size: int = 3, stride: int = 1
) -> tuple[nn.Module, nn.Module]:
    # No bias: the batch norm behind has one.
    convolution = CONVOLUTION[axes](before, after, size, stride, padding=size // 2, bias=False)
    return convolution, BATCH_NORM[axes](after)
