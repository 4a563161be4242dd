"""The state from which an interrupted training goes on."""

import io
import logging
import time
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from ddcnn.base.errors import DamagedResult
from ddcnn.base.files import write_aside
from ddcnn.base.reading import reading
from ddcnn.training.interruption import noted

log = logging.getLogger(__name__)

# Before the digest and the state in a checkpoint; the digit is the version of this form.
MAGIC = b"ddcnn checkpoint 1\n"


def fingerprint_of(*facts: Any) -> str:
    """Stands for everything that decides a training's result; same facts, same text."""
    return sha256(repr(facts).encode()).hexdigest()


@dataclass
class Checkpoint:
    """A file with the whole state of a training, written again and again while it runs.

    Attributes:
        path: the file; it is no output of a rule, so a failed job leaves it for the next one.
        fingerprint: stands for settings, data and code; another one starts from the beginning.
        every_seconds: least time between two writings; 0 writes whenever it is asked.
        keep_last: the state after the last epoch is written, too, however soon.
    """

    path: Path
    fingerprint: str
    every_seconds: float = 0.0
    keep_last: bool = False
    _written: float = field(default_factory=time.monotonic, repr=False)

    def due(self) -> bool:
        """True when the last writing is long enough ago."""
        return time.monotonic() - self._written >= self.every_seconds

    def asked(self) -> tuple[bool, bool]:
        """Whether a signal asks the training to stop, and whether a writing is due."""
        return noted() is not None, self.due()

    def save(self, state: dict[str, Any]) -> None:
        """Replace the file by ``state`` (tensors, numbers, texts, lists and dicts of these)."""
        buffer = io.BytesIO()
        torch.save({"fingerprint": self.fingerprint, "state": state}, buffer)
        content = buffer.getbuffer()
        with write_aside(self.path) as aside, aside.open("wb") as file:
            file.write(MAGIC + sha256(content).digest())
            file.write(content)
        self._written = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """The saved state, or None where there is none that belongs to this training.

        Raises:
            InputError: the file may not be read, or there is no memory for it; it stays.
        """
        try:
            with reading(self.path):
                # weights_only: a checkpoint somebody sent must not run code.
                verified = io.BytesIO(_verified(self.path))
                content = torch.load(verified, map_location="cpu", weights_only=True)
                fingerprint, state = (dict(content)[key] for key in ("fingerprint", "state"))
        except FileNotFoundError:
            return None
        except DamagedResult as error:  # which is not worth a training
            log.warning("checkpoint %s: starting from the beginning", error.problem)
            return None
        if fingerprint != self.fingerprint:
            log.info("checkpoint of other settings, data or code: starting from the beginning")
            return None
        return state

    def remove(self) -> None:
        """Delete the file: the training is done."""
        self.path.unlink(missing_ok=True)


def _verified(path: Path) -> bytes:
    """The state's bytes; torch itself would not notice a wrong one among the weights."""
    content = path.read_bytes()
    begin = len(MAGIC)
    end = begin + sha256().digest_size
    if content[:begin] != MAGIC or content[begin:end] != sha256(content[end:]).digest():
        raise ValueError("its digest is wrong")
    return content[end:]


def random_states(device: torch.device) -> dict[str, torch.Tensor]:
    """States of all random generators that a training draws from."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def restore_random_states(states: dict[str, torch.Tensor], device: torch.device) -> None:
    """Undo what was drawn since :func:`random_states`."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
