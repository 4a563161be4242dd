"""Say in one line what is missing for the virtual environment; ``make setup`` calls it."""

import sys
from importlib.util import find_spec

OLDEST, NEWEST = (3, 11), (3, 13)


def find_problem(version: tuple, has_ensurepip: bool) -> str:
    """Return what to install, or an empty text where nothing is missing."""
    if not OLDEST <= version <= NEWEST:
        return (
            f"this is Python {version[0]}.{version[1]}, ddcnn needs 3.11, 3.12 or 3.13: install "
            "one (Debian, Ubuntu: apt-get install python3.12 python3.12-venv) "
            "and name it: make setup PYTHON=python3.12"
        )
    if not has_ensurepip:
        package = f"python{version[0]}.{version[1]}-venv"
        return f"ensurepip is missing: install it (Debian, Ubuntu: apt-get install {package})"
    return ""


def main() -> None:
    """Check the Python that runs this file."""
    has_ensurepip = find_spec("ensurepip") is not None and find_spec("venv") is not None
    problem = find_problem(tuple(sys.version_info[:2]), has_ensurepip)
    if problem:
        sys.exit(f"setup: {sys.executable}: {problem}")


if __name__ == "__main__":
    main()
