"""``export``: a trained model in the formats of other tools."""

import argparse
from pathlib import Path

from ddcnn.base.disk import check_outputs
from ddcnn.base.errors import InputError
from ddcnn.commands.arguments import add_command, add_model, add_written

EXAMPLES = """\
examples, with MODEL for results/runs/.../seed0/ddcnn.safetensors:
  ddcnn export MODEL --onnx model.onnx
  ddcnn export MODEL --torch-export model.pt2 --images photos/

Both take float32 N, channels, *pixels of raw values (0 to 255) and give class probabilities. Each
is run on real images and compared with the model before it is kept.
"""


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    description = "a trained model as ONNX or torch.export"
    parser = add_command(commands, "export", run, description, EXAMPLES)
    add_model(parser)
    add_written(parser, onnx="write ONNX (ddcnn[export])", torch_export="write torch.export")
    parser.add_argument(
        "--images", nargs="+", type=Path, default=[], metavar="INPUT",
        help="compare on these (default: the test images in results/data)",
    )  # fmt: skip


def run(options: argparse.Namespace) -> None:
    """Write what is asked for, and say how well it agrees."""
    if not (options.onnx or options.torch_export):
        raise InputError("nothing to write; add --onnx FILE or --torch-export FILE")
    outputs = [options.onnx, options.torch_export]
    check_outputs(outputs, filter(None, [options.model, options.net_file]))
    from ddcnn import load

    model = load(options.model, options.net_file)
    from ddcnn.bundle.export import export_onnx, export_torch, real_images  # with torch

    images = real_images(model, options.images, outputs)
    for path, export in ((options.onnx, export_onnx), (options.torch_export, export_torch)):
        if path:
            difference = export(model, path, images)
            print(f"wrote {path}: differs by {difference:.1e} at most, on {len(images)} images")
