"""What all tests share."""

import signal

import pytest
from hypothesis import settings

# A shell lets its background jobs ignore Ctrl-C, and every process started here would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run: a failure on one machine is a failure on all. No deadline,
# because a busy machine is no error.
settings.register_profile("ddcnn", derandomize=True, deadline=None, max_examples=100)
settings.load_profile("ddcnn")

# With two processes (make test), the files that take longest start first.
LONGEST = ("test_workflow.py", "test_report.py", "test_bundle.py", "test_predict.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the files of tests; the tests of each keep their order."""
    items.sort(key=lambda item: item.path.name not in LONGEST)
