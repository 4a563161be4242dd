#!/usr/bin/env bash
# empatches 0.2.3: merging with mode="avg" gives no average, and zeros do not count at all.
#
# One would guess: where patches overlap, "mean/average value of overlapping area" is the mean of all
# patches that cover a pixel.
# What happens: each patch is averaged with what the patches before it gave, so with three or more over
# one pixel the last has weight 1/2 and the first almost none; in reverse order other values come out.
# And a pixel that is 0 so far counts as empty: the next patch replaces it. Patches 0, 0, 8, 0, 0 give 8
# where the mean is 2.67. No warning.
# Why it matters: maps of probabilities have zeros, so a class that half of the tiles exclude keeps the
# full probability of the other half, and the map depends on the side where the merging began.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -qq --disable-pip-version-check empatches==0.2.3 numpy==2.4.6

cat > try.py <<'PYTHON'
import numpy as np
from empatches import EMPatches

tiles = EMPatches()
_, places = tiles.extract_patches(np.zeros((4, 8)), patchsize=4, overlap=0.75)
for values in ([1, 2, 4, 8, 16], [16, 8, 4, 2, 1], [0, 0, 8, 0, 0]):
    patches = [np.full((4, 4), value, np.float32) for value in values]
    merged = tiles.merge_patches(patches, places, mode="avg")[0]
    total, count = np.zeros(8), np.zeros(8)
    for value, (_, _, start, stop) in zip(values, places, strict=True):
        total[start:stop] += value
        count[start:stop] += 1
    print(values, "merged", [round(float(value), 2) for value in merged])
    print(values, "mean  ", [round(value, 2) for value in (total / count).tolist()])
PYTHON
cat > expected.txt <<'SEEN'
[1, 2, 4, 8, 16] merged [1.0, 1.5, 2.75, 5.38, 10.75, 11.0, 12.0, 16.0]
[1, 2, 4, 8, 16] mean   [1.0, 1.5, 2.33, 3.75, 7.5, 9.33, 12.0, 16.0]
[16, 8, 4, 2, 1] merged [16.0, 12.0, 8.0, 5.0, 2.5, 2.0, 1.5, 1.0]
[16, 8, 4, 2, 1] mean   [16.0, 12.0, 9.33, 7.5, 3.75, 2.33, 1.5, 1.0]
[0, 0, 8, 0, 0] merged [0.0, 0.0, 8.0, 4.0, 2.0, 2.0, 0.0, 0.0]
[0, 0, 8, 0, 0] mean   [0.0, 0.0, 2.67, 2.0, 2.0, 2.67, 0.0, 0.0]
SEEN
venv/bin/python try.py | tee seen.txt
diff expected.txt seen.txt
