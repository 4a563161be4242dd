"""Fail if a test was skipped: CI has everything the tests ask for, but a GPU.

python .ci/check_skips.py JUNIT_XML...
"""

import sys
from pathlib import Path
from xml.etree import ElementTree

# By module and reason.
ALLOWED = frozenset({("tests.gpu.test_gpu", "torch finds no GPU here")})


def find_skipped(report: Path) -> tuple[int, dict[str, str]]:
    """Return the number of tests, and the reason of each one that was skipped and should not be."""
    cases = list(ElementTree.parse(report).iter("testcase"))
    skipped = {
        f"{case.get('classname')}::{case.get('name')}": case.find("skipped").get("message", "")
        for case in cases
        if case.find("skipped") is not None
        and (case.get("classname"), case.find("skipped").get("message")) not in ALLOWED
    }
    return len(cases), skipped


def main(reports: list[str]) -> None:
    """Print the count of each report; end with an error if a test was skipped or none ran."""
    problems = []
    for report in reports:
        count, skipped = find_skipped(Path(report))
        print(f"{report}: {count} tests, {len(skipped)} skipped that need no GPU")
        problems += [f"{name}: {why}" for name, why in skipped.items()]
        if count == len(skipped):
            problems.append(f"{report}: no test ran")
    if problems:
        sys.exit("\n".join(["tests that should have run:", *problems]))


if __name__ == "__main__":
    main(sys.argv[1:])
