#!/usr/bin/env bash
# scikit-image 0.26.0: downscale_local_mean and block_reduce average the last blocks with zeros.
#
# One would guess: where the side does not divide, the last mean is over the pixels that are there
# (Pillow's reduce does that), or the rest is left out, or the call refuses (view_as_blocks does).
# What happens: the image is first filled with cval = 0, and the zeros are averaged in. A constant
# image gets a half as bright last row and column, a quarter in the corner.
# Why it matters: a coarse view made this way has a dark right and lower edge whose strength
# depends on the remainder of the size, so a net can tell the sizes of images by it. For CT values
# the edge is pulled towards 0, which is water, not air.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -qq --disable-pip-version-check scikit-image==0.26.0 numpy==2.4.6 pillow==13.0.0

cat > try.py <<'PYTHON'
import numpy as np
from PIL import Image
from skimage.measure import block_reduce
from skimage.transform import downscale_local_mean
from skimage.util import view_as_blocks

image = np.full((5, 5), 8.0, np.float32)
print(downscale_local_mean(image, (2, 2)).tolist())
print(block_reduce(image, (2, 2), np.mean).tolist())
print("Pillow", np.asarray(Image.fromarray(image).reduce(2)).tolist())
try:
    view_as_blocks(image, (2, 2))
except ValueError as error:
    print("view_as_blocks refuses:", error)
PYTHON
cat > expected.txt <<'SEEN'
[[8.0, 8.0, 4.0], [8.0, 8.0, 4.0], [4.0, 4.0, 2.0]]
[[8.0, 8.0, 4.0], [8.0, 8.0, 4.0], [4.0, 4.0, 2.0]]
Pillow [[8.0, 8.0, 8.0], [8.0, 8.0, 8.0], [8.0, 8.0, 8.0]]
view_as_blocks refuses: 'block_shape' is not compatible with 'arr_in'
SEEN
venv/bin/python try.py | tee seen.txt
diff expected.txt seen.txt
