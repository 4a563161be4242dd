"""The model of a step against loops by hand, and workers at the ends of a link of known speed."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import ways
from namespaces import rounds_on_links, run_joined, what_is_missing

from ddcnn.parallel import WAYS
from ddcnn.parallel.cuts import Window
from ddcnn.parallel.model import (
    Link,
    Scaling,
    Work,
    calibrated,
    pipelined,
    step_of,
    tile_share,
)
from ddcnn.parallel.probe import Probe, net_shape
from ddcnn.parallel.volume import NetShape, PieceShape, Talk, Volume, fits, volumes

LINK = Link(1e-3, 1e6)
NET = NetShape(
    (500_000, 1000),
    (16,),
    (
        Talk("window", 1, (16, 16), (Window(3, padding=1),) * 2, False),
        Talk("norm", 16, (16, 16)),
        Talk("average", 16, (16, 16)),
    ),
    (PieceShape(4096, True), PieceShape(16, True), PieceShape(3, True)),
    (16, 16),
)
WORK = Work(
    32,
    Scaling(0.1, 0.4),
    Scaling(0.2, 0.3),
    (Scaling(0.01, 0.2), Scaling(0.01, 0.2), Scaling(0.01, 0.05)),
    Scaling(1e8, 4e7),
    Scaling(1e8, 2e7),
)


def test_a_part_of_a_cost_stays_and_a_part_is_divided():
    cost = Scaling.of(10.0, 7.0, 0.5)
    assert cost == (4.0, 6.0)
    assert cost.at(1.0) == 10.0
    assert cost.at(0.25) == 5.5
    assert Scaling.of(10.0, 12.0, 0.5) == (10.0, 0.0)  # half took longer: nothing is divided


def test_another_wire_adds_its_latency_twice_and_limits_the_bandwidth():
    link = Link(1e-4, 1e9).behind(1e-3, 1e8)
    assert link.latency_seconds == pytest.approx(2.1e-3)
    assert link.bytes_per_second == pytest.approx(1e8 / 8 * 1448 / 1514)
    assert Link(1e-4, 1e6).behind(0.0, 1e9) == (1e-4, 1e6)


def test_data_parallel_training_computes_and_sums_what_is_behind_the_backward_pass():
    step = step_of("data", 4, NET, WORK, LINK)
    compute = 0.1 + 0.4 / 4
    # One bucket of 1,000 and one of 500,000 numbers would be two; the first is below 1 MiB, so
    # both are one: four times the bytes by the ring's share, and loss and merit.
    gradients = 2 * 1e-3 + 2 * 3 / 4 * 4 * 501_000 / 1e6
    others = 1e-3 + 3 * 8 / 1e6
    assert step.seconds == pytest.approx(compute + gradients + others)
    assert step.compute_seconds == pytest.approx(compute)
    assert step.memory_bytes == 1.1e8


def test_all_buckets_but_the_last_pass_while_the_backward_pass_computes():
    net = replace(NET, weights=(1000, 262_144, 262_144))
    step = step_of("data", 2, net, WORK, Link(0.0, 1e8))
    last = 4 * 263_144 / 1e8  # beside it 0.01 s of the first bucket, in 0.2 s of compute
    assert step.seconds == pytest.approx(0.3 + last + 8 / 1e8)
    slow = step_of("data", 2, net, WORK, Link(0.0, 1e6)).seconds
    assert slow == pytest.approx(0.3 / 3 + 4 * 525_288 / 1e6 + 8 / 1e6)


def test_tiles_send_edges_sums_and_gradients():
    step = step_of("spatial", 2, NET, WORK, LINK)
    edge = 4 * 32 * 16  # one row of every image; nothing goes back to images
    norms = 8 * 16 * (3 + 2)
    average = 4 * 32 * 16
    gradients = 4 * 501_000
    sent = edge + norms + average + gradients
    assert step.bytes == sent
    assert step.seconds == pytest.approx(0.2 + 0.3 / 2 + 6 * 1e-3 + sent / 1e6)
    assert tile_share((15, 16), 2) == 8 / 16
    assert tile_share((15, 15), 2) == pytest.approx(8 / 15)


def test_a_pipeline_passes_micro_batches_forward_and_back():
    # Of sections 3 and 6 s, a third is forward. Section 0 has done its two after 1 and 2 s. The
    # other asks for the first at 0, has it at 1 + 10, and computes until 13; for the second at
    # 13, and computes from 23 until 25. Back: 4 s each, 29 and 33; section 0 waits until 29,
    # gets the first at 39, computes until 41, and the second from 51 until 53.
    assert pipelined([3.0, 6.0], [10.0], 2) == pytest.approx(53.0)
    assert pipelined([3.0], [], 4) == pytest.approx(12.0)
    # Without transfers the bubble of equal sections is that of GPipe.
    assert pipelined([3.0] * 4, [0.0] * 3, 8) == pytest.approx(3.0 * (8 + 4 - 1))


def test_what_was_measured_is_what_the_calibrated_model_says():
    measured = {"data": 2.5, "data-synchronised": 3.0, "spatial": 2.9, "pipeline": 4.0}
    work = calibrated(WORK, measured, 2, NET, LINK)
    for way, seconds in measured.items():
        assert step_of(way, 2, NET, work, LINK).seconds == pytest.approx(seconds)
        slower = step_of(way, 2, NET, work, Link(1e-2, 1e5)).seconds
        assert slower > seconds


def test_a_pipeline_that_was_cut_somewhere_is_modelled_so():
    early = step_of("pipeline", 2, NET, replace(WORK, ends={2: (1, 3)}), LINK)
    late = step_of("pipeline", 2, NET, replace(WORK, ends={2: (2, 3)}), LINK)
    assert early.bytes == 4 * 32 * 4096 + 8
    assert late.bytes == 4 * 32 * 16 + 8
    assert early.seconds > late.seconds + 2 * 4 * 32 * (4096 - 16) / 1e6 / 2


def test_so_many_workers_fit_as_have_images_pixels_or_layers():
    assert {way: fits(NET, way, 4, 8) for way in WAYS} == {
        "data": True,
        "data-synchronised": True,
        "spatial": True,
        "pipeline": False,
    }
    assert not fits(NET, "data", 9, 8)
    assert not fits(NET, "spatial", 512, 8)
    assert not fits(replace(NET, talks=None), "spatial", 2, 8)
    assert not fits(replace(NET, pieces=None), "pipeline", 2, 8)


@pytest.mark.skipif(bool(what_is_missing()), reason=what_is_missing() or "nothing is missing")
def test_no_step_on_a_link_is_faster_than_what_it_sends():
    base = Probe("vgg", 8, (16, 16, 1), 3, 32, steps=2)
    probes = [replace(base, way=way) for way in WAYS]
    shape = net_shape(base)
    found = run_joined(rounds_on_links, probes, (0.1,), 1)
    listed = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
    assert f"ddcnn-{os.getpid()}-" not in listed
    for way in ("data", "data-synchronised", "spatial"):
        sent = max(volume.bytes for volume in volumes(shape, way, 2, base.batch))
        least = (sent - 16_000) / (0.1e9 / 8)  # what the bucket had saved passes at once
        for worker in found:
            assert worker["seconds"][0][0.1, way] >= least > 0
    assert all(worker["link"][0]["latency_seconds"] > 0 for worker in found)


def test_the_seconds_of_exchanges_are_latencies_and_bytes():
    assert LINK.seconds(Volume(2e6, 7, 3)) == pytest.approx(3e-3 + 2)


def test_tiles_share_two_cores_and_the_other_ways_talk():
    variants = ways.variants_of(ways.SUBJECTS[0], 3)
    assert {key: [len(own) for own in work] for key, work in variants.items()} == {
        ("one process", "torch"): [1],
        ("one process", "own"): [1],
        **{(way, "torch"): [1, 1] for way in WAYS},
        **{("tiles 2x1", kernels): [1, 1] for kernels in ("torch", "own")},
        **{("tiles 2x2", kernels): [2, 2] for kernels in ("torch", "own")},
    }
    tile = variants["tiles 2x2", "own"][0][0]
    assert (tile.shape, tile.width, tile.kernels, tile.way) == ((14, 14, 1), 8, "own", "")
    assert variants["tiles 2x1", "torch"][1][0].shape == (14, 28, 1)
    assert variants["spatial", "torch"][0][0].shape == (28, 28, 1)
