"""The stages download and prepare: from published files to arrays and a card.

Images stream through in chunks of bounded size: memory does not grow with the number of images.
Whatever is wrong with a file is found here, before anything is trained.
"""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from ddcnn.base.disk import disk_errors
from ddcnn.base.errors import InputError
from ddcnn.base.files import read_json, write_json, write_npy
from ddcnn.base.logs import NOTICE
from ddcnn.base.splits import SPLITS
from ddcnn.data.card import (
    MOST_NAMES,
    Looks,
    PixelStatistics,
    ValueStatistics,
    count_classes,
    duplicates_across,
    statistics_of,
)
from ddcnn.data.download import fetch_all, file_sha256
from ddcnn.data.groups import check_enough
from ddcnn.data.labels import check_targets
from ddcnn.data.listing import Part, write_samples
from ddcnn.data.notices import Notices
from ddcnn.data.options import ReadOptions
from ddcnn.data.registry import AXES, Dataset, dataset_of
from ddcnn.data.samples import MOST_UNREADABLE, Chunk, Collection, LabelledImages, Unreadable
from ddcnn.data.splitting import choose_splits

log = logging.getLogger(__name__)


def download(entry: str | dict[str, Any], manifest: str | Path) -> None:
    """Bring a data set's files beside ``manifest``, verified, and list them there."""
    dataset, folder = dataset_of(entry), Path(manifest).parent
    if dataset.phantoms is not None:
        folder.mkdir(parents=True, exist_ok=True)
        files = [
            {"path": path.name, "bytes": path.stat().st_size, "sha256": file_sha256(path)}
            for path in dataset.phantoms.write(folder)
        ]
    else:
        dataset.remember_state(folder)  # before: what changes meanwhile is seen by the next run
        files = fetch_all(dataset.files, folder)
    write_json(manifest, {"dataset": dataset.name, "source": dataset.source, "files": files})


def prepare(entry: str | dict[str, Any], manifest: str | Path, card: str | Path) -> None:
    """Write ``x_{split}.npy``, ``y_{split}.npy``, ``samples.csv`` and ``card.json``.

    Images are uint8 ``N, *spatial, C`` (signals: float32), labels int64 ``N``, or for regression
    targets float32 ``N, M``.

    Raises:
        InputError: files that do not hold what the data set promises; nothing is written then.
    """
    dataset, folder = dataset_of(entry), Path(card).parent
    raw = [Path(manifest).parent / file["path"] for file in read_json(manifest)["files"]]
    with _scratch_folder(folder) as scratch:
        collection = dataset.read(raw, scratch)
        if collection.groups:
            labels = {split: samples.labels for split, samples in collection.splits.items()}
            check_enough(collection.groups, labels, collection.classes, dataset.source)
        choices = _choices(collection, dataset.options)
        is_train = {source: choice == SPLITS.index("train") for source, choice in choices.items()}
        settled = collection.settled(is_train)
        chosen = [] if settled is collection else [settled.facts["intensity"]["why"]]
        collection = settled
        for note in collection.notes + chosen:
            log.log(NOTICE, "note: %s", note)
        notices = Notices()
        written = _write_splits(collection, choices, dataset.unreadable, scratch, notices)
        collection.warnings.extend(notices.warnings())
        _check_splits(dataset.name, written)
        if collection.task == "classification":
            _check_classes(dataset.name, collection.classes, written)
        else:
            _check_targets(dataset.name, collection.targets, written)
        content = _card(dataset, collection, written)
        if notices.trained:
            content["values"] = notices.trained
        for warning in content["warnings"]:
            log.warning("warning: %s", warning)
        for split, arrays in written.items():
            os.replace(arrays.path, folder / f"x_{split}.npy")
            write_npy(folder / f"y_{split}.npy", arrays.labels())
    write_samples(
        folder / "samples.csv",
        {split: arrays.parts for split, arrays in written.items()},
        collection,
    )
    content["checksums"] = {
        name: f"sha256:{file_sha256(folder / name)}"
        for name in (*(f"{x}_{split}.npy" for split in SPLITS for x in "xy"), "samples.csv")
    }
    write_json(card, content)


