#!/usr/bin/env bash
# patchify 0.2.3: unpatchify puts unchanged patches back where they did not come from.
#
# One would guess: patches cut with a step that leaves a rest either cannot be merged (an error), or
# come back in their places, the rest being empty.
# What happens: unpatchify is not told the step and works it out from the number of patches, as if the
# last one ended at the border. 12 pixels cut by 4 with step 3 give patches at 0, 3, 6; they are put at
# 0, 4, 8, and the last two pixels, which no patch held, are filled. It raises only where the step is
# no whole number, as for 11 pixels: some sizes fail loudly, others give an image of moved parts.
# Why it matters: maps merged from overlapping tiles are shifted, by two pixels here and by more with
# more patches, for some image sizes only. Pad to a size that the step divides before cutting.
# Needs Python 3.11 or 3.12: patchify asks for numpy below 2.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -qq --disable-pip-version-check patchify==0.2.3 numpy==1.26.4

cat > try.py <<'PYTHON'
import numpy as np
from patchify import NonUniformStepSizeError, patchify, unpatchify

for size in (10, 11, 12):
    image = np.tile(np.arange(size), (4, 1))
    patches = patchify(image, (4, 4), step=3)
    print(size, "starts", patches[0, :, 0, 0].tolist())
    try:
        print(size, "merged", unpatchify(patches, image.shape)[0].tolist())
    except NonUniformStepSizeError:
        print(size, "refused")
PYTHON
cat > expected.txt <<'SEEN'
10 starts [0, 3, 6]
10 merged [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
11 starts [0, 3, 6]
11 refused
12 starts [0, 3, 6]
12 merged [0, 1, 2, 3, 3, 4, 5, 6, 6, 7, 8, 9]
SEEN
venv/bin/python try.py | tee seen.txt
diff expected.txt seen.txt
