"""``export``: a trained model in the formats of other tools."""

import argparse
from pathlib import Path

from ddcnn.base.disk import check_outputs
from ddcnn.base.errors import InputError
from ddcnn.bundle.card import OPSET, RUNTIMES
from ddcnn.commands.arguments import add_command, add_model, add_written

EXAMPLES = """\
examples, with MODEL for results/runs/.../seed0/ddcnn.safetensors:
  ddcnn export MODEL --onnx model.onnx
  ddcnn export MODEL --onnx model.onnx --opset 18      for older programs that read ONNX
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
    parser.add_argument(
        "--opset", type=int, choices=RUNTIMES, default=OPSET,
        help=f"of ONNX: a larger one needs a later onnxruntime ({OPSET})",
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
    said = "wrote {}: differs by {:.1e} at most, on {} images"
    if options.onnx:
        difference = export_onnx(model, options.onnx, images, options.opset)
        print(said.format(options.onnx, difference, len(images)))
        print(f"  ONNX opset {options.opset}: for onnxruntime {RUNTIMES[options.opset]} and later")
    if options.torch_export:
        difference = export_torch(model, options.torch_export, images)
        print(said.format(options.torch_export, difference, len(images)))
