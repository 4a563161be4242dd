"""How to cite, from the project's ``CITATION.cff``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ddcnn.base.provenance import PACKAGE

FILE = PACKAGE.parent.parent / "CITATION.cff"


def citations(path: Path = FILE) -> list[str]:
    """One line for the paper of the method, one for this software; none without the file."""
    if not path.is_file():
        return []
    facts = yaml.safe_load(path.read_text(encoding="utf-8"))
    method = [each for each in facts.get("references", []) if each.get("notes") == "the method"]
    return [*map(_article, method), _software(facts)]


def _article(facts: Mapping[str, Any]) -> str:
    pages = f"{facts['start']}–{facts['end']}" if "start" in facts else ""
    place = f"{facts['journal']} {facts['volume']}({facts['issue']}), {pages}"
    return f"{_names(facts)}: {facts['title']}. {place}, {facts['year']}, doi {facts['doi']}."


def _software(facts: Mapping[str, Any]) -> str:
    edition = f"version {facts['version']}, {facts['license']} licence"
    return f"{_names(facts)}: {facts['title']}, {edition}."


def _names(facts: Mapping[str, Any]) -> str:
    return ", ".join(
        each["name"] if "name" in each else f"{each['given-names']} {each['family-names']}"
        for each in facts["authors"]
    )
