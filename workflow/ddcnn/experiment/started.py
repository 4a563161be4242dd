"""Which experiments were started in a folder, as Snakemake was asked for them.

No file holds what ``--config`` says, so every run notes its settings.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ddcnn.base.errors import InputError
from ddcnn.base.files import read_json, write_json
from ddcnn.experiment.configuration import load_experiment
from ddcnn.experiment.runs import Experiment

FOLDER = Path(".snakemake/ddcnn")


def note_start(experiment: Experiment, folder: str | Path = ".") -> None:
    """Write down what is started, in place of what was started under this name before."""
    path = Path(folder) / FOLDER / f"{experiment.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, experiment.settings)


def started(folder: str | Path = ".") -> Iterator[Experiment]:
    """All that were noted, by name; without those that an edit has made impossible since."""
    for path in sorted((Path(folder) / FOLDER).glob("*.json")):
        with suppress(InputError):
            yield load_experiment(read_json(path))
