"""``python -m ddcnn.kernels``: compiles the kernels; says where they are, or why there are none."""

import subprocess

from ddcnn.kernels.library import library, reason

try:
    print(library()._name)
except (OSError, RuntimeError, subprocess.SubprocessError) as error:
    print(
        f"training will use torch's kernels alone, which are slower for small nets: {reason(error)}"
    )
