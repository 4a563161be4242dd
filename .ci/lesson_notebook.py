"""Write docs/lesson.ipynb, the lesson as a notebook, from docs/lesson.md.

    python .ci/lesson_notebook.py

Every bash block becomes a cell, and after every picture that a reader should expect stands a cell
that shows the reader's own.

    python .ci/lesson_notebook.py --pictures

takes the pictures to expect from the results of a run of the lesson, too.
"""

import re
import shutil
import sys
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
NOTEBOOK = DOCS / "lesson.ipynb"
ENTER = "source .venv/bin/activate"  # which a shell needs and a notebook does otherwise
ENTER_PYTHON = """\
# Cells with %%bash are shells of their own: this gives all of them the folder and the environment.
import os
from pathlib import Path

from IPython.display import SVG

here = Path.cwd()
root = next(each for each in [here, *here.parents] if (each / "Snakefile").is_file())
os.chdir(root)
os.environ["PATH"] = f"{root}/.venv/bin:{os.environ['PATH']}"\
"""
BLOCK = re.compile(r"^```bash\n(.*?)^```\n", re.DOTALL | re.MULTILINE)
PICTURE = re.compile(r"^!\[[^]]*\]\((.*)\)$", re.MULTILINE)
REPORTS = "results/reports"
MADE = {  # what the page shows: what the commands make
    "lesson/tiles.svg": f"{REPORTS}/lesson-tiles/figures/heat-map.svg",
    "lesson/more-tiles.svg": f"{REPORTS}/lesson-grid/figures/differences.svg",
    "lesson/voting.svg": f"{REPORTS}/lesson-voting/figures/differences.svg",
    "lesson/why.svg": "build/focal-lesion/why/0001-lesion.png.svg",
}


def notebook(page: str) -> str:
    """The notebook of a page in Markdown, as text."""
    cells = []
    # Text and commands take turns.
    for place, part in enumerate(BLOCK.split(page)):
        if place == 1:  # before the first commands, which a notebook would run in its own folder
            cells.append(new_code_cell(ENTER_PYTHON))
        cells += _commands(part) if place % 2 else _text(part)
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"  # by chance otherwise
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book = new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.validate(book)
    return nbformat.writes(book) + "\n"


def _commands(block: str) -> list[nbformat.NotebookNode]:
    return [] if block.strip() == ENTER else [new_code_cell(f"%%bash\n{block.strip()}")]


def _text(part: str) -> list[nbformat.NotebookNode]:
    """The text of a part, divided behind its pictures."""
    cells, begin = [], 0
    for found in PICTURE.finditer(part):
        cells.append(new_markdown_cell(part[begin : found.end()].strip()))
        cells.append(new_code_cell(f'SVG("{MADE[found[1]]}")  # yours'))
        begin = found.end()
    rest = part[begin:].strip()
    return [*cells, new_markdown_cell(rest)] if rest else cells


def main(arguments: list[str]) -> None:
    """Write it, and the pictures if they are asked for."""
    for expected, made in MADE.items() if arguments == ["--pictures"] else ():
        shutil.copy(ROOT / made, DOCS / expected)
    page = NOTEBOOK.with_suffix(".md").read_text(encoding="utf-8")
    NOTEBOOK.write_text(notebook(page), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