@contextmanager
def _scratch_folder(folder: Path) -> Iterator[Path]:
    """A folder on the same disk as the results, for unpacked archives; removed in any case."""
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(".prepare-*.partial"):  # of a job that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        scratch = Path(tempfile.mkdtemp(prefix=".prepare-", suffix=".partial", dir=folder))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@dataclass
class SplitWriter:
    """One split's images, written as they come; what is known of them besides."""

    path: Path
    parts: list[Part] = field(default_factory=list)
    hash_parts: list[np.ndarray] = field(default_factory=list)
    statistics: PixelStatistics | ValueStatistics | None = None
    looks: Looks = field(default_factory=Looks)
    shape: tuple[int, ...] = ()
    dtype: np.dtype = np.dtype(np.uint8)  # noqa: RUF009, a type cannot be changed

    def append(self, images: np.ndarray, part: Part) -> None:
        """Add images ``n, *spatial, C``, uint8 or float32, and say where they are from."""
        if not self.shape:
            self.shape, self.dtype = images.shape[1:], images.dtype
            self.statistics = statistics_of(images.dtype)
            self.path.write_bytes(b"")
            self._write_header(0)
        if images.shape[1:] != self.shape:
            raise InputError(
                f"{part.samples.name(int(part.index[0]))} has the shape {images.shape[1:]}, the "
                f"images before it {self.shape}; give the data set a shape"
            )
        images = np.ascontiguousarray(images)
        with disk_errors(self.path), self.path.open("ab") as file:
            file.write(images.data)
        self.parts.append(part)
        self.hash_parts.append(np.array([_hash(image) for image in images], np.uint64))
        self.statistics.add(images)
        self.looks.add(images)

    def finish(self) -> None:
        """Put the final number of images into the header."""
        if self.shape:
            self._write_header(len(self.labels()))

    def labels(self) -> np.ndarray:
        """int64 ``N``, or targets float32 ``N, M``."""
        parts = [part.samples.labels[part.index] for part in self.parts]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def hashes(self) -> np.ndarray:
        """uint64 ``N``, of every image's pixels."""
        return np.concatenate([np.empty(0, np.uint64), *self.hash_parts])

    def name(self, position: int) -> str:
        """What messages call the image at ``position`` of this split."""
        for part in self.parts:
            if position < len(part.index):
                return part.samples.name(int(part.index[position]))
            position -= len(part.index)
        raise IndexError(position)

    def _write_header(self, num_images: int) -> None:
        # numpy pads the header so that the first axis can grow in place.
        with self.path.open("r+b") as file:
            np.lib.format.write_array_header_1_0(
                file,
                {
                    "descr": np.lib.format.dtype_to_descr(self.dtype),
                    "fortran_order": False,
                    "shape": (num_images, *self.shape),
                },
            )


def _hash(image: np.ndarray) -> int:
    return int.from_bytes(blake2b(image, digest_size=8).digest(), "little")


def _choices(collection: Collection, options: ReadOptions) -> dict[str, np.ndarray]:
    """For every split of a source the index in :data:`SPLITS` where each of its images goes."""
    has_val, groups = "val" in collection.splits, collection.groups
    return {
        source: choose_splits(
            source, samples.labels, has_val, options, groups.ids[source] if groups else None
        )
        for source, samples in collection.splits.items()
    }


def _write_splits(
    collection: Collection,
    choices: dict[str, np.ndarray],
    unreadable: str,
    scratch: Path,
    notices: Notices,
) -> dict[str, SplitWriter]:
    """Stream every image into the file of its split, below ``scratch``."""
    writers = {split: SplitWriter(scratch / f"x_{split}.npy") for split in SPLITS}
    left_out: list[Unreadable] = []
    for source, samples in collection.splits.items():
        choice = choices[source]
        for chunk in samples.chunks():
            left_out += chunk.unreadable
            if unreadable == "error" and left_out:
                raise InputError(f"{left_out[0].reason} (unreadable: skip leaves such files out)")
            notices.add(samples, chunk, choice[chunk.index] == SPLITS.index("train"))
            for split, writer in writers.items():
                _append(writer, source, samples, chunk, choice[chunk.index] == SPLITS.index(split))
    for writer in writers.values():
        writer.finish()
    _report_left_out(left_out, collection)
    collection.facts["left_out"] = {
        "count": len(left_out),
        "examples": [item.name for item in left_out[:MOST_NAMES]],
    }
    return writers


