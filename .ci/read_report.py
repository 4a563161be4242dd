"""Read the report of a finished experiment and compute every result on it again.

Independent of the package: the page is read as a person reads it, and accuracies, differences, ends
of intervals, verdicts and counts are computed from `predictions.npz` with numpy and SciPy's
quantiles alone. Costs are those of `evaluation.json`. A number that nothing here accounts for is an
error, too, in the summary, the tables of methods and of classes, and the counts of the data.

    python .ci/read_report.py results quickstart
"""

import csv
import html
import json
import re
import sys
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

N = r"[+−]?\d[\d,]*(?:\.\d+)?"  # a number
TIME = rf"({N}) (s|min|h)"
SECONDS = {"s": 1, "min": 60, "h": 3600}
BINS = 15  # of the calibration error


class Wrong(ValueError):
    """The page says something else than the files."""


# Statistics -------------------------------------------------------------------------------------


class Spread(NamedTuple):
    """Variance of a mean of S x N numbers, where seeds and images (or groups) are both random."""

    variance: float
    share: float  # of the seeds
    independent: float  # decisions that would have it
    t_images: Any  # quantile by level
    t_seeds: Any


def spread(rest: np.ndarray, count: float, groups: np.ndarray | None, counts: bool) -> Spread:
    """Two-way analysis of variance of numbers less their mean; groups are added up."""
    num_seeds, cells = len(rest), rest.shape[1]
    x = rest * (cells / count)
    if groups is not None:
        names = list(dict.fromkeys(groups.tolist()))
        cells = len(names)
        x = np.stack([rest[:, groups == name].sum(axis=1) for name in names], axis=1)
        x = x * (cells / count)
    of_images = num_seeds * (x.mean(axis=0) ** 2).sum() / (cells - 1)
    if num_seeds == 1:
        a, v = 0.0, of_images / cells
    else:
        of_seeds = cells * (x.mean(axis=1) ** 2).sum() / (num_seeds - 1)
        left = x - x.mean(axis=1, keepdims=True) - x.mean(axis=0)
        left = left + x.mean()
        residual = (left**2).sum() / (num_seeds - 1) / (cells - 1)
        a, b = of_seeds, max(of_images - residual, 0.0)
        v = max(a + b, residual / 8) / (num_seeds * cells)
        a = a / (num_seeds * cells)
    each = (rest**2).sum() / num_seeds / (count - 1)
    n = each / v if v else (count if groups is None else cells)
    plain = counts and groups is None
    images = (lambda q: stats.norm.ppf(q)) if plain else (lambda q: stats.t.ppf(q, cells - 1))
    seeds = (lambda q: stats.t.ppf(q, num_seeds - 1)) if num_seeds > 1 else (lambda q: 0.0)
    return Spread(v, a / v if v else 0.0, n, images, seeds)


def factor(found: Spread) -> float:
    """Standard errors in half a 95 % interval."""
    t_b, t_a = found.t_images(0.975), found.t_seeds(0.975)
    return t_b + (t_a - t_b) * found.share**1.5


def interval_of_share(right: np.ndarray, among: np.ndarray, groups: Any) -> tuple[float, float]:
    """Wilson's with as many decisions as have the variance; ``S, N``."""
    share = right.sum() / among.sum()
    some = among.any(axis=0)
    rest = (right - share * among)[:, some]
    groups = None if groups is None else groups[some]
    if groups is not None and len(set(groups.tolist())) == 1:
        return 0.0, 1.0
    if some.sum() == 1 or among.sum() == len(among):  # of one image
        n, z = 1.0, stats.norm.ppf(0.975)
    else:
        found = spread(rest, among.sum() / len(among), groups, True)
        n, z = found.independent, factor(found)
    root = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return tuple((share + z**2 / (2 * n) + sign * root) / (1 + z**2 / n) for sign in (-1, 1))


class Paired(NamedTuple):
    """A difference of accuracies, its 95 % interval, and half of the width at another level."""

    value: float
    low: float
    high: float
    adjusted: float
    seeds: int


