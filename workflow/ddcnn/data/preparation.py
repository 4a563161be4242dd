"""The stages download and prepare: from published files to arrays and a card.

Images stream through in chunks of bounded size: memory does not grow with the number of images.
Whatever is wrong with a file is found here, before anything is trained.
"""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ddcnn.base.defaults import KINDS
from ddcnn.base.disk import disk_errors
from ddcnn.base.division import deal
from ddcnn.base.errors import InputError
from ddcnn.base.files import read_json, write_json, write_npy
from ddcnn.base.logs import NOTICE
from ddcnn.base.splits import SPLITS, parts_of_fold, stored_parts
from ddcnn.base.text import counted
from ddcnn.data.card import (
    MOST_NAMES,
    count_classes,
    duplicates_across,
    left_out_facts,
    left_out_in_words,
)
from ddcnn.data.download import fetch_all, file_sha256
from ddcnn.data.groups import check_enough
from ddcnn.data.labels import check_targets
from ddcnn.data.listing import Part, write_samples
from ddcnn.data.notices import Notices
from ddcnn.data.registry import AXES, Dataset, dataset_of
from ddcnn.data.samples import MOST_UNREADABLE, Chunk, Collection, LabelledImages, Unreadable
from ddcnn.data.splitting import choose_splits
from ddcnn.data.writer import PartWriter

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


def prepare(
    entry: str | dict[str, Any], manifest: str | Path, card: str | Path, folds: int = 0
) -> None:
    """Write ``x_{split}.npy``, ``y_{split}.npy``, ``samples.csv`` and ``card.json``.

    Images are uint8 ``N, *spatial, C`` (signals: float32), labels int64 ``N``, or for regression
    targets float32 ``N, M``.

    With folds there is one ``x_fold{k}.npy`` for each, and a folder ``fold{k}`` with what belongs
    to the run that is tested on it: labels, samples and card of the splits which that run makes.

    Args:
        entry: what the configuration says of the data set.
        manifest: of the files, see :func:`download`.
        card: path of ``card.json``.
        folds: of cross-validation; 0: none.

    Raises:
        InputError: files that do not hold what the data set promises; nothing is written then.
    """
    dataset, folder = dataset_of(entry), Path(card).parent
    raw = [Path(manifest).parent / file["path"] for file in read_json(manifest)["files"]]
    with _scratch_folder(folder) as scratch:
        collection = dataset.read(raw, scratch)
        if folds:
            _check_dealing(dataset.name, collection, folds)
        if collection.groups:
            labels = {split: samples.labels for split, samples in collection.splits.items()}
            check_enough(collection.groups, labels, collection.classes, dataset.source, folds)
        parts, choices = stored_parts(folds), _choices(collection, dataset, folds)
        # The rule of intensity looks at no label, so that all folds may have a say in it.
        is_train = {
            source: choice >= 0 if folds else choice == parts.index("train")
            for source, choice in choices.items()
        }
        settled = _settled(collection, is_train, folds)
        chosen = [] if settled is collection else [settled.facts["intensity"]["why"]]
        collection = settled
        for note in collection.notes + chosen:
            log.log(NOTICE, "note: %s", note)
        notices = Notices()
        written = _write_parts(collection, choices, is_train, parts, dataset, scratch, notices)
        collection.warnings.extend(notices.warnings())
        _check_parts(dataset.name, written)
        views = [_of_fold(written, fold, folds) for fold in range(folds)] or [written]
        for view in views:
            _check_labels(dataset.name, collection, view)
        facts = collection.facts | ({"values": notices.trained} if notices.trained else {})
        collection = replace(collection, facts=facts)
        content = _card(dataset, collection, written, folds)
        for warning in content["warnings"]:
            log.warning("warning: %s", warning)
        _remove_earlier(folder, folds)
        for part, arrays in written.items():
            os.replace(arrays.path, folder / f"x_{part}.npy")
    images = _checksums(folder, [f"x_{part}.npy" for part in parts])
    for fold, view in enumerate(views if folds else ()):
        own = {"fold": fold, "parts": parts_of_fold(fold, folds)}
        of_fold = _card(dataset, collection, view, folds) | own
        _write_view(folder / f"fold{fold}", view, collection, of_fold, images)
    _write_view(folder, written, collection, content, images, has_labels=not folds)


