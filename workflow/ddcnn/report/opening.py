"""What came out, in three sentences, for a reader who reads no more."""

import numpy as np

from ddcnn.base.text import counted, percent
from ddcnn.evaluation.intervals import paired_difference
from ddcnn.report.comparison import compare
from ddcnn.report.dataset import Facts, origin_of
from ddcnn.report.sentences import (
    achieved,
    gain_over_mean,
    how_sure,
    in_score,
    looks,
    seconds,
    verdict_on,
)
from ddcnn.report.sketches.pictures import compared
from ddcnn.report.study import Study
from ddcnn.report.verdicts import Family


def three_sentences(study: Study, family: Family) -> list[str]:
    """Accuracy (or R²), time, and what the coarse net adds and how sure it all is."""
    return [_score(study, family), _time(study), _certainty(study)]


def believed(study: Study, family: Family) -> Facts:
    """What a reader must know of data, seeds and looks to believe the rest: heads and lines."""
    seeds = ", ".join(map(str, study.seeds))
    if len(study.seeds) == 1:
        seeds += " alone: the chance of another training is in no interval"
    rows = {
        "Majority baseline": baseline(study, family),
        "Seeds": [seeds],
        "Looks at the test split": [looks(study)],
    }
    return [*origin_of(study.card), *((head, lines) for head, lines in rows.items() if lines)]


def baseline(study: Study, family: Family) -> list[str]:
    """What the accuracies are to be held against, and whether they exceed it; empty for targets."""
    known = study.runs[0].evaluation["baseline"]
    if known is None:
        return []
    text = (
        f"Always saying “{known['majority_class']}”, the most frequent class of the training "
        f"split, would be right for {percent(known['accuracy_test'], study.num_images)} of the "
        f"test {study.noun}s, guessing for {100 * known['chance']:.3g} %"
    )
    _, runs, method = compared(study)[0]
    rights_SN = np.stack([run.merits(method) for run in runs])
    always = runs[0].evaluation["classes"].index(known["majority_class"])
    baseline_SN = np.stack([run.labels == always for run in runs])
    difference = paired_difference(rights_SN, baseline_SN, study.runs[0].groups)
    if family.judged(difference).is_clear and difference.value > 0:
        return [f"{text}."]
    name = "CNN-DNN" if study.best else "global net"
    balanced = study.mean_of(runs[0].evaluation["decomposition"], method)["balanced_accuracy_test"]
    return [
        f"{text}: the accuracy of the {name} is not shown to be better than that. Its balanced "
        f"accuracy is {percent(balanced, study.num_images)}."
    ]


def _score(study: Study, family: Family) -> str:
    # Of a regression, what is achieved names R² itself.
    reached = "reaches, on the test split," if study.is_regression else "reaches a test accuracy of"
    if not study.best:
        return (
            f"The global net {reached} {achieved(study, 'whole', 'global')} "
            f"({how_sure(study, 'whole', 'global')})."
        )
    text = (
        f"The CNN-DNN of {study.label_of(study.best)} {reached} "
        f"{achieved(study, study.best, 'cnn-dnn')} "
        f"({how_sure(study, study.best, 'cnn-dnn')})"
    )
    if not study.whole:
        return f"{text}; there is no global net to compare it with."
    difference = compare(study.decomposed[study.best], "cnn-dnn", study.whole, "global")
    verdict = verdict_on(study, family, difference, "the CNN-DNN", "the global net")
    return (
        f"{text} and the global net {achieved(study, 'whole', 'global')}: "
        f"{in_score(study, difference)}. {verdict}"
    )


def _time(study: Study) -> str:
    if not study.best:
        row = study.mean_of("whole", "global")
        return f"Its training takes {seconds(row['parallel_seconds'])}."
    row = study.mean_of(study.best, "cnn-dnn")
    text = (
        f"With one job per tile its training takes {seconds(row['parallel_seconds'])}, and "
        f"{seconds(row['serial_seconds'])} one job after another"
    )
    if not study.whole:
        return f"{text}."
    alone = seconds(study.mean_of("whole", "global")["parallel_seconds"])
    ideal = ""
    if row["flop_ratio"] == row["flop_ratio"]:
        ideal = f", where the work would allow {row['flop_ratio']:.1f} times"
    return f"{text}, the global net {alone}: {row['speedup']:.1f} times as fast{ideal}."


def _certainty(study: Study) -> str:
    rest = f"all this rests on {study.tested} and {counted(len(study.seeds), 'seed')}"
    if len(study.seeds) == 1:
        rest += ", so chance between repeated trainings is not in the intervals"
    difference = gain_over_mean(study)
    if difference is None:
        return f"{rest[0].upper()}{rest[1:]}."
    return (
        f"Against the plain mean of the local nets the coarse net makes a difference of "
        f"{in_score(study, difference)}; {rest}."
    )