def paired(first: np.ndarray, second: np.ndarray, groups: Any, level: float) -> Paired:
    """Agresti and Min's interval with as many decisions as have the variance; ``S, N`` bool."""
    d = first.astype(int) - second.astype(int)
    value, num_seeds, num_images = d.mean(), len(d), d.shape[1]
    found = spread(d - value, num_images, groups, True)
    n = found.independent
    variance = ((d**2).mean() * n + 1 - (value * n) ** 2 / (n + 2)) / (n + 2) ** 2
    half = factor(found) * np.sqrt(variance)
    q = (1 + level) / 2
    t_b, t_a = found.t_images(q), found.t_seeds(q)
    rounding = 1 / (4 * num_images**2 * num_seeds)
    squares = (t_a**2 * found.share + t_b**2 * (1 - found.share)) * variance + t_a**2 * rounding
    adjusted = half if level == 0.95 else np.sqrt(squares)
    ends = max(value - half, -1.0), min(value + half, 1.0)
    return Paired(value, *ends, adjusted, num_seeds)


def area_under_curve(p: np.ndarray, labels: np.ndarray) -> float:
    """Mean over the classes, of two the second."""
    areas = []
    for k in range(p.shape[1]) if p.shape[1] > 2 else [1]:
        own, others = p[labels == k, k], np.sort(p[labels != k, k])
        if len(own) and len(others):
            below = np.searchsorted(others, own, "left") + np.searchsorted(others, own, "right")
            areas.append(below.mean() / 2 / len(others))
    return float(np.mean(areas))


def calibration_error(p: np.ndarray, labels: np.ndarray) -> float:
    """Mean distance of confidence and accuracy over the bins."""
    sure, right = p.max(axis=1), p.argmax(axis=1) == labels
    places = np.minimum((sure * BINS).astype(int), BINS - 1)
    gaps = [abs((sure - right)[places == place].sum()) for place in range(BINS)]
    return float(sum(gaps) / len(labels))


# Files ------------------------------------------------------------------------------------------


class Study:
    """What the files say of one data set and model of an experiment."""

    def __init__(self, results: Path, dataset: str, model: str, rows: list[dict]) -> None:
        self.dataset, self.results, self.id = dataset, results, f"{dataset}-{model}"
        self.slugs = list(dict.fromkeys(row["decomposition"] for row in rows))
        self.seeds = sorted({int(row["seed"]) for row in rows})
        folder = results / "runs" / dataset / model
        self.said, self.saved = {}, {}
        for slug in self.slugs:
            for seed in self.seeds:
                run = folder / slug / f"seed{seed}"
                self.said[slug, seed] = json.loads((run / "evaluation.json").read_text())
                self.saved[slug, seed] = dict(np.load(run / "predictions.npz"))
        first = self.saved[self.slugs[0], self.seeds[0]]
        self.labels = {split: first[f"{split}_labels"] for split in ("val", "test")}
        self.classes = self.said[self.slugs[0], self.seeds[0]]["classes"]
        data = results / "data" / dataset
        self.card = json.loads((data / "card.json").read_text())
        self.y = {s: np.load(data / f"y_{s}.npy") for s in ("train", "val", "test")}
        self.groups = None
        if self.card.get("group"):
            with (data / "samples.csv").open(newline="") as file:
                found = [row for row in csv.DictReader(file) if row["split"] == "test"]
            named = [row["group"] or f"alone {i}" for i, row in enumerate(found)]
            self.groups = np.unique(named, return_inverse=True)[1]

    def methods(self, slug: str) -> list[str]:
        return list(self.said[slug, self.seeds[0]]["methods"])

    def outputs(self, slug: str, method: str, split: str = "test") -> np.ndarray:
        """``S, N, K``."""
        return np.stack([self.saved[slug, seed][f"{split}_{method}"] for seed in self.seeds])

    def right(self, slug: str, method: str, split: str = "test") -> np.ndarray:
        """``S, N``."""
        return self.outputs(slug, method, split).argmax(axis=2) == self.labels[split]

    def cost(self, slug: str, method: str, key: str) -> float:
        """Mean over the seeds; not a number where it was not measured."""
        found = [self.said[slug, seed]["methods"][method][key] for seed in self.seeds]
        return float("nan") if None in found else float(np.mean(found))

    @cached_property
    def best(self) -> str | None:
        """The decomposition whose cnn-dnn is best on the validation split."""
        slugs = [slug for slug in self.slugs if slug != "whole"]
        return max(slugs, key=lambda s: self.right(s, "cnn-dnn", "val").mean(), default=None)

    @cached_property
    def judge(self) -> tuple[str, str]:
        return (self.best, "cnn-dnn") if self.best else ("whole", "global")

    @cached_property
    def ends_of_overlap(self) -> list[str]:
        series: dict = {}
        for slug in self.slugs:
            said = self.said[slug, self.seeds[0]]
            if slug != "whole" and said["kind"] == "blocks":
                key = str(said["grid"]), said["coarse_view"]
                series.setdefault(key, []).append((said["overlap"], slug))
        longest = max(series.values(), key=len, default=[])
        ordered = [slug for _, slug in sorted(longest)]
        return [ordered[0], ordered[-1]] if len(ordered) > 1 else []

    @cached_property
    def num_compared(self) -> int:
        """Differences: to the global net, to the mean, of overlaps, and to the largest class."""
        total = 1 + bool(self.ends_of_overlap)
        for slug in self.slugs:
            methods = self.methods(slug)
            total += len(methods) * (slug != "whole" and "whole" in self.slugs)
            total += (len(methods) - 1) * ("mean" in methods)
        return total

    @cached_property
    def always(self) -> np.ndarray:
        """Is the most frequent class of the training the true one: ``S, N``."""
        largest = np.bincount(self.y["train"], minlength=len(self.classes)).argmax()
        return np.stack([self.labels["test"] == largest] * len(self.seeds))


