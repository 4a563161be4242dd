"""Where everything lies below ``results`` and ``logs``: the one place that writes these paths.

Names in braces are wildcards, of Snakemake's rules and of :meth:`str.format` alike.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from ddcnn.base.splits import SPLITS, stored_parts
from ddcnn.tiles.geometry import VIEW

RESULTS = "results"
TILES = Path(RESULTS, "tiles")
BENCHMARKS_FOLDER = f"{RESULTS}/benchmarks"
LOGS_FOLDER = "logs"
TILING = "{dataset}/{tiling}"
NET = "{dataset}/{model}/{tiling}/seed{seed}/{tile}"
RUN = "{dataset}/{model}/{decomposition}/seed{seed}"

# What a wildcard takes, as regular expressions.
WILDCARDS = {
    "dataset": "[^/]+",
    "model": "[^/]+",
    "tiling": "whole|blocks-[0-9x]+-overlap[0-9x]+|interleaved-[0-9x]+",
    "decomposition": "[^/]+",
    "seed": r"\d+(-fold\d+)?",
    "fold": r"\d+",
    "combination": "coarse|ensemble",
    "start": "coherent|transfer",
    "way": "data|data-synchronised|spatial|pipeline",
    "workers": r"\d+",
    "tile": rf"\d+(-\d+)*|{VIEW}",
    "experiment": "[^/]+",
}


class RulePaths(NamedTuple):
    """Where a rule writes.

    Attributes:
        level: folder below ``results``.
        place: what tells the rule's jobs apart: folder below ``level``, and part of the paths of
            log and benchmark.
        files: in that folder, by the names that the rule gives them.
    """

    level: str
    place: str
    files: Mapping[str, str | list[str]]


_TRAINED = {
    "model": "model.safetensors",
    "history": "history.csv",
    "metrics": "metrics.json",
    "probabilities": "probabilities.npz",
}


def _prepared_files(folds: int) -> dict[str, str | list[str]]:
    """What the preparation writes: labels, card and samples of every run, if there are folds."""
    folders = [f"fold{fold}/" for fold in range(folds)] or [""]
    files: dict[str, str | list[str]] = {
        "images": [f"x_{part}.npy" for part in stored_parts(folds)],
        "labels": [f"{folder}y_{split}.npy" for folder in folders for split in SPLITS],
        "card": "card.json",
        "samples": "samples.csv",
    }
    if folds:
        files |= {name: [folder + file for folder in folders] for name, file in OF_FOLDS.items()}
    return files


OF_FOLDS = {"cards": "card.json", "listings": "samples.csv"}
# In the order of the stages: no rule needs files of a later one.
RULES = {
    "download": RulePaths("data", "{dataset}", {"manifest": "raw/manifest.json"}),
    "prepare": RulePaths("data", "{dataset}", _prepared_files(0)),
    "tile": RulePaths("tiles", TILING, {"plan": "plan.json"}),
    "coarse_view": RulePaths(
        "tiles",
        TILING,
        {
            "shards": [f"{VIEW}/x_{split}.npy" for split in SPLITS],
            "checksums": f"{VIEW}/shards.json",
        },
    ),
    "train_parallel": RulePaths(
        "parallel", "{dataset}/{model}/{tiling}/seed{seed}/{way}-{workers}", _TRAINED
    ),
    "train_local": RulePaths("local", NET, _TRAINED),
    "local_features": RulePaths("local", NET, {"features": "features.npz"}),
    "train_fold": RulePaths(
        "local", f"{NET}/fold{{fold}}", {"held_out": "held_out.npz", "metrics": "metrics.json"}
    ),
    "train_coarse": RulePaths("runs", f"{RUN}/{{combination}}", _TRAINED),
    "train_coherent": RulePaths("runs", f"{RUN}/{{start}}", _TRAINED),
    "evaluate": RulePaths(
        "runs", RUN, {"evaluation": "evaluation.json", "predictions": "predictions.npz"}
    ),
    "bundle": RulePaths("runs", RUN, {"model": "ddcnn.safetensors", "card": "ddcnn.md"}),
    "report": RulePaths(
        "reports",
        "{experiment}",
        {
            "page": "report.html",
            "summary": "summary.csv",
            "comparison": "comparison.csv",
            "predictions": "predictions.csv",
            "latex": "table.tex",
            "markdown": "table.md",
            "settings": "settings.json",
            "merits": "merits.npz",
            "figures": "figures",
        },
    ),
}


def _with_folds(name: str, folds: int) -> RulePaths:
    """A rule with the files that it has with so many folds; 0: without cross-validation."""
    rule = RULES[name]
    if name == "prepare":
        return rule._replace(files=_prepared_files(folds))
    if name == "coarse_view":
        shards = [f"{VIEW}/x_{part}.npy" for part in stored_parts(folds)]
        return rule._replace(files={**rule.files, "shards": shards})
    return rule


def _outputs(rule: RulePaths) -> dict[str, str | list[str]]:
    folder = f"{RESULTS}/{rule.level}/{rule.place}"
    return {
        name: [f"{folder}/{file}" for file in files]
        if isinstance(files, list)
        else f"{folder}/{files}"
        for name, files in rule.files.items()
    }


@cache
def outputs_of(folds: int) -> dict[str, dict[str, str | list[str]]]:
    """What every rule has as ``output:``; with folds other files are prepared and tiled."""
    return {name: _outputs(_with_folds(name, folds)) for name in RULES}


# What every rule has as ``log:`` and ``benchmark:``.
LOGS = {name: f"{LOGS_FOLDER}/{name}/{rule.place}.log" for name, rule in RULES.items()}
BENCHMARKS = {name: f"{BENCHMARKS_FOLDER}/{name}/{rule.place}.tsv" for name, rule in RULES.items()}


def place_of(rule: str, wildcards: Mapping[str, str]) -> str:
    """What tells a job from its rule's others."""
    return RULES[rule].place.format(**wildcards)


def seed_text(seed: int, fold: int | None) -> str:
    """What stands for the wildcard ``seed``: ``0``, or of a run that is tested on a fold
    ``0-fold2``.
    """
    return f"{seed}" if fold is None else f"{seed}-fold{fold}"


def seed_of(wildcards: Mapping[str, str]) -> int:
    """The seed in :func:`seed_text`."""
    return int(wildcards["seed"].partition("-")[0])


def fold_of(wildcards: Mapping[str, str]) -> int | None:
    """The fold in :func:`seed_text`; None without one."""
    _, _, fold = wildcards["seed"].partition("-fold")
    return int(fold) if fold else None


def paths_of(rule: str, name: str, wildcards: Mapping[str, str], folds: int = 0) -> str | list[str]:
    """The file, or the files, that a rule calls by a name."""
    files = outputs_of(folds)[rule][name]
    if isinstance(files, list):
        return [file.format(**wildcards) for file in files]
    return files.format(**wildcards)


def folder_of(rule: str, place: str, results: str | Path = RESULTS) -> Path:
    """The folder of a job's files, whose :func:`place_of` is known."""
    return Path(results) / RULES[rule].level / place
