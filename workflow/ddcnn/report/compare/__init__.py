"""Two or more finished experiments side by side: their settings, and paired differences."""

from collections.abc import Sequence
from pathlib import Path

from ddcnn.base.errors import InputError
from ddcnn.report.compare.experiment import READ, read
from ddcnn.report.compare.page import Comparison
from ddcnn.report.compare.pairs import compared, differing_settings, judged, labelled
from ddcnn.report.verdicts import Family

__all__ = ["READ", "Comparison", "compare_experiments"]


def compare_experiments(folders: Sequence[Path]) -> Comparison:
    """Compare every other experiment with the first one.

    Args:
        folders: of their reports, two or more.

    Raises:
        InputError: fewer than two, the same one twice, an unfinished one, or nothing in common.
    """
    if len(folders) < 2:
        raise InputError(f"only {folders[0]} is named: name two or more experiments")
    for number, folder in enumerate(folders):
        if folder.resolve() in [other.resolve() for other in folders[:number]]:
            raise InputError(f"{folder} is named twice: name different experiments")
    experiments = [read(folder) for folder in folders]
    labels = labelled(experiments)
    found = compared(experiments, labels)
    family = Family(len(found), experiments[0].settings["report"]["margin"] / 100)
    settings = differing_settings(experiments, labels)
    return Comparison(labels, settings, judged(found, family), family)
