"""The stage evaluate: every method's decisions, accuracies and times for one run."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from ddcnn import evaluation
from ddcnn.files import read_json, read_npz, read_prepared, write_json, write_npz

log = logging.getLogger(__name__)

SPLITS = ("val", "test")
LOCAL_KEYS = (
    "accuracy_train",
    "train_seconds",
    "start_seconds",
    "load_seconds",
    "images_per_second",
    "parameters",
    "multiply_adds",
    "peak_memory_bytes",
)


def evaluate_run(
    run: dict[str, Any],
    local: dict[str, Path],
    coarse: Path | None,
    global_net: Path | None,
    plan: str | Path,
    labels: dict[str, Path],
    card: str | Path,
    out: str | Path,
) -> None:
    """Write ``evaluation.json`` and ``predictions.npz`` of one run to ``out``.

    Args:
        run: dataset, model, decomposition, coarse_view and seed, copied to the evaluation.
        local: folder of every subdomain's net, by tile.
        coarse: folder of the coarse net; None for the global net's run.
        global_net: folder of the global net that times are compared with, or None.
        plan: the tiling's ``plan.json``.
        labels: ``y_{split}.npy`` of ``val`` and ``test``.
        card: the data set's ``card.json``.
        out: folder of the two files.
    """
    out, tiling, classes = Path(out), read_json(plan), read_json(card)["classes"]
    metrics = {tile: read_json(folder / "metrics.json") for tile, folder in local.items()}
    probabilities = {tile: read_npz(f / "probabilities.npz") for tile, f in local.items()}
    y = {split: read_prepared(labels[split]) for split in SPLITS}
    decisions, best = decide(probabilities, coarse, y["val"])
    costs = compare_costs(metrics, _metrics(coarse), _metrics(global_net))
    methods = {
        method: _accuracies(p, y) | costs["coarse" if method == "cnn-dnn" else "local"]
        for method, p in decisions.items()
    }
    if "best-tile" in methods:
        methods["best-tile"]["tile"] = best
    write_npz(
        out / "predictions.npz",
        **{f"{split}_{m}": p[split] for m, p in decisions.items() for split in SPLITS},
        **{f"{split}_labels": y[split] for split in SPLITS},
    )
    write_json(
        out / "evaluation.json",
        run
        | {key: tiling[key] for key in ("tiling", "kind", "grid", "overlap")}
        | {"tiles": list(local), "classes": classes, "methods": methods}
        | {"local": _local_table(metrics, probabilities, y)}
        | {"coarse": _coarse_entry(_metrics(coarse))}
        | {"overhead": _overhead(tiling, metrics, probabilities, _metrics(coarse))},
    )
    for method, result in methods.items():
        log.info("%s: test accuracy %.4f", method, result["accuracy_test"])


def decide(
    probabilities: dict[str, dict[str, np.ndarray]], coarse: Path | None, labels_val: np.ndarray
) -> tuple[dict[str, dict[str, np.ndarray]], str]:
    """Every method's probabilities ``N, K`` by split, and the name of the best tile."""
    p_NTK = {s: np.stack([p[s] for p in probabilities.values()], axis=1) for s in SPLITS}
    best = evaluation.best_tile(p_NTK["val"], labels_val)
    tile = list(probabilities)[best]
    if coarse is None:
        return {"global": {s: p_NTK[s][:, 0] for s in SPLITS}}, tile
    from_coarse = read_npz(coarse / "probabilities.npz")
    return {
        "cnn-dnn": {s: from_coarse[s] for s in SPLITS},
        "mean": {s: evaluation.mean(p_NTK[s]) for s in SPLITS},
        "vote": {s: evaluation.vote(p_NTK[s]) for s in SPLITS},
        "best-tile": {s: p_NTK[s][:, best] for s in SPLITS},
    }, tile


def compare_costs(
    local: dict[str, dict[str, Any]],
    coarse: dict[str, Any] | None,
    global_net: dict[str, Any] | None,
) -> dict[str, dict[str, float | int | None]]:
    """Times, work and size of a decision by the local nets alone, and with the coarse net.

    ``parallel_seconds`` is the slowest local net (plus the coarse net): one device per tile.
    ``serial_seconds`` is the sum. ``speedup`` and ``flop_ratio`` compare with the global net.
    """
    seconds = [m["train_seconds"] for m in local.values()]
    parameters = [m["parameters"] for m in local.values()]
    work = max(m["multiply_adds"] for m in local.values())
    costs = {}
    for name, nets in (("local", []), ("coarse", [coarse] if coarse else [])):
        extra = sum(net["train_seconds"] for net in nets)
        parallel = max(seconds) + extra
        sizes = parameters + [net["parameters"] for net in nets]
        memory = [m["peak_memory_bytes"] for m in [*local.values(), *nets]]
        costs[name] = {
            "parallel_seconds": round(parallel, 4),
            "serial_seconds": round(sum(seconds) + extra, 4),
            "speedup": global_net and round(global_net["train_seconds"] / parallel, 4),
            "flop_ratio": global_net and round(global_net["multiply_adds"] / work, 4),
            "parameters_largest": max(sizes),
            "parameters_total": sum(sizes),
            "peak_memory_bytes": max(memory),
        }
    return costs


def _metrics(folder: Path | None) -> dict[str, Any] | None:
    return None if folder is None else read_json(folder / "metrics.json")


def _accuracies(p: dict[str, np.ndarray], y: dict[str, np.ndarray]) -> dict[str, float]:
    return {f"accuracy_{s}": evaluation.accuracy(p[s], y[s]) for s in SPLITS} | {
        f"loss_{s}": evaluation.log_loss(p[s], y[s]) for s in SPLITS
    }


def _local_table(
    metrics: dict[str, dict[str, Any]],
    probabilities: dict[str, dict[str, np.ndarray]],
    y: dict[str, np.ndarray],
) -> dict[str, dict[str, Any]]:
    return {
        tile: {key: metrics[tile][key] for key in LOCAL_KEYS}
        | {f"accuracy_{s}": evaluation.accuracy(probabilities[tile][s], y[s]) for s in SPLITS}
        for tile in metrics
    }


def _coarse_entry(coarse: dict[str, Any] | None) -> dict[str, Any] | None:
    return coarse and {key: coarse[key] for key in (*LOCAL_KEYS, "fit_on")}


def _overhead(
    plan: dict[str, Any],
    local: dict[str, dict[str, Any]],
    probabilities: dict[str, dict[str, np.ndarray]],
    coarse: dict[str, Any] | None,
) -> dict[str, float]:
    """What the method pays beside training: seconds of the slowest job of each kind."""
    jobs = [*local.values(), *([coarse] if coarse else [])]
    return {
        "tile_seconds": plan["seconds"],
        "start_seconds": max(job["start_seconds"] for job in jobs),
        "load_seconds": max(job["load_seconds"] for job in jobs),
        "probabilities_seconds": round(max(float(p["seconds"]) for p in probabilities.values()), 4),
    }
