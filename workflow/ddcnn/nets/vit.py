"""A small vision transformer (Dosovitskiy et al., arXiv 2010.11929) for tiles of any shape."""

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models.vision_transformer import Encoder

from ddcnn.nets.layers import CONVOLUTION

DEPTH = 6
HEADS = 4


class Vit(nn.Module):
    """torchvision's encoder over the patches of a tile and a class token; a linear layer.

    torchvision's own ``VisionTransformer`` takes square images of three channels. With these it is
    this net, except that its linear layer starts from zeros. 6 blocks of 4 heads, 4 times the
    hidden dimension in the dense layers of a block.

    Args:
        shape: spatial axes (one to three) and channels of one input.
        classes: number of classes K.
        width: the hidden dimension; rounded up to a multiple of the 4 heads.
        dropout: probability of dropping a feature before the linear layer.
        patch: pixels of a patch along every axis; without it :func:`patch_size`. Zeros, the mean
            of normalised images, fill the tile up to a multiple of it.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        classes: int,
        width: int,
        dropout: float = 0.0,
        *,
        patch: int | None = None,
    ):
        super().__init__()
        *spatial, channels = shape
        patch = patch or patch_size(spatial)
        hidden = HEADS * math.ceil(width / HEADS)
        # The last axis first, as F.pad wants it.
        self.padding = [pixels for size in reversed(spatial) for pixels in (0, -size % patch)]
        self.patches = CONVOLUTION[len(spatial)](channels, hidden, patch, stride=patch)
        nn.init.trunc_normal_(self.patches.weight, std=self.patches.weight[0].numel() ** -0.5)
        nn.init.zeros_(self.patches.bias)
        self.class_token = nn.Parameter(torch.zeros(1, 1, hidden))
        tokens = 1 + math.prod(math.ceil(size / patch) for size in spatial)
        self.encoder = Encoder(tokens, DEPTH, HEADS, hidden, 4 * hidden, 0.0, 0.0)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(hidden, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits ``N, K`` of images ``N, C, *spatial``."""
        patches = self.patches(F.pad(x, self.padding)).flatten(start_dim=2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(x.shape[0], -1, -1), patches], dim=1)
        return self.classifier(self.dropout(self.encoder(tokens)[:, 0]))


def patch_size(spatial: Sequence[int]) -> int:
    """The power of two nearest to an eighth of the longest axis, at least 2 pixels.

    So 6 to 11 patches lie along this axis: 4 pixels for 32, 16 for 128.
    """
    return max(2, 2 ** round(math.log2(max(spatial) / 8)))
