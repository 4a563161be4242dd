"""The stage bundle: everything that a prediction needs of one run in one file, and its card."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ddcnn import __version__
from ddcnn.base.files import read_json, read_npz, write_aside
from ddcnn.base.listing import groups_of
from ddcnn.base.tasks import Task, task_of
from ddcnn.bundle.card import card_text
from ddcnn.bundle.file import Bundle, Tensors, read_weights, write_bundle
from ddcnn.coarse.inputs import SMALLEST_PROBABILITY
from ddcnn.evaluation.intervals import mean_interval
from ddcnn.evaluation.pooling import joined, scores_of
from ddcnn.evaluation.scores import r2_merits

log = logging.getLogger(__name__)

# What a local net is built from, and what its training says of itself; in its metrics.json.
NET_KEYS = ("architecture", "width", "dropout", "input_shape")
COARSE_KEYS = ("solver", "hidden", "dropout", "input", "fit_on")
RUN_KEYS = ("dataset", "model", "decomposition", "tiling", "coarse_view", "seed")
PLAN_KEYS = ("tiling", "kind", "grid", "overlap", "shape", "tile_shape", "tiles")
COST_KEYS = ("parallel_seconds", "serial_seconds", "speedup", "parameters_total")
TRAINED_KEYS = ("device_name", "threads", "versions", "hardware", "finished")


def bundle_run(
    local: Mapping[str, str | Path],
    coarse: str | Path | None,
    plan: str | Path,
    card: str | Path,
    run: str | Path,
    reading: Mapping[str, Any],
    code: str,
    out: str | Path,
    pooled: Sequence[str | Path] = (),
) -> None:
    """Write the model of a run to ``out`` and its card, a ``.md`` of the same name, beside it.

    Args:
        local: folder of every local net by the name of its subdomain, in the order of the
            decomposition; of the global net's run the global net alone.
        coarse: folder of the coarse net; None for the global net's run.
        plan: the tiling's ``plan.json``.
        card: the data set's ``card.json``.
        run: folder of ``evaluation.json`` and ``predictions.npz``.
        reading: :class:`ddcnn.data.options.ReadOptions` of the data set, how files became images;
            what was chosen by the values of the training split is in the card.
        code: digest of the code that trained the nets.
        out: the file.
        pooled: ``predictions.npz`` of all folds of a cross-validation, whose scores together stand
            on the card beside those of this model; none without one.

    Raises:
        DamagedResult: a file of the run is not as it was written.
    """
    out, facts = Path(out), read_json(card)
    folders = [Path(folder) for folder in local.values()]
    metrics = [read_json(folder / "metrics.json") for folder in folders]
    solved = read_json(Path(coarse) / "metrics.json") if coarse else None
    evaluation = read_json(Path(run) / "evaluation.json")
    method = "cnn-dnn" if coarse else "global"
    result = evaluation["methods"][method]
    tiling, task = read_json(plan), task_of(facts)
    description = {
        "ddcnn": __version__,
        "code": code,
        "method": method,
        "run": {key: evaluation[key] for key in RUN_KEYS},
        "data": facts,
        "reading": dict(reading) | _chosen(facts),
        "plan": {key: tiling[key] for key in PLAN_KEYS},
        "subdomains": list(local),
        "nets": [{key: net[key] for key in NET_KEYS} for net in metrics],
        "coarse": solved and {key: solved[key] for key in COARSE_KEYS},
        "scores": {k: v for k, v in result.items() if k.endswith(("_val", "_test"))},
        "baseline": evaluation["baseline"],
        "interval": _interval(Path(run) / "predictions.npz", method, task, Path(card).parent),
        "cost": {key: result[key] for key in COST_KEYS},
        "settings": metrics[0]["settings"] | {"refit": "refit" in metrics[0]},
        "trained": {key: metrics[0][key] for key in TRAINED_KEYS},
    }
    if pooled:
        description["run"] |= {"fold": evaluation["fold"]}
        description["pooled"] = scores_of(joined(map(read_npz, pooled)), method, task.name)
    write_bundle(out, Bundle(description, _tensors(folders, coarse, solved, task)))
    with write_aside(out.with_suffix(".md")) as aside:
        aside.write_text(card_text(description), encoding="utf-8")
    log.info("%s: %d nets, %s bytes", out, len(folders), f"{out.stat().st_size:,}")


def _chosen(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The rule of intensity as the preparation used it."""
    rule = facts.get("intensity")
    return {"intensity": rule["rule"], "window": rule["window"]} if rule else {}


def _tensors(
    folders: list[Path], coarse: str | Path | None, solved: dict[str, Any] | None, task: Task
) -> Tensors:
    """Weights of all nets, and what every local net says on average of the training images."""
    parts = {f"net.nets.{i}.": folder for i, folder in enumerate(folders)}
    parts |= {"net.coarse.": Path(coarse)} if coarse else {}
    tensors = {
        before + name: value
        for before, folder in parts.items()
        for name, value in read_weights(folder / "model.safetensors").items()
    }
    kind = solved["input"] if solved else "probabilities"
    tensors["mean_outputs"] = np.stack([_mean_output(folder, kind, task) for folder in folders])
    if kind == "features":
        means = [_mean(folder / "features.npz", "train_features") for folder in folders]
        tensors["mean_features"] = np.stack(means).astype(np.float32)
    return tensors


def _mean(path: Path, name: str) -> np.ndarray:
    return read_npz(path, name)[name].mean(axis=0, dtype=np.float64)


def _mean_output(folder: Path, kind: str, task: Task) -> np.ndarray:
    """Float32 ``K``, in the form that the coarse net takes: see :mod:`ddcnn.bundle.model`."""
    path = folder / "probabilities.npz"
    if kind == "logits" and task.name != "regression":
        return _mean(path, "train_logits").astype(np.float32)
    p_K = _mean(path, "train")
    if task.name == "regression":
        return task.load_targets(p_K)
    return np.log(np.clip(p_K, SMALLEST_PROBABILITY, 1)).astype(np.float32)


def _interval(path: Path, method: str, task: Task, data: Path) -> dict[str, Any]:
    """95 % interval of the score on the test split: which images are in it is chance."""
    arrays, groups = read_npz(path), groups_of(data, ["test"])
    predicted, truth = arrays[f"test_{method}"], arrays["test_labels"]
    if task.name == "regression":
        low, high = (1 + end for end in mean_interval(r2_merits(predicted, truth)[None], groups))
    else:
        low, high = mean_interval(predicted.argmax(axis=1)[None] == truth, groups)
    kind = "for other test images"
    if groups is not None:
        kind += f", which come in {len(np.unique(groups)):,} groups here"
    return {"low": low, "high": high, "samples": len(truth), "kind": kind}
