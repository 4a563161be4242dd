"""What the stage train_coarse reads and writes."""

import logging
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from ddcnn.base.defaults import Facts, chosen
from ddcnn.base.files import read_json, read_npz, read_prepared, write_json, write_npz
from ddcnn.base.process import JobClock
from ddcnn.base.splits import SPLITS
from ddcnn.base.tasks import Task, task_of
from ddcnn.coarse.inputs import SMALLEST_PROBABILITY, join_folds
from ddcnn.coarse.linear import LinearSolver
from ddcnn.coarse.memory import require_for_linear
from ddcnn.coarse.problem import CoarseRows, Problem, Solution, Solver
from ddcnn.coarse.settings import CoarseSettings
from ddcnn.training.settings import Settings, write_history

log = logging.getLogger(__name__)


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
        settings: how an MLP is trained; ``auto`` becomes what fits the number of images.
        seed: of the run.
        out: folder of the four files.
        gpus: 0 computes on the CPU; otherwise on a GPU if there is one.
        threads: CPU threads.
    """
    out, task = Path(out), task_of(read_json(card), settings.class_weights)
    local = {name: Path(path) for name, path in local.items()}
    y = {s: task.load_targets(read_prepared(path)) for s, path in labels.items()}
    num_rows = len(y["val" if coarse.fit_on == "validation" else "train"])
    numbers = chosen(vars(settings), Facts(num_rows, "image", task.name), "coarse")
    solver = _solver(coarse, replace(settings, **numbers), task, seed, gpus, threads)
    clock = JobClock(waited=solver.waited)
    outputs = [_read_outputs(path, coarse.input, task) for path in local.values()]
    if coarse.solver == "linear":
        seen = names_of("train", coarse.input, task)[-1]
        num_inputs = sum(each[seen].shape[1] for each in outputs)
        require_for_linear("the coarse net", num_rows, num_inputs, task.num_outputs, task.name)
    samples = {
        s: solver.samples(*read_outputs(outputs, s, coarse.input, task), y.get(s)) for s in SPLITS
    }
    fitted = samples["val" if coarse.fit_on == "validation" else "train"]
    if coarse.fit_on == "out-of-fold":
        names = names_of("train", coarse.input, task)
        held_out = [join_folds(path.parent, num_folds, names) for path in local.values()]
        fitted = solver.samples(*read_outputs(held_out, "train", coarse.input, task), y["train"])
    clock.loaded()
    log.info("training the coarse net of %d tiles on %s", len(local), solver.place)
    clock.ready()
    with threadpool_limits(threads):
        solution = Problem(solver, task, coarse.fit_on, seed).solve(fitted, samples["val"])
    log.info(_in_words(solution, coarse))
    write_history(solution.history, out / "history.csv")
    write_npz(
        out / "probabilities.npz", **{s: solver.predict(solution.net, samples[s]) for s in SPLITS}
    )
    last = _last_row(solution, solver, fitted, samples["val"], task)
    write_json(
        out / "metrics.json",
        {"tile": "coarse", "tiles": list(local), "seed": seed, "strength": solution.strength}
        | solver.metrics(solution, last, fitted)
        | asdict(coarse)
        | clock.metrics(),
    )
    solver.save(solution.net, out / "model.safetensors")


def _solver(
    coarse: CoarseSettings, settings: Settings, task: Task, seed: int, gpus: int, threads: int
) -> Solver:
    """The one that is configured; the linear one does without torch, whose import takes seconds."""
    if coarse.solver == "linear":
        return LinearSolver(coarse, settings, task, threads)
    from ddcnn.coarse.mlp import MlpSolver
    from ddcnn.training.device import choose_device

    return MlpSolver(coarse, settings, task, seed, choose_device(gpus, threads))


def names_of(split: str, kind: str, task: Task) -> list[str]:
    """Names of the arrays that the coarse net sees of a split, see :func:`read_outputs`."""
    if kind == "logits" and task.name == "classification":
        return [f"{split}_logits"]
    return [split, f"{split}_features"] if kind == "features" else [split]


def _read_outputs(path: Path, kind: str, task: Task) -> dict[str, np.ndarray]:
    """What a local net says, with what its last layer sees where the coarse net does, too."""
    arrays = {}
    for name in (name for split in SPLITS for name in names_of(split, kind, task)):
        file = path.with_name("features.npz") if name.endswith("_features") else path
        arrays |= read_npz(file, name)
    return arrays


def read_outputs(
    outputs: list[dict[str, np.ndarray]], split: str, kind: str, task: Task
) -> tuple[np.ndarray, np.ndarray | None]:
    """What the local nets say of a split, ``N, T, K``, and, if it is seen, their features.

    Logits and logarithms of classes are float64: where they hardly change, standardising makes
    what is lost by rounding 100 times as large, and numpy and torch round otherwise.

    Args:
        outputs: the arrays of every subdomain's ``probabilities.npz``, in the tiles' order.
        split: which images.
        kind: what the coarse net sees, see :func:`ddcnn.coarse.net.coarse_input`.
        task: of the data set.
    """
    features_NTF = None
    if kind == "features":
        features_NTF = np.stack([each[f"{split}_features"] for each in outputs], axis=1)
    if kind == "logits" and task.name == "classification":
        logits_NTK = np.stack([each[f"{split}_logits"] for each in outputs], axis=1)
        return logits_NTK.astype(np.float64), features_NTF
    p_NTK = np.stack([each[split] for each in outputs], axis=1)
    if task.name == "regression":
        return task.load_targets(p_NTK), features_NTF
    return np.log(np.clip(p_NTK, SMALLEST_PROBABILITY, 1), dtype=np.float64), features_NTF


def _last_row(
    solution: Solution, solver: Solver, fitted: CoarseRows, val: CoarseRows, task: Task
) -> dict[str, float]:
    """What every training says of its end."""
    row: dict[str, float] = {"epoch": len(solution.history), "step": len(solution.history)}
    for split, part in (("train", fitted), ("val", val)):
        row[f"loss_{split}"], row[f"{task.score}_{split}"] = solver.evaluate(solution.net, part)
    return row


def _in_words(solution: Solution, coarse: CoarseSettings) -> str:
    if solution.strength == 0:
        return "the average of the tiles was best on held-out images: the coarse net adds nothing"
    name = "inverse penalty" if coarse.solver == "linear" else "share of what the MLP adds"
    return f"chosen on held-out images: {name} {solution.strength:g}; {solution.seconds:.2f} s"
