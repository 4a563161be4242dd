"""The other ways of parallel training: time against workers and against bandwidth."""

from ddcnn.base.text import counted
from ddcnn.report import figures
from ddcnn.report.others import MOST_WORKERS, by_bandwidth, by_workers, other_ways
from ddcnn.report.sentences import seconds
from ddcnn.report.sketches.sketch import Sketch
from ddcnn.report.study import Study
from ddcnn.report.summary import WHOLE


def sketch_others(study: Study) -> Sketch | None:
    """Modelled and measured times of the other ways; None where none was trained."""
    ways = other_ways(study)
    if not ways:
        return None
    curves, links = (
        [figures.TimeCurve(*each) for each in found]
        for found in (by_workers(ways), by_bandwidth(ways))
    )
    rows = [row for _, row in study.means.iterrows() if row["method"] in ("global", "cnn-dnn")]
    one = [row["parallel_seconds"] for row in rows if row["decomposition"] == WHOLE]
    tiles = [
        figures.TimePoint(row["tiles"], row["parallel_seconds"])
        for row in rows
        if row["decomposition"] != WHOLE
    ]
    measured = "; ".join(
        f"{way.way} with {counted(way.workers, 'worker')} {seconds(way.train_seconds)}"
        for way in ways
    )
    caption = (
        f"Training time of the global net in the other ways. Markers: measured ({measured}). "
        f"Lines: the model, for up to {MOST_WORKERS} workers by the link of this machine (left; "
        "all computing taken to be divided), and with as many workers as were measured on links "
        "of other bandwidth (right; the latency stays). Tiles: slowest local net and coarse net "
        "of every decomposition, a device for each tile; the line is the fastest one, which sends "
        "nothing while it is trained."
    )
    alternative = (
        "Two charts of training times: against the number of workers, and against the bandwidth "
        f"of the link. Measured: {measured}."
    )
    figure = figures.other_ways(curves, links, one[0] if one else None, tiles)
    return Sketch("Other ways of parallel training", caption, alternative, figure)
