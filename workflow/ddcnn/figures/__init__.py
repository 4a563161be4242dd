"""Figures of one consistent style: functions from plain arrays and tables to matplotlib figures.

Colour-blind safe colours that keep their meaning from figure to figure, labelled axes with units,
the same bytes for the same data. What is drawn and where its files lie is the caller's business.
"""

from ddcnn.figures.charts import (
    CurveGroup,
    DifferenceRow,
    TimeRow,
    accuracy_by_overlap,
    differences,
    times,
    training_curves,
)
from ddcnn.figures.heat import TileMap, heat_map
from ddcnn.figures.matrices import confusion
from ddcnn.figures.picture import tiles_picture
from ddcnn.figures.scatter import predicted_against_true
from ddcnn.figures.signal import signal_picture
from ddcnn.figures.style import METHOD_COLOURS, THEME_COLOURS, save

__all__ = [
    "METHOD_COLOURS",
    "THEME_COLOURS",
    "CurveGroup",
    "DifferenceRow",
    "TileMap",
    "TimeRow",
    "accuracy_by_overlap",
    "confusion",
    "differences",
    "heat_map",
    "predicted_against_true",
    "save",
    "signal_picture",
    "tiles_picture",
    "times",
    "training_curves",
]
