"""The model in the formats of other tools, each compared with the model before it is kept."""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from ddcnn.base.errors import InputError
from ddcnn.base.files import write_aside
from ddcnn.base.splits import parts_of
from ddcnn.bundle.card import OPSET, RUNTIMES
from ddcnn.bundle.expected import Expected
from ddcnn.bundle.inputs import Inputs
from ddcnn.bundle.model import Model
from ddcnn.experiment.paths import folder_of

TOLERANCE = 1e-5
NUM_CHECKED = 8  # images; other numbers than that of the tracing, so that the batch axis is tried
NUM_TRACED = 2
Run = Callable[[np.ndarray], np.ndarray]


def real_images(
    model: Model, paths: Sequence[Path], outputs: Sequence[Path | None] = ()
) -> np.ndarray:
    """Some images to compare on, float32 ``n, C, *spatial``.

    Args:
        paths: inputs as ``predict`` takes them; none: the test split, where it is prepared.
        outputs: files that will be written.

    Raises:
        InputError: there are none, or one of them is also an output.
    """
    (part,) = parts_of(model.description["data"], "test")
    folder = folder_of("prepare", model.description["run"]["dataset"])
    prepared = folder / f"x_{part}.npy"
    if not paths and not prepared.is_file():
        raise InputError(
            f"the export is compared with the model on real images, and {prepared} is not here; "
            "name some: --images FOLDER"
        )
    inputs = Inputs.find(paths or [prepared], Expected.of(model.description), outputs)
    found: list[np.ndarray] = []
    for batch in inputs.batches(NUM_CHECKED):
        found += list(batch.images)
        if len(found) >= NUM_CHECKED:
            break
    if not found:
        raise InputError("\n  ".join(["--images: none can be read:", *inputs.failures]))
    pixels = np.stack(found[:NUM_CHECKED]).astype(np.float32)
    return np.ascontiguousarray(np.moveaxis(pixels, -1, 1))


def export_onnx(model: Model, path: Path, images: np.ndarray, opset: int = OPSET) -> float:
    """Write ONNX and return the largest difference on the images, run by onnxruntime.

    Input ``pixels``, float32 ``N, C, *spatial`` of raw values, N free; output ``predictions``.

    Args:
        opset: a key of :data:`ddcnn.bundle.card.RUNTIMES`.

    Raises:
        InputError: the packages are missing, torch writes another opset, or the result differs;
            nothing is written then.
    """
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401, torch's exporter needs it
    except ImportError as error:
        raise InputError(
            f"--onnx needs packages that are not installed ({error}): pip install 'ddcnn[export]', "
            "or onnx, onnxscript and onnxruntime"
        ) from error
    with _exporting("ONNX"):
        program = torch.onnx.export(
            model,
            _example(images),
            dynamo=True,
            opset_version=opset,
            input_names=["pixels"],
            output_names=["predictions"],
            dynamic_shapes=({0: torch.export.Dim("images")},),
            verbose=False,
        )
    # Where its converter fails, torch writes another opset than it was asked for.
    if (written := program.model.opset_imports[""]) != opset:
        raise InputError(
            f"--opset: torch {torch.__version__} cannot write this model with opset {opset}, only "
            f"with {written}; take another one of {', '.join(map(str, RUNTIMES))}"
        )
    # torch writes a newer format than these operations need, which older programs refuse.
    program.model.ir_version = onnx.helper.find_min_ir_version_for(program.model_proto.opset_import)
    with write_aside(path) as aside:
        program.save(aside, external_data=False)

        def run(pixels: np.ndarray) -> np.ndarray:
            session = onnxruntime.InferenceSession(aside, providers=["CPUExecutionProvider"])
            return session.run(None, {"pixels": pixels})[0]

        return _compare(model, images, run, path)


def export_torch(model: Model, path: Path, images: np.ndarray) -> float:
    """Write a ``torch.export`` program and return the largest difference on the images.

    Raises:
        InputError: the result differs; nothing is written then.
    """
    shapes = ({0: torch.export.Dim("images")},)
    with _exporting("torch.export"):
        program = torch.export.export(model, _example(images), dynamic_shapes=shapes)
    with write_aside(path) as aside:
        content = io.BytesIO()
        torch.export.save(program, content)
        aside.write_bytes(content.getbuffer())  # torch itself ends the process on a full disk

        def run(pixels: np.ndarray) -> np.ndarray:
            content.seek(0)
            return torch.export.load(content).module()(torch.from_numpy(pixels)).numpy()

        return _compare(model, images, run, path)


@contextmanager
def _exporting(what: str) -> Iterator[None]:
    """A net of the user may compute what an exporter does not know."""
    try:
        yield
    except Exception as error:  # the exporters raise whatever their passes do
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"torch {torch.__version__} cannot export this model as {what} ({reason}); use the "
            "other format, or ddcnn.load in Python"
        ) from error


def _example(images: np.ndarray) -> tuple[torch.Tensor]:
    """Two images: a batch of one would be taken for a fixed size."""
    # The fused kernels of attention are no operations of other tools.
    torch.backends.mha.set_fastpath_enabled(False)
    return (torch.from_numpy(np.resize(images, (NUM_TRACED, *images.shape[1:]))),)


@torch.no_grad()
def _compare(model: Model, images: np.ndarray, run: Run, path: Path) -> float:
    """The largest difference; of targets relative to their spread over the training split."""
    ours = model(torch.from_numpy(images)).numpy()
    with _exporting(path.name):
        theirs = run(images).copy()
        theirs[:1] = run(images[:1])  # the number of images is free
    scale = np.array(model.net.task.std) if model.net.task.name == "regression" else 1.0
    difference = float((np.abs(ours - theirs) / scale).max())
    if not difference <= TOLERANCE:
        raise InputError(
            f"{path} was not written: it differs from the model by {difference:.1e} on "
            f"{len(images)} images, more than {TOLERANCE:g}"
        )
    return difference
