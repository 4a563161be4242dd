"""Figures of one consistent style: functions from plain arrays and tables to matplotlib figures.

Colour-blind safe colours that keep their meaning from figure to figure, labelled axes with units,
the same bytes for the same data. What is drawn and where its files lie is the caller's business.
"""

from ddcnn.report.figures.charts import (
    CurveGroup,
    DifferenceRow,
    accuracy_by_overlap,
    differences,
    training_curves,
)
from ddcnn.report.figures.heat import TileMap, heat_map
from ddcnn.report.figures.matrices import agreement, confusion
from ddcnn.report.figures.mistakes import JudgedVote, Mistake, mistakes
from ddcnn.report.figures.others import TimeCurve, TimePoint, other_ways
from ddcnn.report.figures.pareto import CostPoint, cost, pareto_front
from ddcnn.report.figures.picture import tiles_picture
from ddcnn.report.figures.reliability import LOCAL, ReliabilityCurve, reliability
from ddcnn.report.figures.scatter import predicted_against_true
from ddcnn.report.figures.signal import signal_picture
from ddcnn.report.figures.style import METHOD_COLOURS, THEME_COLOURS, save
from ddcnn.report.figures.timeline import Bar, timeline
from ddcnn.report.figures.times import TimeRow, times

__all__ = [
    "LOCAL",
    "METHOD_COLOURS",
    "THEME_COLOURS",
    "Bar",
    "CostPoint",
    "CurveGroup",
    "DifferenceRow",
    "JudgedVote",
    "Mistake",
    "ReliabilityCurve",
    "TileMap",
    "TimeCurve",
    "TimePoint",
    "TimeRow",
    "accuracy_by_overlap",
    "agreement",
    "confusion",
    "cost",
    "differences",
    "heat_map",
    "mistakes",
    "other_ways",
    "pareto_front",
    "predicted_against_true",
    "reliability",
    "save",
    "signal_picture",
    "tiles_picture",
    "timeline",
    "times",
    "training_curves",
]
