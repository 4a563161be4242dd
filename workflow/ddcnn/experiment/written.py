"""A configuration file as it stands there, and read: before its anchors and merges multiply."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from ddcnn.base.errors import InputError

DECIMAL = re.compile("[-+]?(0|[1-9][0-9_]*)")
INTEGER = "tag:yaml.org,2002:int"
MOST_BYTES = 2**19  # of a file; some 10,000 classes with other names
MOST_VALUES = 50_000  # of a configuration, with everything that its anchors repeat


def read_configuration(path: Path) -> Any:
    """What a configuration file says.

    Raises:
        InputError: it is no YAML or too large, or a whole number is not read as it looks.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise InputError(f"{path} is larger than {MOST_BYTES:,} bytes; write shorter lists")
        loader = yaml.SafeLoader(content.decode("utf-8"))
        root = loader.get_single_node()
        if root is None:
            return None
        _check_values(path, root)
        _check_numbers(path, root)
        return loader.construct_document(root)
    except InputError:
        raise
    except RecursionError as error:
        raise InputError(f"{path} cannot be read: it is nested too deep") from error
    # ValueError: a number with more digits than Python takes.
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read: {' '.join(str(error).split())[:500]}") from error


def _check_values(path: Path, root: yaml.Node) -> None:
    """Refuse anchors that make a small file a large configuration, or put a list into itself."""
    counts: dict[int, int] = {}

    def count(node: yaml.Node) -> int:
        if id(node) not in counts:
            if isinstance(node, yaml.ScalarNode):
                return 1
            counts[id(node)] = MOST_VALUES  # what it counts as inside of itself
            counts[id(node)] = 1 + sum(map(count, _children(node)))
        return counts[id(node)]

    if (values := count(root)) > MOST_VALUES:
        raise InputError(
            f"{path}: its anchors (&) make {values:,} values of it, or put a list into itself; "
            f"accepted: at most {MOST_VALUES:,} values"
        )


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    for item in node.value:  # of a mapping: pairs of nodes
        yield from item if isinstance(item, tuple) else (item,)


def _check_numbers(path: Path, root: yaml.Node) -> None:
    """Refuse whole numbers that YAML does not read as they look: 0x4 (4), 010 (8), 1:30 (90)."""
    for node in _scalars(root, set()):
        if node.tag == INTEGER and not DECIMAL.fullmatch(node.value):
            value = yaml.safe_load(node.value)
            raise InputError(
                f"{path}, line {node.start_mark.line + 1}: YAML reads {node.value} as the number "
                f'{value}; write "{node.value}" in quotes if you mean these characters (an overlap '
                f"for each axis), or {value}"
            )


def _scalars(node: yaml.Node, seen: set[int]) -> Iterator[yaml.ScalarNode]:
    """All texts and numbers below a node, once each."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.ScalarNode):
        yield node
        return
    for child in _children(node):
        yield from _scalars(child, seen)
