"""Whatever a name holds, each target shows it as text; its own parser reads the name back."""

import csv
import html.parser
import io
import random
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from jinja2 import DictLoader
from markdown_it import MarkdownIt

from ddcnn.__main__ import main
from ddcnn.base import escaping
from ddcnn.base.escaping import (
    HIDDEN,
    Terminal,
    all_visible,
    bare,
    csv_cell,
    csv_text,
    latex,
    markdown,
    visible,
    visible_lines,
)
from ddcnn.report import figures
from ddcnn.report.figures import style
from ddcnn.report.figures.votes import WeightedVote, save_described
from ddcnn.report.template import template_environment

# What one of the targets obeys, what none can show, and ordinary letters.
HARMFUL = ["\x1b[2J", "\x9b31m", "\r", "\n", "\t", "\0", "\u202e", "\u2066", "\uffff", "\udcff"]
OBEYED = [*"=+-@'\",;$\\{}%&#_^~<>|*`[]()!:/", "\N{FULLWIDTH EQUALS SIGN}", "<!--", "]]>", "&lt;"]
OBEYED += [r"\$", "$x^{$", "**", "__", "![a](b)", "<script>", "```", "{{ 1 }}", r"\input{x}", "''"]
ORDINARY = ["a", "B", "7", "é", "日", "ß", " ", ".", "-1.5", "nan", "_b", "😀"]


def drawn(number: int = 300) -> list[str]:
    """Names of one to eight pieces; a third of them with what cannot be shown."""
    chance = random.Random(0)
    kinds = [ORDINARY + OBEYED, ORDINARY + OBEYED, ORDINARY + OBEYED + 3 * HARMFUL]
    return [
        "".join(chance.choices(kinds[index % 3], k=chance.randint(1, 8))) for index in range(number)
    ]


NAMES = drawn()


def one_space(text: str) -> str:
    """A name as Markdown and HTML show it: spaces are joined, those at the ends left out."""
    return " ".join(text.split())


def test_what_is_visible_is_python_s_own_way_of_writing():
    hidden = [name for name in NAMES if HIDDEN.search(name)]
    assert len(hidden) > 50
    for name in NAMES:
        assert not HIDDEN.search(visible(name))
        assert (visible(name) == name) == (name not in hidden)
    for character in map(chr, [*range(0x20), *range(0x7F, 0xA0), 0x202E, 0xFFFF, 0xD800]):
        assert visible(character).encode().decode("unicode_escape") == character


def test_terminal(capsys):
    """A name on a line of its own; of what a terminal obeys nothing but the end of the line."""
    for name in NAMES:
        print(visible(name), file=Terminal(sys.stdout))
    lines = capsys.readouterr().out.split("\n")
    assert lines == [*map(visible, NAMES), ""]
    assert not any(HIDDEN.search(line) for line in lines)


def test_terminal_where_nobody_escaped(capsys):
    stream = Terminal(sys.stdout)
    print("a\x1b[2J\rb\nc", file=stream)
    print("\x1b[H", end="", file=bare(stream))
    assert capsys.readouterr().out == "a\\x1b[2J\\rb\nc\n\x1b[H"
    assert bare(sys.stdout) is sys.stdout
    assert visible_lines("a\n\x9bb") == "a\n\\x9bb"


def test_csv():
    file = io.StringIO()
    csv.writer(file).writerows([csv_cell(name), 1.5] for name in NAMES)
    cells = [row[0] for row in csv.reader(io.StringIO(file.getvalue()))]
    assert [csv_text(cell) for cell in cells] == [visible(name) for name in NAMES]
    number = re.compile(r"[+-]?(\d+\.?\d*(e[+-]?\d+)?|nan|inf)", re.ASCII | re.IGNORECASE)
    assert [c for c in cells if c[:1] in (*"=+-@", "＝") and not number.fullmatch(c)] == []
    assert any(cell.startswith("'=") for cell in cells)


@pytest.mark.parametrize("value", [-1.5, 3, None, True, "-1.5", "+2", "-1e-05", "nan", "-inf"])
def test_numbers_stay_numbers(value):
    assert csv_cell(value) == value


class Texts(html.parser.HTMLParser):
    """What a page shows in its <b> and says in their titles."""

    def __init__(self) -> None:
        super().__init__()
        self.texts, self.titles, self.tags = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "b":
            self.texts.append("")
            self.titles += [value for _, value in attrs]

    def handle_data(self, data):
        if self.texts:
            self.texts[-1] += data


def test_html(tmp_path):
    environment = template_environment(tmp_path)
    environment.loader = DictLoader({"page": '{% for n in names %}<b title="{{ n }}">{{ n }}</b>'
                                             "{% endfor %}"})  # fmt: skip
    page = Texts()
    page.feed(environment.get_template("page").render(names=NAMES))
    page.close()
    assert page.texts == page.titles == [visible(name) for name in NAMES]
    assert set(page.tags) == {"b"}


