""".ci/read_report.py: it reads pages that are right, and no number can change unseen."""

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ddcnn.base.files import read_json, write_json
from ddcnn.report import drawing, write_report
from fake_results import FakeExperiment, experiment_of

SCRIPT = Path(__file__).parents[1] / ".ci/read_report.py"
CASES = {
    "quickstart": FakeExperiment(),
    "three seeds": FakeExperiment(seeds=(0, 1, 2), counts=(60, 40, 2000)),
    "patients": FakeExperiment(seeds=(0, 1), counts=(60, 40, 400)),
    "no global net": FakeExperiment(global_net=False),
}


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("read_report", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def page_of(tmp_path_factory, script):
    """Page and studies of a case; no figures but one are drawn, they are not read."""
    made = {}

    def make(name: str):
        if name not in made:
            results = tmp_path_factory.mktemp("read") / "results"
            CASES[name].write(results)
            if name == "patients":
                group_images(results / "data/blobs")
            write_report(experiment_of(CASES[name]), results, results / "reports/fake")
            page = (results / "reports/fake/report.html").read_text(encoding="utf-8")
            made[name] = page, script.studies_of(results, "fake")
        return made[name]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "SKETCHES", {"tiles": drawing.SKETCHES["tiles"]})
        yield make


def group_images(data: Path) -> None:
    write_json(data / "card.json", read_json(data / "card.json") | {"group": "patient"})
    samples = pd.read_csv(data / "samples.csv")
    samples["group"] = [f"p{index // 7}" for index in samples["index"]]
    samples.to_csv(data / "samples.csv", index=False)


@pytest.mark.parametrize("name", list(CASES))
def test_a_page_is_read_and_computed_again(script, page_of, name):
    page, studies = page_of(name)
    (read,) = script.check(page, studies, 0.5)
    assert re.match(r"blobs-vgg-w16: \d+ texts", read)


def test_permuted_test_labels_change_the_scores_and_no_other_column(script, page_of, tmp_path):
    """The page of other labels is right for them; costs, validation and structure stay."""
    fake = CASES["three seeds"]
    fake.write(tmp_path)
    write_report(experiment_of(fake), tmp_path, tmp_path / "reports/fake")
    first = read_tables(tmp_path / "reports/fake")
    order = np.random.default_rng(0).permutation(fake.counts[2])
    labels = np.load(tmp_path / "data/blobs/y_test.npy")[order]
    np.save(tmp_path / "data/blobs/y_test.npy", labels)
    for path in tmp_path.glob("runs/*/*/*/*/predictions.npz"):
        arrays = dict(np.load(path)) | {"test_labels": labels}
        np.savez(path, **arrays)
        said = read_json(path.parent / "evaluation.json")
        for method, values in said["methods"].items():
            values |= dict(fake._scores("test", arrays[f"test_{method}"], labels))
        write_json(path.parent / "evaluation.json", said)
    write_report(experiment_of(fake), tmp_path, tmp_path / "reports/fake")
    page = (tmp_path / "reports/fake/report.html").read_text(encoding="utf-8")
    assert script.check(page, script.studies_of(tmp_path, "fake"), 0.5)
    scores = r"(accuracy|loss|macro_f1|auc)_test|^label$|(difference|low|high|verdict|smallest)_to_"
    for before, after in zip(first, read_tables(tmp_path / "reports/fake"), strict=True):
        assert list(before) == list(after)
        changed = {name for name in before if not before[name].equals(after[name])}
        assert changed
        assert all(re.search(scores, name) for name in changed), changed


def read_tables(report: Path) -> list[pd.DataFrame]:
    return [pd.read_csv(report / f"{x}.csv") for x in ("summary", "comparison", "predictions")]


def places_of_digits(page: str) -> list[int]:
    """Of every digit that a reader sees in what is read."""
    regions = [
        *re.finditer(r'<div class="opening">.*?</div>', page, re.DOTALL),
        *re.finditer(r'<ul class="findings">.*?</ul>', page, re.DOTALL),
        *re.finditer(r"<dt>Samples</dt>.*?</dl>", page, re.DOTALL),
        *re.finditer(r'aria-label="The first rows".*?</tbody>', page, re.DOTALL),
        *re.finditer(r'aria-label="Table of methods".*?</tbody>', page, re.DOTALL),
        *re.finditer(r'<p class="note">★.*?</p>', page, re.DOTALL),
        *re.finditer(r'aria-label="Table of classes".*?</tbody>', page, re.DOTALL),
        *re.finditer(r'aria-label="Images of every part.*?</tbody>', page, re.DOTALL),
    ]
    assert len(regions) == 8
    found = []
    for region in regions:
        text = re.sub(r"<[^>]*>", lambda tag: " " * len(tag[0]), region[0])
        text = re.sub(r"95.%|F1|2x2, overlap \d", lambda x: " " * len(x[0]), text)
        found += [region.start() + digit.start() for digit in re.finditer(r"\d", text)]
    return found


@pytest.mark.parametrize("name", ["quickstart", "three seeds"])
def test_no_digit_changes_unseen(script, page_of, name):
    """Every digit of the texts and some of the tables, one at a time."""
    page, studies = page_of(name)
    places = places_of_digits(page)
    assert len(places) > 500
    for place in places[:: 9 if name == "quickstart" else 31]:
        other = str((int(page[place]) + 5) % 10)  # by one it may be the other rounding of a tie
        changed = page[:place] + other + page[place + 1 :]
        with pytest.raises(script.Wrong):
            print(page[place - 60 : place + 30], "->", other, script.check(changed, studies, 0.5))


def test_the_command_fails_with_what_is_wrong(script, page_of, monkeypatch, capsys):
    page, (study,) = page_of("quickstart")
    monkeypatch.setattr(sys, "argv", ["read_report.py", str(study.results), "fake"])
    script.main()
    assert "as the files have them" in capsys.readouterr().out
    path = study.results / "reports/fake/report.html"
    path.write_text(page.replace("test accuracy of 8", "test accuracy of 7"), encoding="utf-8")
    with pytest.raises(SystemExit, match="accuracy: the page says 7"):
        script.main()
    path.write_text(page, encoding="utf-8")
