#!/usr/bin/env bash
# The lesson's notebook in a Jupyter of its own, from the first cell to the last. Needs the tools of
# .venv on PATH; what .ci/document_commands.py has trained is not trained again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
uv venv --quiet --python "$(command -v python)" "$there/env"
uv pip install --quiet --python "$there/env/bin/python" nbclient==0.11.0 ipykernel==7.4.0
# The kernel and what it remembers stay in that folder, too.
export IPYTHONDIR=$there/ipython JUPYTER_DATA_DIR=$there/data JUPYTER_RUNTIME_DIR=$there/runtime
"$there/env/bin/jupyter-execute" --timeout=600 --kernel_name=python3 \
    --output="$there/done.ipynb" docs/lesson.ipynb
python - "$there/done.ipynb" <<'PYTHON'
import sys

import nbformat

cells = [cell for cell in nbformat.read(sys.argv[1], 4).cells if cell.cell_type == "code"]
pictures = [out for cell in cells for out in cell.outputs if "image/svg+xml" in out.get("data", {})]
print("".join(out.get("text", "") for cell in cells for out in cell.outputs))
print(f"lesson: {len(cells)} cells ran, {len(pictures)} pictures are shown")
PYTHON
