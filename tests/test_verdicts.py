"""What may be said of many differences: verdicts of a page, in simulation and by hand."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ddcnn.base.files import read_json, write_json
from ddcnn.base.text import decimals, fraction, interval, percent
from ddcnn.evaluation.intervals import paired_difference
from ddcnn.report.comparison import comparison_table, family_of
from ddcnn.report.opening import baseline, three_sentences
from ddcnn.report.sentences import findings, verdict_on
from ddcnn.report.study import RunResult, Study, studies_of
from ddcnn.report.verdicts import NO_DIFFERENCE, Family
from fake_results import FakeExperiment, experiment_of

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def simulation():
    """The script benchmarks/pages.py as a module."""
    others = {name: sys.modules.pop(name, None) for name in ("coverage", "common")}
    sys.path.insert(0, str(BENCHMARKS))  # for what the benchmarks share
    try:
        spec = importlib.util.spec_from_file_location("pages_script", BENCHMARKS / "pages.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(BENCHMARKS))
        sys.modules.update({name: each for name, each in others.items() if each})


@pytest.mark.parametrize(("dominant", "group"), [("residual", 1), ("seed", 1), ("image", 5)])
def test_of_pages_without_a_difference_at_most_one_in_twenty_claims_one(
    simulation, dominant, group
):
    """The table of benchmarks/pages.py with fewer pages and images: 2, 3 and 5 seeds."""
    num_pages, effects = 150, simulation.DOMINANT[dominant]
    design = simulation.Design("accuracy", effects, 200, group)
    found = simulation.claims(design, num_pages)
    assert found[:, 1].max() <= 5 + 2 * 100 * np.sqrt(0.05 * 0.95 / num_pages)
    assert found[:, 0].min() > 20  # as they are


# One difference


def differing(gain: float, num_images: int = 2000, num_seeds: int = 3) -> tuple[np.ndarray, ...]:
    """Decisions that differ on a share ``gain`` of the images alone, in the first's favour."""
    second = np.arange(num_images) % 10 > 0
    first = np.where(np.arange(num_images) < 2 * gain * num_images, True, second)
    rng = np.random.default_rng(0)
    flips = rng.random((num_seeds, num_images)) < 0.002
    return np.logical_xor(first, flips), np.tile(second, (num_seeds, 1))


@pytest.mark.parametrize("num_seeds", [2, 3, 5])
@pytest.mark.parametrize("of_seeds", [0.1, 3])
def test_at_another_level_both_parts_have_their_own_quantile(num_seeds, of_seeds):
    """Banerjee's sum of squares, from the textbook's mean squares."""
    rng = np.random.default_rng(num_seeds)
    shape = (num_seeds, 40)
    merits = of_seeds * rng.normal(size=(num_seeds, 1)) + 2 * rng.normal(size=40)
    merits = merits + rng.normal(size=shape)
    mean, cells = merits.mean(), merits.size
    of_seed = 40 * merits.mean(axis=1).var(ddof=1)
    of_image = num_seeds * merits.mean(axis=0).var(ddof=1)
    rest = merits - merits.mean(axis=1, keepdims=True) - merits.mean(axis=0) + mean
    residual = (rest**2).sum() / 39 / (num_seeds - 1)
    a, b = of_seed / cells, max(of_image - residual, 0) / cells
    found = paired_difference(merits, np.zeros(shape)).at(0.998)
    t_a, t_b = stats.t.ppf(0.999, [num_seeds - 1, 39])
    assert found.high - found.value == pytest.approx(np.sqrt(t_a**2 * a + t_b**2 * b))


def test_a_wider_level_never_shows_more():
    rng = np.random.default_rng(1)
    for num_seeds in (1, 2, 3, 5):
        for _ in range(30):
            first, second = rng.random((2, num_seeds, 50)) < rng.random((2, num_seeds, 1))
            difference = paired_difference(first, second)
            widths = [difference.at(level).error.margin(level) for level in (0.95, 0.96, 0.999)]
            assert widths == sorted(widths)


@pytest.mark.parametrize(
    ("gain", "margin", "num_seeds", "verdict"),
    [
        (0.05, 0.005, 3, "better"),
        (-0.05, 0.005, 3, "worse"),
        (0.0, 0.02, 3, "equal within 2 points"),
        (0.0, 0.0001, 3, NO_DIFFERENCE),
        (0.05, 0.005, 1, "these nets: ahead"),
        (-0.05, 0.005, 1, "these nets: behind"),
        (0.0, 0.02, 1, "these nets: equal within 2 points"),
    ],
)
def test_a_verdict_is_what_the_adjusted_interval_bears(gain, margin, num_seeds, verdict):
    first, second = differing(abs(gain), num_seeds=num_seeds)
    pair = (first, second) if gain >= 0 else (second, first)
    found = paired_difference(*pair)
    family = Family(4, margin)
    assert family.verdict(found) == verdict
    judged = found.at(1 - 0.05 / 4)
    assert family.smallest(found) == pytest.approx((judged.high - judged.low) / 2)


def test_more_comparisons_take_a_claim_back():
    rng = np.random.default_rng(2)
    second = rng.random((1, 2000)) < 0.8
    first = np.where(rng.random((1, 2000)) < 0.1, True, second)
    first[0, rng.choice(np.flatnonzero(second[0]), 10, replace=False)] = False
    found = paired_difference(first, second)
    alone = [Family(size, 0.005).verdict(found) for size in (1, 10**9)]
    assert alone == ["these nets: ahead", NO_DIFFERENCE]


# In words


