"""Which job needs which files: the one place that says so.

For every rule a function says what a job with some wildcards reads, by the names that the rule
gives its inputs. Snakemake's ``input:`` and the job graph of ``plan``, ``status`` and the report
are both made from it.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

from ddcnn.base.splits import FITTING, SPLITS
from ddcnn.experiment.paths import fold_of, folder_of, outputs_of, paths_of, place_of
from ddcnn.experiment.runs import Experiment, Run
from ddcnn.tiles.geometry import VIEW

Wildcards = Mapping[str, str]
JOINT = ("coherent", "transfer")


class Node(NamedTuple):
    """What a rule makes for some wildcards: a job, or one net of a job that trains several."""

    rule: str
    wildcards: Wildcards
    folds: int = 0  # of the data's cross-validation, where its files depend on them

    @property
    def place(self) -> str:
        return place_of(self.rule, self.wildcards)

    @property
    def folder(self) -> str:
        return folder_of(self.rule, self.place).as_posix()

    def files(self, name: str) -> "NeededFiles":
        """Its files of this name."""
        return NeededFiles(self, paths_of(self.rule, name, self.wildcards, self.folds))

    @property
    def outputs(self) -> list[str]:
        """All its files."""
        names = outputs_of(self.folds)[self.rule]
        return [path for name in names for path in self.files(name).listed]


class NeededFiles(NamedTuple):
    """One file, or a list of them, and what makes them."""

    node: Node
    paths: str | list[str]

    @property
    def listed(self) -> list[str]:
        return [self.paths] if isinstance(self.paths, str) else self.paths


Needs = Mapping[str, NeededFiles | list[NeededFiles]]  # by the name of an input


def needs_of(experiment: Experiment, rule: str, wildcards: Wildcards) -> Needs:
    """What a job reads. The wildcards of a rule that trains a pack of tiles have no ``tile``."""
    return _NEEDS[rule](experiment, wildcards)


def inputs_of(experiment: Experiment, rule: str, wildcards: Wildcards) -> dict[str, Any]:
    """Paths of what a job reads, for the ``input:`` of its rule."""
    return {
        name: needed.paths
        if isinstance(needed, NeededFiles)
        else list(dict.fromkeys(path for files in needed for path in files.listed))
        for name, needed in needs_of(experiment, rule, wildcards).items()
    }


# From the data to the local nets


def _download(_experiment: Experiment, _w: Wildcards) -> Needs:
    return {}


def _prepare(_experiment: Experiment, w: Wildcards) -> Needs:
    return {"manifest": Node("download", w).files("manifest")}


def _tile(experiment: Experiment, w: Wildcards) -> Needs:
    return {"images": _prepared(experiment, w).files("images")}


def _coarse_view(experiment: Experiment, w: Wildcards) -> Needs:
    images = _prepared(experiment, w).files("images")
    return {"images": images, "plan": Node("tile", w).files("plan")}


def _train_local(experiment: Experiment, w: Wildcards) -> Needs:
    labels = _labels(experiment, w, FITTING)
    return {"shards": _shards(experiment, w), "labels": labels, "card": _card(experiment, w)}


def _train_fold(experiment: Experiment, w: Wildcards) -> Needs:
    return {**_train_local(experiment, w), "samples": _samples(experiment, w)}


def _local_features(experiment: Experiment, w: Wildcards) -> Needs:
    model = Node("train_local", w).files("model")
    return {"shards": _shards(experiment, w), "model": model, "card": _card(experiment, w)}


def _shards(experiment: Experiment, w: Wildcards) -> list[NeededFiles]:
    """What stands for a tile's shards: the view's own files, or the plan, written last."""
    if w.get("tile") == VIEW:
        view = Node("coarse_view", w, experiment.folds)
        return [view.files("shards"), view.files("checksums")]
    return [Node("tile", w).files("plan")]


def _prepared(experiment: Experiment, w: Wildcards) -> Node:
    return Node("prepare", w, experiment.folds)


def _labels(experiment: Experiment, w: Wildcards, splits: Sequence[str] = SPLITS) -> NeededFiles:
    """Labels of some of the first splits, as a run makes them."""
    labels, first = _prepared(experiment, w).files("labels"), (fold_of(w) or 0) * len(SPLITS)
    return labels._replace(paths=labels.listed[first : first + len(splits)])


def _card(experiment: Experiment, w: Wildcards) -> NeededFiles:
    return _of_run(experiment, w, "card", "cards")


def _samples(experiment: Experiment, w: Wildcards) -> NeededFiles:
    return _of_run(experiment, w, "samples", "listings")


def _of_run(experiment: Experiment, w: Wildcards, name: str, of_folds: str) -> NeededFiles:
    """A file of the data as a run sees them: the fold's, if there are folds."""
    prepared, fold = _prepared(experiment, w), fold_of(w)
    if fold is None:
        return prepared.files(name)
    files = prepared.files(of_folds)
    return files._replace(paths=files.listed[fold])


