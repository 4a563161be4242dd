"""Pages from templates: everything is escaped, and what is not given is an error."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ddcnn.base.escaping import in_template


def template_environment(folder: Path) -> Environment:
    """What renders the templates of a folder."""
    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        finalize=in_template,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
