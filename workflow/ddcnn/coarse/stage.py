"""What the stage train_coarse reads and writes."""

import logging
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from ddcnn.checkpoint import save_weights
from ddcnn.coarse.problem import Problem, Solution
from ddcnn.device import Device, JobClock, choose_device
from ddcnn.evaluation import SMALLEST_PROBABILITY
from ddcnn.files import read_json, read_npz, read_prepared, write_json, write_npz
from ddcnn.models.cnn_dnn import CoarseSettings, coarse_input
from ddcnn.tasks import Task, task_of
from ddcnn.training import (
    Features,
    Progress,
    Settings,
    evaluate,
    predict_logits,
    training_metrics,
    write_history,
)

log = logging.getLogger(__name__)

SPLITS = ("train", "val", "test")


def train_coarse(
    local: dict[str, str | Path],
    labels: dict[str, Path],
    card: str | Path,
    coarse: CoarseSettings,
    num_folds: int,
    settings: Settings,
    seed: int,
    out: str | Path,
    gpus: int = 0,
    threads: int = 1,
) -> None:
    """Train the coarse net; write its weights, history, metrics and probabilities to ``out``.

    Args:
        local: ``probabilities.npz`` of every subdomain, in the order of the decomposition; where
            the net sees features, ``features.npz`` lies beside it.
        labels: ``y_{split}.npy`` of ``train`` and ``val``.
        card: the data set's ``card.json``.
        coarse: the net and what it is fitted on.
        num_folds: for ``fit_on: out-of-fold``: beside every ``probabilities.npz`` lies a
            ``fold{k}/held_out.npz`` for each.
        settings: how an MLP is trained.
        seed: of the run.
        out: folder of the four files.
        gpus: 0 computes on the CPU; otherwise on a GPU if there is one.
        threads: CPU threads.
    """
    out, task, device = Path(out), task_of(read_json(card)), choose_device(gpus, threads)
    local = {name: Path(path) for name, path in local.items()}
    clock = JobClock()
    y = {s: torch.from_numpy(task.load_targets(read_prepared(path))) for s, path in labels.items()}
    outputs = [_read_outputs(path, coarse.input) for path in local.values()]
    samples = {
        s: _features(read_rows(outputs, s, coarse.input, task), y.get(s), device) for s in SPLITS
    }
    fitted = samples["val" if coarse.fit_on == "validation" else "train"]
    if coarse.fit_on == "out-of-fold":
        held_out = [join_folds(path.parent, num_folds) for path in local.values()]
        fitted = _features(read_rows(held_out, "train", coarse.input, task), y["train"], device)
    clock.loaded()
    log.info("training the coarse net of %d tiles on %s", len(local), device.name)
    clock.ready()
    problem = Problem(coarse, settings, task, task.num_outputs, seed, device)
    with threadpool_limits(threads):
        solution = problem.solve(fitted, samples["val"])
    log.info(_in_words(solution, coarse))
    write_history(solution.history, out / "history.csv")
    write_npz(
        out / "probabilities.npz",
        **{s: task.predictions(predict_logits(solution.net, samples[s])) for s in SPLITS},
    )
    end = Progress(seconds=solution.seconds, history=[_last_row(solution, fitted, samples, task)])
    shape, num_images = (fitted.values.shape[1],), len(fitted)
    write_json(
        out / "metrics.json",
        {"tile": "coarse", "tiles": list(local), "seed": seed, "strength": solution.strength}
        | training_metrics(solution.net, shape, end, settings, num_images, device)
        | asdict(coarse)
        | clock.metrics(),
    )
    save_weights(solution.net, out / "model.safetensors")


def _read_outputs(path: Path, kind: str) -> dict[str, np.ndarray]:
    """What a local net says, with what its last layer sees where the coarse net does, too."""
    features = read_npz(path.with_name("features.npz")) if kind == "features" else {}
    return read_npz(path) | features


def read_rows(
    outputs: list[dict[str, np.ndarray]], split: str, kind: str, task: Task
) -> torch.Tensor:
    """Rows of the coarse net from the local nets' outputs of a split, in the tiles' order.

    Args:
        outputs: the arrays of every subdomain's ``probabilities.npz``.
        split: which images.
        kind: what the coarse net sees, see :func:`ddcnn.models.cnn_dnn.coarse_input`.
        task: of the data set.
    """
    p_NTK = np.stack([each[split] for each in outputs], axis=1)
    features = None
    if kind == "features":
        features = torch.from_numpy(np.stack([o[f"{split}_features"] for o in outputs], axis=1))
    if task.name == "regression":
        outputs_NTK = task.load_targets(p_NTK)
    elif kind == "logits":
        outputs_NTK = np.stack([each[f"{split}_logits"] for each in outputs], axis=1)
    else:
        outputs_NTK = np.log(np.clip(p_NTK, SMALLEST_PROBABILITY, 1))
    return coarse_input(torch.from_numpy(outputs_NTK), kind, task, features)


def join_folds(folder: Path, num_folds: int) -> dict[str, np.ndarray]:
    """A tile's outputs on the training split, every image's by the net that has not seen it."""
    parts = [read_npz(folder / f"fold{k}" / "held_out.npz") for k in range(num_folds)]
    order = np.argsort(np.concatenate([part["index"] for part in parts]))
    names = [name for name in parts[0] if name.startswith("train")]
    return {name: np.concatenate([part[name] for part in parts])[order] for name in names}


def _features(rows: torch.Tensor, targets: torch.Tensor | None, device: Device) -> Features:
    return Features(rows.to(device.torch), targets if targets is None else targets.to(device.torch))


def _last_row(
    solution: Solution, fitted: Features, samples: dict[str, Features], task: Task
) -> dict[str, float]:
    """What every training says of its end."""
    row: dict[str, float] = {"epoch": len(solution.history), "step": len(solution.history)}
    for split, part in (("train", fitted), ("val", samples["val"])):
        row[f"loss_{split}"], row[f"{task.score}_{split}"] = evaluate(solution.net, part, task)
    return row


def _in_words(solution: Solution, coarse: CoarseSettings) -> str:
    if solution.strength == 0:
        return "the average of the tiles was best on held-out images: the coarse net adds nothing"
    name = "inverse penalty" if coarse.solver == "linear" else "share of what the MLP adds"
    return f"chosen on held-out images: {name} {solution.strength:g}; {solution.seconds:.2f} s"
