"""Files are complete or not there, and what is read is what was written."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ddcnn.base.errors import InputError
from ddcnn.base.files import read_json, read_npz, write_aside, write_json, write_npz

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)  # fmt: skip


def test_a_file_takes_its_name_when_it_is_complete(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    with write_aside(path) as aside:
        aside.write_text("content")
        assert aside.parent == path.parent  # another disk could not rename it at once
        assert aside.suffix == path.suffix
        assert not path.exists()
    assert path.read_text() == "content"
    assert list(path.parent.iterdir()) == [path]


def test_who_reads_the_earlier_file_is_not_disturbed(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("earlier")
    with path.open() as reader:
        with write_aside(path) as aside:
            aside.write_text("later")
        assert reader.read() == "earlier"
    assert path.read_text() == "later"


def fail_while_writing(path: Path) -> None:
    with write_aside(path) as aside:
        aside.write_text("half of")
        raise RuntimeError("no more space")


def test_after_an_error_the_earlier_file_is_there_and_no_other(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("earlier")
    with pytest.raises(RuntimeError, match="no more space"):
        fail_while_writing(path)
    assert path.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [path]


@given(JSON)
@example({"title": "[ 1, 2 ]", "text": "[\n  1\n]"})
@example([[1, -2.5, 1e-9], [], {}, [[1], "1"]])
def test_json_comes_back_as_it_was(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "content.json"
    write_json(path, content)
    assert read_json(path) == content
    assert json.loads(path.read_text(encoding="utf-8")) == content


def test_json_is_made_for_people_to_read(tmp_path):
    write_json(tmp_path / "a.json", {"grid": [2, 2], "std": [0.353], "tiles": ["0-0", "é"]})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == (
        '{\n  "grid": [2, 2],\n  "std": [0.353],\n  "tiles": [\n    "0-0",\n    "é"\n  ]\n}\n'
    )


def test_json_holds_no_value_that_other_readers_refuse(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b'{"a": ', b"\xff\xfe"])
def test_broken_json_is_named(tmp_path, content):
    (tmp_path / "card.json").write_bytes(content)
    with pytest.raises(InputError, match=r"card\.json"):
        read_json(tmp_path / "card.json")


def test_arrays_come_back_and_equal_ones_make_equal_files(tmp_path):
    arrays = {"train": np.arange(6.0).reshape(2, 3), "seconds": np.array(1.5)}
    for name in ("a.npz", "b.npz"):
        write_npz(tmp_path / name, **arrays)
    found = read_npz(tmp_path / "a.npz")
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def archive(path: Path) -> bytes:
    np.savez_compressed(path, x=np.arange(1000) % 7, y=np.arange(10))
    return path.read_bytes()


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9, 0.999])
def test_a_cut_off_archive_is_named(tmp_path, share):
    content = archive(tmp_path / "a.npz")
    (tmp_path / "a.npz").write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"a\.npz"):
        read_npz(tmp_path / "a.npz")


def test_an_archive_with_any_wrong_byte_is_read_rightly_or_refused(tmp_path):
    content = archive(tmp_path / "a.npz")
    expected = read_npz(tmp_path / "a.npz")
    for place in range(0, len(content), 3):
        wrong = bytearray(content)
        wrong[place] ^= 0xFF
        (tmp_path / "a.npz").write_bytes(wrong)
        try:
            found = read_npz(tmp_path / "a.npz")
        except InputError:
            continue
        for name in set(found) & set(expected):
            np.testing.assert_array_equal(found[name], expected[name])


def test_another_kind_of_file_is_named(tmp_path):
    with (tmp_path / "a.npz").open("wb") as file:
        np.save(file, np.arange(3))
    with pytest.raises(InputError, match=r"a\.npz"):
        read_npz(tmp_path / "a.npz")


def test_objects_are_not_unpickled(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([{"an": "object"}]))
    with pytest.raises(InputError, match=r"a\.npz"):
        read_npz(tmp_path / "a.npz")


def test_a_missing_archive_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_npz(tmp_path / "a.npz")
