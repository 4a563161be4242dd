"""The command line: ``python -m ddcnn``."""

import argparse
import sys
from collections import Counter
from pathlib import Path

import yaml

from ddcnn import __version__, models
from ddcnn.configuration import SCHEMA, documentation, load_experiment
from ddcnn.data.registry import REGISTRY, dataset_of
from ddcnn.errors import InputError
from ddcnn.files import read_json, write_aside

CONFIG_README = SCHEMA.parents[2] / "config" / "README.md"


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m ddcnn", description=__doc__)
    parser.add_argument("--version", action="version", version=f"ddcnn {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    check = commands.add_parser("check", help="check a configuration and list its runs")
    check.add_argument("file", nargs="?", default="config/config.yaml", type=Path)
    check.set_defaults(function=lambda options: check_configuration(options.file))
    docs = commands.add_parser("docs", help="write config/README.md from the schema")
    docs.set_defaults(function=lambda options: write_documentation())
    nets = commands.add_parser("nets", help="list the nets with their sizes")
    nets.set_defaults(function=lambda options: list_nets())
    data = commands.add_parser("data", help="list the registered data sets, or describe one")
    what = data.add_subparsers(dest="what", required=True, metavar="WHAT")
    what.add_parser("list", help="one line per data set").set_defaults(
        function=lambda options: list_datasets()
    )
    info = what.add_parser("info", help="everything that is known of a data set")
    info.add_argument("name")
    info.set_defaults(function=lambda options: describe_dataset(options.name))
    options = parser.parse_args(arguments)
    try:
        options.function(options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def check_configuration(path: Path) -> None:
    """Print what a configuration asks for; a faulty one is an :class:`InputError`."""
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(config, dict):
        raise InputError(f"{path} holds no keys; see config/README.md")
    experiment = load_experiment(config)
    for run in experiment.runs:
        shape = experiment.datasets[run.dataset].shape
        tile = "x".join(map(str, run.tiling.tile_shape(shape)))
        print(
            f"{run.folder}: {len(run.decomposition.subdomains)} nets of width {run.local_width} "
            f"on {tile} pixels"
        )
    nets = Counter(
        run.local_folder(tile) for run in experiment.runs for tile in run.decomposition.subdomains
    )
    print(f"{experiment.name}: {len(experiment.runs)} runs, {len(nets)} trainings of local nets")


def list_nets() -> None:
    """Print a table of the nets, for 10 classes of 32 x 32 colour pixels or 2 of CT scans."""
    from ddcnn.models.cost import num_parameters

    print("| net | smallest input | width | parameters | |")
    print("| --- | --- | --- | --- | --- |")
    for name, net in models.ARCHITECTURES.items():
        shape, classes = ((128, 128, 64, 1), 2) if net.module == "ct3d" else ((32, 32, 3), 10)
        size = num_parameters(models.build(name, shape, classes, net.standard_width))
        cells = (f"`{name}`", net.smallest_input, net.standard_width, f"{size:,}", net.description)
        print("|", " | ".join(map(str, cells)), "|")


def list_datasets() -> None:
    """Print one line per registered data set."""
    width = max(map(len, REGISTRY))
    for dataset in REGISTRY.values():
        print(f"{dataset.name:{width}}  {dataset.title}")


def describe_dataset(name: str) -> None:
    """Print what is known of a data set, and its card where it is prepared."""
    dataset = dataset_of(name)
    print(
        yaml.safe_dump(dataset.description(), sort_keys=False, allow_unicode=True, width=100),
        end="",
    )
    card = Path("results/data") / name / "card.json"
    if card.is_file():
        print(f"\nprepared, see {card}:")
        print(
            yaml.safe_dump(read_json(card), sort_keys=False, allow_unicode=True, width=100), end=""
        )
    else:
        print("\nnot prepared yet; its card will be", card)


def write_documentation() -> None:
    """Write ``config/README.md``."""
    with write_aside(CONFIG_README) as aside:
        aside.write_text(documentation(), encoding="utf-8")
    print(f"wrote {CONFIG_README.name}")


if __name__ == "__main__":
    sys.exit(main())
