"""What is wrong with a run that disappoints: figures for every run, and what they mean in words.

The signatures of failure: local decisions agree and the coarse net is poor; local decisions differ
widely and the coarse net gains nothing; the time does not fall with the number of tiles; the coarse
net overfits. We add: the local nets overfit. Thresholds are rules of thumb, so the figures stand
beside them, and nothing is advised that is done already. numpy only.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ddcnn.base.defaults import Facts, chosen

# Points of accuracy (or of R²) below which a difference is not worth a sentence.
SMALL_GAIN = 0.005
# Share of pairs of tiles with the same decision: above it they agree, below it they differ widely.
AGREE, DIFFER = 0.85, 0.55
# Train minus test accuracy from which a net is said to overfit.
GAP = 0.1
# Measured speed-up over the ideal one below which time is lost.
EFFICIENT = 0.5


def measure(
    evaluation: Mapping[str, Any],
    local: Mapping[str, Mapping[str, np.ndarray]],
    y_test: np.ndarray,
    task: str,
) -> dict[str, float | None]:
    """Figures of one run with a coarse net; they stand in ``evaluation.json`` under ``diagnosis``.

    Args:
        evaluation: what is known of the run so far: ``methods``, ``local`` and ``coarse``.
        local: ``test`` of every subdomain: probabilities ``N, K`` or predictions.
        y_test: labels or targets.
        task: ``classification`` or ``regression``.

    Returns:
        ``agreement``: share of pairs of tiles with the same decision (regression: mean correlation
        of their predictions); ``shared_errors``: share of pairs that are both wrong where one is
        (regression: mean correlation of their errors); ``oracle``: accuracy if always the best
        tile were chosen (regression: none); ``gain_over_mean``; ``local_gap`` and ``coarse_gap``:
        train minus test score of the local nets (mean) and of the coarse net; ``efficiency``:
        measured over ideal speed-up.
    """
    score = "accuracy" if task == "classification" else "r2"
    methods, coarse = evaluation["methods"], evaluation["coarse"]
    best = methods["cnn-dnn"]
    p_NTK = np.stack([each["test"] for each in local.values()], axis=1)
    pairs = _of_classes if task == "classification" else _of_numbers
    gaps = [net[f"{score}_train"] - net[f"{score}_test"] for net in evaluation["local"].values()]
    mean = methods.get("mean", {}).get(f"{score}_test")
    speedup, ideal = best["speedup"], best["flop_ratio"]
    return {
        **pairs(p_NTK, y_test),
        "gain_over_mean": None if mean is None else best[f"{score}_test"] - mean,
        "local_gap": float(np.mean(gaps)),
        "coarse_gap": coarse[f"{score}_train"] - best[f"{score}_test"],
        "efficiency": speedup / ideal if speedup and ideal else None,
    }


def _of_classes(p_NTK: np.ndarray, labels: np.ndarray) -> dict[str, float | None]:
    decided_NT = p_NTK.argmax(axis=2)
    wrong_NT = decided_NT != labels[:, None]
    first, second = np.triu_indices(decided_NT.shape[1], k=1)
    both = (wrong_NT[:, first] & wrong_NT[:, second]).sum()
    either = (wrong_NT[:, first] | wrong_NT[:, second]).sum()
    return {
        "agreement": float((decided_NT[:, first] == decided_NT[:, second]).mean()),
        "shared_errors": float(both / either) if either else None,
        "oracle": float((~wrong_NT).any(axis=1).mean()),
    }


def _of_numbers(predicted_NTM: np.ndarray, targets_NM: np.ndarray) -> dict[str, float | None]:
    errors_NTM = predicted_NTM - targets_NM[:, None]
    return {
        "agreement": _mean_correlation(predicted_NTM),
        "shared_errors": _mean_correlation(errors_NTM),
        "oracle": None,
    }


def _mean_correlation(x_NTM: np.ndarray) -> float | None:
    """Over all pairs of tiles and all targets; None where something never changes."""
    num_tiles = x_NTM.shape[1]
    pairs = np.triu_indices(num_tiles, k=1)
    if (x_NTM.std(axis=0) == 0).any():
        return None
    by_target = [np.corrcoef(x_NT, rowvar=False)[pairs] for x_NT in np.moveaxis(x_NTM, 2, 0)]
    return float(np.mean(by_target))


@dataclass(frozen=True)
class Known:
    """What a run was made with, so that nothing is advised that is done already or cannot be.

    Attributes:
        task: ``classification`` or ``regression``.
        num_tiles, kind, coarse_view: of the decomposition.
        coarse: settings of the coarse net.
        local: settings of the local nets, in numbers.
        num_images: of the training split.
        can_augment: the data set allows flips or shifts.
    """

    task: str
    num_tiles: int
    kind: str
    coarse_view: bool
    coarse: Mapping[str, Any]
    local: Mapping[str, Any]
    num_images: int
    can_augment: bool

    @classmethod
    def of(
        cls, evaluation: Mapping[str, Any], settings: Mapping[str, Any], card: Mapping[str, Any]
    ) -> "Known":
        """From ``evaluation.json``, the configuration with all defaults, and ``card.json``."""
        local, facts = settings["local"], Facts.of_card(card)
        return cls(
            facts.task,
            math.prod(evaluation["grid"]),
            evaluation["kind"],
            evaluation["coarse_view"],
            settings["coarse"],
            {**local, **chosen(local, facts)},
            facts.num_images,
            any(card["augment"].values()),
        )


def sentences(figures: Mapping[str, float | None], known: Known) -> Iterator[str]:
    """What the figures of a run (or their means over seeds) say, and what to try.

    Args:
        figures: of :func:`measure`.
        known: of the run.
    """
    if figures["gain_over_mean"] is not None and figures["agreement"] is not None:
        yield _gain(figures, figures["gain_over_mean"], figures["agreement"], known)
    if figures["local_gap"] > GAP:
        teaching = (
            ", so what they say there teaches the coarse net little"
            if known.coarse["fit_on"] == "train"
            else ""
        )
        yield (
            f"The local nets overfit: they are {_points(figures['local_gap'])} better on their "
            f"training images than on the test images{teaching}.{_try(_against_overfitting(known))}"
        )
    if figures["coarse_gap"] > max(GAP, 1.5 * figures["local_gap"]):
        yield (
            f"The coarse net overfits: it is {_points(figures['coarse_gap'])} better on what it "
            f"was fitted on than on the test images.{_try(_for_a_simpler_coarse_net(known))}"
        )
    efficiency = figures["efficiency"]
    if efficiency is not None and efficiency < EFFICIENT:
        yield (
            f"The time falls less than the work: the measured speed-up is {100 * efficiency:.0f} % "
            f"of the ideal one with {known.num_tiles} tiles. Small nets leave a processor idle."
            f"{_try(_for_larger_nets(known))}"
        )


def _gain(figures: Mapping[str, float | None], gain: float, agreement: float, known: Known) -> str:
    alike = _agreement_in_words(figures, known.task == "classification")
    if agreement > AGREE and gain < -SMALL_GAIN:
        return (
            f"{alike}, but the coarse net loses {_points(-gain)} against their mean: it is fitted "
            f"badly.{_try(_for_a_better_fit(known))}"
        )
    if agreement < DIFFER and gain < SMALL_GAIN:
        return (
            f"{alike}, and the coarse net gains only {_points(gain)} over their mean. Single tiles "
            f"see too little.{_try(_for_more_to_see(known))}"
        )
    word = "gains" if gain >= 0 else "loses"
    return f"{alike}; the coarse net {word} {_points(abs(gain))} against their mean."


# Each yields what is left to do.


def _for_a_better_fit(known: Known) -> Iterator[str]:
    if known.coarse["solver"] == "mlp":
        yield "coarse.solver: linear"
    for decisions in ("validation", "out-of-fold"):
        if known.coarse["fit_on"] != decisions:
            yield f"coarse.fit_on: {decisions}"


def _for_more_to_see(known: Known) -> Iterator[str]:
    if known.kind == "blocks":
        yield "a larger overlap"
    yield from _for_fewer_tiles(known)
    if not known.coarse_view:
        yield "coarse_view: true"


def _for_fewer_tiles(known: Known) -> Iterator[str]:
    if known.num_tiles > 2:
        yield "fewer tiles"


def _against_overfitting(known: Known) -> Iterator[str]:
    if known.coarse["fit_on"] == "train":
        yield "coarse.fit_on: out-of-fold"
    if known.local["epochs"] > 1:
        yield "fewer local.epochs"
    yield "more local.weight_decay"
    if known.task == "classification" and not known.local["label_smoothing"]:
        yield "local.label_smoothing: auto"
    if known.can_augment and not known.local["augment"]:
        yield "local.augment: true"


def _for_a_simpler_coarse_net(known: Known) -> Iterator[str]:
    if known.coarse["solver"] == "mlp":
        yield "coarse.solver: linear"
        yield "fewer neurons (coarse.hidden)"
    if known.coarse["input"] == "features":
        yield "coarse.input: log-probabilities"
    if known.coarse["fit_on"] != "out-of-fold":
        yield "coarse.fit_on: out-of-fold"
    yield from _for_fewer_tiles(known)


def _for_larger_nets(known: Known) -> Iterator[str]:
    if 2 * known.local["batch_size"] <= known.num_images:
        yield "a larger local.batch_size"
    yield from _for_fewer_tiles(known)
    yield "a larger local_width"


def _try(advice: Iterable[str]) -> str:
    """`` Try a, b or c.``, or nothing."""
    *others, last = [*advice] or [""]
    if not last:
        return ""
    return f" Try {', '.join(others)}{' or ' if others else ''}{last}."


def idle_augmentation(settings: Mapping[str, Any], card: Mapping[str, Any]) -> str:
    """Says that ``local.augment`` does nothing for a data set; empty where it does, or is off."""
    if not settings["local"]["augment"] or any(card["augment"].values()):
        return ""
    return (
        "local.augment is on, but the data set allows neither flips nor shifts: no image was "
        "changed. In dataset, flip and shift of your own data say what leaves a class as it is."
    )


def _agreement_in_words(figures: Mapping[str, float | None], classes: bool) -> str:
    if not classes:
        return f"The tiles' predictions correlate by {figures['agreement']:.2f} on average"
    text = f"Two tiles decide alike for {100 * figures['agreement']:.0f} % of the test images"
    return f"{text} (at least one tile is right for {100 * figures['oracle']:.1f} %)"


def _points(difference: float) -> str:
    return f"{100 * difference:.1f} points"