# From the local nets to the coarse net, and all nets as one


def local_nets(run: Run) -> list[Node]:
    """A run's local nets, in the order of the decomposition."""
    tiles = run.decomposition.subdomains
    return [Node("train_local", run.wildcards | {"tile": tile}) for tile in tiles]


def ensemble_nets(run: Run) -> list[Node]:
    """The nets of the control ``ensemble``."""
    return [net for member in run.ensemble_runs() for net in local_nets(member)]


def folds_of(experiment: Experiment, nets: list[Node]) -> list[Node]:
    """Trainings of these nets without a part of the images, where they are needed."""
    return [
        Node("train_fold", {**net.wildcards, "fold": str(fold)})
        for net in nets
        for fold in range(experiment.num_folds)
    ]


def _train_coarse(experiment: Experiment, w: Wildcards) -> Needs:
    run = experiment.run_of(w)
    nets = ensemble_nets(run) if w["combination"] == "ensemble" else local_nets(run)
    held_out = [fold.files("held_out") for fold in folds_of(experiment, nets)]
    return {
        "probabilities": [net.files("probabilities") for net in nets],
        "features": _features(nets) if experiment.sees_features else [],
        "held_out": held_out,
        "labels": _labels(experiment, w, FITTING),
        "card": _card(experiment, w),
    }


def _features(nets: list[Node]) -> list[NeededFiles]:
    return [Node("local_features", net.wildcards).files("features") for net in nets]


def _train_coherent(experiment: Experiment, w: Wildcards) -> Needs:
    """``transfer`` starts from the local nets, and from the coarse net as the last one."""
    run = experiment.run_of(w)
    trained = [*local_nets(run), _coarse(run, "coarse")] if w["start"] == "transfer" else []
    return {
        "images": _prepared(experiment, w).files("images"),
        "labels": _labels(experiment, w, FITTING),
        "card": _card(experiment, w),
        "trained": [node.files("model") for node in trained],
    }


def _coarse(run: Run, combination: str) -> Node:
    return Node("train_coarse", run.wildcards | {"combination": combination})


def parallel_nets(experiment: Experiment, run: Run) -> dict[str, Node]:
    """Trainings of the global net by several workers, by what their method is called."""
    asked = product(experiment.settings["parallel"], experiment.settings["workers"])
    return {
        f"{way}-{number}": Node(
            "train_parallel", run.wildcards | {"way": way, "workers": str(number)}
        )
        for way, number in (asked if run.is_global else ())
    }


# What is made of a run


def trained_for(experiment: Experiment, run: Run) -> dict[str, Any]:
    """Everything that is compared in a run; see :class:`ddcnn.evaluation.stage.Trained`."""
    methods, local, whole = experiment.methods_of(run), local_nets(run), run.global_run()
    members = ensemble_nets(run) if "ensemble" in methods else []
    return {
        "local": dict(zip(run.decomposition.subdomains, local, strict=True)),
        "folds": [] if run.is_global else folds_of(experiment, local),
        "coarse": None if run.is_global else _coarse(run, "coarse"),
        "global_net": local_nets(whole)[0] if whole in experiment.runs else None,
        "small": local_nets(run.small_run())[0] if "small" in methods else None,
        "members": members,
        "member_folds": folds_of(experiment, members),
        "ensemble": _coarse(run, "ensemble") if "ensemble" in methods else None,
        "joint": {
            start: Node("train_coherent", run.wildcards | {"start": start})
            for start in JOINT
            if start in methods
        },
        "parallel": parallel_nets(experiment, run),
    }


