"""The nets that the benchmarks train, on random pixels: what is in an image changes no time."""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ddcnn.nets import local_width
from ddcnn.tiles.geometry import Tiling

CLASSES = 10
MEAN, STD = 0.5, 0.29  # of uniformly distributed pixels


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        name: for tables.
        model, width: see :func:`ddcnn.nets.build`.
        shape: spatial axes and channels of an image.
        images: of one epoch, whole batches.
        batch: images of a step.
        held: further images that only take memory.
        classes: number of classes K.
    """

    name: str
    model: str
    width: int
    shape: tuple[int, ...]
    images: int
    batch: int
    held: int = 0
    classes: int = CLASSES

    @classmethod
    def of_tile(cls, job: "Job", grid: str, images: int | None = None) -> "Job":
        """The local net of one tile, without overlap, its width by the proportional rule."""
        tiling = Tiling.of("blocks", grid)
        shape = (*tiling.tile_shape(job.shape[:-1]), job.shape[-1])
        width = local_width(job.width, tiling.num_tiles)
        return replace(job, name=grid, shape=shape, width=width, images=images or job.images)

    @property
    def words(self) -> str:
        pixels = "x".join(map(str, self.shape))
        return f"{pixels}, {self.model} width {self.width}"

    def quick(self) -> "Job":
        """Two steps: whether it works."""
        batch = min(self.batch, 16)
        return replace(self, images=2 * batch, batch=batch, held=min(self.held, 100))

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def samples(self) -> tuple[np.ndarray, np.ndarray]:
        """Pixels uint8 ``N, *spatial, C`` and labels int64 ``N``."""
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 256, (self.images, *self.shape), np.uint8)
        return pixels, rng.integers(0, self.classes, self.images)

    @property
    def held_bytes(self) -> int:
        return self.held * math.prod(self.shape)


# Epochs of one to five seconds.
GLOBAL_GREY = Job("global, 2D, grey", "vgg", 32, (28, 28, 1), 640, 128)
GLOBAL_COLOUR = Job("global, 2D, colour", "vgg", 32, (32, 32, 3), 640, 128)
GLOBAL_3D = Job("global, 3D", "ct3d-same", 16, (64, 64, 32, 1), 48, 16)
LOCAL_GREY = replace(Job.of_tile(GLOBAL_GREY, "2x2", 6144), name="local, 2D, grey")
LOCAL_COLOUR = replace(Job.of_tile(GLOBAL_COLOUR, "2x2", 4096), name="local, 2D, colour")
LOCAL_3D = replace(Job.of_tile(GLOBAL_3D, "2x2x2", 512), name="local, 3D")
