"""The report's section of the other ways of parallel training, on made-up costs."""

import xml.etree.ElementTree as ElementTree
from types import SimpleNamespace

import pytest

from ddcnn import nets
from ddcnn.parallel.model import Link, of_training, step_of
from ddcnn.parallel.shape import shape_of
from ddcnn.report import figures, others, page
from ddcnn.report.sketches import others as sketch
from fake_results import FakeExperiment
from test_report import EXPERIMENTS, report

STUDY = SimpleNamespace(is_regression=False, num_images=2000, score_name="accuracy")
NET = shape_of(nets.build("vgg", (16, 16, 1), 3, 8), (16, 16, 1)).as_dict()


def metrics_of(way: str, workers: int = 2, step: float = 0.1, **changes) -> dict:
    """``metrics.json`` of 100 steps on a link of 1 Gbit/s; the first worker is faster."""
    costs = {
        "way": way,
        "workers": workers,
        "batch": 32,
        "steps": 100,
        "net": NET,
        "link": {"latency_seconds": 1e-4, "bytes_per_second": 1e9 / 8 * 1448 / 1514},
        "step_seconds": [step] * workers,
        "compute_seconds": [0.5 * step, *[0.7 * step] * (workers - 1)],
        "communication_seconds": [0.01] * workers,
        "idle_seconds": [0.02, *[0.0] * (workers - 1)],
        "bytes_per_step": [1e5] * workers,
        "messages_per_step": [12] * workers,
        "peak_memory_bytes": [3e8, *[4e8] * (workers - 1)],
        "start_seconds": [2.0, *[3.0] * (workers - 1)],
    }
    if way == "pipeline":
        count = len(NET["pieces"])
        costs |= {"micro_batches": 4, "piece_seconds": [0.08 / 4 / count] * count}
    return {"train_seconds": 100 * step, "kernels": "torch", "parallel": costs | changes}


def way_of(way: str, *arguments, **others_) -> others.OtherWay:
    metrics = metrics_of(way, *arguments, **others_)
    return others.other_way(way, metrics["parallel"]["workers"], [metrics])


def test_costs_are_those_of_the_slowest_worker_and_means_over_the_seeds():
    seeds = [metrics_of("data", step=0.1), metrics_of("data", step=0.3)]
    found = others.other_way("data", 2, seeds)
    assert found.train_seconds == pytest.approx(20)
    assert found.compute == pytest.approx((0.07 + 0.21) / 2)
    assert (found.memory, found.start_seconds, found.idle) == (4e8, 3.0, 0.02)
    assert found.method == "data-2"


@pytest.mark.parametrize("way", ["data", "data-synchronised", "spatial", "pipeline"])
def test_the_curves_go_through_what_was_measured(way):
    (curve,) = others.by_workers([way_of(way)])
    assert curve.places[0] == 2
    assert curve.seconds[0] == pytest.approx(10.0, rel=1e-6)
    assert curve.measured == ((2.0, pytest.approx(10.0)),)
    (links,) = others.by_bandwidth([way_of(way)])
    at = dict(zip(links.places, links.seconds, strict=True))
    assert at[1] == pytest.approx(10.0, rel=1e-6)
    assert list(links.seconds) == sorted(links.seconds, reverse=True)
    assert links.measured == ((pytest.approx(1.0), pytest.approx(10.0)),)


def test_the_curve_of_several_numbers_of_workers_starts_from_the_most():
    ways = [way_of("data"), way_of("data", 4, 0.06)]
    (curve,) = others.by_workers(ways)
    at = dict(zip(curve.places, curve.seconds, strict=True))
    assert at[4.0] == pytest.approx(6.0, rel=1e-6)
    assert [place for place, _ in curve.measured] == [2.0, 4.0]
    net, work, link = of_training(ways[1].costs)
    assert at[16.0] == pytest.approx(100 * step_of("data", 16, net, work, link).seconds)
    slow = step_of("data", 4, net, work, Link(link.latency_seconds, 1e6)).seconds
    assert slow > 0.06
    assert max(curve.places) == 32  # as many as a batch has images