def _evaluate(experiment: Experiment, w: Wildcards) -> Needs:
    run = experiment.run_of(w)
    trained = trained_for(experiment, run)
    single = [trained[key] for key in ("small", "coarse", "ensemble") if trained[key]]
    others = [*trained["joint"].values(), *trained["parallel"].values()]
    judging = [*trained["local"].values(), *single, *others]
    beside = [*trained["folds"], *trained["members"], *trained["member_folds"]]
    whole, own = trained["global_net"], [*judging, *beside]
    compared = [whole] if whole and whole not in own else []
    return {
        "plan": Node("tile", run.wildcards).files("plan"),
        "labels": _labels(experiment, w),
        "card": _card(experiment, w),
        "probabilities": [node.files("probabilities") for node in judging],
        "held_out": [fold.files("held_out") for fold in trained["folds"]],
        "metrics": [node.files("metrics") for node in own],
        "compared": [node.files("metrics") for node in compared],
    }


def _bundle(experiment: Experiment, w: Wildcards) -> Needs:
    run, evaluation = experiment.run_of(w), Node("evaluate", w)
    nets, coarse = local_nets(run), [] if run.is_global else [_coarse(run, "coarse")]
    return {
        "models": [node.files("model") for node in [*nets, *coarse]],
        "metrics": [node.files("metrics") for node in [*nets, *coarse]],
        "probabilities": [net.files("probabilities") for net in nets],
        "features": _features(nets) if coarse and experiment.sees_features else [],
        "plan": Node("tile", run.wildcards).files("plan"),
        "card": _card(experiment, w),
        "samples": _samples(experiment, w),
        "evaluation": evaluation.files("evaluation"),
        "predictions": evaluation.files("predictions"),
        "pooled": [
            Node("evaluate", each.wildcards).files("predictions")
            for each in run.fold_runs(experiment.folds)
        ],
    }


def _report(experiment: Experiment, _w: Wildcards) -> Needs:
    runs = experiment.runs
    evaluations = [Node("evaluate", run.wildcards) for run in runs]
    trained = [net for run in runs for net in local_nets(run)]
    trained += [_coarse(run, "coarse") for run in runs if not run.is_global]
    data = [_prepared(experiment, run.wildcards) for run in runs]
    return {
        "evaluations": [each.files("evaluation") for each in evaluations],
        "predictions": [each.files("predictions") for each in evaluations],
        "histories": [node.files("history") for node in trained],
        "plans": [Node("tile", run.wildcards).files("plan") for run in runs],
        "cards": [prepared.files("card") for prepared in data],
        "samples": [prepared.files("samples") for prepared in data],
        "fold_cards": [_card(experiment, run.wildcards) for run in runs if experiment.folds],
        "images": [_shown_images(prepared) for prepared in data],
    }


def _shown_images(prepared: Node) -> NeededFiles:
    """Images that the report shows: of the splits ``train`` and ``test``, or of all folds."""
    images = prepared.files("images")
    if prepared.folds:
        return images
    return images._replace(paths=[images.listed[0], images.listed[-1]])


_NEEDS: dict[str, Callable[[Experiment, Wildcards], Needs]] = {
    "download": _download,
    "prepare": _prepare,
    "tile": _tile,
    "coarse_view": _coarse_view,
    "train_local": _train_local,
    "local_features": _local_features,
    "train_parallel": _train_local,
    "train_fold": _train_fold,
    "train_coarse": _train_coarse,
    "train_coherent": _train_coherent,
    "evaluate": _evaluate,
    "bundle": _bundle,
    "report": _report,
}
