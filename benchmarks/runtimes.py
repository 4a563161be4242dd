"""Which releases of onnxruntime run the ONNX exports of each opset.

Every release runs in an environment of its own, which uv makes and keeps in its cache.
"""

import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from common import options_of, parse, write_theme

import ddcnn
from ddcnn.bundle.card import RUNTIMES
from ddcnn.bundle.export import export_onnx, real_images

# Wheels for Python 3.11 begin with 1.15.
RELEASES = ("1.15.1", "1.16.3", "1.17.3", "1.18.1", "1.20.1", "1.22.1", "1.32.0")
TEXT = (
    "ONNX exports of trained models, run by releases of onnxruntime on the CPU: the largest "
    "difference from the model on 8 test images (of targets relative to their spread over the "
    "training split), or \"refused\"."
)  # fmt: skip
RUN = """
import json, sys
import numpy as np
import onnxruntime
pixels, found = np.load(sys.argv[1]), {}
for name in sys.argv[2:]:
    try:
        session = onnxruntime.InferenceSession(name, providers=["CPUExecutionProvider"])
        found[name] = session.run(None, {"pixels": pixels})[0].tolist()
    except Exception:
        found[name] = None
print(json.dumps(found))
"""


def main() -> None:
    parser = options_of(TEXT, repeats=None)
    parser.add_argument("models", nargs="+", type=Path, help="ddcnn.safetensors of the quickstart")
    options = parse(parser)
    releases = RELEASES[-1:] if options.quick else RELEASES
    rows = [row for model in options.models for row in rows_of(model, releases)]
    packages = {"onnx": onnx.__version__, "Python of onnxruntime": "3.11"}
    write_theme("runtimes", rows, TEXT, options.quick, packages)


def rows_of(path: Path, releases: tuple[str, ...]) -> list[dict[str, object]]:
    """A row for each opset."""
    model = ddcnn.load(path)
    images = real_images(model, [])
    with torch.no_grad():
        ours = model(torch.from_numpy(images)).numpy()
    ours_scale = np.array(model.net.task.std) if model.net.task.name == "regression" else 1.0
    with tempfile.TemporaryDirectory() as folder:
        np.save(pixels := Path(folder, "pixels.npy"), images)
        files = {opset: Path(folder, f"{opset}.onnx") for opset in RUNTIMES}
        for opset, file in files.items():
            export_onnx(model, file, images, opset)
        found = {release: run(release, pixels, *files.values()) for release in releases}
        rows = []
        for opset, file in files.items():
            row = {"model": "/".join(path.parts[-5:-1]), "opset": opset}
            row["IR"] = onnx.load(file).ir_version
            for release in releases:
                theirs = found[release][str(file)]
                far = theirs and np.abs((np.array(theirs) - ours) / ours_scale).max()
                row[release] = "refused" if theirs is None else f"{far:.0e}"
            rows.append(row)
    return rows


def run(release: str, *files: Path) -> dict[str, list | None]:
    """What a release of onnxruntime gives for each file of a model; None where it refuses it."""
    numpy = "numpy<2" if int(release.split(".")[1]) < 19 else "numpy"
    command = ["uv", "run", "--quiet", "--no-project", "--python", "3.11", "--with"]
    command += [f"onnxruntime=={release}", "--with", numpy, "python", "-c", RUN]
    done = subprocess.run([*command, *map(str, files)], capture_output=True, check=True)
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
