"""What all tests share."""

from hypothesis import settings

# The same examples in every run: a failure on one machine is a failure on all. No deadline,
# because a busy machine is no error.
settings.register_profile("ddcnn", derandomize=True, deadline=None, max_examples=100)
settings.load_profile("ddcnn")