def balanced(p: np.ndarray, labels: np.ndarray) -> float:
    """Mean over the classes of the share that is decided rightly."""
    decided = p.argmax(axis=1)
    return float(np.mean([(decided[labels == k] == k).mean() for k in np.unique(labels)]))


def macro_f1(p: np.ndarray, labels: np.ndarray) -> float:
    """Mean over the classes that occur or are decided."""
    decided, found = p.argmax(axis=1), []
    for k in np.unique(np.concatenate([decided, labels])):
        both = ((decided == k) & (labels == k)).sum()
        found.append(2 * both / ((decided == k).sum() + (labels == k).sum()))
    return float(np.mean(found))


# The page ---------------------------------------------------------------------------------------


def text_of(piece: str) -> str:
    """What a reader sees of HTML; parts of a cell are separated by a bar."""
    piece = re.sub(r'<span class="below">', "|", piece)
    text = html.unescape(re.sub(r"<[^>]+>", "", piece))
    return re.sub(r"\s+", " ", text).strip()


def number(text: str) -> float:
    """Of a text with commas and a real minus sign."""
    return float(text.replace("−", "-").replace(",", ""))


def same(text: str, value: float, what: str, digits: int | None = None) -> None:
    """A number as the page rounds it; with as many digits behind the point, if they are given."""
    shown = len(text.partition(".")[2])
    if digits is not None and shown != digits:
        raise Wrong(f"{what}: {text} has not {digits} digits")
    if not abs(number(text) - value) <= 0.5 * 10.0**-shown + 1e-9:
        raise Wrong(f"{what}: the page says {text}, the files {value:.6g}")


def parts(pattern: str, text: str) -> tuple[str, ...]:
    """Groups of a pattern that a text has as a whole."""
    found = re.fullmatch(pattern, text)
    if not found:
        raise Wrong(f"{text!r} is not of the form {pattern}")
    return found.groups()


def same_time(text: str, unit: str, value: float, what: str) -> None:
    """A time in the unit that the page gives it."""
    same(text, value / SECONDS[unit], what)


def digits_of(num_images: int) -> int:
    """Of a per cent: none that is less than one image."""
    return next((d for d in (2, 1) if num_images >= 100 * 10**d), 0)


