"""Text that others chose, made harmless for where it is shown: one function for each target.

Names of classes, targets and files, logs and answers of servers come from anybody. What no target
can show is written out as Python writes it, ``\\x1b``; :func:`ddcnn.base.names.check_name` refuses
it where a name comes in, so that the names of data and models stay as they are.
"""

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TextIO

# Control characters (C0, DEL, C1), ends of lines, marks that turn the direction of what follows,
# halves of characters (of bytes that are no UTF-8), and what XML cannot hold.
HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
# What a spreadsheet computes, in ASCII and full width; and the quote that keeps it from that.
FORMULA = "=+-@\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH HYPHEN-MINUS}" + (
    "\N{FULLWIDTH COMMERCIAL AT}"
)
QUOTE = "'"
NUMBER = re.compile(r"[+-]?(\d+\.?\d*(e[+-]?\d+)?|inf|nan)", re.ASCII | re.IGNORECASE)
# An underscore inside of a word emphasises nothing.
MARKDOWN = re.compile(r"[\\`*\[\]<>&|~$#]|(?<![^\W_])_|_(?![^\W_])")
LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}

# Between these LaTeX makes one character of two: a dash, a quotation mark.
LIGATURE = re.compile("(?<=-)(?=-)|(?<=')(?=')|(?<=[`!?])(?=`)|(?<=,)(?=,)")


def visible(text: str) -> str:
    """One line in which nothing is hidden: for a terminal's table, a figure, an SVG."""
    return HIDDEN.sub(_written_out, text)


def _written_out(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00  # a byte of a file's name that is no UTF-8
    return chr(code).encode("unicode_escape").decode()


def visible_lines(text: str) -> str:
    """As :func:`visible`, of text that has ends of lines of its own: for messages and logs."""
    return "\n".join(map(visible, text.split("\n")))


def all_visible(value: Any) -> Any:
    """A value in which every text is :func:`visible`: for what a figure is drawn from."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Mapping):
        return {all_visible(key): all_visible(each) for key, each in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return value._make(map(all_visible, value))
    if isinstance(value, list | tuple):
        return type(value)(map(all_visible, value))
    if is_dataclass(value):
        changed = {each.name: all_visible(getattr(value, each.name)) for each in fields(value)}
        return replace(value, **changed)
    return value


def csv_cell(value: Any) -> Any:
    """A cell that a spreadsheet shows and does not compute; numbers stay numbers.

    Text that begins as a formula does gets a quote before it, as spreadsheets write it, and so
    does text that begins with such a quote: :func:`csv_text` gives back the text.
    """
    if not isinstance(value, str):
        return value
    text = visible(value)
    computed = text.lstrip(QUOTE)[:1] in tuple(FORMULA) and not NUMBER.fullmatch(text)
    return QUOTE + text if computed else text


def csv_text(cell: str) -> str:
    """What :func:`csv_cell` was given, if nothing was hidden in it."""
    is_quoted = cell.startswith(QUOTE) and cell.lstrip(QUOTE)[:1] in tuple(FORMULA)
    return cell[1:] if is_quoted else cell


def markdown(text: str) -> str:
    """Text within a line of Markdown."""
    return MARKDOWN.sub(r"\\\g<0>", visible(" ".join(text.split())))


def latex(text: str) -> str:
    """Text with every character that means something to LaTeX written out."""
    written = "".join(LATEX.get(character, character) for character in visible(text))
    return LIGATURE.sub("{}", written)


def in_template(value: Any) -> Any:
    """What a template writes, before jinja escapes it for HTML; markup stays as it is."""
    return visible(value) if type(value) is str else value


class Terminal:
    """A stream to whoever looks: what is written to it moves no cursor and sets no colour.

    Args:
        stream: standard output or error; :func:`bare` gives it back.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write text, ends of lines as they are."""
        return self.stream.write(visible_lines(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def bare(stream: TextIO) -> TextIO:
    """The stream below a :class:`Terminal`: for bars and pictures that it is to obey."""
    return stream.stream if isinstance(stream, Terminal) else stream
