"""Run every command of README.md as it is printed, in its order, in one shell.

``make test`` is left out: CI has a stage of its own for it.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
ELSEWHERE = {"make test"}


def commands(text: str) -> list[str]:
    """The lines of all bash blocks."""
    blocks = re.findall(r"^```bash\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines() if line not in ELSEWHERE]


def main() -> int:
    """Run them and return the exit status of the first that fails."""
    lines = commands((ROOT / "README.md").read_text(encoding="utf-8"))
    if not lines:
        sys.exit("README.md holds no bash block")
    script = "\n".join(["set -euo pipefail", "set -v", *lines])
    return subprocess.run(["bash", "-c", script], cwd=ROOT, stdin=subprocess.DEVNULL).returncode


if __name__ == "__main__":
    sys.exit(main())