def _write_view(
    folder: Path,
    view: Mapping[str, PartWriter],
    collection: Collection,
    card: dict[str, Any],
    images: Mapping[str, str],
    has_labels: bool = True,
) -> None:
    """Everything of a data set beside its images: labels, samples and, last, the card."""
    labels = {f"y_{split}.npy": arrays.labels() for split, arrays in view.items()}
    for name, values in labels.items() if has_labels else ():
        write_npy(folder / name, values)
    listed = {split: arrays.parts for split, arrays in view.items()}
    write_samples(folder / "samples.csv", listed, collection)
    own = _checksums(folder, [*(labels if has_labels else ()), "samples.csv"])
    write_json(folder / "card.json", card | {"checksums": {**images, **own}})


def _checksums(folder: Path, names: Sequence[str]) -> dict[str, str]:
    return {name: f"sha256:{file_sha256(folder / name)}" for name in names}


def _remove_earlier(folder: Path, folds: int) -> None:
    """Remove what an earlier division into other parts left: nobody must read it as this one."""
    kept = {f"x_{part}.npy" for part in stored_parts(folds)}
    kept |= set() if folds else {f"y_{split}.npy" for split in SPLITS}
    for path in folder.glob("[xy]_*.npy"):
        if path.name not in kept:
            path.unlink()
    for path in folder.glob("fold*/"):
        if path.name not in stored_parts(folds):
            shutil.rmtree(path)


def _settled(collection: Collection, chosen: dict[str, np.ndarray], folds: int) -> Collection:
    """With the rule of intensity that the chosen images ask for."""
    if not folds or collection.settle is None:
        return collection.settled(chosen)
    note = (
        "what becomes black and white was chosen once for all folds, from all samples without "
        "their labels"
    )
    settled = collection.settled(chosen)
    rule = settled.facts["intensity"]
    rule |= {"why": rule["why"].replace("the training split", "all samples")}
    facts = settled.facts | {"intensity": rule}
    return replace(settled, notes=[*settled.notes, note], facts=facts)


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


def _of_fold(written: dict[str, PartWriter], fold: int, folds: int) -> dict[str, PartWriter]:
    """The splits of a fold's run."""
    splits = parts_of_fold(fold, folds)
    return {s: PartWriter.joined([written[part] for part in splits[s]]) for s in SPLITS}


def _choices(collection: Collection, dataset: Dataset, folds: int) -> dict[str, np.ndarray]:
    """For every split of a source the index of the stored part where each of its images goes."""
    options, groups = dataset.options, collection.groups
    if folds:
        labels = collection.splits["all"].labels
        ids = groups.ids["all"] if groups else None
        return {"all": deal(labels, folds, options.split_seed, ids)}
    has_val = "val" in collection.splits
    return {
        source: choose_splits(
            source, samples.labels, has_val, options, groups.ids[source] if groups else None
        )
        for source, samples in collection.splits.items()
    }


def _check_dealing(name: str, collection: Collection, folds: int) -> None:
    """Refuse data that cannot be dealt into folds."""
    if set(collection.splits) != {"all"}:
        raise InputError(
            f"folds: {folds}, but the data set {name} has splits of its own "
            f"({', '.join(collection.splits)}); remove folds, or give all samples without splits"
        )
    if not collection.classes:
        return
    counts = np.bincount(collection.splits["all"].labels, minlength=len(collection.classes))
    if counts.min() < folds:
        few = collection.classes[int(counts.argmin())]
        raise InputError(
            f"folds: {folds}, but class {few!r} of {name} has {counts.min()} samples, and every "
            "fold needs one; take fewer folds, add images or remove the class"
        )


def _write_parts(
    collection: Collection,
    choices: dict[str, np.ndarray],
    is_train: dict[str, np.ndarray],
    parts: Sequence[str],
    dataset: Dataset,
    scratch: Path,
    notices: Notices,
) -> dict[str, PartWriter]:
    """Stream every image into the file of its part, below ``scratch``."""
    writers = {part: PartWriter(scratch / f"x_{part}.npy") for part in parts}
    left_out: list[Unreadable] = []
    for source, samples in collection.splits.items():
        choice = choices[source]
        for chunk in samples.chunks():
            left_out += chunk.unreadable
            for item in (item for item in chunk.unreadable if item.is_hindered):
                raise InputError(item.reason)
            if dataset.unreadable == "error" and left_out:
                raise InputError(f"{left_out[0].reason} (unreadable: skip leaves such files out)")
            notices.add(samples, chunk, is_train[source][chunk.index])
            for number, writer in enumerate(writers.values()):
                _append(writer, source, samples, chunk, choice[chunk.index] == number)
    for writer in writers.values():
        writer.finish()
    _report_left_out(left_out, collection, notices.kind)
    return writers


