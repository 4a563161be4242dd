"""The stage evaluate: every method's decisions, scores and times for one run."""

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from ddcnn.base.files import read_json, read_npz, read_prepared, write_json, write_npz
from ddcnn.base.process import own_seconds
from ddcnn.base.splits import JUDGED
from ddcnn.base.tasks import Task, methods_of, task_of
from ddcnn.coarse.inputs import join_folds
from ddcnn.evaluation import diagnosis
from ddcnn.evaluation.methods import (
    COMBINATIONS,
    LEARNING,
    WORKER_KEYS,
    LocalDecisions,
    in_order,
)
from ddcnn.evaluation.scores import MEASURES, all_scores, majority_baseline

log = logging.getLogger(__name__)

LOCAL_KEYS = (
    "train_seconds",
    "start_seconds",
    "load_seconds",
    "images_per_second",
    "parameters",
    "multiply_adds",
    "peak_memory_bytes",
)
Metrics = dict[str, Any]  # of one training: what its metrics.json holds


@dataclass
class Trained:
    """Folders of everything that was trained for a run, with ``metrics.json`` in each.

    Attributes:
        local: local nets by tile; of the global net's run the global net alone.
        folds: local nets without a part of the training split, where the coarse net learns from
            held-out decisions.
        coarse: the coarse net; None for the global net's run.
        global_net: the global net that times are compared with, or None.
        small: the whole-image net of a local net's width, or None.
        members: the nets of the ensemble.
        member_folds: as ``folds``, of the members.
        ensemble: the coarse net of the ensemble, or None.
        joint: ``coherent`` and ``transfer``.
        parallel: the global net trained by several workers, by way and number: ``data-2``.
    """

    local: dict[str, Path]
    folds: list[Path] = field(default_factory=list)
    coarse: Path | None = None
    global_net: Path | None = None
    small: Path | None = None
    members: list[Path] = field(default_factory=list)
    member_folds: list[Path] = field(default_factory=list)
    ensemble: Path | None = None
    joint: dict[str, Path] = field(default_factory=dict)
    parallel: dict[str, Path] = field(default_factory=dict)

    @classmethod
    def of(cls, folders: dict[str, Any]) -> "Trained":
        """From texts, as a rule's parameters hold them."""
        return cls(**{key: _as_paths(value) for key, value in folders.items()})


