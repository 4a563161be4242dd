"""``python -m ddcnn.nets.kernels``: compile them; say where they are, or why not."""

import subprocess

from ddcnn.nets.kernels.library import library, reason

try:
    print(library()._name)
except (OSError, RuntimeError, subprocess.SubprocessError) as error:
    print(
        f"training will use torch's kernels alone, which are slower for small nets: {reason(error)}"
    )
