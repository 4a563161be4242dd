"""What a net is trained on: images, signals or volumes, and vectors, all on the device.

The data of one job is small, so it stays on the device as stored (uint8 or, of signals, float32),
and batches are gathered by index: no loader processes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch

from ddcnn.nets.kernels.door import gather_images

# Makes the generator, of the samples' device, of what is random in a batch, where anything is.
Random = Callable[[], torch.Generator]


class Samples(Protocol):
    """Samples that live on the device."""

    # int64 N, or standardised targets float32 N, M; none where only predictions are wanted
    labels: torch.Tensor | None

    def __len__(self) -> int: ...

    def inputs(self, index: torch.Tensor) -> torch.Tensor:
        """Inputs of the net for the samples ``index``, as they are."""
        ...

    def training_inputs(self, index: torch.Tensor, random: Random) -> torch.Tensor:
        """These inputs with random augmentation."""
        ...


@dataclass
class Images:
    """Images or signals ``N, *spatial, C`` that become normalised float ``N, C, *spatial``.

    Attributes:
        pixels: uint8 (images) or float32 (signals) ``N, *spatial, C`` on the device.
        labels: int64 ``N`` or standardised targets float32 ``N, M`` on the device, or None.
        mean, std: per channel, of uint8 pixels / 255, of float values as they are.
        flip: spatial axes (0 = rows) along which an image may be mirrored.
        shift: largest random shift in pixels, edges repeated.
        normalise: False leaves the values as they are; the net then does it itself.
    """

    pixels: torch.Tensor
    labels: torch.Tensor | None
    mean: Sequence[float]
    std: Sequence[float]
    flip: Sequence[int] = ()
    shift: int = 0
    normalise: bool = True

    def __post_init__(self) -> None:
        # (x / 255 - mean) / std as one multiplication and one addition.
        white = 255 if self.pixels.dtype == torch.uint8 else 1
        std = torch.tensor(self.std, device=self.pixels.device)
        mean = torch.tensor(self.mean, device=self.pixels.device)
        self._scale, self._offset = 1 / (white * std), -mean / std
        # One factor for every number of a row: torch is slow with factors that repeat in a row.
        width = self.pixels.shape[-2]
        self._scales, self._offsets = self._scale.repeat(width), self._offset.repeat(width)

    def __len__(self) -> int:
        return len(self.pixels)

    def subset(self, index: torch.Tensor) -> "Images":
        """The images ``index``."""
        return replace(self, pixels=self.pixels[index], labels=self.labels[index])

    def joined(self, other: "Images") -> "Images":
        """These images, and after them the other ones."""
        pixels = torch.cat([self.pixels, other.pixels])
        return replace(self, pixels=pixels, labels=torch.cat([self.labels, other.labels]))

    def inputs(self, index: torch.Tensor) -> torch.Tensor:
        if self.normalise:
            x = gather_images(self.pixels, index, self._scale, self._offset)
            if x is not None:
                return x.movedim(-1, 1)
        return self._normalise(self.pixels.index_select(0, index))

    def training_inputs(self, index: torch.Tensor, random: Random) -> torch.Tensor:
        if not (self.flip or self.shift):
            return self.inputs(index)
        return self._normalise(self._augment(self.pixels.index_select(0, index), random()))

    def _normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        x = pixels.float().contiguous()
        if self.normalise:
            x.flatten(start_dim=-2).mul_(self._scales).add_(self._offsets)
        # Channels first for torch, still channels last in memory, which its CPU kernels like.
        return x.movedim(-1, 1)

    def _augment(self, pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        for axis in self.flip:
            chance = torch.rand(len(pixels), generator=generator, device=pixels.device)
            mirrored = (chance < 0.5).view(-1, *(1 for _ in pixels.shape[1:]))
            pixels = torch.where(mirrored, pixels.flip(axis + 1), pixels)
        if self.shift:
            for axis in range(1, pixels.ndim - 1):
                pixels = _shift(pixels, axis, self.shift, generator)
        return pixels


def _shift(x: torch.Tensor, axis: int, most: int, generator: torch.Generator) -> torch.Tensor:
    """Every image moved by its own random number of pixels along ``axis``, edges repeated."""
    size = x.shape[axis]
    moves = torch.randint(-most, most + 1, (len(x), 1), generator=generator, device=x.device)
    source = (torch.arange(size, device=x.device) + moves).clamp_(0, size - 1)
    source = source.view(len(x), *[size if a == axis else 1 for a in range(1, x.ndim)])
    return x.gather(axis, source.expand_as(x))


@dataclass
class Features:
    """Float vectors ``N, F``: what the coarse net sees."""

    values: torch.Tensor
    labels: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.values)

    def inputs(self, index: torch.Tensor) -> torch.Tensor:
        return self.values[index]

    def training_inputs(self, index: torch.Tensor, random: Random) -> torch.Tensor:
        return self.values[index]

    def subset(self, index: torch.Tensor) -> "Features":
        """The samples ``index``."""
        return Features(self.values[index], self.labels[index])


def generator_of(*numbers: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A random generator that depends on nothing but these numbers and the kind of device."""
    seed = 0
    for number in numbers:  # a linear congruential step mixes each number in
        seed = (seed * 6364136223846793005 + number + 1442695040888963407) % 2**63
    # A CPU's generator takes no more of a seed: what is another seed is so on every device.
    return torch.Generator(device).manual_seed(seed % 2**32)
