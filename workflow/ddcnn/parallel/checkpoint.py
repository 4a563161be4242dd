"""One checkpoint of a training by several workers."""

import time
from pathlib import Path
from typing import Any

import torch

from ddcnn.parallel.door import Door
from ddcnn.training.checkpoint import Checkpoint
from ddcnn.training.interruption import note, noted


class SharedCheckpoint(Checkpoint):
    """The states of all workers in one file, which the first of them writes and reads.

    Args:
        path, fingerprint, every_seconds: as for :class:`ddcnn.training.checkpoint.Checkpoint`.
        door: to the other workers; all of them call every method together.

    Attributes:
        facts: how the net is divided, kept with the states; from the file if there is one.
    """

    def __init__(self, path: Path, fingerprint: str, every_seconds: float, door: Door) -> None:
        super().__init__(path, fingerprint, every_seconds)
        self.door = door
        states = None
        if door.rank == 0 and (found := super().load()):
            states = [(state, found["facts"]) for state in found["workers"]]
        self.found, self.facts = door.from_first(
            states or [(None, None)] * door.size if door.rank == 0 else None
        )

    def asked(self) -> tuple[bool, bool]:
        """What any worker was asked for; the first one's clock says when a writing is due."""
        own = torch.tensor([int(noted() or 0), int(self.due())])
        answers = self.door.of_all(own)
        number = max(int(signal) for signal, _ in answers)
        if number and not noted():
            note(number)
        return number > 0, bool(answers[0][1])

    def save(self, state: dict[str, Any]) -> None:
        """Replace the file by the states of all workers."""
        states = self.door.to_first(state)
        if self.door.rank == 0:
            super().save({"workers": states, "facts": self.facts})
        self._written = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """This worker's saved state, or None where there is none that belongs to this training."""
        return self.found

    def remove(self) -> None:
        """Delete the file: the training is done."""
        if self.door.rank == 0:
            super().remove()
