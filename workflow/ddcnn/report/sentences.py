"""What the results say, in sentences that claim no difference inside its interval."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ddcnn.base.text import counted, decimals, interval, percent, signed
from ddcnn.evaluation import diagnosis
from ddcnn.evaluation.intervals import FOLD_INFLATION, Difference
from ddcnn.report.comparison import compare, overlap_ends, score_interval
from ddcnn.report.sketches.charts import standard_error
from ddcnn.report.study import RunResult, Study
from ddcnn.report.unlike import unlike_splits
from ddcnn.report.verdicts import Family

NO_BREAK = "\N{NO-BREAK SPACE}"


def findings(study: Study, family: Family) -> list[str]:
    """The summary at the top of the page: a sentence or two for each point."""
    found = [
        _accuracy(study, family),
        _time(study),
        _averaging(study, family),
        _overlap(study, family),
        _certainty(study),
    ]
    return [text for text in found if text]


def diagnosis_of(study: Study) -> dict[str, list[str]]:
    """What the figures of every decomposition say, mean over the seeds, by its label.

    A test split unlike validation comes first: no decomposition is better than its data.
    """
    found = {"The splits": unlike_splits(study)}
    found["Augmentation"] = [
        *filter(None, [diagnosis.idle_augmentation(study.settings, study.card)])
    ]
    card, *_ = study.training_cards.values()  # of folds the first
    for runs in study.decomposed.values():
        known = diagnosis.Known.of(runs[0].evaluation, study.settings, card)
        found[runs[0].label] = list(diagnosis.sentences(_mean_figures(runs), known))
    return {label: texts for label, texts in found.items() if texts}


def _mean_figures(runs: list[RunResult]) -> dict[str, float | None]:
    figures = [run.evaluation["diagnosis"] for run in runs]
    return {
        key: None
        if any(each[key] is None for each in figures)
        else float(np.mean([each[key] for each in figures]))
        for key in figures[0]
    }


def _accuracy(study: Study, family: Family) -> str:
    noun = study.noun
    if study.is_regression:
        achieves, of_all = "reaches", f"on the test {noun}s"
    else:
        achieves, of_all = "decides", f"of the test {noun}s rightly"
    if not study.best:
        return f"The global net {achieves} {achieved(study, 'whole', 'global')} {of_all}."
    best = study.decomposed[study.best]
    text = (
        f"The CNN-DNN with the best validation {study.score_name} ({best[0].label}) {achieves} "
        f"{achieved(study, study.best, 'cnn-dnn')} {of_all}"
    )
    if not study.whole:
        return f"{text}. No global net was trained, so nothing can be said against it."
    difference = compare(best, "cnn-dnn", study.whole, "global")
    verdict = verdict_on(study, family, difference, "the CNN-DNN", "the global net")
    return (
        f"{text}, the global net {achieved(study, 'whole', 'global')}: "
        f"{in_score(study, difference)}. {verdict}"
    )


def _time(study: Study) -> str | None:
    if not study.best:
        return None
    row = study.mean_of(study.best, "cnn-dnn")
    text = (
        f"With one job per tile in parallel it was trained in {seconds(row['parallel_seconds'])} "
        f"(slowest local net plus coarse net)"
    )
    serial = f"one after another the same trainings take {seconds(row['serial_seconds'])}"
    if not study.whole:
        return f"{text}; {serial}."
    alone = seconds(study.mean_of("whole", "global")["parallel_seconds"])
    text += f", the global net in {alone}: {row['speedup']:.1f} times as fast"
    if row["flop_ratio"] == row["flop_ratio"]:
        text += (
            f", where the ratio of floating-point operations would allow {row['flop_ratio']:.1f}"
        )
    return f"{text}; {serial}. Overhead is shown beside these times, not in them."


def gain_over_mean(study: Study) -> Difference | None:
    """What the coarse net adds, in the decomposition that validation chose."""
    runs = study.decomposed[study.best] if study.best else []
    return compare(runs, "cnn-dnn", runs, "mean")


def _averaging(study: Study, family: Family) -> str | None:
    difference = gain_over_mean(study)
    if difference is None:
        return None
    outputs = "predictions" if study.is_regression else "probabilities"
    return (
        f"Against the plain mean of the same local {outputs} the coarse net makes a difference "
        f"of {in_score(study, difference)}. "
        f"{verdict_on(study, family, difference, 'the coarse net', 'the mean')}"
    )


def _overlap(study: Study, family: Family) -> str | None:
    """Smallest against largest overlap, where one grid was run with several."""
    ends = overlap_ends(study)
    if not ends:
        return None
    low, high = ends
    difference = compare(high, "cnn-dnn", low, "cnn-dnn")
    return (
        f"From {low[0].label} to {high[0].label} the CNN-DNN's test {study.score_name} "
        f"changes by {in_score(study, difference)}. "
        f"{verdict_on(study, family, difference, 'the larger overlap', 'the smaller one')}"
    )


def _certainty(study: Study) -> str:
    num_seeds = len(study.seeds)
    slug, method = (study.best, "cnn-dnn") if study.best else ("whole", "global")
    error = standard_error(study, slug, method)
    shown = f"{error:.3f}" if study.is_regression else f"{100 * error:.1f} points"
    shown = "unknown" if np.isnan(error) else shown
    text = (
        f"These numbers rest on {study.tested} (standard error of one "
        f"{study.score_name}: {shown}) and {counted(num_seeds, 'seed')}."
    )
    if num_seeds == 1:
        text += (
            " With one seed the scatter between repeated trainings is unknown and in none of the "
            "intervals: run several seeds before you conclude anything."
        )
    return text


def in_score(study: Study, difference: Difference) -> str:
    """``+0.9 points (95 % interval −0.3 to +2.1)``, or ``+0.012 in R² (...)``."""
    unit, factor, digits = unit_of(study)
    value, low, high = (factor * each for each in difference[:3])
    shown = f"95{NO_BREAK}% interval {interval(low, high, digits)}"
    if np.isinf(low):
        shown = "no interval: all test images are of one group"
    return f"{signed(value, digits)} {unit} ({shown})"


def unit_of(study: Study) -> tuple[str, int, int]:
    """Unit of a difference, how many of it are one of the score, and its decimals."""
    if study.is_regression:
        return "in R²", 1, 3
    return "points", 100, decimals(study.num_images)


def verdict_on(
    study: Study, family: Family, difference: Difference, first: str, second: str
) -> str:
    """A sentence that says no more than the family's interval of the difference."""
    of_nets = " among these trained nets" if difference.num_seeds == 1 else ""
    judged = family.judged(difference)
    if judged.is_clear:
        winner = first if difference.value > 0 else second
        small = f", by less than {100 * family.margin:g} points" * family.is_small(difference)
        rank = "ahead" if of_nets else "better"
        end = "; one seed shows nothing of the methods" if of_nets else ""
        return f"{family.adjusted()} {winner} is {rank}{of_nets}{small}{end}."
    if family.is_small(difference):
        return f"{family.adjusted()} the two are equal {family.within}{of_nets}."
    unit, factor, digits = unit_of(study)
    smallest = family.smallest(difference)
    could = f"the smallest that could have been is {factor * smallest:.{digits}f} {unit}"
    if smallest == difference.limit:
        could = "with so few seeds or images none could have been"
    return f"{family.adjusted()} no difference is shown{of_nets}; {could}."


