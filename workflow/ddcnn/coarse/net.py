"""The CNN-DNN: the coarse net, and the whole two-level net as one model."""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import nn

from ddcnn.base.tasks import Task
from ddcnn.coarse.inputs import SMALLEST_PROBABILITY, SMALLEST_SPREAD
from ddcnn.coarse.settings import CoarseSettings
from ddcnn.nets.features import last_features
from ddcnn.tiles.geometry import area_counts, area_weights, exact_type


class CoarseNet(nn.Module):
    """From all local decisions to one: the average of the tiles, plus what dense layers add.

    The average is the decision without a coarse problem. The last layer starts at zero, so that
    training starts there, and a strong penalty stays there: with few samples the average is hard
    to beat (arXiv 2302.06564, section 3.2, has dense layers alone).

    Args:
        num_inputs: numbers F that all tiles together give, see :func:`coarse_input`.
        classes: number of classes K.
        hidden: neurons of each hidden layer; none makes the net linear.
        dropout: probability of dropping a hidden neuron.
    """

    def __init__(
        self, num_inputs: int, classes: int, hidden: Sequence[int] = (), dropout: float = 0.0
    ) -> None:
        super().__init__()
        # Inputs are standardised, so that one penalty or learning rate suits all of them.
        self.register_buffer("shift", torch.zeros(num_inputs))
        self.register_buffer("scale", torch.ones(num_inputs))
        layers: list[nn.Module] = []
        num_in = num_inputs
        for num_out in hidden:
            layers += [nn.Linear(num_in, num_out), nn.ReLU(), nn.Dropout(dropout)]
            num_in = num_out
        self.layers = nn.Sequential(*layers, nn.Linear(num_in, classes))
        for parameter in self.layers[-1].parameters():
            nn.init.zeros_(parameter)

    @classmethod
    def of(cls, settings: CoarseSettings, num_inputs: int, classes: int) -> "CoarseNet":
        """The net that is configured, adding nothing to the average yet."""
        return cls(num_inputs, classes, settings.layers, settings.dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits ``N, K`` of rows ``N, F + K`` from :func:`coarse_input`."""
        inputs, average = self.split(x)
        return average + self.layers(inputs)

    def split(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows ``N, F + K`` as standardised inputs ``N, F`` and the average's logits ``N, K``."""
        num_inputs = len(self.shift)
        return (x[:, :num_inputs] - self.shift) * self.scale, x[:, num_inputs:]

    @torch.no_grad()
    def standardise(self, x: torch.Tensor) -> None:
        """Set shift and scale from the rows ``N, F + K`` that the net will be fitted on."""
        inputs = x[:, : len(self.shift)]
        self.shift.copy_(inputs.mean(dim=0))
        spread = inputs.std(dim=0, unbiased=False)
        # Dividing an input that hardly changes by its spread would make noise large.
        self.scale.copy_(1 / spread.clamp(min=SMALLEST_SPREAD))


def coarse_input(
    outputs_NTK: torch.Tensor,
    kind: str,
    task: Task,
    features_NTF: torch.Tensor | None = None,
) -> torch.Tensor:
    """Rows of the coarse net: float ``N, F + K``.

    Args:
        outputs_NTK: of N images, T tiles: logits of K classes (logarithms of probabilities will
            do), or K standardised targets.
        kind: what the coarse net sees of a tile: ``probabilities``, ``log-probabilities``,
            ``logits`` or ``features`` (what the local net's last layer sees). For regression the
            first three are the predictions.
        task: of the data set.
        features_NTF: for the last kind.

    Returns:
        what the tiles give, side by side, and their average: the logarithm of the average
        probabilities, or the average prediction.
    """
    if task.name == "regression":
        inputs, average_NK = outputs_NTK, outputs_NTK.mean(dim=1)
    else:
        log_p_NTK = outputs_NTK.log_softmax(dim=2).clamp(min=math.log(SMALLEST_PROBABILITY))
        average_NK = log_p_NTK.logsumexp(dim=1) - math.log(log_p_NTK.shape[1])
        inputs = {"probabilities": log_p_NTK.exp(), "log-probabilities": log_p_NTK}.get(
            kind, outputs_NTK
        )
    if kind == "features":
        inputs = features_NTF
    return torch.cat([inputs.flatten(start_dim=1), average_NK], dim=1)


class CnnDnn(nn.Module):
    """The two-level net from whole images to one decision: tiles, local nets, coarse net.

    Args:
        tiles: name and slices of every tile, from :meth:`ddcnn.tiles.geometry.Tiling.tiles`.
        nets: the local net of every subdomain, in the order of the decomposition; one more than
            tiles where the last one sees the coarse view.
        coarse: the coarse net; None where the image is one tile, whose net decides alone.
        kind: what the coarse net sees, see :func:`coarse_input`.
        task: of the data set.
        shape: spatial axes of an image.
        mean, std: per channel, from the data card: of pixels / white.
        white: value of white: 255 for images, 1 for signals.
    """

    def __init__(
        self,
        tiles: Mapping[str, tuple[slice, ...]],
        nets: Sequence[nn.Module],
        coarse: CoarseNet | None,
        kind: str,
        task: Task,
        shape: Sequence[int],
        mean: Sequence[float],
        std: Sequence[float],
        white: int,
    ) -> None:
        super().__init__()
        self.tiles = list(tiles.values())
        self.nets = nn.ModuleList(nets)
        self.coarse = coarse
        self.kind, self.task, self.white = kind, task, white
        std = torch.tensor(std)
        ones = [1] * len(shape)
        self.register_buffer("scale", (1 / (white * std)).view(-1, *ones), persistent=False)
        self.register_buffer(
            "offset", (-torch.tensor(mean) / std).view(-1, *ones), persistent=False
        )
        if len(nets) > len(self.tiles):
            tile_shape = [
                len(range(*s.indices(n))) for s, n in zip(self.tiles[0], shape, strict=True)
            ]
            matrix, dtype = area_weights, np.float32
            if white == 255:  # whole numbers, in whose sums nothing is lost
                matrix, dtype = area_counts, exact_type(shape)
            for axis, sizes in enumerate(zip(shape, tile_shape, strict=True)):
                weights = torch.from_numpy(matrix(*sizes).astype(dtype))
                self.register_buffer(f"resample{axis}", weights, persistent=False)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits or standardised targets ``N, K`` of images ``N, C, *spatial``, not normalised."""
        return self.decide(*self.local_outputs(pixels))

    def local_outputs(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Outputs ``N, T, K`` of the local nets and, if the coarse net sees them, features."""
        parts = zip(range(len(self.nets)), self.subdomains(pixels), strict=True)
        outputs = [self.local_output(index, x) for index, x in parts]
        return stacked(outputs)

    def local_output(self, index: int, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Outputs ``N, K`` and features ``N, F`` (or None) of a local net; ``x`` is normalised."""
        net = self.nets[index]
        if self.kind != "features":
            return net(x), None
        features, output = last_features(net, x)
        return output, features

    def decide(
        self, outputs_NTK: torch.Tensor, features_NTF: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Logits or standardised targets ``N, K`` from what the local nets say."""
        if self.coarse is None:
            return outputs_NTK[:, 0]
        rows = coarse_input(outputs_NTK, self.kind, self.task, features_NTF)
        return self.coarse(rows.to(self.coarse.shift.dtype))

    def subdomains(self, pixels: torch.Tensor) -> Iterator[torch.Tensor]:
        """What every local net sees: float ``N, C, *tile_shape``, normalised."""
        # One at a time: without gradients no more than one of them is in memory.
        for box in self.tiles:
            # Channels stay last in memory, which the CPU kernels like.
            yield self.normalised(pixels[(slice(None), slice(None), *box)])
        if len(self.nets) > len(self.tiles):
            yield self.normalised(self._coarse_view(pixels))

    def normalised(self, part: torch.Tensor) -> torch.Tensor:
        """Pixels ``N, C, *spatial`` with the mean and spread of the training split taken out."""
        return part * self.scale + self.offset

    def _coarse_view(self, pixels: torch.Tensor) -> torch.Tensor:
        """The image in the size of a tile: :func:`ddcnn.tiles.geometry.resample`, to the bit."""
        kind = pixels.device.type
        if torch.is_autocast_enabled(kind):  # its products would be of bfloat16
            with torch.autocast(kind, enabled=False):
                return self._coarse_view(pixels)
        out = pixels.to(self.resample0.dtype)
        for axis in range(pixels.ndim - 2):
            weights = getattr(self, f"resample{axis}")
            out = torch.tensordot(out, weights, dims=([axis + 2], [1])).movedim(-1, axis + 2)
        if self.white == 255:
            out = (out / math.prod(pixels.shape[2:])).round()
        return out.to(pixels.dtype)


def stacked(
    outputs: Sequence[tuple[torch.Tensor, torch.Tensor | None]],
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """What :meth:`CnnDnn.local_output` gives for every net, as ``N, T, K`` and ``N, T, F``."""
    outputs_NTK = torch.stack([output for output, _ in outputs], dim=1)
    if outputs[0][1] is None:
        return outputs_NTK, None
    return outputs_NTK, torch.stack([features for _, features in outputs], dim=1)
