#!/usr/bin/env bash
# scikit-image 0.26.0: resize to a larger size bends the outermost pixels back.
#
# One would guess: bilinear enlarging continues the outermost value, as Pillow, OpenCV and torch do:
# a ramp stays a ramp.
# What happens: the default mode="reflect" mirrors about the centre of the outermost pixel, so
# half a pixel outside it lies what is half a pixel inside. The first value of the ramp 0, 100 ...
# becomes 25, the border pixels come in equal pairs, and the range shrinks. A 2-pixel image 0, 100
# keeps neither of its values. mode="edge" gives Pillow's values.
# Why it matters: images scaled with scikit-image for training and with Pillow or torch for
# prediction differ at the border only, that is in the outer tiles, which no average shows.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -qq --disable-pip-version-check scikit-image==0.26.0 numpy==2.4.6 pillow==13.0.0

cat > try.py <<'PYTHON'
import numpy as np
from PIL import Image
from skimage.transform import resize

ramp = np.array([0, 100, 200, 300], np.float32)
print("default", resize(ramp, (8,)).tolist())
print("edge   ", resize(ramp, (8,), mode="edge").tolist())
pillow = Image.fromarray(ramp[None]).resize((8, 1), Image.Resampling.BILINEAR)
print("Pillow ", np.asarray(pillow)[0].tolist())
print("two    ", resize(ramp[:2], (4,)).tolist())
PYTHON
cat > expected.txt <<'SEEN'
default [25.0, 25.0, 75.0, 125.0, 175.0, 225.0, 275.0, 275.0]
edge    [0.0, 25.0, 75.0, 125.0, 175.0, 225.0, 275.0, 300.0]
Pillow  [0.0, 25.0, 75.0, 125.0, 175.0, 225.0, 275.0, 300.0]
two     [25.0, 25.0, 75.0, 75.0]
SEEN
venv/bin/python try.py | tee seen.txt
diff expected.txt seen.txt
