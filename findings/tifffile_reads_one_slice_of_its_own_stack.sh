#!/usr/bin/env bash
# tifffile 2026.3.3: a stack that it wrote slice by slice is read back as the first slice.
#
# One would guess: TiffWriter.write in a loop adds pages of equal shape and type, and imread returns
# them all, as it does for such files of other programs.
# What happens: each call describes its own array in the file, so every page is a series of its own,
# and imread returns the first one: one slice, no warning; so with imwrite(append=True). Pillow finds all
# four. With metadata=None, contiguous=True, or imread(key=slice(None)), all come back.
# Why it matters: a large volume is often written slice by slice, to save memory. A net is then trained
# on the outermost slices of all scans, which are often air; the shape is that of a valid image.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -qq --disable-pip-version-check tifffile==2026.3.3 numpy==2.4.6 pillow==13.0.0

cat > try.py <<'PYTHON'
import numpy as np
import tifffile
from PIL import Image

volume = np.zeros((4, 5, 6), np.uint8)
for options in ({}, {"compression": "zlib"}, {"contiguous": True}, {"metadata": None}):
    with tifffile.TiffWriter("stack.tif") as file:
        for image in volume:
            file.write(image, **options)
    print(options, "read", tifffile.imread("stack.tif").shape, end=" ")
    print("by key", tifffile.imread("stack.tif", key=slice(None)).shape, end=" ")
    with Image.open("stack.tif") as stack:
        print("Pillow", stack.n_frames)
for number, image in enumerate(volume):
    tifffile.imwrite("append.tif", image, append=number > 0)
print("append", tifffile.imread("append.tif").shape)
PYTHON
cat > expected.txt <<'SEEN'
{} read (5, 6) by key (4, 5, 6) Pillow 4
{'compression': 'zlib'} read (5, 6) by key (4, 5, 6) Pillow 4
{'contiguous': True} read (4, 5, 6) by key (4, 5, 6) Pillow 4
{'metadata': None} read (4, 5, 6) by key (4, 5, 6) Pillow 4
append (5, 6)
SEEN
venv/bin/python try.py | tee seen.txt
diff expected.txt seen.txt