class Reader:
    """Reads what the page says of one study."""

    def __init__(self, study: Study, page: str, family: int, margin: float, written: float) -> None:
        self.study, self.page, self.family, self.margin = study, page, family, margin
        self.written = written  # when, in seconds
        self.level = 1 - 0.05 / family
        self.digits = digits_of(len(study.labels["test"]))
        self.labels = self._labels()

    def _labels(self) -> dict[str, str]:
        """Slugs by what the page calls decompositions: rows of the table in the files' order."""
        names = [text_of(row[0]) for row in self._rows("Table of methods")]
        order = sorted(self.study.slugs, key=lambda slug: slug != "whole")
        return dict(zip(dict.fromkeys(names), order, strict=True))

    def _region(self, begin: str, end: str) -> str:
        start = self.page.index(begin)
        return self.page[start : self.page.index(end, start)]

    def _rows(self, label: str) -> list[list[str]]:
        body = self._region(f'aria-label="{label}"', "</table>").partition("<tbody>")[2]
        rows = re.findall(r"<tr[^>]*>(.*?)</tr>", body, re.DOTALL)
        return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]

    # Differences and verdicts

    def difference(self, first: tuple[str, str], second: tuple[str, str]) -> Paired:
        sides = (self.study.right(*side) for side in (first, second))
        return paired(*sides, self.study.groups, self.level)

    def verdict(self, found: Paired) -> str:
        """As the table has it."""
        one, names = found.seeds == 1, ("better", "worse")
        if one:
            names = ("these nets: ahead", "these nets: behind")
        if abs(found.value) > found.adjusted:
            return names[int(found.value < 0)]
        if abs(found.value) + found.adjusted < self.margin / 100:
            return f"{'these nets: ' if one else ''}equal within {self.margin:g} points"
        return "no difference shown"

    def check_difference(self, value: str, low: str, high: str, found: Paired, what: str) -> None:
        same(value, 100 * found.value, what, self.digits)
        for text, end in ((low, found.low), (high, found.high)):
            same(text, 100 * end, f"interval of {what}")
            if len(text.partition(".")[2]) < self.digits or (number(text) == 0 and end):
                raise Wrong(f"interval of {what}: {text} has too few digits")

    # Sentences

    def read_sentence(self, text: str) -> int:
        """Check every number of a sentence or two; returns how many there were."""
        for label in sorted(self.labels, key=len, reverse=True):
            text = text.replace(label, "DECOMPOSITION")
        text, count = text.replace("95 % interval", "interval"), 0
        for pattern, check in self._patterns(text):
            for found in re.finditer(pattern, text):
                check(*found.groups())
                count += len(found.groups())
            text = re.sub(pattern, "…", text)
        if re.search(r"\d", text):
            raise Wrong(f"nothing accounts for a number of: {text}")
        return count

    def _patterns(self, text: str) -> Iterator[tuple[str, Any]]:
        study, p = self.study, rf"({N}) %"
        accuracy = 100 * study.right(*study.judge).mean()
        yield (
            rf"accuracy of {p} \(interval ({N}) to {p}\)",
            lambda a, *ends: self._check_score(accuracy, a, ends),
        )
        yield rf"accuracy of {p}", lambda a: same(a, accuracy, "accuracy", self.digits)
        yield rf"decides {p} of the test", lambda a: same(a, accuracy, "accuracy", self.digits)
        yield from self._of_difference(text)
        yield from self._of_times()
        yield (
            rf"right for {p} of the test images, guessing for {p}",
            lambda a, b: (
                same(a, 100 * study.always.mean(), "most frequent class", self.digits),
                same(b, 100 / len(study.classes), "guessing"),
            ),
        )
        if "not shown to be better than that" in text:
            outputs = study.outputs(*study.judge)
            mean = np.mean([balanced(each, study.labels["test"]) for each in outputs])
            yield rf"accuracy is {p}", lambda a: same(a, 100 * mean, "balanced", self.digits)
        yield (
            rf"({N}) test images(?: in ({N}) groups?)?"
            rf"(?: \(standard error of one accuracy: ({N}) points\))? and ({N}) seed",
            self._check_counts,
        )

    def _check_score(self, accuracy: float, shown: str, ends: tuple[str, ...]) -> None:
        study = self.study
        right = study.right(*study.judge)
        same(shown, accuracy, "accuracy", self.digits)
        expected = interval_of_share(right, np.ones_like(right), study.groups)
        for text, end in zip(ends, expected, strict=True):
            same(text, 100 * end, "interval of the accuracy", self.digits)

    def _check_counts(self, images: str, groups: str | None, error: str | None, seeds: str) -> None:
        study = self.study
        if (groups is None) != (study.groups is None):
            raise Wrong("groups of test images are named and not there, or the other way round")
        if groups:
            same(groups, len(np.unique(study.groups)), "groups of test images", 0)
        same(images, len(study.labels["test"]), "test images", 0)
        same(seeds, len(study.seeds), "seeds", 0)
        if error:
            right = study.right(*study.judge)
            low, high = interval_of_share(right, np.ones_like(right), study.groups)
            found = spread(right - right.mean(), right.shape[1], study.groups, True)
            same(error, 100 * (high - low) / (2 * factor(found)), "standard error")

    def _of_difference(self, text: str) -> Iterator[tuple[str, Any]]:
        study = self.study
        yield rf"for the ({N}) comparisons", lambda m: same(m, self.family, "comparisons", 0)
        if "mean of the" in text:
            pair = (study.judge, (study.best, "mean"))
        elif text.startswith("From "):
            low, high = study.ends_of_overlap
            pair = ((high, "cnn-dnn"), (low, "cnn-dnn"))
        elif "whole" in study.slugs and study.best:
            pair = (study.judge, ("whole", "global"))
            alone = 100 * study.right(*pair[1]).mean()
            yield rf"global net ({N}) %", lambda a: same(a, alone, "global net", self.digits)
        else:
            return
        found = self.difference(*pair)
        yield (
            rf"({N}) points \(interval ({N}) to ({N})\)",
            lambda *shown: self.check_difference(*shown, found, str(pair)),
        )
        if "comparisons of this page" in text:
            self._check_words(text, found)
        yield (
            rf"could have been is ({N}) points",
            lambda a: same(a, 100 * found.adjusted, "smallest difference", self.digits),
        )
        for before in ("equal within", "by less than"):
            yield rf"{before} ({N}) points", lambda a: same(a, self.margin, "margin")

    def _check_words(self, text: str, found: Paired) -> None:
        """The sentence claims what its numbers bear, of the right one of two."""
        verdict = self.verdict(found)
        words = {
            "better": "is better",
            "worse": "is better",
            "these nets: ahead": "is ahead among these trained nets",
            "these nets: behind": "is ahead among these trained nets",
            "no difference shown": "no difference is shown",
        }.get(verdict, "the two are equal within")
        winner = r"(?:CNN-DNN|coarse net|larger overlap)"
        if verdict in ("worse", "these nets: behind"):
            winner = r"(?:global net|mean|smaller one)"
        claim = rf"the {winner} {words}" if words.startswith("is ") else words
        if not re.search(claim, text):
            raise Wrong(f"the files show {verdict}, the page says: {text}")

    def _of_times(self) -> Iterator[tuple[str, Any]]:
        study = self.study
        for lead, key in (
            (r"training takes", "parallel_seconds"),
            (r"it was trained in", "parallel_seconds"),
            (r"the same trainings take", "serial_seconds"),
            (r"and(?= [\d.,]+ \w+ one job after another)", "serial_seconds"),
        ):
            value = study.cost(*study.judge, key)
            yield rf"{lead} {TIME}", lambda t, u, v=value, k=key: same_time(t, u, v, k)
        if "whole" in study.slugs:
            alone = study.cost("whole", "global", "parallel_seconds")
            yield (
                rf"the global net (?:in )?{TIME}",
                lambda t, u: same_time(t, u, alone, "time of the global net"),
            )
        for pattern, key in (
            (rf"({N}) times as fast", "speedup"),
            (rf"would allow ({N})", "flop_ratio"),
        ):
            value = study.cost(*study.judge, key)
            yield pattern, lambda x, v=value, k=key: same(x, v, k, 1)

    # Tables

    def read_first(self) -> None:
        """The first rows are rows of the whole table, in its order, and the ones that matter."""
        whole = {}
        for row in self._rows("Table of methods"):
            cells = [text_of(cell) for cell in row]
            whole[cells[0], cells[1].removesuffix(" ★")] = cells
        rows = [[text_of(cell) for cell in row] for row in self._rows("The first rows")]
        first = [tuple(row[0].removesuffix(" ★").rsplit("|", 1)) for row in rows]
        if first != [key for key in whole if key in first] or len(first) != min(10, len(whole)):
            raise Wrong(f"first rows: {first}")
        slugs = {(self.labels[label], method) for label, method in first}
        whole_image = {("whole", "global")} if "whole" in self.study.slugs else set()
        if not whole_image | {self.study.judge} <= slugs:
            raise Wrong(f"the global net or the chosen coarse net is not among {slugs}")
        for key, (name, score, difference, time) in zip(first, rows, strict=True):
            cells = whole[key]
            speedup = cells[11].partition("|")[0]
            if name.endswith(" ★") != cells[1].endswith(" ★"):
                raise Wrong(f"★ at {key}")
            if [score, difference, time] != [cells[3], cells[4], f"{cells[9]}|{speedup}"]:
                raise Wrong(f"first rows: {key} has other numbers than the whole table")

    def read_methods(self) -> int:
        rows = self._rows("Table of methods")
        expected = [(slug, m) for slug in self.labels.values() for m in self.study.methods(slug)]
        if len(rows) != len(expected):
            raise Wrong(f"{len(rows)} rows of methods instead of {len(expected)}")
        return sum(self._read_row([text_of(cell) for cell in row]) for row in rows)

    def _read_row(self, cells: list[str]) -> int:
        study, slug, method = self.study, self.labels[cells[0]], cells[1].removesuffix(" ★")
        if cells[1].endswith("★") != ((slug, method) == study.judge and bool(study.best)):
            raise Wrong(f"★ at {cells[:2]}")
        right, digits = study.right(slug, method), self.digits + 2
        shown = parts(rf"({N})(?: ± ({N}))? ?\|({N}) to ({N})", cells[3])
        by_seed = right.mean(axis=1)
        values = [right.mean(), by_seed.std(ddof=1) if len(by_seed) > 1 else None]
        values += interval_of_share(right, np.ones_like(right), study.groups)
        for text, value in zip(shown, values, strict=True):
            if text or value is not None:
                same(text, value, f"accuracy of {cells[:2]}", digits)
        self._read_difference(cells[4], slug, method)
        same(cells[2], len(study.said[slug, study.seeds[0]]["tiles"]), "nets", 0)
        of_val = digits_of(len(study.labels["val"])) + 2
        same(cells[5], study.right(slug, method, "val").mean(), "validation", of_val)
        outputs, labels = study.outputs(slug, method), study.labels["test"]
        shown = parts(rf"({N})\|F1 ({N})\|AUC ({N})", cells[6])
        for text, measure in zip(shown, (balanced, macro_f1, area_under_curve), strict=True):
            same(text, np.mean([measure(p, labels) for p in outputs]), f"{measure} of {cells[:2]}")
        p_true = outputs[:, np.arange(len(labels)), labels].astype(float)
        same(cells[7], -np.log(np.maximum(p_true, 1e-12)).mean(), "loss", 3)
        same(cells[8], np.mean([calibration_error(p, labels) for p in outputs]), "ECE", 3)
        self._read_costs(cells, slug, method)
        return 12

    def _read_difference(self, cell: str, slug: str, method: str) -> None:
        if (slug, method) == ("whole", "global") or "whole" not in self.study.slugs:
            if cell != "–":
                raise Wrong(f"{slug}, {method} is compared with itself")
            return
        found = self.difference((slug, method), ("whole", "global"))
        shown = parts(rf"({N})\|({N}) to ({N})\|(.*)", cell)
        self.check_difference(*shown[:3], found, f"{slug}, {method}")
        verdict, smallest = parts(r"(.*?)(?: \((.*)\))?", shown[3])
        if verdict != self.verdict(found):
            raise Wrong(f"{slug}, {method}: {verdict} instead of {self.verdict(found)}")
        if smallest or verdict == "no difference shown":
            same(smallest, min(100 * found.adjusted, 100), "smallest difference", self.digits)

    def _read_costs(self, cells: list[str], slug: str, method: str) -> None:
        cost = {
            key: self.study.cost(slug, method, key)
            for key in ("parallel_seconds", "serial_seconds", "speedup", "flop_ratio")
        }
        for cell, key in ((cells[9], "parallel_seconds"), (cells[10], "serial_seconds")):
            same_time(*parts(TIME, cell), cost[key], key)
        shown = parts(rf"(?:({N})×|–)\|ideal (?:({N})×|–)", cells[11])
        for text, key in zip(shown, ("speedup", "flop_ratio"), strict=True):
            if text or not np.isnan(cost[key]):
                same(text, cost[key], key)
        shown = parts(rf"({N})\|all ({N})", cells[12])
        for text, key in zip(shown, ("parameters_largest", "parameters_total"), strict=True):
            same(text, self.study.cost(slug, method, key), key)
        memory = self.study.cost(slug, method, "peak_memory_bytes") / 2**20
        same(*parts(rf"({N}) MiB", cells[13]), memory, "memory", 0)

    def read_classes(self) -> int:
        study, labels = self.study, self.study.labels["test"]
        alone = ("whole", "global") if "whole" in study.slugs else study.judge
        judged = list(dict.fromkeys([study.judge, alone]))
        for row in self._rows("Table of classes"):
            name, images, *cells = (text_of(cell) for cell in row)
            k = study.classes.index(name)
            is_class = np.stack([labels == k] * len(study.seeds))
            same(images, (labels == k).sum(), f"images of {name}", 0)
            for place, (slug, method) in enumerate(judged):
                given = study.outputs(slug, method).argmax(axis=2) == k
                pairs = ((given, is_class), (~given, ~is_class), (is_class, given))
                for cell, pair in zip(cells[3 * place : 3 * place + 3], pairs, strict=True):
                    self._read_share(cell, *pair, f"{name}, {slug}")
        return len(self._rows("Table of classes"))

    def _read_share(self, cell: str, right: np.ndarray, among: np.ndarray, what: str) -> None:
        if not among.any():
            if cell != "–":
                raise Wrong(f"{what}: {cell} of nothing")
            return
        right = right & among
        shown = parts(rf"({N})\|({N}) of ({N})\|({N}) to ({N})", cell)
        digits = digits_of(round(among.sum() / len(among))) + 2
        values = [right.sum() / among.sum(), right.sum(), among.sum()]
        values += interval_of_share(right, among, self.study.groups)
        for text, value, d in zip(shown, values, (digits, 0, 0, digits, digits), strict=True):
            same(text, value, what, d)

    def read_counts(self) -> int:
        rows = self._rows("Images of every part")
        for row in rows:
            name, *shown = (text_of(cell) for cell in row)
            k = self.study.classes.index(name)
            for text, y in zip(shown, self.study.y.values(), strict=True):
                same(text, (y == k).sum(), f"images of {name}", 0)
        return len(rows)

    def read_box(self) -> int:
        """What the page is to be believed by; how data were split stands in the card alone."""
        box = self._region('<div class="believe"', "</dl>")
        rows = re.findall(r"<div><dt>(.*?)</dt>(.*?)</div>", box, re.DOTALL)
        lines = {head: text_of(line) for head, line in rows}
        self._read_samples(lines["Samples"])
        seeds = lines["Seeds"].removesuffix(
            " alone: the chance of another training is in no interval"
        )
        if (seeds == lines["Seeds"]) != (len(self.study.seeds) > 1):
            raise Wrong(f"one seed or several: {lines['Seeds']}")
        if seeds != ", ".join(map(str, sorted(self.study.seeds))):
            raise Wrong(f"seeds: {seeds} instead of {self.study.seeds}")
        self._read_numbers(lines["Looks at the test split"])
        return self.read_sentence(lines["Majority baseline"])

    def _read_samples(self, text: str) -> None:
        """``train 7,000 (of a class 652 to 754), validation ...``."""
        shown = re.findall(rf"({N}) \(of a class ({N}) to ({N})\)", text)
        for numbers, y in zip(shown, self.study.y.values(), strict=True):
            counts = np.bincount(y, minlength=len(self.study.classes))
            for each, value in zip(numbers, (len(y), counts.min(), counts.max()), strict=True):
                same(each, value, "samples", 0)

    def read_note(self) -> None:
        """What stands below the table: the family of comparisons."""
        self._read_numbers(text_of(self._region('<p class="note">★', "</p>")))

    def _read_numbers(self, text: str) -> None:
        """Of comparisons, and of looks at the test split."""
        text = text.replace(self.study.dataset, "DATASET")  # its name may hold digits
        here = sum(len(each["methods"]) for each in self.study.said.values())
        folder = self.study.results / "runs" / self.study.dataset
        files = [f for f in folder.rglob("evaluation.json") if f.stat().st_mtime <= self.written]
        found = [json.loads(path.read_text()) for path in files]
        chosen = len([slug for slug in self.study.slugs if slug != "whole"])
        for pattern, value in (
            (rf"chosen among ({N}) by", chosen),
            (rf"looked at ({N}) times in", sum(len(each["methods"]) for each in found)),
            (rf", ({N}) times on this page", here),
            (rf"adjusted for the ({N}) comparisons", self.family),
            (rf"by its interval of ({N}) %", 100 * self.level),
            (rf"lies within ({N}) points", self.margin),
            (rf"[Mm]eans over ({N}) seeds", len(self.study.seeds)),
        ):
            for match in re.finditer(pattern, text):
                same(match[1], value, pattern)
            text = re.sub(pattern, "…", text)
        text = text.replace("F1 and AUC", "").replace("95 %", "")
        if re.search(r"\d", text):
            raise Wrong(f"nothing accounts for a number of: {text}")

    def read(self) -> str:
        opening = self._region('<div class="opening">', "</div>")
        findings = self._region('<ul class="findings">', "</ul>")
        sentences = re.findall(r"<(?:p|li)>(.*?)</(?:p|li)>", opening + findings, re.DOTALL)
        numbers = sum(self.read_sentence(text_of(sentence)) for sentence in sentences)
        table = self.page[self.page.index('aria-label="Table of methods"') :]
        caption = text_of(table[table.index("<caption>") : table.index("</caption>")])
        said = rf"Every method on every decomposition(?:, means over ({N}) seeds)?\."
        (seeds,) = parts(said, caption)
        same(seeds or "1", len(self.study.seeds), "seeds", 0)
        numbers += self.read_box()
        self.read_note()
        self.read_first()
        rows = self.read_methods(), self.read_classes(), self.read_counts()
        return (
            f"{self.study.id}: {len(sentences) + 1} texts with {numbers} numbers, and the tables "
            f"of {rows[0] // 12} methods, {rows[1]} classes and the counts of {rows[2]}"
        )


