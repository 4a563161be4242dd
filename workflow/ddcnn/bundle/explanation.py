"""Drawings and a table of what decided: the tiles' votes and their weights."""

import csv
import re
from pathlib import Path

import numpy as np

from ddcnn.bundle.model import Model
from ddcnn.bundle.prediction import Predicted
from ddcnn.figures.votes import Vote, save_described, votes_picture
from ddcnn.files import write_aside

UNSAFE = re.compile(r"[^\w.-]+")
MOST_NAME = 60  # letters


class Explainer:
    """Writes an ``.svg`` for each image into a folder, and ``tiles.csv`` with all numbers.

    The weight of a tile is the change of the decision when the tile's probabilities are replaced
    by the mean: by how much the decided class's probability is higher than it would be if the tile
    said what it says on average of the training images. For regression: by how much the target is.
    """

    def __init__(self, model: Model, folder: Path) -> None:
        self._folder, self._subdomains = folder, model.subdomains
        self._outputs, self._boxes = model.outputs, model.description["plan"]["tiles"]
        self._is_classes = bool(model.description["data"]["classes"])
        self._rows: list[list[str]] = []
        self._count = 0

    def draw(self, found: Predicted) -> None:
        """Draw the images of a batch."""
        votes, weights = (
            each.cpu().numpy() for each in (found.explanation.votes, found.explanation.weights)
        )
        for index, (name, values) in enumerate(zip(found.names, found.values, strict=True)):
            self._count += 1
            self._add_rows(name, values, votes[index], weights[index])
            self._draw_one(name, found.batch.images[index], values, votes[index], weights[index])

    def finish(self) -> None:
        """Write the table."""
        head = ["file", "tile", "output", "decision", "vote", "vote_value", "weight"]
        with (
            write_aside(self._folder / "tiles.csv") as aside,
            aside.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
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
                self._rows.append(row)

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
            tile: Vote(self._in_words(vote, k), float(weight[k]))
            for tile, vote, weight in zip(self._subdomains, votes_TK, weights_TK, strict=True)
        }
        title, what = self._title(values, k), self._what(k)
        name = name.encode(errors="replace").decode()
        # A $ in a name is no beginning of mathematics.
        figure = votes_picture(image, self._boxes, votes, title, name.replace("$", r"\$"), what)
        stem = UNSAFE.sub("_", Path(name).name)[-MOST_NAME:]
        said = "; ".join(f"{t}: {v.text}, weight {v.weight:+.4f}" for t, v in votes.items())
        path = self._folder / f"{self._count:04d}-{stem}.svg"
        save_described(figure, path, f"{name}: {title}", f"{what}. {said}")

    def _title(self, values: np.ndarray, k: int) -> str:
        if self._is_classes:
            return f"{self._outputs[k]}, probability {values[k]:.3f}"
        return f"{self._outputs[k]}: {values[k]:.5g}"

    def _in_words(self, vote: np.ndarray, k: int) -> str:
        if self._is_classes:
            return f"{self._outputs[int(vote.argmax())]} {vote.max():.2f}"
        return f"{vote[k]:.5g}"

    def _what(self, k: int) -> str:
        quantity = "probability of " if self._is_classes else ""
        return f"change of the {quantity}{self._outputs[k]}"
