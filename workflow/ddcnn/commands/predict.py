"""``predict``: decisions of a trained model on images, volumes and signals."""

import argparse
import csv
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from ddcnn.base.disk import check_outputs
from ddcnn.base.errors import InputError
from ddcnn.base.escaping import bare, csv_cell, visible
from ddcnn.base.files import write_aside
from ddcnn.base.text import table
from ddcnn.commands.arguments import add_command, add_model, add_written

EXAMPLES = """\
examples, with MODEL for results/runs/.../seed0/ddcnn.safetensors:
  ddcnn predict MODEL picture.png                  a table
  ddcnn predict MODEL photos/ --adapt crop         all below a folder, resized
  ddcnn predict MODEL list.csv --csv out.csv       the files of the column "file"
  ddcnn predict MODEL picture.png --explain why/   what decided: one drawing an image
  ddcnn predict MODEL scan.nii.gz x_test.npy       volumes; arrays N, *pixels(, channels)

Images are prepared as those of the training were. Those of another size, colour or spacing are
refused, unless the preparation of the data changed them, too, or --adapt says how.
The exit code is 1 if some of the inputs cannot be predicted; the others are.
"""

if TYPE_CHECKING:
    from ddcnn.bundle.model import Model
    from ddcnn.report.explanation import Explainer

EXPLAINED = "tiles.csv"  # in the folder of --explain
WriteRow = Callable[[str, np.ndarray], None]


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    description = "decisions of a trained model on new images"
    parser = add_command(commands, "predict", run, description, EXAMPLES)
    add_model(parser)
    parser.add_argument(
        "inputs", nargs="+", type=Path, metavar="INPUT", help="image, volume, folder, .csv, .npy"
    )
    add_written(parser, csv="write this table instead of printing one")
    parser.add_argument("--explain", type=Path, metavar="DIR", help="draw what decided into DIR")
    parser.add_argument(
        "--adapt", choices=("crop", "pad", "stretch"),
        help="bring images of another size or colour to the model's in this way",
    )  # fmt: skip
    parser.add_argument("--batch-size", type=int, default=64, help="images at a time (64)")
    parser.add_argument("--device", default="auto", help="auto (a GPU if there is one), cpu, cuda")


def run(options: argparse.Namespace) -> None:
    """Predict, and say in the end what could not be predicted.

    Raises:
        InputError: nothing to predict; or some inputs failed, after the others are written.
    """
    if options.batch_size < 1:
        raise InputError(f"--batch-size {options.batch_size}; accepted: 1 or more")
    from ddcnn.bundle.expected import Expected
    from ddcnn.bundle.file import read_bundle
    from ddcnn.bundle.inputs import Inputs

    outputs = [options.csv, options.explain and options.explain / EXPLAINED]
    check_outputs(outputs, filter(None, [options.model, options.net_file, *options.inputs]))
    bundle = read_bundle(options.model)  # what it refuses does not wait for torch
    from ddcnn.bundle.model import model_of
    from ddcnn.bundle.prediction import choose, enough_memory, predict

    device = choose(options.device)
    with enough_memory(options.batch_size):
        model = model_of(options.model, bundle, options.net_file)
    expected = Expected.of(model.description, options.adapt)
    inputs = Inputs.find(options.inputs, expected, outputs)
    if options.explain and inputs.expected.large:
        raise InputError("--explain: volumes of this size are never in memory as a whole; leave it")
    for note in inputs.notes():
        print(f"note: {note}", file=sys.stderr)
    explainer = _explainer(options.explain, model) if options.explain else None
    num_predicted = 0
    with _rows(options.csv, model) as write, _bar(len(inputs)) as bar:
        for found in predict(model, inputs, options.batch_size, device, explainer is not None):
            for name, values in zip(found.names, found.values, strict=True):
                if not np.isfinite(values).all():
                    inputs.failures.append(
                        f"{name}: the model gives no number for it ({values[0]})"
                    )
                    continue
                write(name, values)
                num_predicted += 1
            if explainer and np.isfinite(found.values).all():
                explained = found.explanation.votes, found.explanation.weights
                arrays = (each[: len(found.names)].cpu().numpy() for each in explained)
                explainer.draw(found.names, found.batch.images, found.values, *arrays)
            bar.update(len(found.names))
        for warning in inputs.warnings():
            print(f"warning: {warning}", file=sys.stderr)
        if not num_predicted:
            raise InputError(_summary(inputs.failures, "nothing was predicted:"))
    if explainer:
        explainer.finish(options.explain / EXPLAINED)
    if inputs.failures:
        failed = len(inputs.failures)
        problem = (
            f"{failed} of {num_predicted + failed} inputs were not predicted, nor what follows "
            "them in an array; the others were:"
        )
        raise InputError(_summary(inputs.failures, problem))


def _explainer(folder: Path, model: "Model") -> "Explainer":
    from ddcnn.report.explanation import Explainer  # here: matplotlib is slow to import

    boxes = model.description["plan"]["tiles"]
    is_classes = bool(model.description["data"]["classes"])
    return Explainer(folder, model.subdomains, boxes, model.outputs, is_classes)


def _summary(failures: list[str], problem: str) -> str:
    return "\n  ".join([problem, *map(visible, failures)])


def _bar(total: int) -> tqdm:
    disable = None if sys.stderr.isatty() else True
    return tqdm(total=total, unit="image", disable=disable, file=bare(sys.stderr))


def _rows(path: Path | None, model: "Model") -> AbstractContextManager[WriteRow]:
    """What takes a name and its values: into a CSV, or a table that is printed at the end."""
    is_classes = bool(model.description["data"]["classes"])
    if path:
        return _csv_rows(path, model.outputs, is_classes)
    return _table_rows(model.outputs, is_classes)


@contextmanager
def _csv_rows(path: Path, outputs: list[str], is_classes: bool) -> Iterator[WriteRow]:
    with (
        write_aside(path) as aside,
        aside.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        outputs = list(map(csv_cell, outputs))
        writer.writerow(["file", "prediction", *outputs] if is_classes else ["file", *outputs])

        def write(name: str, values: np.ndarray) -> None:
            decided = [outputs[values.argmax()]] if is_classes else []
            # Nine digits give back every bit of a float32.
            writer.writerow([csv_cell(name), *decided, *(f"{value:.9g}" for value in values)])

        yield write


@contextmanager
def _table_rows(outputs: list[str], is_classes: bool) -> Iterator[WriteRow]:
    outputs = list(map(visible, outputs))
    rows = [["file", *(["prediction", "probability"] if is_classes else outputs)]]

    def write(name: str, values: np.ndarray) -> None:
        name = visible(name)
        if is_classes:
            rows.append([name, outputs[values.argmax()], f"{values.max():.4f}"])
        else:
            rows.append([name, *(f"{value:.6g}" for value in values)])

    yield write
    print("\n".join(table(rows, numbers=len(rows[0]) - 1 - is_classes)))
