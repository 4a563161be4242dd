"""Linear discriminant analysis as a net: one linear layer on the pixels."""

from collections import OrderedDict
from math import prod

from torch import nn


class Lda(nn.Sequential):
    """Logits ``N, K`` of images ``N, C, *spatial``: an affine map of their values.

    Its weights are no result of training steps: :mod:`ddcnn.local.closed_form` computes them.

    Args:
        shape: spatial axes (one to three) and channels of one input.
        classes: number of classes K.
        width, dropout: of other nets; this one has neither.
    """

    def __init__(self, shape: tuple[int, ...], classes: int, width: int = 1, dropout: float = 0.0):
        layers = {"flatten": nn.Flatten(), "classifier": nn.Linear(prod(shape), classes)}
        super().__init__(OrderedDict(layers))
