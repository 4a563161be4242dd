"""What a net says of samples, and how good that is."""

from collections.abc import Sequence

import torch
from torch import nn

from ddcnn.base.tasks import Classification, Task
from ddcnn.nets.features import last_features
from ddcnn.training.samples import Samples

CLASSIFICATION = Classification()
# A prediction takes at most so many samples at a time, and so many numbers in them.
LARGEST_BATCH, VALUES_OF_BATCH = 1024, 2**20


@torch.no_grad()
def predict_logits(
    net: nn.Module, samples: Samples, batch_size: int = LARGEST_BATCH
) -> torch.Tensor:
    """Outputs ``N, K`` of all samples, in evaluation mode, without augmentation.

    A batch holds ``batch_size`` samples, or fewer large ones.
    """
    net.eval()
    parts = _batches(net, samples, batch_size)
    return torch.cat([net(samples.inputs(part)) for part in parts])


def _batches(
    net: nn.Module, samples: Samples, batch_size: int = LARGEST_BATCH
) -> Sequence[torch.Tensor]:
    """Indices of samples that are predicted together: of volumes fewer, for the memory's sake."""
    index = torch.arange(len(samples), device=next(net.parameters()).device)
    values = samples.inputs(index[:1]).numel()
    return index.split(max(1, min(batch_size, VALUES_OF_BATCH // values)))


@torch.no_grad()
def predict_features(net: nn.Module, samples: Samples) -> tuple[torch.Tensor, torch.Tensor]:
    """What the net's last linear layer sees, ``N, F``, and the outputs ``N, K``, of all samples."""
    net.eval()
    parts = [last_features(net, samples.inputs(part)) for part in _batches(net, samples)]
    features, outputs = zip(*parts, strict=True)
    return torch.cat(features), torch.cat(outputs)


def evaluate(net: nn.Module, samples: Samples, task: Task = CLASSIFICATION) -> tuple[float, float]:
    """Mean loss and score (accuracy or R²) over all samples."""
    outputs = predict_logits(net, samples)
    merit = task.merits(outputs, samples.labels).double().mean().item()
    loss = task.loss(outputs, samples.labels).item()
    return loss, task.score_of(merit, samples.labels)
