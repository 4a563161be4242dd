#!/usr/bin/env bash
# tifffile 2026.3.3: a volume of three or four slices is written as one colour image.
#
# One would guess: a (slices, rows, columns) array gives one gray page a slice, however many.
# What happens: without photometric=, three or four 8-bit slices become the planes of one RGB image;
# two or five become gray pages. Pillow and SimpleITK then see one image, colours in it.
# tifffile itself reads the shape back as it was, so a round trip hides it. No error:
# a DeprecationWarning, which Python hides by default, says that later versions will write pages.
# Why it matters: whoever cuts volumes into slabs, or shortens test data to three slices, gets
# colour images: SimpleITK loses an axis, and a program that turns colours to gray mixes slices.
# photometric="minisblack" gives pages for any number.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -qq --disable-pip-version-check tifffile==2026.3.3 numpy==2.4.6 pillow==13.0.0 SimpleITK==2.5.7

cat > try.py <<'PYTHON'
import numpy as np
import SimpleITK as sitk
import tifffile
from PIL import Image

for slices in (2, 3, 4, 5):
    tifffile.imwrite("volume.tif", np.zeros((slices, 40, 60), np.uint8))
    with tifffile.TiffFile("volume.tif") as file:
        pages, meaning = len(file.pages), file.pages[0].photometric.name
        shape = file.asarray().shape
    with Image.open("volume.tif") as image:
        pillow = image.mode, image.n_frames
    size = sitk.ReadImage("volume.tif").GetSize()
    print(slices, "slices:", pages, "pages", meaning, shape, "Pillow", pillow, "SimpleITK", size)
PYTHON
cat > expected.txt <<'SEEN'
2 slices: 2 pages MINISBLACK (2, 40, 60) Pillow ('L', 2) SimpleITK (60, 40, 2)
3 slices: 1 pages RGB (3, 40, 60) Pillow ('RGB', 1) SimpleITK (60, 40)
4 slices: 1 pages RGB (4, 40, 60) Pillow ('RGBA', 1) SimpleITK (60, 40)
5 slices: 5 pages MINISBLACK (5, 40, 60) Pillow ('L', 5) SimpleITK (60, 40, 5)
SEEN
venv/bin/python try.py | tee seen.txt
diff expected.txt seen.txt
