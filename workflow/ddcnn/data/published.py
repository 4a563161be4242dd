"""Readers of data sets as they are published.

A reader gets the files of ``raw``, the options, and an empty folder for what it unpacks, and
returns a :class:`~ddcnn.data.samples.Collection`.
"""

import hashlib
import struct
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from ddcnn.base.errors import InputError
from ddcnn.data import arrays, folders, own
from ddcnn.data.archives import Content, unpack
from ddcnn.data.labelled import LabelledFiles, kind_of
from ddcnn.data.options import ReadOptions
from ddcnn.data.samples import ArraySamples, Collection
from ddcnn.data.series import read_series

BLOCK_IMAGES = 5_000
MOST_IDX_BYTES = 2**30


def read_own(raw: list[Path], options: ReadOptions, scratch: Path) -> Collection:
    """People's own data, whatever kind the path is of."""
    return own.reader(own.recognise(raw[0]))(raw, options)


def read_arrays(raw: list[Path], options: ReadOptions, scratch: Path) -> Collection:
    """One archive of arrays, as MedMNIST and the embedded data set come."""
    return arrays.read_arrays(raw, options)


def read_idx(
    raw: list[Path],
    options: ReadOptions,
    scratch: Path,
    contents: Mapping[str, str] | None = None,
) -> Collection:
    """MNIST's format: images and labels of train, then of test, each a compressed ``idx`` file.

    Args:
        contents: SHA-256 of the unpacked files, by the names of the packed ones.
    """
    for path in raw:
        _check_content(path, (contents or {}).get(path.name))
    splits = {}
    for split, (x, y) in {"train": raw[:2], "test": raw[2:]}.items():
        labels = np.concatenate(list(_idx_blocks(y, axes=1))).astype(np.int64)
        splits[split] = ArraySamples(labels, partial(_idx_blocks, x, axes=3), x.name)
    highest = max(int(samples.labels.max()) for samples in splits.values())
    return Collection([str(k) for k in range(highest + 1)], splits)


def _check_content(path: Path, sha256: str | None) -> None:
    """Packing the same content again gives other bytes, for which no checksum is published."""
    digest = hashlib.sha256()
    with Content(path, MOST_IDX_BYTES) as file:
        while sha256 and (block := file.read(2**20)):
            digest.update(block)
    if sha256 not in (None, digest.hexdigest()):
        raise InputError(
            f"{path} holds other content than the published file (SHA-256 {digest.hexdigest()}, "
            f"expected {sha256}); delete it and get it again"
        )


def _idx_blocks(path: Path, axes: int) -> Iterator[np.ndarray]:
    """Blocks of an idx file of bytes; images get a channel axis."""
    with Content(path, MOST_IDX_BYTES) as file:
        header = file.read(4 + 4 * axes)
        if len(header) < 4 + 4 * axes or header[:4] != bytes([0, 0, 8, axes]):
            raise InputError(f"{path} is no idx file of bytes with {axes} axes; get it again")
        num_items, *shape = struct.unpack(f">{axes}I", header[4:])
        shape += [1] if axes > 1 else []
        for first in range(0, num_items, BLOCK_IMAGES):
            count = min(BLOCK_IMAGES, num_items - first)
            yield _exactly(path, file, count * int(np.prod(shape))).reshape(count, *shape)
        if file.read(1):
            raise InputError(f"{path} is longer than its header says; get it again")


def _exactly(path: Path, file: Content, num_bytes: int) -> np.ndarray:
    content = file.read(num_bytes)
    if len(content) != num_bytes:
        raise InputError(f"{path} is shorter than its header says; get it again")
    return np.frombuffer(content, np.uint8)


def read_cifar(
    raw: list[Path], options: ReadOptions, scratch: Path, label_bytes: int, classes_file: str
) -> Collection:
    """CIFAR's binary version: rows of label bytes (the last counts) and three 32 x 32 planes.

    Args:
        label_bytes: 1 for CIFAR-10; 2 for CIFAR-100, coarse and fine.
        classes_file: text file of the class names in the archive.
    """
    folder = unpack(raw[0], scratch / "cifar")
    found = {path.name: path for path in folder.rglob("*") if path.is_file()}
    if classes_file not in found:
        raise InputError(f"{raw[0]} lacks the file {classes_file}; it is not the binary version")
    classes = found[classes_file].read_text(encoding="utf-8").split()
    parts = {
        "train": sorted(n for n in found if n.startswith(("data_batch_", "train")) and _is_bin(n)),
        "test": sorted(n for n in found if n.startswith("test") and _is_bin(n)),
    }
    splits = {}
    for split, names in parts.items():
        if not names:
            raise InputError(f"{raw[0]} has no .bin file of the {split} split")
        rows = [_cifar_rows(found[name], label_bytes) for name in names]
        labels = np.concatenate([part[:, label_bytes - 1] for part in rows]).astype(np.int64)
        if labels.max() >= len(classes):
            raise InputError(
                f"{raw[0]}: label {labels.max()}, but {len(classes)} classes are named"
            )
        splits[split] = ArraySamples(labels, partial(_cifar_blocks, rows, label_bytes), raw[0].name)
    return Collection(classes, splits)


def _is_bin(name: str) -> bool:
    return name.endswith(".bin")


