"""What stands in a configuration file, where YAML reads something else."""

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from ddcnn.base.errors import InputError

DECIMAL = re.compile("[-+]?(0|[1-9][0-9_]*)")
INTEGER = "tag:yaml.org,2002:int"


def check_numbers(path: Path) -> None:
    """Refuse whole numbers that YAML does not read as they look: 0x4 (4), 010 (8), 1:30 (90).

    Raises:
        InputError: with the line.
    """
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return  # who reads the values says what is wrong
    for node in _scalars(root, set()):
        if node.tag == INTEGER and not DECIMAL.fullmatch(node.value):
            value = yaml.safe_load(node.value)
            raise InputError(
                f"{path}, line {node.start_mark.line + 1}: YAML reads {node.value} as the number "
                f'{value}; write "{node.value}" in quotes if you mean these characters (an overlap '
                f"for each axis), or {value}"
            )


def _scalars(node: yaml.Node | None, seen: set[int]) -> Iterator[yaml.ScalarNode]:
    """All texts and numbers below a node; an anchor may put a list into itself."""
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.ScalarNode):
        yield node
        return
    for item in node.value:  # of a mapping: pairs of nodes
        for child in item if isinstance(item, tuple) else (item,):
            yield from _scalars(child, seen)
