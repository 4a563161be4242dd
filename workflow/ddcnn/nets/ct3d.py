"""The net of the Keras example "3D image classification from CT scans" (H. Zunair, 2020)."""

from collections import OrderedDict

from torch import nn

from ddcnn.nets.layers import BATCH_NORM, CONVOLUTION, MAX_POOL, GlobalAverage, Layers


class Ct3d(Layers):
    """4 x [convolution 3, ReLU, max pool 2, batch norm], global average, two dense layers.

    It makes logits ``N, K`` of images ``N, C, *spatial``.

    The stages have w, w, 2w and 4w filters, the first dense layer 8w neurons. With w = 64, volumes
    of one channel and one output it is the net of the example, 1,351,873 trainable parameters.

    Args:
        shape: spatial axes and channels of one input; without padding every axis needs 46 pixels,
            with padding 16.
        classes: number of classes K.
        width: filters w of the first stage.
        dropout: probability of dropping a neuron of the first dense layer; 0.3 in the example.
        padding: pixels of zeros around the input of every convolution; none in the example.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        classes: int,
        width: int,
        dropout: float = 0.0,
        *,
        padding: int = 0,
    ):
        *spatial, channels = shape
        axes = len(spatial)
        layers: list[nn.Module] = []
        for filters in (width, width, 2 * width, 4 * width):
            layers += [
                CONVOLUTION[axes](channels, filters, kernel_size=3, padding=padding),
                # The published order is ReLU, pool. They commute, and this one computes less.
                MAX_POOL[axes](2),
                nn.ReLU(inplace=True),
                BATCH_NORM[axes](filters),
            ]
            channels = filters
        head = [nn.Linear(4 * width, 8 * width), nn.ReLU(inplace=True), nn.Dropout(dropout)]
        super().__init__(
            OrderedDict(
                stages=nn.Sequential(*layers, GlobalAverage()),
                dense=nn.Sequential(*head),
                classifier=nn.Linear(8 * width, classes),
            )
        )
