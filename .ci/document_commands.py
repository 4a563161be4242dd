"""Run every command of the README and of all pages as it is printed: one shell a document.

    python .ci/document_commands.py                       # after the quickstart, ``make run``
    python .ci/document_commands.py docs/how-to/watch.md  # these documents only

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


def documents() -> list[str]:
    """All that hold commands; the README and the tutorial first, for others use what they make."""
    pages = sorted((ROOT / "docs").rglob("*.md"))
    ordered = [ROOT / "README.md", ROOT / "docs/tutorial.md", *pages]
    found = [path for path in ordered if commands(path.read_text(encoding="utf-8"))]
    return [str(path.relative_to(ROOT)) for path in dict.fromkeys(found)]


def main(chosen: list[str]) -> int:
    """Run them and return the exit status of the first that fails."""
    for document in chosen or documents():
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
