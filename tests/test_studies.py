"""The published studies: complete, consistent with each other and with docs/studies.md."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ddcnn.report.verdicts import NO_DIFFERENCE

ROOT = Path(__file__).parents[1]


def load():
    """The script benchmarks/studies.py as a module."""
    spec = importlib.util.spec_from_file_location("studies", ROOT / "benchmarks/studies.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


studies = load()
CLAIMS = studies.CLAIMS
NAMES = (*studies.STUDIES, *studies.published(studies.PARALLEL))
KEYS = ["model", "decomposition", "method"]


def test_the_page_of_all_studies_says_what_the_tables_say():
    text = studies.PAGE.read_text(encoding="utf-8")
    assert studies.with_studies(text) == text, "run: python benchmarks/studies.py docs"


@pytest.mark.parametrize("study", NAMES)
def test_a_page_says_what_its_tables_say(study):
    published = (ROOT / "benchmarks" / study / "README.md").read_text(encoding="utf-8")
    assert studies.page(study) == published, "run: python benchmarks/studies.py docs"


@pytest.mark.parametrize("study", NAMES)
def test_means_and_spreads_are_those_of_all_seeds(study):
    summary, comparison = studies.read(study, "summary"), studies.read(study, "comparison")
    assert sorted(summary["seed"].unique()) == list(range(5))
    groups = summary.groupby(KEYS)["accuracy_test"]
    assert (groups.size() == 5).all()
    rows = comparison.set_index(KEYS)
    assert set(rows.index) == set(groups.groups)
    np.testing.assert_allclose(rows["accuracy_test"], groups.mean()[rows.index], atol=1e-6)
    np.testing.assert_allclose(rows["accuracy_test_spread"], groups.std()[rows.index], atol=1e-6)


@pytest.mark.parametrize("study", NAMES)
def test_differences_are_paired_over_the_seeds_and_named_only_outside_their_interval(study):
    summary, comparison = studies.read(study, "summary"), studies.read(study, "comparison")
    accuracy = summary.set_index([*KEYS, "seed"])["accuracy_test"].sort_index()
    for row in comparison[comparison["decomposition"] != "whole"].itertuples():
        reference = accuracy[row.model, "whole", "global"]
        mean = (accuracy[row.model, row.decomposition, row.method] - reference).mean()
        assert row.difference_to_global == pytest.approx(mean, abs=1e-6)
        inside = row.low_to_global <= 0 <= row.high_to_global
        shown = row.verdict_to_global != NO_DIFFERENCE
        # Verdicts are adjusted for all comparisons: fewer are shown than intervals leave out zero.
        assert not (shown and inside)


@pytest.mark.parametrize("study", CLAIMS)
def test_the_coarse_net_is_nowhere_worse_than_the_mean(study):
    rows = studies.read(study, "comparison")
    rows = rows[(rows["method"] == "cnn-dnn") & (rows["decomposition"] != "whole")]
    assert len(rows)
    assert not (rows["verdict_to_mean"] == "worse").any()


def test_the_claim_of_other_ways_counts_in_both_directions(tmp_path, monkeypatch):
    monkeypatch.setattr(studies, "ROOT", tmp_path)
    monkeypatch.setattr(studies, "UNTIMED", ())
    (tmp_path / "benchmarks/study-parallel").mkdir(parents=True)
    columns = ["decomposition", "label", "method", "tiles", "parallel_seconds", "accuracy_test"]
    columns += ["difference_to_global", "low_to_global", "high_to_global", "verdict_to_global"]
    rows = [
        ["whole", "whole image", "global", 1, 30.0, 0.9, np.nan, np.nan, np.nan, ""],
        ["whole", "whole image", "data-2", 1, 17.0, 0.901, 0.001, -0.01, 0.01, NO_DIFFERENCE],
        ["whole", "whole image", "spatial-2", 1, 25.0, 0.9, 0.0, -0.01, 0.01, NO_DIFFERENCE],
        ["blocks-2x1", "2x1, overlap 0", "cnn-dnn", 2, 20.0, 0.89, -0.01, -0.02, -0.005, "worse"],
        ["blocks-2x2", "2x2, overlap 0", "cnn-dnn", 4, 4.0, 0.9, 0.0, -0.01, 0.01, NO_DIFFERENCE],
        ["blocks-2x2", "2x2, overlap 0", "mean", 4, 1.0, 0.5, -0.4, -0.5, -0.3, "worse"],
    ]
    table = pd.DataFrame(rows, columns=columns)
    table.to_csv(tmp_path / "benchmarks/study-parallel/comparison.csv", index=False)
    said = studies._parallel_claim("study-parallel")
    assert "The global net of one device has a test accuracy of 0.9000 after 30.0 s." in said
    assert "Workers (2 of them)" in said
    assert "data-2 17.0 s, +0.10 (\u22121.00 to +1.00), no difference shown" in said
    assert (
        "2x1, overlap 0 on 2 devices 20.0 s, \u22121.00 (\u22122.00 to \u22120.50), worse" in said
    )
    assert "1 of 2 decompositions are worse than the global net." in said
    assert "1 of 2 are faster than the fastest other way." in said
    assert studies.published(studies.PARALLEL) == []