def _append(
    writer: SplitWriter,
    source: str,
    samples: LabelledImages,
    chunk: Chunk,
    chosen: np.ndarray,
) -> None:
    if chosen.any():
        images = chunk.images if chosen.all() else chunk.images[chosen]
        writer.append(images, Part(source, samples, chunk.index[chosen]))


def _report_left_out(left_out: list[Unreadable], collection: Collection) -> None:
    if not left_out:
        return
    total = sum(len(samples.labels) for samples in collection.splits.values())
    if len(left_out) > MOST_UNREADABLE * total:
        raise InputError(
            f"{len(left_out)} of {total} images cannot be read, more than "
            f"{MOST_UNREADABLE:.0%}; the first: {left_out[0].reason}"
        )
    for item in left_out[:MOST_NAMES]:
        log.warning("unreadable: %s", item.reason)
    if len(left_out) > MOST_NAMES:
        log.warning("unreadable: %d more", len(left_out) - MOST_NAMES)
    collection.warnings.append(f"{len(left_out)} of {total} images are unreadable and left out")


def _check_splits(name: str, written: dict[str, SplitWriter]) -> None:
    for split, writer in written.items():
        if not writer.shape:
            raise InputError(f"dataset {name}: no image for the split {split}; add images")
        if writer.shape != written["train"].shape:
            raise InputError(
                f"dataset {name}: images of {split} have the shape {writer.shape}, those of train "
                f"{written['train'].shape}; give the data set a shape"
            )


def _check_classes(name: str, classes: list[str], written: dict[str, SplitWriter]) -> None:
    if len(classes) < 2:
        raise InputError(
            f"dataset {name}: one class only ({classes[0]!r}); at least two are needed"
        )
    counts = np.bincount(written["train"].labels(), minlength=len(classes))
    if counts.min() < 2:
        few = classes[int(counts.argmin())]
        raise InputError(
            f"dataset {name}: class {few!r} has {counts.min()} training images, at least 2 are "
            "needed; add images or remove the class"
        )


def _check_targets(name: str, targets: list[str], written: dict[str, SplitWriter]) -> None:
    """Again after the random split, and after unreadable files were left out."""
    labels = {split: writer.labels() for split, writer in written.items()}
    check_targets(labels, targets, f"dataset {name}")


def _card(
    dataset: Dataset, collection: Collection, written: dict[str, SplitWriter]
) -> dict[str, Any]:
    """The content of ``card.json``, without the checksums; mean and std are of the train split."""
    shape = written["train"].shape
    mean, std = written["train"].statistics.mean_and_std()
    duplicates = duplicates_across(
        {split: writer.hashes() for split, writer in written.items()},
        {split: writer.name for split, writer in written.items()},
    )
    warnings = list(collection.warnings)
    if duplicates["count"]:
        warnings.append(
            f"{duplicates['count']} images stand in more than one split, for example "
            + " = ".join(duplicates["examples"][0])
        )
    return {
        "name": dataset.name,
        "title": dataset.title,
        "source": dataset.source,
        "licence": dataset.licence,
        "citation": dataset.citation,
        "synthetic": dataset.synthetic,
        "task": collection.task,
        "classes": collection.classes,
        **_facts_of_targets(collection.targets, written["train"].labels()),
        "shape": list(shape[:-1]),
        "channels": shape[-1],
        "axes": AXES[len(shape) - 1],
        "dtype": str(written["train"].dtype),
        "counts": {
            split: count_classes(labels, collection.classes)
            if collection.task == "classification"
            else {"samples": len(labels)}
            for split, labels in ((split, writer.labels()) for split, writer in written.items())
        },
        "mean": mean,
        "std": std,
        "per_image": {split: writer.looks.summary() for split, writer in written.items()},
        "augment": {"flip": list(dataset.flip), "shift": dataset.shift},
        "split_seed": dataset.options.split_seed if "val" not in collection.splits else None,
        "group": collection.groups and collection.groups.rule,
        "notes": collection.notes,
        "warnings": warnings,
        "duplicates_across_splits": duplicates,
        **collection.facts,
    }


def _facts_of_targets(names: list[str], train: np.ndarray) -> dict[str, Any]:
    """Names, means and standard deviations (of the train split) of a regression's targets."""
    if not names:
        return {}
    values = train.astype(np.float64)
    return {
        "targets": names,
        "target_mean": values.mean(axis=0).tolist(),
        "target_std": values.std(axis=0).tolist(),
    }
