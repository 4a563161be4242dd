"""Whether the test split is unlike the validation split: then neither score speaks for the other.

A scanner that was never seen, or a site with other patients, shows in two ways: the same nets are
right more or less often than both splits' sizes explain, or the images look different.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ddcnn.base.text import percent
from ddcnn.data.intensity import PER_IMAGE
from ddcnn.evaluation.intervals import NORMAL_95, difference_of_scores, wilson
from ddcnn.report.study import RunResult, Study

# Scores must differ by more than nets that were chosen on the validation split gain by that.
FAR = 0.02
# Means of the images must differ by half of what single images differ in ("medium"; Cohen 1988),
# and by what chance does once in a thousand times: two measures and several channels are compared.
MEDIUM, NORMAL_999 = 0.5, 3.290527
LOOKS = {"mean": ("darker", "brighter"), "std": ("of less contrast", "of more contrast")}
UNFITTED = ("global", "mean", "vote")


def unlike_splits(study: Study) -> list[str]:
    """A sentence about the scores and one about the images; none where nothing is found.

    With folds every sample is in the test split once and in the validation split once.
    """
    if study.folds:
        return []
    return [text for text in (_scores(study), _images(study)) if text]


def _scores(study: Study) -> str:
    runs, method = _judge(study)
    if not method or runs[0].evaluation["refit"]:  # then other nets decide on the test split
        return ""
    val, test = (_score(study, runs, method, split) for split in ("val", "test"))
    low, high = difference_of_scores(val, test)
    if high >= -FAR and low <= FAR:
        return ""
    first, second = (_shown(study, *each) for each in (("val", val[0]), ("test", test[0])))
    return (
        f"The test split is unlike the validation split: the same nets ({method}, "
        f"{runs[0].label}) reach {first} on validation and {second} on test, further apart than "
        "the sizes of the splits explain. Look at where the two come from (another scanner, site "
        "or time), and do not expect either score elsewhere."
    )


def _shown(study: Study, split: str, score: float) -> str:
    if study.is_regression:
        return f"R² {score:.3f}".replace("-", "\N{MINUS SIGN}")
    return percent(score, study.num_images_of(split))


def _judge(study: Study) -> tuple[list[RunResult], str]:
    """Runs, and a method that was not fitted on the validation split; no method without one."""
    runs = study.whole or study.decomposed[study.best]
    methods, coarse = runs[0].evaluation["methods"], runs[0].evaluation["coarse"] or {}
    fitted = coarse.get("fit_on") == "validation"
    candidates = (*UNFITTED, *(() if fitted else ("cnn-dnn",)))
    return runs, next((name for name in candidates if name in methods), "")


def _score(
    study: Study, runs: list[RunResult], method: str, split: str
) -> tuple[float, float, float]:
    """Accuracy or R², mean over the seeds, with its 95 % interval by the choice of the images."""
    merits = np.mean([run.merits(method, split) for run in runs], axis=0)
    count = study.num_independent(split)
    mean = float(merits.mean())
    if study.is_regression:
        reach = NORMAL_95 * float(merits.std() / np.sqrt(count))
        return 1 + mean, 1 + mean - reach, 1 + mean + reach
    return mean, *wilson(mean * count, count)


def _images(study: Study) -> str:
    looks = study.card.get("per_image")
    if not looks:
        return ""
    found = list(dict.fromkeys(_differences(study, looks)))
    if not found:
        return ""
    return (
        f"The {study.noun}s of the test split are {' and '.join(found)} than those of validation, "
        "by more than half of what single ones differ in: they may come from another scanner, "
        f"camera or site.{_scaling(study.card)}"
    )


def _scaling(card: dict[str, Any]) -> str:
    """What is left to do about it: images of 8 bit have no intensity to choose."""
    rule = card.get("intensity", {}).get("rule")
    if rule is None:
        return ""
    if rule in PER_IMAGE:
        return f" Every image was scaled by its own values already (intensity: {rule})."
    return (
        f" One window for all keeps the difference; intensity: {' or '.join(PER_IMAGE)} does not."
    )


def _differences(study: Study, looks: dict[str, Any]) -> Iterator[str]:
    chance = NORMAL_999 * sum(1 / study.num_independent(split) for split in ("val", "test")) ** 0.5
    for measure, words in LOOKS.items():
        val, test = (np.array(looks[split][measure]) for split in ("val", "test"))
        spreads = [np.array(looks[split][f"{measure}_spread"]) for split in ("val", "test")]
        pooled = np.sqrt(np.mean(np.square(spreads), axis=0))
        for step in (test - val) / np.maximum(pooled, 1e-12):
            if abs(step) > max(MEDIUM, chance):
                yield words[int(step > 0)]
