"""The documentation as a site: it builds without a warning and needs nothing from outside."""

import importlib.util
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import numpy as np
import pytest
import yaml

from ddcnn.__main__ import COMMANDS
from ddcnn.experiment.schema import schema
from ddcnn.tiles.geometry import Tiling

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
LOADED = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src"}


class Page(HTMLParser):
    """What a page loads, where it links to, the places it has, and its formulas."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads, self.links, self.ids, self.tags = [], [], set(), []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.append(tag)
        if found.get(LOADED.get(tag)):
            self.loads.append(found[LOADED[tag]])
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        if found.get("id"):
            self.ids.add(found["id"])


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("docs")
    built = subprocess.run(
        [
            *(sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going"),
            *("--doctree-dir", folder / "doctrees", DOCS, folder / "site"),
        ],
        capture_output=True, text=True,
    )  # fmt: skip
    assert built.returncode == 0, built.stdout + built.stderr
    return folder / "site"


@pytest.fixture(scope="module")
def pages(site) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html")}


def test_every_page_of_the_four_kinds_is_there(site, pages):
    sources = {path.relative_to(DOCS).with_suffix("") for path in DOCS.rglob("*.md")}
    sources.remove(Path("examples/README"))  # for those who look into the folder
    assert {Path("tutorial"), Path("how-to/compare"), Path("explanation/method")} <= sources
    assert sources <= {path.relative_to(site).with_suffix("") for path in pages}


def test_pages_load_nothing_from_outside(site, pages):
    for path, page in pages.items():
        for address in page.loads:
            parts = urlsplit(address)
            assert not parts.scheme or parts.scheme == "data", (path, address)
            assert not parts.netloc, (path, address)
            assert not parts.path or (path.parent / unquote(parts.path)).is_file(), (path, address)
    for style in site.rglob("*.css"):
        outside = r"url\(\s*['\"]?(?:https?:)?//|@import"
        assert re.search(outside, style.read_text(encoding="utf-8")) is None, style


def test_links_between_pages_lead_somewhere(pages):
    for path, page in pages.items():
        for address in page.links:
            parts = urlsplit(address)
            if parts.scheme:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.is_file(), (path, address)
            if parts.fragment and target in pages:
                assert unquote(parts.fragment) in pages[target].ids, (path, address)


def test_formulas_are_mathml(site, pages):
    assert pages[site / "explanation/method.html"].tags.count("math") > 50
    # A dollar sign of a regular expression is no formula.
    assert "math" not in pages[site / "reference/configuration.html"].tags


def test_reference_has_every_command_and_every_key(site):
    commands = (site / "reference/commands.html").read_text(encoding="utf-8")
    for name in COMMANDS:
        assert f"usage: ddcnn {name}" in re.sub("<[^>]*>", "", commands)
    keys = (site / "reference/configuration.html").read_text(encoding="utf-8")
    for key in schema()["properties"]:
        assert f'<span class="pre">{key}</span>' in keys


def module_of_ci(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / f".ci/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def script():
    """The script of CI that runs the commands of documents, as a module."""
    return module_of_ci("document_commands")


def test_ci_runs_the_commands_of_every_document(script):
    assert "python .ci/document_commands.py\n" in (ROOT / ".ci/run").read_text(encoding="utf-8")
    holding = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "README.md", *DOCS.rglob("*.md"))
        if re.search(r"^```(bash|sh|shell|console)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert script.documents()[:2] == ["README.md", "docs/tutorial.md"]
    assert sorted(script.documents()) == sorted(holding)
    for document in holding:
        assert "$ " not in "\n".join(script.commands((ROOT / document).read_text("utf-8")))


def test_a_failing_command_ends_the_script_with_its_status(script, tmp_path, capfd):
    page = tmp_path / "page.md"
    page.write_text("```bash\necho first\nmake test\nexit 3\necho never\n```\n")
    assert script.main([str(page)]) == 3
    out = capfd.readouterr().out
    assert "first" in out
    assert "never" not in out.replace("echo never", "")


def test_the_notebook_is_the_lesson(script):
    """Its text, its commands and a cell for each picture; CI runs it in a Jupyter."""
    assert "bash .ci/lesson.sh\n" in (ROOT / ".ci/run").read_text(encoding="utf-8")
    module, page = module_of_ci("lesson_notebook"), (DOCS / "lesson.md").read_text(encoding="utf-8")
    assert module.NOTEBOOK.read_text(encoding="utf-8") == module.notebook(page), (
        "run: python .ci/lesson_notebook.py"
    )
    cells = nbformat.read(module.NOTEBOOK, 4).cells
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    shells = [line for cell in code if cell.startswith("%%bash") for line in cell.split("\n")[1:]]
    assert shells == [line for line in script.commands(page) if line != module.ENTER]
    assert [cell for cell in code if cell.startswith("SVG")] == [
        f'SVG("{made}")  # yours' for made in module.MADE.values()
    ]
    for expected in module.MADE:
        assert f"]({expected})" in page
        assert (DOCS / expected).is_file()


def test_the_lesson_s_lesion_is_in_the_words_of_its_source(tmp_path):
    """Synthetic, said so in the configuration; three in ten; the same pictures every time."""
    text = (DOCS / "examples/lesson-voting.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text)["dataset"]["synthetic"] is True
    for folder in ("first", "second"):
        subprocess.run(
            [sys.executable, DOCS / "examples/focal_lesion.py", tmp_path / folder], check=True
        )
    first, second = (np.load(tmp_path / name / "pictures.npz") for name in ("first", "second"))
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
    assert {split: first[f"y_{split}"].mean() for split in ("train", "val", "test")} == {
        split: pytest.approx(0.3) for split in ("train", "val", "test")
    }


def test_the_readme_is_short_and_links_every_page_at_most_once():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 190
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", text)
    pages = [link for link in links if link.startswith("docs/") and link.endswith(".md")]
    assert len(pages) == len(set(pages))
    for link in links:
        assert link.startswith("https://") or (ROOT / link).exists(), link


def test_the_text_of_the_index_links_every_page():
    """Beside the hidden tables of contents, which only the site shows."""
    links = re.findall(r"\]\(([^)#]+\.md)\)", (DOCS / "index.md").read_text(encoding="utf-8"))
    pages = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")}
    assert sorted(links) == sorted(pages - {"index.md", "examples/README.md"})


def test_the_cost_model_of_the_explanation_is_the_code(site):
    """The column "formula" of the table, from the tiles and widths of the package."""
    from ddcnn.nets import local_width

    text = (DOCS / "explanation/method.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d)×\d, overlap (\d) \| (\d+) \| ([\d.]+) \|", text, re.MULTILINE)
    assert len(rows) == 4
    for parts, overlap, square, formula in rows:
        tiling = Tiling.of("blocks", f"{parts}x{parts}", int(overlap))
        (size, _), width = tiling.tile_shape((28, 28)), local_width(16, tiling.num_tiles)
        assert int(square) == tiling.num_tiles**2
        assert float(formula) == pytest.approx((28 / size) ** 2 * (16 / width) ** 2, abs=0.0501)


def test_the_example_configuration_is_valid():
    from ddcnn.commands.arguments import read_experiment

    experiment = read_experiment(DOCS / "examples/own-images.yaml")
    assert len(experiment.runs) == 9
