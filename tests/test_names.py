"""Names that cannot be shown are refused where they come in."""

import re
from pathlib import Path

import numpy as np
import pytest

from ddcnn.base.errors import InputError
from ddcnn.base.listing import read_files
from ddcnn.base.names import check_name
from ddcnn.data.listing import Part, write_samples
from ddcnn.data.samples import Collection, FileSamples
from own_data import class_folders, good_rows, pixels, read, table

# An escape sequence, C1, ends of lines of all kinds, marks of direction, half a character, a
# character that XML does not have.
HIDDEN = ["a\x1b[31m", "a\x9b31m", "a\nb", "a\rb", "a\tb", "a\x85b", "a\u2028b", "a\x7f"]
HIDDEN += ["a\u202eb", "a\u2066b", "a\u200fb", "a\ud800", "a\udcff", "a\uffff", "a\0b"]
SHOWN = ["été", "日本", "$x$", "=1+1", "-1", "<b>", "a b", "👩‍🔬", "می‌خواهم", "\\x1b", "'", ""]


@pytest.mark.parametrize("name", HIDDEN, ids=ascii)
def test_a_hidden_character_is_refused_and_named(name):
    with pytest.raises(InputError, match=re.escape(repr(name))) as error:
        check_name(name, "here:")
    assert str(error.value).isprintable()


@pytest.mark.parametrize("name", SHOWN)
def test_all_that_can_be_shown_is_taken(name):
    assert check_name(name, "here:") == name


def arrays(path, **more):
    labels = np.arange(12) % 2
    np.savez(path, x=pixels(12, 8, 6), y=labels, **more)
    return path


HOSTILE = "a\x1b[31m\u202e"


@pytest.mark.parametrize(("more", "options"), [
    ({"classes": [HOSTILE, "b"]}, {}),
    ({"targets": [HOSTILE]}, {"task": "regression"}),
    ({"site": [HOSTILE, *"bcdefghijkl"]}, {"group": "site"}),
    ({}, {"classes": {"0": HOSTILE}}),
], ids=["classes", "targets", "groups", "names of the configuration"])  # fmt: skip
def test_names_of_arrays(tmp_path, more, options):
    with pytest.raises(InputError, match="has control characters") as error:
        read(arrays(tmp_path / "a.npz", **more), **options)
    assert repr(HOSTILE) in str(error.value)


@pytest.mark.parametrize(("text", "options"), [
    ("file,label\n" + good_rows().replace("class a", HOSTILE), {}),
    (f"file,target_{HOSTILE}\n" + good_rows().replace("class a", "1"), {}),
    ("file,what\n" + good_rows(), {"columns": {f"target_{HOSTILE}": "what"}}),
], ids=["label", "column", "column of the configuration"])  # fmt: skip
def test_names_of_tables(tmp_path, text, options):
    with pytest.raises(InputError, match="has control characters"):
        read(table(tmp_path, text), **options)


@pytest.mark.parametrize("name", ["a\x9b31m", "a\u202eb"])
def test_names_of_folders(tmp_path, name):
    with pytest.raises(InputError, match="has control characters"):
        read(class_folders(tmp_path, ["cat", name]))


def test_a_message_moves_no_cursor():
    message = str(InputError("a\x1b[2J.png\u202e cannot be read:\n  why\udcff"))
    assert message == "a\\x1b[2J.png\\u202e cannot be read:\n  why\\xff"


def test_names_of_a_list_of_samples_are_read_back(tmp_path):
    """What begins as a formula does is quoted for spreadsheets, and read as it was."""
    names = ["=1+1.png", "-a.png", "'=b.png", "'c.png", "-1"]
    samples = FileSamples(np.arange(5) % 2, list(map(Path, names)), None, Path())
    collection = Collection(["=0", "-1"], {"all": samples})
    parts = {"test": [Part("all", samples, np.arange(5))]}
    write_samples(tmp_path / "samples.csv", parts, collection)
    written = (tmp_path / "samples.csv").read_text()
    assert "test,0,'=1+1.png,'=0," in written
    assert "test,3,'c.png,-1," in written
    assert read_files(tmp_path / "samples.csv") == {"test": names}


def test_names_of_a_table_are_those_that_a_spreadsheet_keeps(tmp_path):
    rows = good_rows().replace("class a", "'=a").replace("class b", "'b")
    assert read(table(tmp_path, "file,label\n" + rows)).classes == ["'b", "=a"]
