"""Write ``ddcnn.yaml``: the direct dependencies of pyproject.toml, pinned as in the lock.

python envs/write_conda.py      (``make lock`` calls it)
"""

import re
import tomllib
from pathlib import Path

ENVS = Path(__file__).parent
PROJECT = tomllib.loads((ENVS.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]

HEAD = """\
# The software of the pipeline as a conda environment. Written by `make lock`; do not edit.
# Everything that trains comes through pip, so that both ways of set-up run the same versions.
name: ddcnn
channels:
  - conda-forge
  - nodefaults
dependencies:
  - python {python}
  - pip
  - pip:
"""


def normal(name: str) -> str:
    """Return the name as lock files write it: lower case, hyphens."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_pins(lock: str) -> dict[str, list[str]]:
    """Map each locked name to its pins; there are several where Python versions differ."""
    pins: dict[str, list[str]] = {}
    for pin, name in re.findall(r"^(([\w.-]+)==[^\\\n]+?)\s*\\?$", lock, flags=re.MULTILINE):
        pins.setdefault(normal(name), []).append(pin)
    return pins


def main() -> None:
    """Write the file beside this script."""
    pins = read_pins((ENVS / "requirements.txt").read_text(encoding="utf-8"))
    direct = [normal(re.match(r"[\w.-]+", wanted)[0]) for wanted in PROJECT["dependencies"]]
    lines = [f"      - {pin}\n" for name in direct for pin in pins[name]]
    text = HEAD.format(python=PROJECT["requires-python"]) + "".join(lines)
    (ENVS / "ddcnn.yaml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