def studies_of(results: Path, experiment: str) -> list[Study]:
    """What the experiment trained, by the names in its summary."""
    with (results / "reports" / experiment / "summary.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    pairs = dict.fromkeys((row["dataset"], row["model"]) for row in rows)
    return [
        Study(results, *pair, [r for r in rows if (r["dataset"], r["model"]) == pair])
        for pair in pairs
    ]


def check(page: str, studies: list[Study], margin: float, written: float = np.inf) -> list[str]:
    """What was read of every study.

    Args:
        page: its HTML.
        studies: on it.
        margin: points within which methods are called equal.
        written: when the page was, in seconds: later runs are not counted.

    Raises:
        Wrong: a number or a verdict is not what the files say.
    """
    family = sum(study.num_compared for study in studies)
    starts = [page.index(f'aria-labelledby="{study.id}-summary"') for study in studies]
    ends = [*starts[1:], page.index('aria-labelledby="reading"')]
    return [
        Reader(study, page[start:end], family, margin, written).read()
        for study, start, end in zip(studies, starts, ends, strict=True)
    ]


def main() -> None:
    """Fail with the first number that is wrong."""
    results, experiment = Path(sys.argv[1]), sys.argv[2]
    folder = results / "reports" / experiment
    settings = json.loads((folder / "settings.json").read_text())
    file = folder / "report.html"
    page, written = file.read_text(encoding="utf-8"), file.stat().st_mtime
    studies, margin = studies_of(results, experiment), settings["report"]["margin"]
    try:
        read = check(page, studies, margin, written)
    except Wrong as error:
        sys.exit(f"{file}: {error}")
    print("\n".join(f"{text}: as the files have them" for text in read))


if __name__ == "__main__":
    main()
