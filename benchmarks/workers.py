"""Child processes that train one epoch whenever they are told to."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from nets import Job

HERE = Path(__file__).parent
# Made by `make bench`: Keras is none of the project's packages.
KERAS_FOLDER = HERE.parent / ".venv-bench"
# Whose layers are ours, but not the kernels behind them.
KERNELS_OF_TORCH = ("ddcnn, kernels of torch", "PyTorch, DataLoader")
BACKENDS = {"Keras on TensorFlow": "tensorflow", "Keras on PyTorch": "torch"}


def environment(way: str = "") -> dict[str, str]:
    """One thread, no GPU, and for Keras its backend and its folder."""
    found = os.environ | {
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    paths = [str(HERE.parent / "workflow"), os.environ.get("PYTHONPATH", "")]
    if way in KERNELS_OF_TORCH:
        found["DDCNN_KERNELS"] = "torch"
    if way in BACKENDS:
        found["KERAS_BACKEND"] = BACKENDS[way]
        paths.insert(0, str(KERAS_FOLDER))
    return found | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


class Worker:
    """A process that trains one net one way; see :mod:`trainer`.

    Args:
        way: a key of :data:`trainer.WAYS`.
        job: which net, on how many images.

    Attributes:
        peak_mib: largest memory so far.
        cores: most CPU time over wall time of an epoch so far.
    """

    def __init__(self, way: str, job: Job) -> None:
        self.way, self.job = way, job
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  as long as the process
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "trainer.py"), way, json.dumps(job.as_dict())],
            env=environment(way),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self._facts: dict[str, Any] | None = None
        self.peak_mib = 0.0
        self.cores = 0.0

    @property
    def facts(self) -> dict[str, Any]:
        """What it says of its net; waits until it is built."""
        if self._facts is None:
            self._facts = self._answer()
        return self._facts

    def epoch(self) -> float:
        """Seconds of the training steps of one epoch; of a matrix product for this way."""
        self.facts  # noqa: B018  wait
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        answer = self._answer()
        self.peak_mib, self.cores = answer["peak_mib"], max(self.cores, answer["cores"])
        return answer["seconds"]

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            raise SystemExit(f"{self.way} failed:\n{self._errors.read()[-4000:]}")
        return json.loads(line)


def has_keras() -> bool:
    return (KERAS_FOLDER / "keras").is_dir()