def _append(
    writer: PartWriter,
    source: str,
    samples: LabelledImages,
    chunk: Chunk,
    chosen: np.ndarray,
) -> None:
    if chosen.any():
        images = chunk.images if chosen.all() else chunk.images[chosen]
        writer.append(images, Part(source, samples, chunk.index[chosen]))


def _report_left_out(left_out: list[Unreadable], collection: Collection, noun: str) -> None:
    facts = collection.facts["left_out"] = left_out_facts(left_out)
    if not left_out:
        return
    total = sum(len(samples.labels) for samples in collection.splits.values())
    if len(left_out) > MOST_UNREADABLE * total:
        raise InputError(
            f"{len(left_out)} of {counted(total, noun)} cannot be read, more than "
            f"{MOST_UNREADABLE:.0%}; the first: {left_out[0].reason}"
        )
    for item in left_out[:MOST_NAMES]:
        log.warning("unreadable: %s", item.reason)
    if len(left_out) > MOST_NAMES:
        log.warning("unreadable: %d more", len(left_out) - MOST_NAMES)
    verb = "is" if len(left_out) == 1 else "are"
    collection.warnings.append(
        f"{len(left_out)} of {counted(total, noun)} {verb} left out: "
        + "; ".join(left_out_in_words(facts))
    )


def _check_parts(name: str, written: dict[str, PartWriter]) -> None:
    first = next(iter(written))
    for part, writer in written.items():
        if not writer.shape:
            what = f"split {part}" if part in SPLITS else f"{part}; take fewer folds or"
            raise InputError(f"dataset {name}: no image for the {what}; add images")
        if writer.shape != written[first].shape:
            raise InputError(
                f"dataset {name}: images of {part} have the shape {writer.shape}, those of {first} "
                f"{written[first].shape}; give the data set a shape"
            )


def _check_labels(name: str, collection: Collection, view: dict[str, PartWriter]) -> None:
    if collection.task == "classification":
        _check_classes(name, collection.classes, view)
    else:
        _check_targets(name, collection.targets, view)


def _check_classes(name: str, classes: list[str], written: dict[str, PartWriter]) -> None:
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


def _check_targets(name: str, targets: list[str], written: dict[str, PartWriter]) -> None:
    """Again after the random split, and after unreadable files were left out."""
    labels = {split: writer.labels() for split, writer in written.items()}
    check_targets(labels, targets, f"dataset {name}")


def _card(
    dataset: Dataset, collection: Collection, written: dict[str, PartWriter], folds: int
) -> dict[str, Any]:
    """The content of ``card.json``, without the checksums.

    Mean and standard deviation are of the train split; of all samples where ``written`` are folds.
    """
    trained = written.get("train") or PartWriter.joined(list(written.values()))
    shape = trained.shape
    mean, std = trained.statistics.mean_and_std()
    duplicates = duplicates_across(
        {split: writer.hashes() for split, writer in written.items()},
        {split: writer.name for split, writer in written.items()},
    )
    warnings = list(collection.warnings)
    if duplicates["count"]:
        count = duplicates["count"]
        warnings.append(
            f"{counted(count, KINDS[len(shape) - 1])} {'stands' if count == 1 else 'stand'} in "
            f"more than one split, for example {' = '.join(duplicates['examples'][0])}"
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
        **_facts_of_targets(collection.targets, trained.labels()),
        "shape": list(shape[:-1]),
        "channels": shape[-1],
        "axes": AXES[len(shape) - 1],
        "dtype": str(trained.dtype),
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
        **(_facts_of_folds(folds, collection) if folds else {}),
    }


def _facts_of_folds(folds: int, collection: Collection) -> dict[str, Any]:
    kept = " in whole groups" if collection.groups else ""
    what = "samples" if collection.targets else "samples of every class"
    return {
        "folds": folds,
        "split_rule": f"{folds} folds: the {what} are dealt{kept} at random with the seed below; "
        "each run is tested on one fold, chooses by the next one and learns from the others",
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
