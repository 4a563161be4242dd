"""What the results say, in sentences that claim no difference inside its interval."""

from collections.abc import Iterator

import numpy as np

from ddcnn.report.statistics import Difference, binomial_error, paired_difference
from ddcnn.report.study import Run, Study

NO_BREAK = "\N{NO-BREAK SPACE}"


def findings(study: Study) -> list[str]:
    """The summary at the top of the page: a sentence or two for each point."""
    return [
        text for say in (_accuracy, _time, _averaging, _overlap, _certainty) if (text := say(study))
    ]


def _accuracy(study: Study) -> str:
    if not study.best:
        percent = _percent(study, "whole", "global")
        return f"The global net decides {percent} of the test images rightly."
    best = study.decomposed[study.best]
    text = (
        f"The CNN-DNN with the best validation accuracy ({best[0].label}) decides "
        f"{_percent(study, study.best, 'cnn-dnn')} of the test images rightly"
    )
    if not study.whole:
        return f"{text}. No global net was trained, so nothing can be said against it."
    difference = compare(best, "cnn-dnn", study.whole, "global")
    return (
        f"{text}, the global net {_percent(study, 'whole', 'global')}: "
        f"{in_points(difference)}. {_verdict(difference, 'the CNN-DNN', 'the global net')}"
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


def _averaging(study: Study) -> str | None:
    if not study.best or "mean" not in study.decomposed[study.best][0].evaluation["methods"]:
        return None
    runs = study.decomposed[study.best]
    difference = compare(runs, "cnn-dnn", runs, "mean")
    return (
        "Against the plain mean of the same local probabilities the coarse net makes a difference "
        f"of {in_points(difference)}. {_verdict(difference, 'the coarse net', 'the mean')}"
    )


def _overlap(study: Study) -> str | None:
    """Smallest against largest overlap, where one grid was run with several."""
    series: dict[tuple, list[list[Run]]] = {}
    for runs in study.decomposed.values():
        evaluation = runs[0].evaluation
        if evaluation["kind"] == "blocks":
            key = (tuple(evaluation["grid"]), evaluation["coarse_view"])
            series.setdefault(key, []).append(runs)
    longest = max(series.values(), key=len, default=[])
    if len(longest) < 2:
        return None
    low, *_, high = sorted(longest, key=lambda runs: runs[0].evaluation["overlap"])
    difference = compare(high, "cnn-dnn", low, "cnn-dnn")
    return (
        f"From {low[0].label} to {high[0].label} the CNN-DNN's test accuracy changes by "
        f"{in_points(difference)}. {_verdict(difference, 'the larger overlap', 'the smaller one')}"
    )


def _certainty(study: Study) -> str:
    num_images, num_seeds = len(study.runs[0].labels), len(study.seeds)
    slug, method = (study.best, "cnn-dnn") if study.best else ("whole", "global")
    error = binomial_error(study.mean_of(slug, method)["accuracy_test"], num_images)
    text = (
        f"These numbers rest on {num_images:,} test images (standard error of one accuracy: "
        f"{100 * error:.1f} points) and {count(num_seeds, 'seed')}."
    )
    if num_seeds == 1:
        text += (
            " With one seed the scatter between repeated trainings is unknown and in none of the "
            "intervals: run several seeds before you conclude anything."
        )
    return text


def compare(first: list[Run], method: str, second: list[Run], other: str) -> Difference:
    """Paired difference of test accuracies over the seeds that both have."""
    by_seed = {run.seed: run for run in second}
    pairs = [(run, by_seed[run.seed]) for run in first if run.seed in by_seed]
    if not pairs:
        return Difference(float("nan"), float("inf"), 0)
    right = [(a.decisions(method) == a.labels, b.decisions(other) == b.labels) for a, b in pairs]
    return paired_difference(*(np.array(side) for side in zip(*right, strict=True)))


def in_points(difference: Difference) -> str:
    """``+0.9 points (95 % interval -0.3 to +2.1)``, with real minus signs."""
    low, high = difference.value - difference.margin, difference.value + difference.margin
    text = (
        f"{100 * difference.value:+.1f} points "
        f"(95{NO_BREAK}% interval {100 * low:+.1f} to {100 * high:+.1f})"
    )
    return text.replace("-", "\N{MINUS SIGN}")


def _verdict(difference: Difference, first: str, second: str) -> str:
    if not difference.is_clear:
        return "This is within the noise: no difference is claimed."
    winner = first if difference.value > 0 else second
    qualified = " for these trained nets" if difference.num_seeds == 1 else ""
    return f"The interval excludes zero: {winner} is better{qualified}."


def _percent(study: Study, decomposition: str, method: str) -> str:
    return f"{100 * study.mean_of(decomposition, method)['accuracy_test']:.1f} %"


def seconds(value: float) -> str:
    """``0.42 s``, ``8.2 s``, ``48 s``, ``12.3 min``, ``3.4 h``; the space does not break."""
    number, unit = value, "s"
    if value >= 180:
        number, unit = (value / 3600, "h") if value >= 5400 else (value / 60, "min")
    digits = 2 if value < 1 else 0 if 30 <= value < 180 else 1
    return f"{number:.{digits}f}{NO_BREAK}{unit}"


def count(number: int, noun: str) -> str:
    """``1 seed``, ``4 seeds``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def steps(study: Study) -> Iterator[str]:
    """What was done, in the order in which it was done."""
    counts = {split: sum(by_class.values()) for split, by_class in study.card["counts"].items()}
    shape = " × ".join(map(str, study.card["shape"]))
    yield (
        f"{study.card['title']}: {counts['train']:,} training, {counts['val']:,} validation and "
        f"{counts['test']:,} test images of {shape} pixels in {len(study.card['classes'])} classes."
    )
    if not study.decomposed:
        yield "One CNN was trained on the whole images: the global net."
        return
    labels = [runs[0].label for runs in study.decomposed.values()]
    yield f"Every image was cut in {count(len(labels), 'way')}: {'; '.join(labels)}."
    yield (
        "One small CNN per tile, the local net, was trained by a job of its own, without any "
        "communication between the jobs."
    )
    yield (
        "A small dense net, the coarse net, learned to turn all local probabilities into one "
        "decision."
    )
    if study.whole:
        yield (
            "The same architecture at full width was trained on the whole images: the global net, "
            "with the same data, epochs and seeds."
        )
    yield "Settings are chosen on the validation split; the test split only reports."