def looks(study: Study) -> str:
    """How often this folder of results has looked at the test split: choosing by it misleads."""
    here, everywhere = study.num_looks()
    chosen = (
        f"The decomposition was chosen among {len(study.decomposed)} by the validation split; "
        if len(study.decomposed) > 1
        else ""
    )
    text = (
        f"{chosen}when this page was written, the test split of {study.dataset} had been looked at "
        f"{everywhere:,} times in this folder of results (once for each method of each run), "
        f"{here:,} times on this page: what is chosen by these looks seems better than it is."
    )
    return text[0].upper() + text[1:]


def how_sure(study: Study, decomposition: str, method: str) -> str:
    """``95 % interval 88.3 to 91.0 %``, of R² without a unit."""
    low, high = score_interval(study, decomposition, method)
    if study.is_regression:
        return f"95{NO_BREAK}% interval {low:.3f} to {high:.3f}"
    ends = [percent(end, study.num_images) for end in (low, high)]
    return f"95{NO_BREAK}% interval {ends[0].removesuffix(' %')} to {ends[1]}"


def achieved(study: Study, decomposition: str, method: str) -> str:
    """``89.7 %``, or R² and RMSE of a regression."""
    row = study.mean_of(decomposition, method)
    if study.is_regression:
        return f"R² {row['r2_test']:.3f} (RMSE {row['rmse_test']:.3g})"
    return percent(row["accuracy_test"], study.num_images)


