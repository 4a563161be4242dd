"""``nets``: list the nets with their sizes."""

import argparse

from ddcnn import nets
from ddcnn.commands.arguments import add_command


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    add_command(commands, "nets", run, "list the nets with their sizes")


def run(options: argparse.Namespace) -> None:
    """Print a table of the nets, for 10 classes of 32 x 32 colour pixels or 2 of CT scans."""
    from ddcnn.nets.cost import num_parameters

    print("| net | smallest input | width | parameters | |")
    print("| --- | --- | --- | --- | --- |")
    for name, net in nets.ARCHITECTURES.items():
        shape, classes = ((128, 128, 64, 1), 2) if net.module == "ct3d" else ((32, 32, 3), 10)
        size = num_parameters(nets.build(name, shape, classes, net.standard_width))
        cells = (f"`{name}`", net.smallest_input, net.standard_width, f"{size:,}", net.description)
        print("|", " | ".join(map(str, cells)), "|")
