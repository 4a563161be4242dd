"""Sphinx: the documentation as a static site, see `make docs`."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "workflow"), str(HERE / "_extensions")]

from ddcnn import __version__  # noqa: E402

project = "ddcnn"
author = "The ddcnn developers"
release = __version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "command_help",
    "mathml",
]
exclude_patterns = ["_extensions", "examples"]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True

html_theme = "furo"
html_title = f"ddcnn {release}"
html_math_renderer = "mathml"
html_copy_source = False
html_show_copyright = False
