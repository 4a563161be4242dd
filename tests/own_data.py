"""Small real files for the tests of people's own data, and the readers in one call."""

import hashlib
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image

from ddcnn.data import own
from ddcnn.data.options import ReadOptions
from ddcnn.data.samples import Collection, LabelledImages

CT = {"window": (-1000.0, 400.0)}


def read(path: Path, **options) -> Collection:
    """What the reader of the recognised kind makes of ``path``."""
    return own.reader(own.recognise(path))([path], ReadOptions(**options))


def decoded(samples: LabelledImages) -> np.ndarray:
    """All images of a stream; every one must be readable."""
    chunks = list(samples.chunks())
    assert not [item for chunk in chunks for item in chunk.unreadable]
    return np.concatenate([chunk.images for chunk in chunks])


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    """Noise, uint8."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def smooth(rows: int, columns: int) -> np.ndarray:
    """A picture without sharp edges, uint8 ``rows, columns, 3``: what JPEG keeps well."""
    y, x = np.mgrid[:rows, :columns]
    waves = [np.sin(x / 9) * 90, np.cos(y / 7) * 90, np.sin((x + y) / 11) * 90]
    return (np.stack(waves, axis=-1) + 128).astype(np.uint8)


def save(path: Path, array: np.ndarray, **options) -> Path:
    """Write an image, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def save_volume(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> Path:
    """Write a NIfTI volume in its own type, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.Nifti1Image(array, np.eye(4) if affine is None else affine).to_filename(path)
    return path


def class_folders(folder: Path, classes=("cat", "dog"), count: int = 5, shape=(8, 8)) -> Path:
    """A folder per class with ``count`` gray PNGs each."""
    for number, name in enumerate(classes):
        for i in range(count):
            save(folder / name / f"{i}.png", pixels(*shape, seed=100 * number + i))
    return folder


def table(folder: Path, text: str, name: str = "labels.csv") -> Path:
    """A CSV beside the images a0.png .. a4.png and b0.png .. b4.png."""
    for i in range(10):
        save(folder / f"{'ab'[i // 5]}{i % 5}.png", pixels(8, 8, seed=i))
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def good_rows(separator: str = ",") -> str:
    """Ten rows for the images of :func:`table`."""
    return "".join(f"{c}{i}.png{separator}class {c}\n" for c in "ab" for i in range(5))


def snapshot(folder: Path) -> dict[str, tuple]:
    """Name, kind, time and content of everything below a folder."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mode,
            path.lstat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in [folder, *sorted(folder.rglob("*"))]
    }
