"""The timeline of the trainings, and the critical path, in figures and words."""

import heapq
from collections import defaultdict
from collections.abc import Sequence

from ddcnn.base.text import counted
from ddcnn.report import figures
from ddcnn.report.sentences import seconds
from ddcnn.report.sketches.sketch import Sketch
from ddcnn.report.study import Study
from ddcnn.report.trainings import CriticalPath, Training, critical_path, trainings_of

PAUSE = 0.05  # share of the time in which something ran: a longer time without is cut out
SHORTEST_PAUSE = 10.0  # seconds


def sketch_timeline(study: Study) -> Sketch | None:
    """Who ran when and where; None where no training left its metrics."""
    trainings = trainings_of(study)
    if not trainings:
        return None
    path = critical_path(study)
    pauses = pauses_of(trainings)
    bars = bars_of(trainings, pauses, path)
    places = list(dict.fromkeys(each.where for each in trainings))
    busy = sum(each.end - each.begin for each in trainings)
    end = max(bar.end for bar in bars)
    caption = (
        f"All {counted(len(trainings), 'training')} of local, coarse and global nets, each from "
        "the start of its process (grey: start and loading) to its end; one lane for each that ran "
        f"at the same time in the same place. Together they hold their places for {seconds(busy)}."
        f" {path_in_words(path)}"
    )
    if pauses:
        caption += (
            f" Dotted: {counted(len(pauses), 'pause')} without a training, cut out; results of "
            "earlier runs are used again."
        )
    alternative = (
        f"Timeline of {len(trainings)} trainings on {'; '.join(places)}: the last one ended "
        f"{seconds(end)} after the first one began"
        + (", pauses not counted." if pauses else ".")
        + f" {path_in_words(path)}"
    )
    axis = [start - trainings[0].begin - cut for start, _, cut in pauses]
    return Sketch("Timeline of the trainings", caption, alternative, figures.timeline(bars, axis))


def path_in_words(path: CriticalPath) -> str:
    """What the longest chain of waiting jobs means."""
    unknown = [step.rule for step in path.steps if step.seconds is None]
    text = (
        f"Critical path ({path.label}, seed {path.seed}; the trainings on it are underlined): "
        f"{' → '.join(step.rule for step in path.steps)} take {seconds(path.seconds)} in all, "
        "which no number of processors shortens"
    )
    return f"{text} (not measured: {', '.join(unknown)})." if unknown else f"{text}."


def pauses_of(trainings: Sequence[Training]) -> list[tuple[float, float, float]]:
    """Times without a training: start, length, and what earlier pauses took, in seconds."""
    gaps, busy, last = [], 0.0, trainings[0].begin
    for each in trainings:
        if each.begin > last:
            gaps.append((last, each.begin - last))
        busy += max(0.0, each.end - max(last, each.begin))
        last = max(last, each.end)
    found, cut = [], 0.0
    for start, length in gaps:
        if length > max(SHORTEST_PAUSE, PAUSE * busy):
            found.append((start, length, cut))
            cut += length
    return found


def bars_of(
    trainings: Sequence[Training], pauses: Sequence[tuple[float, float, float]], path: CriticalPath
) -> list[figures.Bar]:
    """Each in the lane of its place that is free longest, or in a new one; pauses cut out."""
    first = trainings[0].begin
    free: dict[str, list[tuple[float, int]]] = defaultdict(list)
    bars = []
    for each in trainings:
        lanes = free[each.where]
        is_free = lanes and lanes[0][0] <= each.begin
        lane = heapq.heappop(lanes)[1] if is_free else len(lanes)
        heapq.heappush(lanes, (each.end, lane))
        cut = sum(length for start, length, _ in pauses if start < each.begin)
        begin, ready, end = (moment - first - cut for moment in (each.begin, each.ready, each.end))
        critical = each.folder in path.folders
        bars.append(
            figures.Bar(each.where, lane, each.kind, each.label, begin, ready, end, critical)
        )
    return bars