def seconds(value: float) -> str:
    """``0.42 s``, ``8.2 s``, ``48 s``, ``12.3 min``, ``3.4 h``; the space does not break."""
    number, unit = value, "s"
    if value >= 180:
        number, unit = (value / 3600, "h") if value >= 5400 else (value / 60, "min")
    digits = 2 if value < 1 else 0 if 30 <= value < 180 else 1
    return f"{number:.{digits}f}{NO_BREAK}{unit}"


def fold_note(study: Study) -> str:
    """What scores, intervals and times of a cross-validation are."""
    return (
        f"Cross-validation: each {study.noun} is decided on by the nets of the fold in which it is "
        f"tested, and scores are those of the decisions of all {study.folds} folds together. "
        f"Intervals: the wider one of chance between {study.noun}s (or groups) and between folds, "
        f"of {FOLD_INFLATION:g} times the variance, for nets of different folds have learned from "
        "the same samples. Parallel time: all folds at once, that of the slowest; serial time: all "
        "folds."
    )


def steps(study: Study) -> Iterator[str]:
    """What was done, in the order in which it was done."""
    counts = {part: sum(by_class.values()) for part, by_class in study.card["counts"].items()}
    shape = " × ".join(map(str, study.card["shape"]))
    parts = f"{sum(counts.values()):,}"
    if not study.folds:
        number = {split: f"{count:,}" for split, count in counts.items()}
        parts = "{train} training, {val} validation and {test} test".format_map(number)
    yield (
        f"{study.card['title']}: {parts} {study.noun}s of {shape} "
        f"{'values' if study.noun == 'signal' else 'pixels'}"
        + (
            f"; what is predicted: {', '.join(study.card['targets'])}."
            if study.is_regression
            else f" in {len(study.card['classes'])} classes."
        )
    )
    if study.folds:
        yield (
            f"They were dealt into {study.folds} folds, prepared and cut once. All trainings below "
            "were done for each: tested on one, validated on the next one, trained on the others."
        )
    if not study.decomposed:
        yield f"One CNN was trained on the whole {study.noun}s: the global net."
        yield from _use_of_validation(study.whole[0].evaluation)
        return
    labels = [runs[0].label for runs in study.decomposed.values()]
    yield f"Every {study.noun} was cut in {counted(len(labels), 'way')}: {'; '.join(labels)}."
    yield (
        "One small CNN per tile, the local net, was trained on its own, without any communication "
        "with the others."
    )
    turned = (
        "all local predictions into one prediction"
        if study.is_regression
        else "all local probabilities into one decision"
    )
    yield f"A small dense net, the coarse net, learned to turn {turned}."
    if study.whole:
        yield (
            f"The same architecture at full width was trained on the whole {study.noun}s: the "
            "global net, with the same data, epochs and seeds."
        )
    yield from _use_of_validation(next(iter(study.decomposed.values()))[0].evaluation)
    yield "Settings are chosen on the validation split; the test split only reports."


def _use_of_validation(evaluation: Mapping[str, Any]) -> Iterator[str]:
    """What the validation split was used for beside a score."""
    if evaluation["refit"]:
        yield (
            "Then these nets were trained once more, with the validation split. The second ones "
            "decide on the test split; validation scores, and what was fitted or chosen by them, "
            "are of the first."
        )
    if evaluation["weights"] == "best":
        yield (
            "Every net has the weights of the epoch that was best on the validation split, whose "
            "scores are too good therefore."
        )
