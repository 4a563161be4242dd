"""Run every command of documents as it is printed, in its order: one shell a document.

    python .ci/document_commands.py README.md docs/tutorial.md

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


def main(documents: list[str]) -> int:
    """Run them and return the exit status of the first that fails."""
    for document in documents:
        lines = commands((ROOT / document).read_text(encoding="utf-8"))
        if not lines:
            sys.exit(f"{document} holds no bash block")
        print(f"--- {document}", flush=True)
        script = "\n".join(["set -euo pipefail", "set -v", *lines])
        done = subprocess.run(["bash", "-c", script], cwd=ROOT, stdin=subprocess.DEVNULL)
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