def row_of(label: str, seconds: float, difference: float, way=None, devices: int = 2) -> dict:
    return {
        "label": label,
        "devices": devices,
        "seconds": seconds,
        "way": way,
        "difference": difference,
        "low": difference - 0.01,
        "high": difference + 0.01,
        "verdict": "worse" if difference < -0.01 else "no difference shown",
    }


def words_of(rows: list[dict]) -> str:
    return " ".join(others.sentences_of(rows, STUDY)).replace("\N{NO-BREAK SPACE}", " ")


def test_words_say_who_is_faster_and_who_decides_better():
    one = row_of("one device", 15.0, 0.0, devices=1)
    data = row_of("data", 10.0, 0.002, way_of("data"))
    fast = row_of("2x2, overlap 0", 2.0, -0.05, devices=4)
    said = words_of([one, data, fast])
    assert said.startswith(
        "The decomposition 2x2, overlap 0 on 4 devices is trained in 2.0 s, 5.0 times as fast as "
        "the global net by data on 2 devices (10.0 s)"
    )
    assert "2x2, overlap 0 on 4 devices \N{MINUS SIGN}5.0 points" in said
    assert "; worse)" in said
    assert "by data on 2 devices +0.2 points" in said
    assert "; no difference shown)" in said
    assert "data with 2 workers is faster than one device" in said
    slow = row_of("2x2, overlap 0", 40.0, 0.02, devices=4)
    said = words_of([one, data, slow])
    assert said.startswith("The global net by data on 2 devices is trained in 10.0 s, 4.0 times")


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (1.0, "data with 2 workers is slower than one device at every bandwidth up to 100 Gbit/s"),
        (9.99, "data with 2 workers is faster than one device on links of 2 Gbit/s and more"),
        (1000.0, "data with 2 workers is faster than one device from 0.1 Gbit/s on"),
    ],
)
def test_words_say_from_which_bandwidth_on_more_devices_are_faster(one, words):
    rows = [row_of("one device", one, 0.0), row_of("data", 10.0, 0.0, way_of("data"))]
    assert f"By the model {words}" in words_of(rows)


def test_without_other_ways_there_is_no_section(tmp_path):
    out = report(FakeExperiment(), tmp_path)
    assert "Other ways of parallel training" not in (out / "report.html").read_text()
    assert not list((out / "figures").glob("other-ways*"))


def test_the_page_has_a_table_words_and_a_figure(tmp_path, monkeypatch):
    ways = [way_of(way) for way in ("data", "data-synchronised", "spatial", "pipeline")]
    monkeypatch.setattr(others, "other_ways", lambda study: ways)
    monkeypatch.setattr(sketch, "other_ways", lambda study: ways)
    rows_of = page.method_rows

    def with_ways(study, family):
        rows = rows_of(study, family)
        whole = next(row for row in rows if row["method"] == "global")
        added = {"difference": 0.01, "low": -0.01, "high": 0.03, "verdict": "equal", "smallest": 0}
        return rows + [whole | added | {"method": way.method} for way in ways]

    monkeypatch.setattr(page, "method_rows", with_ways)
    out = report(EXPERIMENTS["three seeds, colour"], tmp_path)
    html = (out / "report.html").read_text(encoding="utf-8")
    section = html.partition('-others">Other ways of parallel training</h2>')[2]
    section = section.partition("</section>")[0]
    for label in ("one device", "data", "data-synchronised", "spatial", "pipeline"):
        assert f'<th scope="row">{label}</th>' in section
    assert "100.0 kB" in section
    assert 'href="#' in html
    assert "is trained in" in section
    ElementTree.parse(out / "figures/other-ways.svg")


def test_the_figure_needs_neither_tiles_nor_the_net_of_one_device():
    curves = [figures.TimeCurve(*each) for each in others.by_workers([way_of("data")])]
    assert len(figures.other_ways(curves, curves, None, []).axes) == 2
