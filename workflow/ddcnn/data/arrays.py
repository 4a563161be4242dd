"""Data sets that come as one ``.npz`` of arrays.

Either ``x_train, y_train, x_val, y_val, x_test, y_test``, or ``x, y`` without a split; images
are uint8 ``N, *spatial`` (gray) or ``N, *spatial, C`` with one to four channels, labels are
integers from 0; ``classes`` (text) is optional. Nothing is unpickled.
"""

import zipfile
from pathlib import Path

import numpy as np

from ddcnn.errors import InputError
from ddcnn.files import read_npz

SPLITS = ("train", "val", "test")
MOST_CHANNELS = 4


def image_shape(path: Path) -> tuple[int, ...]:
    """Spatial axes and channels of one image, from the header alone."""
    try:
        with zipfile.ZipFile(path) as archive:
            key = "x" if "x.npy" in archive.namelist() else "x_train"
            with archive.open(f"{key}.npy") as member:
                version = np.lib.format.read_magic(member)
                read_header = {
                    (1, 0): np.lib.format.read_array_header_1_0,
                    (2, 0): np.lib.format.read_array_header_2_0,
                }[version]
                shape, _, dtype = read_header(member)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    # zipfile, zlib and NumPy raise a dozen kinds of exceptions for damaged files.
    except Exception as error:
        raise InputError(
            f"{path} is not an .npz with the arrays x_train, y_train, ... or x, y ({error})"
        ) from error
    _check_images(path, key, shape, dtype)
    return with_channels(shape)[1:]


def with_channels(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of images with the channel axis that gray images may lack.

    The last axis counts as channels if it is short and at least two others are left.
    """
    return shape if len(shape) > 3 and shape[-1] <= MOST_CHANNELS else (*shape, 1)


def _check_images(path: Path, key: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
    if dtype != np.uint8:
        raise InputError(f"{path}: {key} has the type {dtype}; accepted: uint8 (0 to 255)")
    if len(with_channels(shape)) not in (4, 5):
        raise InputError(
            f"{path}: {key} has the shape {shape}; accepted: N, rows, columns(, slices)(, channels)"
        )


def read_arrays(path: Path) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], list[str]]:
    """Images uint8 ``N, *spatial, C`` and labels int64 ``N`` of every split in the file.

    Returns:
        The splits (``all`` where the file has none), and the names of the classes.
    """
    content = read_npz(path)
    keys = {"all": ("x", "y")} if "x" in content else {s: (f"x_{s}", f"y_{s}") for s in SPLITS}
    missing = [key for pair in keys.values() for key in pair if key not in content]
    if missing:
        raise InputError(f"{path} lacks the arrays {', '.join(missing)}")
    splits = {s: _checked(path, content, *pair) for s, pair in keys.items()}
    _check_equal_shapes(path, splits)
    highest = max(int(labels.max()) for _, labels in splits.values())
    classes = [str(name) for name in content.get("classes", range(highest + 1))]
    if highest >= len(classes):
        raise InputError(f"{path}: label {highest}, but only {len(classes)} classes are named")
    return splits, classes


def _check_equal_shapes(path: Path, splits: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    shapes = {f"x_{split}": images.shape[1:] for split, (images, _) in splits.items()}
    if len(set(shapes.values())) > 1:
        found = ", ".join(f"{key} {shape}" for key, shape in shapes.items())
        raise InputError(f"{path}: images of the splits differ in shape ({found})")


def _checked(
    path: Path, content: dict[str, np.ndarray], x_key: str, y_key: str
) -> tuple[np.ndarray, np.ndarray]:
    images, labels = content[x_key], content[y_key]
    _check_images(path, x_key, images.shape, images.dtype)
    if labels.ndim != 1 or len(labels) != len(images):
        raise InputError(f"{path}: {len(images)} images in {x_key}, but {y_key} is {labels.shape}")
    if not len(labels) or not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0:
        raise InputError(f"{path}: {y_key} must hold at least one label, integers from 0")
    return images.reshape(with_channels(images.shape)), labels.astype(np.int64)
