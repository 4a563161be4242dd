"""SYNTHETIC pictures with and without a focal lesion, for the lesson: they say nothing of medicine.

    python docs/examples/focal_lesion.py build/focal-lesion

writes ``pictures.npz`` and, to look at, one test picture of each class. Every picture has 48 x 48
gray pixels of smooth tissue with thin bright vessels and noise. Three in ten also show one soft
bright ball of 7 to 9 pixels, the lesion, anywhere. The rest of a picture says nothing of it: a tile
without the lesion cannot tell the class.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

SIDE = 48  # pixels
IMAGES = {"train": 1400, "val": 400, "test": 1000}
SHARE = 0.3  # of the pictures that show a lesion


def picture(rng: np.random.Generator, has_lesion: bool) -> np.ndarray:
    """One picture, uint8 ``SIDE, SIDE``."""
    image = 90 + 25 * _smooth(rng, 6)
    for _ in range(4):
        image = np.maximum(image, 190 * _vessel(rng))
    if has_lesion:
        row, column = rng.uniform(6, SIDE - 6, 2)
        y, x = np.ogrid[:SIDE, :SIDE]
        distance = np.hypot(y - row, x - column)
        image += 90 / (1 + np.exp((distance - rng.uniform(3.5, 4.5)) / 0.7))
    return np.clip(image + rng.normal(0, 12, image.shape), 0, 255).astype(np.uint8)


def _smooth(rng: np.random.Generator, width: float) -> np.ndarray:
    field = gaussian_filter(rng.normal(size=(SIDE, SIDE)), width, mode="wrap")
    return field / field.std()


def _vessel(rng: np.random.Generator) -> np.ndarray:
    """A straight line across the picture, 0 to 1, about two pixels wide."""
    y, x = np.mgrid[:SIDE, :SIDE]
    angle = rng.uniform(0, np.pi)
    across = (x - rng.uniform(0, SIDE)) * np.cos(angle) + (y - rng.uniform(0, SIDE)) * np.sin(angle)
    return np.exp(-(across**2))


def main(folder: Path) -> None:
    """Write ``x_{split}`` and ``y_{split}`` of all splits into one file, and two pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in IMAGES.items():
        labels = (np.arange(count) < round(SHARE * count)).astype(np.int64)
        arrays[f"x_{split}"] = np.stack([picture(rng, bool(label)) for label in labels])
        arrays[f"y_{split}"] = labels
    np.savez_compressed(folder / "pictures.npz", **arrays)
    Image.fromarray(arrays["x_test"][0]).save(folder / "lesion.png")
    Image.fromarray(arrays["x_test"][-1]).save(folder / "healthy.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
