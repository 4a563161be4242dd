"""``python -m ddcnn.kernels``: compiles the kernels; says where they are, or why there are none."""

import subprocess

from ddcnn.kernels.library import compiled, reason

try:
    print(compiled())
except (OSError, subprocess.SubprocessError) as error:
    print(
        f"training will use torch's kernels alone, which are slower for small nets: {reason(error)}"
    )
