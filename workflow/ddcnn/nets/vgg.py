"""A small VGG-like net in one to three dimensions."""

from collections import OrderedDict

from torch import nn

from ddcnn.nets.layers import BATCH_NORM, CONVOLUTION, MAX_POOL, GlobalAverage, Layers


class Vgg(Layers):
    """Three stages of two convolutions (width w, 2w, 4w), global average pool, linear layer.

    It makes logits ``N, K`` of images ``N, C, *spatial``.

    After the VGG nets of Simonyan and Zisserman (arXiv 1409.1556), with batch norm, and a global
    average in place of the dense layers, so that the parameters do not depend on the input size.

    Args:
        shape: spatial axes (one to three, at least 4 pixels each) and channels of one input.
        classes: number of classes K.
        width: channels w of the first stage.
        dropout: probability of dropping a feature before the linear layer.
    """

    def __init__(self, shape: tuple[int, ...], classes: int, width: int, dropout: float = 0.0):
        *spatial, channels = shape
        axes = len(spatial)
        stages = nn.Sequential(
            _stage(axes, channels, width),
            _pool(axes),
            _stage(axes, width, 2 * width),
            _pool(axes),
            _stage(axes, 2 * width, 4 * width),
            nn.ReLU(inplace=True),
            GlobalAverage(),
        )
        super().__init__(
            OrderedDict(
                stages=stages,
                dropout=nn.Dropout(dropout),
                classifier=nn.Linear(4 * width, classes),
            )
        )


def _pool(axes: int) -> nn.Sequential:
    # The ReLU of the convolution before: it commutes with the maximum, and computes less after it.
    return nn.Sequential(MAX_POOL[axes](2), nn.ReLU(inplace=True))


def _stage(axes: int, channels_in: int, channels_out: int) -> nn.Sequential:
    """Two convolutions with batch norm; the ReLU of the second one is left to what follows."""
    layers: list[nn.Module] = []
    for channels in (channels_in, channels_out):
        # No bias: the batch norm behind has one.
        layers += [
            CONVOLUTION[axes](channels, channels_out, kernel_size=3, padding=1, bias=False),
            BATCH_NORM[axes](channels_out),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers[:-1])