@pytest.mark.parametrize(
    ("images", "shown"), [(9, 0), (100, 0), (999, 0), (1000, 1), (2000, 1), (9999, 1), (10_000, 2)]
)
def test_no_decimal_is_less_than_one_image(images, shown):
    assert decimals(images) == shown
    assert 10**-shown >= 100 / images or shown == 0


def test_shares_have_the_decimals_of_their_images():
    assert percent(0.8965, 100) == "90 %"
    assert percent(0.8966, 2000) == "89.7 %"
    assert fraction(0.89654, 2000) == "0.897"


def test_an_end_that_is_not_zero_does_not_read_zero():
    assert interval(-0.31, 2.14, 1) == "−0.3 to +2.1"
    assert interval(0.04, 2.14, 1) == "+0.04 to +2.14"
    assert interval(0, 2.14, 1) == "+0.0 to +2.1"


def study_of(fake: FakeExperiment, root) -> Study:
    fake.write(root)
    runs = [RunResult.of(run, root) for run in fake.runs]
    (study,) = studies_of(runs, experiment_of(fake), root)
    return study


@pytest.mark.parametrize(
    ("gain", "margin", "num_seeds", "words"),
    [
        (0.05, 0.005, 3, "the one is better."),
        (0.05, 0.02, 3, "the one is better, by less than 2 points."),
        (0.05, 0.005, 1, "the one is ahead among these trained nets; one seed shows nothing"),
        (0.0, 0.02, 3, "the two are equal within 2 points."),
        (0.0, 0.02, 1, "the two are equal within 2 points among these trained nets."),
    ],
)
def test_a_sentence_is_adjusted_and_says_so(tmp_path, gain, margin, num_seeds, words):
    study = study_of(FakeExperiment(counts=(60, 40, 2000)), tmp_path)
    difference = paired_difference(*differing(gain, num_seeds=num_seeds))
    text = verdict_on(study, Family(4, margin), difference, "the one", "the other")
    assert text.startswith(f"After adjustment for the 4 comparisons of this page {words}")


def test_what_is_not_shown_comes_with_what_could_have_been(tmp_path):
    study = study_of(FakeExperiment(counts=(60, 40, 2000)), tmp_path)
    family, found = Family(4, 0.0001), paired_difference(*differing(0.0))
    text = verdict_on(study, family, found, "the one", "the other")
    smallest = f"{100 * family.smallest(found):.1f} points"
    assert text.endswith(
        f"no difference is shown; the smallest that could have been is {smallest}."
    )
    few = paired_difference(*differing(0.0, num_images=20, num_seeds=2))
    text = verdict_on(study, Family(10**6, 0.0001), few, "the one", "the other")
    assert text.endswith("with so few seeds or images none could have been.")


# Nothing to learn


def random_patients(fake: FakeExperiment, root, seed: int) -> None:
    """Labels at random per patient; what a method decides is random per patient, too.

    Nets of several seeds, which saw the same patients, agree on all but some images.
    """
    rng = np.random.default_rng(seed)
    groups = np.arange(fake.counts[2]) // 10
    labels, guesses = rng.integers(2, size=groups[-1] + 1)[groups], {}
    for path in sorted(root.glob("runs/*/*/*/*/predictions.npz")):
        arrays = dict(np.load(path))
        for name in arrays:
            if name.startswith("test_"):
                key = path.parts[-3], name
                guess = guesses.setdefault(key, rng.integers(2, size=groups[-1] + 1)[groups])
                decided = np.where(rng.random(len(groups)) < 0.03, 1 - guess, guess)
                arrays[name] = np.eye(2, dtype=np.float32)[decided]
        np.savez(path, **arrays | {"test_labels": labels})


def name_patients(data: Path) -> None:
    write_json(data / "card.json", read_json(data / "card.json") | {"group": "patient"})
    samples = pd.read_csv(data / "samples.csv")
    samples["group"] = [f"p{index // 10}" for index in samples["index"]]
    samples.to_csv(data / "samples.csv", index=False)


def claims_of(study: Study) -> tuple[int, str]:
    """Verdicts that claim a difference, and the sentences."""
    family = family_of([study], 0.5)
    table = comparison_table([study], family)
    verdicts = pd.concat([table["verdict_to_global"], table["verdict_to_mean"]]).dropna()
    said = [*three_sentences(study, family), *baseline(study, family), *findings(study, family)]
    words = " ".join(said)
    return sum(verdicts.isin(["better", "worse"])), words


def test_labels_at_random_per_patient_show_nothing(tmp_path):
    """Ten images of each of 40 patients are 40 draws, not 400."""
    fake = FakeExperiment(classes=("ill", "well"), seeds=(0, 1, 2, 3, 4))
    fake.write(tmp_path)
    wrong = 0
    for seed in range(6):
        random_patients(fake, tmp_path, seed)
        for grouped in (False, True):
            if grouped:
                name_patients(tmp_path / "data/blobs")
            else:
                fake._write_samples(tmp_path / "data/blobs/samples.csv", labels_of(tmp_path))
            runs = [replace(RunResult.of(run, tmp_path)) for run in fake.runs]
            (study,) = studies_of(runs, experiment_of(fake), tmp_path)
            claims, words = claims_of(study)
            if grouped:
                assert claims == 0
                assert "is better" not in words
                assert "is not shown to be better than that" in words
            else:
                wrong += claims
    assert wrong > 0  # of images taken for independent


def labels_of(root) -> dict[str, np.ndarray]:
    return {s: np.load(root / f"data/blobs/y_{s}.npy") for s in ("train", "val", "test")}