@pytest.mark.parametrize("form", ["# Card: {}", "- name: {}", "| a | {} |", "Always saying {}, so"])
def test_markdown(form):
    """By the parser of CommonMark, with the tables and strikes of GitHub."""
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    before, after = form.split("{}")
    head = "| a | b |\n| --- | --- |\n" if form.startswith("|") else ""
    for name in NAMES:
        tokens = parser.parse(head + before + markdown(name) + after)
        inline = [token for token in tokens if token.type == "inline"][-1]
        assert {token.type for token in inline.children} <= {"text", "text_special"}, name
        shown = "".join(token.content for token in inline.children)
        start, end = ("", "") if form.startswith("|") else (before.lstrip("#- "), after)
        assert one_space(shown) == one_space(start + visible(one_space(name)) + end)


TEX = re.compile(r"\\([a-zA-Z]+)\{\}|\\([&%$#_{}])|([^\\&%$#_{}~^<>|])|\{\}", re.DOTALL)
WRITTEN = {"textbackslash": "\\", "textasciitilde": "~", "textasciicircum": "^", "textless": "<"}
WRITTEN |= {"textgreater": ">", "textbar": "|"}


def test_latex():
    """By the rules of TeX: a command, an escaped character, or one that means itself."""
    for name in NAMES:
        text, place, read = latex(name), 0, ""
        while place < len(text):
            token = TEX.match(text, place)
            assert token, (name, text[place:])
            read += WRITTEN[token[1]] if token[1] else token[2] or token[3] or ""
            place = token.end()
        assert read == visible(name)
        assert not re.search("--|''|``|[!?]`|,,", text)


def texts_of(svg: bytes) -> list[str]:
    root = ElementTree.fromstring(svg)
    return ["".join(e.itertext()) for e in root.iter() if e.tag.endswith("}text")]


@pytest.mark.filterwarnings("ignore:Glyph")  # of a language that the font does not have
def test_svg(tmp_path):
    """Class names in a figure, forty at a time, as matplotlib writes and an XML parser reads it."""
    with style.matplotlib.rc_context(style.STYLE):
        for first in range(0, len(NAMES), 30):
            names = [f"x{name}"[:16] for name in NAMES[first : first + 30]]
            figure = figures.confusion({"title": np.eye(30, dtype=int)}, names)
            path = tmp_path / "a.svg"
            save_described(figure, path, names[0], names[1])
            shown = {*texts_of(path.read_bytes())}
            expected = {text if len(text) < 17 else text[:15] + "…" for text in map(visible, names)}
            assert {one_space(text) for text in expected} <= {one_space(text) for text in shown}


def test_everything_that_a_figure_is_drawn_from():
    mistake = figures.Mistake(np.zeros(1), "a\x1b", "b", "c", "d\n", {"e\0": None})
    assert all_visible(mistake)[1:] == ("a\\x1b", "b", "c", "d\\n", {"e\\x00": None})
    vote = WeightedVote("a\x1b", 1.5)
    shown = WeightedVote("a\\x1b", 1.5)
    assert all_visible([vote, {"b\r": (vote,)}]) == [shown, {"b\\r": (shown,)}]


def test_what_a_command_prints(capsys, tmp_path):
    assert main(["check", str(tmp_path / "a\x1b[2J.yaml")]) == 1
    said = capsys.readouterr()
    assert "a\\x1b[2J.yaml" in said.err
    assert "\x1b" not in said.out + said.err


WRITERS = re.compile(r"csv\.(Dict)?[wW]riter\(|\.to_csv\(")
NUMBERS_ONLY = {"training/settings.py"}  # history.csv: keys of ours, and numbers


def test_every_table_that_is_written_has_its_cells_escaped():
    package = Path(escaping.__file__).parents[1]
    written = {
        path.relative_to(package).as_posix(): text
        for path in package.rglob("*.py")
        if WRITERS.search(text := path.read_text(encoding="utf-8"))
    }
    assert len(written) > 5
    assert {name for name, text in written.items() if "csv_cell(" not in text.replace(
        "map(csv_cell", "csv_cell(")} == NUMBERS_ONLY  # fmt: skip


def test_only_commands_and_logs_print():
    """Both through :class:`Terminal`; the kernels' own program prints paths of this package."""
    package = Path(escaping.__file__).parents[1]
    printing = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if re.search(r"(?<![\w.])print\(|std(out|err)\.write\(", path.read_text(encoding="utf-8"))
    }
    elsewhere = {name for name in printing if not name.startswith("commands/")}
    assert elsewhere == {"__main__.py", "base/logs.py", "nets/kernels/__main__.py"}
