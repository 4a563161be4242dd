#!/usr/bin/env bash
# MONAI 1.6.1: three tilings of one image treat the pixels that do not fill a tile in three ways.
#
# One would guess: GridPatch, GridSplit and PatchIter agree by default, or refuse 5 x 5 pixels for
# tiles of 2 x 2.
# What happens: GridPatch leaves out the last row and column. GridSplit leaves out the middle ones,
# for its tiles start at 0 and 3. PatchIter (and GridPatchDataset with it) makes nine tiles and fills
# the rest from the opposite border: its default mode is "wrap", so pixel 1 of the first column stands
# beside pixel 5 of the last one. None says so.
# Why it matters: training by one and prediction by another shifts the tiles; what lies at the border
# (or in the middle) is never seen, or is seen beside the other side of the body.
# Installs torch: several GB in the temporary folder.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -qq --disable-pip-version-check monai==1.6.1 torch==2.15.0 numpy==2.4.6

cat > try.py <<'PYTHON'
import numpy as np
from monai.data import PatchIter
from monai.transforms import GridPatch, GridSplit

image = np.arange(1, 26, dtype=np.float32).reshape(1, 5, 5)


def show(name, tiles):
    print(name, *[np.asarray(tile).astype(int).ravel().tolist() for tile in tiles], sep="\n  ")


show("GridPatch", GridPatch((2, 2))(image))
show("GridSplit", GridSplit((2, 2))(image))
show("PatchIter", [tile for tile, _ in PatchIter((2, 2))(image)])
PYTHON
cat > expected.txt <<'SEEN'
GridPatch
  [1, 2, 6, 7]
  [3, 4, 8, 9]
  [11, 12, 16, 17]
  [13, 14, 18, 19]
GridSplit
  [1, 2, 6, 7]
  [4, 5, 9, 10]
  [16, 17, 21, 22]
  [19, 20, 24, 25]
PatchIter
  [1, 2, 6, 7]
  [3, 4, 8, 9]
  [5, 1, 10, 6]
  [11, 12, 16, 17]
  [13, 14, 18, 19]
  [15, 11, 20, 16]
  [21, 22, 1, 2]
  [23, 24, 3, 4]
  [25, 21, 5, 1]
SEEN
venv/bin/python try.py | tee seen.txt
diff expected.txt seen.txt
