"""What is shown to others, without the folders of the machine that it is from."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Two names at least, so that neither "-/+" nor "and/or" is one; an address has "//" before it.
FOLDERS = re.compile(r"(?<![\w.:/-])(?:~|\.\.)?/(?:[\w.@+-]+/)+(?=[\w.])")


def without_folders(text: str, root: str = "") -> str:
    """A sentence in which files keep their names, but not where they lie.

    Args:
        text: of any length.
        root: an absolute path, whose folders may have spaces in their names; below it paths stay
            as they are.
    """
    if Path(root).is_absolute():
        text = re.sub(rf"(?<![\w.]){re.escape(root)}/", "", text)
        text = re.sub(rf"(?<![\w.]){re.escape(root)}(?![\w-])", Path(root).name, text)
    return FOLDERS.sub("", text)


def names_only(value: Any) -> Any:
    """Settings in which every path that leads out of the experiment's folder is a bare name."""
    if isinstance(value, Mapping):
        return {key: names_only(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [names_only(each) for each in value]
    if not isinstance(value, str):
        return value
    return Path(value).name if value.startswith(("/", "~", "..")) else without_folders(value)
