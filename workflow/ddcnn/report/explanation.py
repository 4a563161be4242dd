"""Drawings and a table of what decided: the tiles' votes and their weights."""

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np

from ddcnn.base.escaping import csv_cell
from ddcnn.base.files import write_aside
from ddcnn.report.figures.votes import WeightedVote, save_described, votes_picture

UNSAFE = re.compile(r"[^\w.-]+")
MOST_NAME = 60  # letters


class Explainer:
    """Writes an ``.svg`` for each image into a folder, and a table with all numbers.

    The weight of a tile is the change of the decision when the tile's probabilities are replaced
    by the mean: by how much the decided class's log-odds are higher than they would be if the tile
    said what it says on average of the training images. For regression: by how much the target is.

    Args:
        folder: to write to.
        subdomains: names of the tiles and the coarse view.
        boxes: of every tile, as in ``plan.json``.
        outputs: names of the classes or targets.
        is_classes: False for regression.
    """

    def __init__(
        self,
        folder: Path,
        subdomains: list[str],
        boxes: dict[str, Any],
        outputs: list[str],
        is_classes: bool,
    ) -> None:
        self._folder, self._subdomains, self._boxes = folder, subdomains, boxes
        self._outputs, self._is_classes = outputs, is_classes
        self._rows: list[list[str]] = []
        self._count = 0

    def draw(
        self,
        names: list[str],
        images: np.ndarray,
        values_NK: np.ndarray,
        votes_NTK: np.ndarray,
        weights_NTK: np.ndarray,
    ) -> None:
        """Draw the images of a batch: decisions, what every tile says, and how much that weighs."""
        for name, *facts in zip(names, images, values_NK, votes_NTK, weights_NTK, strict=True):
            self._count += 1
            self._add_rows(name, *facts[1:])
            self._draw_one(name, *facts)

    def finish(self, table: Path) -> None:
        """Write the table."""
        head = ["file", "tile", "output", "decision", "vote", "vote_value", "weight"]
        with (
            write_aside(table) as aside,
            aside.open("w", newline="", encoding="utf-8") as file,
        ):
            csv.writer(file).writerows([head, *self._rows])

    def _decided(self, values: np.ndarray) -> list[int]:
        """The decided class; of a regression every target."""
        return [int(values.argmax())] if self._is_classes else list(range(len(values)))

    def _add_rows(
        self, name: str, values: np.ndarray, votes_TK: np.ndarray, weights_TK: np.ndarray
    ) -> None:
        for tile, vote, weight in zip(self._subdomains, votes_TK, weights_TK, strict=True):
            for k in self._decided(values):
                own = int(vote.argmax()) if self._is_classes else k
                texts = [f"{x:.9g}" for x in (values[k], vote[own], weight[k])]
                row = [name, tile, self._outputs[k], texts[0], self._outputs[own], *texts[1:]]
                self._rows.append(list(map(csv_cell, row)))

    def _draw_one(
        self,
        name: str,
        image: np.ndarray,
        values: np.ndarray,
        votes_TK: np.ndarray,
        weights_TK: np.ndarray,
    ) -> None:
        k = self._decided(values)[0]
        votes = {
            tile: WeightedVote(self._in_words(vote, k), float(weight[k]))
            for tile, vote, weight in zip(self._subdomains, votes_TK, weights_TK, strict=True)
        }
        title, what = self._title(values, k), self._what(k)
        figure = votes_picture(image, self._boxes, votes, title, name, what)
        stem = UNSAFE.sub("_", Path(name).name)[-MOST_NAME:]
        said = "; ".join(f"{t}: {v.text}, weight {v.weight:+.4f}" for t, v in votes.items())
        path = self._folder / f"{self._count:04d}-{stem}.svg"
        save_described(figure, path, f"{name}: {title}", f"{what}. {said}")

    def _title(self, values: np.ndarray, k: int) -> str:
        if self._is_classes:
            probability = f"{values[k]:.3f}" if values[k] < 0.9995 else "above 0.999"
            return f"{self._outputs[k]}, probability {probability}"
        return f"{self._outputs[k]}: {values[k]:.5g}"

    def _in_words(self, vote: np.ndarray, k: int) -> str:
        if self._is_classes:
            return f"{self._outputs[int(vote.argmax())]} {vote.max():.2f}"
        return f"{vote[k]:.5g}"

    def _what(self, k: int) -> str:
        quantity = "log-odds of " if self._is_classes else ""
        return f"change of the {quantity}{self._outputs[k]}"
