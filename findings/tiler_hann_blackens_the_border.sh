#!/usr/bin/env bash
# tiler 0.6.0: merging overlapping tiles with window="hann" sets the border of the image to 0.
#
# One would guess: the merger divides by the sum of the weights (normalize_by_weights=True is the
# default), so tiles that were not changed give the image back, whatever the window.
# What happens: Hann's window is exactly 0 at both ends, and the outermost pixels are covered by
# one tile only: 0 / 0 is returned as 0. "overlap-tile" does it, too. "boxcar", "triang", "hamming"
# and "blackman" give the image back.
# Why it matters: probability maps merged from tiles get a frame of class 0. No error, no
# warning. The image has to be padded first, or another window chosen.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -qq --disable-pip-version-check tiler==0.6.0 numpy==2.4.6 scipy==1.17.1

cat > try.py <<'PYTHON'
import numpy as np
from tiler import Merger, Tiler

image = np.full(10, 7.0)
for window in ("boxcar", "triang", "hamming", "blackman", "hann", "overlap-tile"):
    tiler = Tiler(data_shape=(10,), tile_shape=(4,), overlap=2)
    merger = Merger(tiler, window=window)
    for number, tile in tiler(image):
        merger.add(number, tile)
    print(window, merger.merge().tolist())
PYTHON
cat > expected.txt <<'SEEN'
boxcar [7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0]
triang [7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0]
hamming [7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0]
blackman [7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0]
hann [0.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 0.0]
overlap-tile [0.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 0.0]
SEEN
venv/bin/python try.py | tee seen.txt
diff expected.txt seen.txt
