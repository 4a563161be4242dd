"""Folders of a machine do not reach what is shown to others; everything else does."""

import pytest

from ddcnn.base.private import names_only, without_folders


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/ann/labels.csv: 3 rows", "labels.csv: 3 rows"),
        ("train: /home/ann/a b.png", "train: a b.png"),
        ("'~/scans/a.nii' and ../../ann/b.nii", "'a.nii' and b.nii"),
        ("mean -/+ 3, and/or 1/2", "mean -/+ 3, and/or 1/2"),
        ("https://host/a/b.zip", "https://host/a/b.zip"),
        ("p01/left/a.png", "p01/left/a.png"),
    ],
)
def test_files_keep_their_names_only(text, shown):
    assert without_folders(text) == shown


def test_below_the_data_paths_stay():
    root = "/home/ann/my scans"
    assert without_folders(f"{root}/p1/a.png = {root}/p2/b.png", root) == "p1/a.png = p2/b.png"
    assert without_folders(f"{root}: empty", root) == "my scans: empty"
    assert without_folders(f"{root}-2: other", root) == "my scans-2: other"


def test_settings_keep_what_is_no_path_out_of_the_folder():
    settings = {"dataset": [{"path": "/home/ann/my scans", "n": 3}, "x"], "net": "nets/own.py"}
    shown = {"dataset": [{"path": "my scans", "n": 3}, "x"], "net": "nets/own.py"}
    assert names_only(settings) == shown
    assert names_only({"path": "~/scans", "other": "../a/b"}) == {"path": "scans", "other": "b"}