def _cifar_rows(path: Path, label_bytes: int) -> np.ndarray:
    row = label_bytes + 3072
    if path.stat().st_size == 0 or path.stat().st_size % row:
        raise InputError(f"{path.name} has {path.stat().st_size} bytes, no multiple of {row}")
    return np.memmap(path, np.uint8, "r").reshape(-1, row)


def _cifar_blocks(rows: list[np.ndarray], label_bytes: int) -> Iterator[np.ndarray]:
    for part in rows:
        for first in range(0, len(part), BLOCK_IMAGES):
            planes = part[first : first + BLOCK_IMAGES, label_bytes:].reshape(-1, 3, 32, 32)
            yield np.moveaxis(planes, 1, -1)


def read_flowers(raw: list[Path], options: ReadOptions, scratch: Path) -> Collection:
    """TF-Flowers: ``flower_photos/<class>/*.jpg``, without a split."""
    folder = unpack(raw[0], scratch / "flowers") / "flower_photos"
    if not folder.is_dir():
        raise InputError(f"{raw[0]} has no folder flower_photos; it is another archive")
    return folders.read_folder([folder], options)


def read_yale(raw: list[Path], options: ReadOptions, scratch: Path) -> Collection:
    """Extended Yale B, cropped: a folder per person, without ``*_Ambient.pgm`` and ``*.bad``."""
    folder = unpack(raw[0], scratch / "yale")
    paths = [p for p in folder.rglob("yaleB*/*.pgm") if not p.name.endswith("_Ambient.pgm")]
    return _people(paths, folder, raw[0], options)


def read_orl(raw: list[Path], options: ReadOptions, scratch: Path) -> Collection:
    """ORL faces: ``sN/M.pgm`` below a folder, a folder per person."""
    return _people(list(raw[0].glob("s[0-9]*/*.pgm")), raw[0], raw[0], options)


def _people(paths: list[Path], folder: Path, source: Path, options: ReadOptions) -> Collection:
    """Images below ``folder``, each in the folder of a person."""
    if not paths:
        raise InputError(f"{source} holds no images in folders of people; it is another archive")
    files = LabelledFiles(folder, source)
    for path in sorted(path for path in paths if not path.name.startswith(".")):
        files.add("all", str(path.relative_to(folder)), path.parent.name)
    return files.collection(options)


def read_ts(
    raw: list[Path], options: ReadOptions, scratch: Path, targets: tuple[str, ...] = ()
) -> Collection:
    """Time series, a ``.ts`` file of train and one of test.

    A series of train that repeats one of test, or an earlier one of train, is left out: what a
    test asks must not have been learned.

    Args:
        targets: name of the target of a regression; none for classes.
    """
    splits, classes, seen, notes = {}, [], set(), []
    for split, path in (("test", raw[1]), ("train", raw[0])):
        x, texts, classes = read_series(path)
        y = _targets(path, texts) if targets else _classes(path, texts, classes)
        kept = _first_ones(x, set() if split == "test" else seen)
        seen |= {each.tobytes() for each in x}
        if split == "train" and len(kept) < len(x):
            notes.append(f"{len(x) - len(kept)} series of train that repeat others are left out")
            x, y = x[kept], y[kept]
        splits[split] = ArraySamples(y, partial(iter, [x]), path.name)
    splits = {split: splits[split] for split in ("train", "test")}
    return Collection(classes, splits, notes, targets=list(targets))


def _first_ones(x: np.ndarray, seen: set[bytes]) -> np.ndarray:
    """Places of the series that are neither in ``seen`` nor repeat an earlier one."""
    contents = [each.tobytes() for each in x]
    first = {content: place for place, content in reversed(list(enumerate(contents)))}
    return np.array(sorted(p for content, p in first.items() if content not in seen), np.int64)


def _targets(path: Path, texts: list[str]) -> np.ndarray:
    try:
        return np.array(texts, np.float32)[:, None]
    except ValueError as error:
        raise InputError(f"{path} has a target that is no number ({error})") from error


def _classes(path: Path, texts: list[str], classes: list[str]) -> np.ndarray:
    unknown = sorted(set(texts) - set(classes))
    if unknown:
        raise InputError(f"{path} has the class {unknown[0]!r}, which its header does not name")
    return np.array([classes.index(text) for text in texts], np.int64)


def read_scans(
    raw: list[Path], options: ReadOptions, scratch: Path, names: tuple[str, str]
) -> Collection:
    """Chest CT: two archives of NIfTI scans, one for each class, CT-0 and CT-23.

    The Keras example trains on the first 70 scans of each class and validates on the last 30. We
    keep its 70 %, by name, and divide the others at random, with the recorded seed, into
    validation and test, half of each.

    Args:
        names: of the two classes, in the order of the archives.
    """
    rng = np.random.default_rng(options.split_seed)
    files = LabelledFiles(scratch, raw[0].parent)
    for archive, name in zip(raw, names, strict=True):
        folder = unpack(archive, scratch / name)
        # macOS puts a file ._NAME beside each NAME.
        scans = [p for p in folder.rglob("*") if kind_of(p.name) == "volumes" and p.name[0] != "."]
        if not scans:
            raise InputError(f"{archive} holds no NIfTI scans (.nii, .nii.gz); get it again")
        num_train = round(0.7 * len(scans))
        later = rng.permutation(len(scans) - num_train) % 2
        for index, path in enumerate(sorted(scans)):
            split = "train" if index < num_train else ("val", "test")[later[index - num_train]]
            files.add(split, str(path.relative_to(scratch)), name)
    return files.collection(options)
