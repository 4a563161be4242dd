"""Which results of two experiments belong together, and how much they differ."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ddcnn.base.errors import InputError
from ddcnn.evaluation.intervals import Difference, paired_difference
from ddcnn.evaluation.methods import in_order
from ddcnn.report.compare.experiment import Finished
from ddcnn.report.snapshot import flatten
from ddcnn.report.verdicts import Family

Row = dict[str, Any]
ABSENT = "\N{EN DASH}"


class Cut(NamedTuple):
    """What may be paired: a model and a decomposition of one data set."""

    model: str
    decomposition: str


def labelled(experiments: Sequence[Finished]) -> list[str]:
    """Names of the experiments; their folders where two have the same name."""
    names = [experiment.name for experiment in experiments]
    if len(set(names)) == len(names):
        return names
    return [str(experiment.folder) for experiment in experiments]


def differing_settings(
    experiments: Sequence[Finished], labels: Sequence[str]
) -> list[dict[str, str]]:
    """One row per key that is not the same everywhere: ``setting``, and a value per label."""
    flat = [dict(flatten(experiment.settings)) for experiment in experiments]
    keys = dict.fromkeys(key for each in flat for key in each)
    values = {key: [each.get(key, ABSENT) for each in flat] for key in keys if key != "experiment"}
    return [
        {"setting": key, **dict(zip(labels, found, strict=True))}
        for key, found in values.items()
        if len(set(found)) > 1
    ]


def compared(
    experiments: Sequence[Finished], labels: Sequence[str]
) -> list[tuple[Row, Difference]]:
    """Every later experiment minus the first one, paired over seeds and test images.

    Returns:
        one row per data set, pair of decompositions and method, with its difference.

    Raises:
        InputError: nothing can be paired; it says why.
    """
    first, *others = experiments
    return [
        row
        for other, label in zip(others, labels[1:], strict=True)
        for row in _rows(first, other, labels[0], label)
    ]


def judged(rows: Iterable[tuple[Row, Difference]], family: Family) -> pd.DataFrame:
    """The columns of ``--csv``: the rows with what may be said of their differences."""
    return pd.DataFrame(
        [
            row
            | {key: getattr(difference, key) for key in ("low", "high")}
            | {"verdict": family.verdict(difference), "smallest": family.smallest(difference)}
            for row, difference in rows
        ]
    )


def _rows(a: Finished, b: Finished, label_a: str, label_b: str) -> Iterator[tuple[Row, Difference]]:
    """All rows of one pair of experiments; at least one."""
    rows, reasons = [], []
    for dataset in dict.fromkeys(a.summary["dataset"]):
        mine, other = (e.summary[e.summary["dataset"] == dataset] for e in (a, b))
        if other.empty:
            continue
        if not np.array_equal(a.merits[dataset], b.merits[dataset]):
            reasons.append(f"the test split of {dataset} is not the same in the two")
            continue
        names = {"dataset": dataset, "first": label_a, "second": label_b}
        found = [
            (names | row, difference)
            for pair in paired_cuts(mine, other)
            for row, difference in _rows_of_pair(a, b, mine, other, dataset, *pair)
        ]
        rows += found
        if not found:
            reasons.append(f"no method of {dataset} has a seed that both have trained")
    if not rows:
        sets = (", ".join(dict.fromkeys(e.summary["dataset"])) for e in (a, b))
        why = "; ".join(reasons) or "their data sets are {} and {}".format(*sets)
        raise InputError(f"{label_a} and {label_b} have nothing in common to compare: {why}")
    yield from rows


def paired_cuts(a: pd.DataFrame, b: pd.DataFrame) -> list[tuple[Cut, Cut]]:
    """What belongs together, of one data set.

    The same model and decomposition; then the same decomposition with the only other model; then
    what each experiment would choose by the validation split, if that is not paired already.
    """
    cuts_a, cuts_b = _cuts(a), _cuts(b)
    pairs = [(cut, cut) for cut in cuts_a if cut in cuts_b]
    rest_a, rest_b = ([c for c in cuts if (c, c) not in pairs] for cuts in (cuts_a, cuts_b))
    for slug in dict.fromkeys(cut.decomposition for cut in rest_a):
        ours, theirs = ([c for c in rest if c.decomposition == slug] for rest in (rest_a, rest_b))
        if len(ours) == len(theirs) == 1:
            pairs.append((ours[0], theirs[0]))
    chosen = (_chosen(a), _chosen(b))
    return pairs if chosen in pairs or None in chosen else [*pairs, chosen]


def _cuts(table: pd.DataFrame) -> list[Cut]:
    columns = (table["model"], table["decomposition"])
    return [Cut(*pair) for pair in dict.fromkeys(zip(*columns, strict=True))]


def _chosen(table: pd.DataFrame) -> Cut | None:
    """Where the CNN-DNN is best on the validation split, mean over the seeds."""
    rows = table[table["method"] == "cnn-dnn"]
    if rows.empty:
        return None
    means = rows.groupby(["model", "decomposition"])[f"{_score(table)}_val"].mean().dropna()
    return None if means.empty else Cut(*means.idxmax())


def _score(table: pd.DataFrame) -> str:
    return "r2" if table["accuracy_test"].isna().all() else "accuracy"


def _rows_of_pair(
    a: Finished,
    b: Finished,
    table_a: pd.DataFrame,
    table_b: pd.DataFrame,
    dataset: str,
    cut_a: Cut,
    cut_b: Cut,
) -> Iterator[tuple[Row, Difference]]:
    """A row for each method that both have, over the seeds that both have."""
    score = f"{_score(table_a)}_test"
    rows_a, rows_b = _by_method(table_a, cut_a), _by_method(table_b, cut_b)
    for method, ours in in_order(rows_a):
        theirs = rows_b.get(method)
        seeds = [] if theirs is None else [seed for seed in ours.index if seed in theirs.index]
        if not seeds:
            continue
        one, two = ours.loc[seeds], theirs.loc[seeds]
        difference = paired_difference(
            _merits(b, dataset, cut_b, seeds, method),
            _merits(a, dataset, cut_a, seeds, method),
            _groups(a, b, dataset),
        )
        row = {
            "method": method,
            **{f"first_{key}": value for key, value in cut_a._asdict().items()},
            **{f"second_{key}": value for key, value in cut_b._asdict().items()},
            "score": score,
            "seeds": len(seeds),
            "first_score": one[score].mean(),
            "second_score": two[score].mean(),
            "test_images": len(a.merits[dataset]),
            "first_parallel_seconds": one["parallel_seconds"].mean(),
            "second_parallel_seconds": two["parallel_seconds"].mean(),
            "difference": difference.value,
        }
        yield row, difference


def _groups(a: Finished, b: Finished, dataset: str) -> np.ndarray | None:
    """Groups of the test images, if one of the two knows them; None: every image is its own."""
    known = [groups for e in (a, b) if len(groups := e.merits[f"{dataset}/groups"])]
    return known[0] if known else None


def _by_method(table: pd.DataFrame, cut: Cut) -> dict[str, pd.DataFrame]:
    """Rows by method, indexed by seed."""
    rows = table[(table["model"] == cut.model) & (table["decomposition"] == cut.decomposition)]
    return {method: group.set_index("seed") for method, group in rows.groupby("method")}


def _merits(
    experiment: Finished, dataset: str, cut: Cut, seeds: Iterable[int], method: str
) -> np.ndarray:
    """``S, N``: see :func:`ddcnn.report.snapshot.merits_of`."""
    folder = f"{dataset}/{cut.model}/{cut.decomposition}"
    return np.stack([experiment.merits[f"{folder}/seed{seed}/{method}"] for seed in seeds])