def _as_paths(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: Path(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [Path(item) for item in value]
    return value and Path(value)


@dataclass
class Decision:
    """What one method says.

    Attributes:
        predictions: float32 ``N, K`` by split: probabilities, or predicted targets.
        steps: trainings that must follow each other; those within a step can run in parallel.
        kept: the nets that a prediction needs.
        facts: what else is worth knowing.
    """

    predictions: dict[str, np.ndarray]
    steps: list[list[Metrics]]
    kept: list[Metrics]
    facts: dict[str, Any] = field(default_factory=dict)


def evaluate_run(
    run: dict[str, Any],
    methods: Sequence[str],
    trained: Trained,
    plan: str | Path,
    labels: dict[str, Path],
    card: str | Path,
    out: str | Path,
) -> None:
    """Write ``evaluation.json`` and ``predictions.npz`` of one run to ``out``.

    Args:
        run: dataset, model, decomposition, coarse_view and seed, copied to the evaluation.
        methods: which methods beside ``cnn-dnn`` are computed.
        trained: folders of the nets.
        plan: the tiling's ``plan.json``.
        labels: ``y_{split}.npy`` of every split.
        card: the data set's ``card.json``.
        out: folder of the two files.
    """
    out, tiling, facts = Path(out), read_json(plan), read_json(card)
    task = task_of(facts)
    y = {split: read_prepared(path) for split, path in labels.items()}
    nets = {tile: _metrics(folder) for tile, folder in trained.local.items()}
    # Of the training split there are most images, and logits nobody needs here.
    seen = (*JUDGED, "seconds")
    local = {tile: read_npz(f / "probabilities.npz", *seen) for tile, f in trained.local.items()}
    decisions = decide(local, nets, trained, y, methods, facts)
    reference = _metrics(trained.global_net) if trained.global_net else None
    results = {
        name: all_scores(decision.predictions, y, task.name)
        | costs(decision.steps, decision.kept, reference)
        | decision.facts
        for name, decision in in_order(decisions)
    }
    coarse = _metrics(trained.coarse) if trained.coarse else None
    first = next(iter(nets.values()))
    use_of_val = {"refit": "refit" in first, "weights": first["settings"].get("weights", "last")}
    table = _local_table(nets, local, y, task)
    write_npz(
        out / "predictions.npz",
        **{f"{s}_{m}": d.predictions[s] for m, d in decisions.items() for s in JUDGED},
        **{f"{split}_labels": y[split] for split in JUDGED},
    )
    report = (
        run
        | {key: tiling[key] for key in ("tiling", "kind", "grid", "overlap")}
        | {"task": task.name, "tiles": list(local), "classes": facts["classes"]}
        | use_of_val
        | {"targets": facts.get("targets", []), "methods": results, "local": table}
        | {"baseline": majority_baseline(y, facts["classes"]) if facts["classes"] else None}
        | {"coarse": coarse and _coarse_entry(coarse, task)}
        | {"overhead": _overhead(tiling, [*nets.values(), *([coarse] if coarse else [])], local)}
    )
    if coarse:
        report["diagnosis"] = diagnosis.measure(report, local, y["test"], task.name)
    write_json(out / "evaluation.json", report)
    for method, result in results.items():
        score = {key: result[key] for key in (f"{task.score}_val", f"{task.score}_test")}
        log.info("%s: %s", method, ", ".join(f"{k} {v:.4f}" for k, v in score.items()))


def decide(
    local: dict[str, dict[str, np.ndarray]],
    nets: dict[str, Metrics],
    trained: Trained,
    y: dict[str, np.ndarray],
    methods: Sequence[str],
    card: dict[str, Any],
) -> dict[str, Decision]:
    """Every method's decision.

    Args:
        local: of ``probabilities.npz`` of every subdomain what was judged, by tile.
        nets: metrics of every local net, by tile.
        trained: folders of the other nets.
        y: labels or targets of every split.
        methods: see :func:`evaluate_run`.
        card: the data set's ``card.json``.
    """
    step = list(nets.values())
    if trained.coarse is None:
        (only,) = local.values()
        alone = Decision({s: only[s] for s in JUDGED}, [step], step)
        return {"global": alone} | {n: _by_workers(f) for n, f in trained.parallel.items()}
    coarse, folds = _metrics(trained.coarse), _all_metrics(trained.folds)
    both = [[*step, *folds], [coarse]]
    decisions = {"cnn-dnn": Decision(_probabilities(trained.coarse), both, [*step, coarse])}
    task = task_of(card, coarse["settings"]["class_weights"])
    asked = [name for name in COMBINATIONS if name in methods and name in methods_of(task.name)]
    known = _known(local, trained, y, coarse["fit_on"], task, not LEARNING.isdisjoint(asked))
    decisions |= {name: _combine(name, known, step, folds) for name in asked}
    for name, folder in trained.joint.items():
        joint = _metrics(folder)
        steps = [[joint]] if name == "coherent" else [*both, [joint]]
        decisions[name] = Decision(_probabilities(folder), steps, [joint])
    if trained.small:
        small = [_metrics(trained.small)]
        decisions["small"] = Decision(_probabilities(trained.small), [small], small)
    if trained.ensemble:
        members, last = _all_metrics(trained.members), _metrics(trained.ensemble)
        decisions["ensemble"] = Decision(
            _probabilities(trained.ensemble),
            [[*members, *_all_metrics(trained.member_folds)], [last]],
            [*members, last],
        )
    return decisions


def _by_workers(folder: Path) -> Decision:
    """The global net as several workers trained it; of a step's costs those of the worker that had
    most of each.
    """
    net = _metrics(folder)
    spent = net["parallel"]
    facts = {"workers": spent["workers"], "kernels": net["kernels"]}
    facts |= {key: max(spent[key]) for key in WORKER_KEYS}
    # Ideally each of them does an equal share of the work of one image.
    share = net | {"multiply_adds": net["multiply_adds"] / spent["workers"]}
    return Decision(_probabilities(folder), [[share]], [net], facts)


def _known(
    local: dict[str, dict[str, np.ndarray]],
    trained: Trained,
    y: dict[str, np.ndarray],
    fit_on: str,
    task: Task,
    is_learned_from: bool,
) -> LocalDecisions:
    """What the coarse net knew, its classes weighed as it weighed them."""
    learned = "val" if fit_on == "validation" else "train"
    p_NTK = {s: np.stack([p[s] for p in local.values()], axis=1) for s in JUDGED}
    fitted_NTK = _fitted(trained, fit_on, p_NTK) if is_learned_from else None
    return LocalDecisions(p_NTK, y, fitted_NTK, y[learned], list(local), task)


def _fitted(trained: Trained, fit_on: str, p_NTK: dict[str, np.ndarray]) -> np.ndarray:
    """What local nets said of the images that the coarse net was fitted on."""
    if fit_on == "validation":
        return p_NTK["val"]
    folders = trained.local.values()
    if fit_on == "out-of-fold":
        num_folds = len(trained.folds) // len(folders)
        said = [join_folds(folder, num_folds, ["train"]) for folder in folders]
    else:
        said = [read_npz(folder / "probabilities.npz", "train") for folder in folders]
    return np.stack([each["train"] for each in said], axis=1)


def _combine(
    name: str, local: LocalDecisions, nets: list[Metrics], folds: list[Metrics]
) -> Decision:
    """A decision from the local nets alone; what it costs beside them is its own small solve.

    Args:
        name: of the method.
        local: what it may learn from.
        nets: metrics of the local nets.
        folds: of those that are trained for the sake of what is learned; others need none.
    """
    start = time.perf_counter()
    with threadpool_limits(1):  # as every training here
        combination = COMBINATIONS[name](local)
    own = {
        "train_seconds": time.perf_counter() - start,
        "parameters": combination.num_parameters,
        "multiply_adds": combination.multiply_adds,
    }
    found = {split: combination.decide(local.p_NTK[split]) for split in JUDGED}
    kept = nets if combination.only is None else [nets[combination.only]]
    facts = dict(combination.facts)
    if not combination.num_parameters:
        return Decision(found, [nets], kept, facts)
    return Decision(found, [[*nets, *folds], [own]], [*kept, own], facts)


def costs(
    steps: Iterable[Iterable[Metrics]], kept: Iterable[Metrics], global_net: Metrics | None
) -> dict[str, float | int | None]:
    """Times, work and size of a method.

    Args:
        steps: trainings that follow each other; those within a step run in parallel.
        kept: the nets that a prediction needs.
        global_net: what ``speedup`` and ``flop_ratio`` compare with.

    Returns:
        ``parallel_seconds``, the sum over the steps of the slowest training: one device for each
        training of a step; ``serial_seconds``, the sum over all; ``flop_ratio`` of the work of one
        image, with the steps added in the same way; and the rest of the columns.
    """
    steps = [list(step) for step in steps]
    parallel = sum(max(net["train_seconds"] for net in step) for step in steps)
    all_nets = [net for step in steps for net in step]
    work = sum(max(net.get("multiply_adds", 0) for net in step) for step in steps)
    sizes = [net["parameters"] for net in kept]
    return {
        "parallel_seconds": round(parallel, 4),
        "serial_seconds": round(sum(map(own_seconds, all_nets)), 4),
        "speedup": global_net and round(global_net["train_seconds"] / parallel, 4),
        "flop_ratio": global_net and round(global_net["multiply_adds"] / work, 4),
        "parameters_largest": max(sizes),
        "parameters_total": sum(sizes),
        "peak_memory_bytes": max(net.get("peak_memory_bytes", 0) for net in all_nets),
    }


def _metrics(folder: Path) -> Metrics:
    return read_json(folder / "metrics.json")


def _all_metrics(folders: Iterable[Path]) -> list[Metrics]:
    return [_metrics(folder) for folder in folders]


def _probabilities(folder: Path) -> dict[str, np.ndarray]:
    return read_npz(folder / "probabilities.npz", *JUDGED)


def _local_table(
    nets: dict[str, Metrics],
    local: dict[str, dict[str, np.ndarray]],
    y: dict[str, np.ndarray],
    task: Task,
) -> dict[str, dict[str, Any]]:
    measure = MEASURES[task.name][task.score]
    return {
        tile: {key: nets[tile][key] for key in (*LOCAL_KEYS, f"{task.score}_train")}
        | {f"{task.score}_{s}": measure(local[tile][s], y[s]) for s in JUDGED}
        for tile in nets
    }


def _coarse_entry(coarse: Metrics, task: Task) -> dict[str, Any]:
    keys = (*LOCAL_KEYS, f"{task.score}_train", "solver", "input", "fit_on", "strength")
    return {key: coarse[key] for key in keys}


def _overhead(
    plan: dict[str, Any], jobs: list[Metrics], local: dict[str, dict[str, np.ndarray]]
) -> dict[str, float]:
    """What the method pays beside training: seconds of the slowest job of each kind."""
    return {
        "tile_seconds": plan["seconds"],
        "start_seconds": max(job["start_seconds"] for job in jobs),
        "load_seconds": max(job["load_seconds"] for job in jobs),
        "setup_seconds": max(job["setup_seconds"] for job in jobs),
        "probabilities_seconds": round(max(float(p["seconds"]) for p in local.values()), 4),
    }
