#!/usr/bin/env bash
# matplotlib 3.11.2: a program that a notebook starts in another environment cannot import it.
#
# One would guess: a backend is loaded when a window is first asked for, so a program that only saves
# files does not mind which one MPLBACKEND names. For "module://nowhere.at_all" this holds.
# What happens: ipykernel sets MPLBACKEND=module://matplotlib_inline.backend_inline, and every program
# that a cell starts inherits it. This one name is turned into the short one, "inline", and that must
# be registered by an installed matplotlib-inline: `import matplotlib` raises ValueError otherwise.
# Why it matters: a pipeline with an environment of its own fails when started by "!" or "%%bash".
# The variable has to be removed before the import.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -qq --disable-pip-version-check matplotlib==3.11.2

cat > try.py <<'PYTHON'
import subprocess
import sys

for name in ("module://nowhere.at_all", "module://matplotlib_inline.backend_inline"):
    code = "from matplotlib.figure import Figure; Figure().savefig('figure.svg')"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"MPLBACKEND": name}, capture_output=True, text=True
    )
    print(name, done.stderr.strip().splitlines()[-1].split(";")[0] if done.returncode else "saved")
PYTHON
cat > expected.txt <<'SEEN'
module://nowhere.at_all saved
module://matplotlib_inline.backend_inline ValueError: Key backend: 'module://matplotlib_inline.backend_inline' is not a valid value for backend
SEEN
venv/bin/python try.py | tee seen.txt
diff expected.txt seen.txt
