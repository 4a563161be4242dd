"""A recurrent net along time, rows or slices."""

import math

import torch
from torch import nn
from torch.nn import functional as F

LAYERS = 2
FRAME = 8  # samples of a signal that one step reads
# Which axis is read step by step: time of signals, rows of images, slices of volumes.
SEQUENCE_AXIS = {1: 0, 2: 0, 3: 2}


class Gru(nn.Module):
    """Two bidirectional layers of gated recurrent units, their average over the steps, a linear
    layer.

    After Cho et al. (arXiv 1406.1078); read in both directions after Schuster and Paliwal (1997,
    doi 10.1109/78.650093). A step reads 8 samples of a signal, a row of an image, or a slice of a
    volume, all channels of it. Each direction has 2w units, so that the linear layer sees 4w
    features, as in ``vgg`` and ``resnet``.

    Args:
        shape: spatial axes (one to three) and channels of one input.
        classes: number of classes K.
        width: w.
        dropout: probability of dropping a feature before the linear layer.
    """

    def __init__(self, shape: tuple[int, ...], classes: int, width: int, dropout: float = 0.0):
        super().__init__()
        *spatial, channels = shape
        axis = SEQUENCE_AXIS[len(spatial)]
        self.axis = axis + 2  # of images N, C, *spatial
        self.frame = FRAME if len(spatial) == 1 else 1
        # Zeros, the mean of normalised signals, fill the last frame up.
        self.missing = -spatial[axis] % self.frame
        values = self.frame * channels * math.prod(spatial) // spatial[axis]
        self.recurrent = nn.GRU(
            values, 2 * width, num_layers=LAYERS, batch_first=True, bidirectional=True
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(4 * width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits ``N, K`` of images ``N, C, *spatial``."""
        steps = x.movedim(self.axis, 1).flatten(start_dim=2)
        if self.frame > 1:
            steps = F.pad(steps, (0, 0, 0, self.missing)).unflatten(1, (-1, self.frame))
        outputs, _ = self.recurrent(steps.flatten(start_dim=2))
        return self.classifier(self.dropout(outputs.mean(dim=1)))
