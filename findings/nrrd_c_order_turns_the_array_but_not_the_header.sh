#!/usr/bin/env bash
# pynrrd 1.1.3: index_order="C" turns the array around, and leaves the header as it was.
#
# One would guess: whoever asks for C order gets, and gives, spacings in the order of the array's
# axes, since array and header come from one call.
# What happens: for an array of (slices, rows, columns), `spacings` stay in file order (columns,
# rows, slices). header["sizes"] of what was read is the array's shape reversed; spacings
# written as (slice, row, column) land on the wrong axes. No check, no warning: the
# numbers are valid either way.
# Why it matters: a 3 mm slice distance becomes the distance of columns. Resampling to 1 mm then
# triples the wrong axis, and tiles no longer cover what they should.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -qq --disable-pip-version-check pynrrd==1.1.3 numpy==2.4.6 SimpleITK==2.5.7

cat > try.py <<'PYTHON'
import nrrd
import numpy as np
import SimpleITK as sitk

volume = np.zeros((2, 5, 7), np.uint8)  # slices 3 mm apart, rows 1 mm, columns 0.5 mm
nrrd.write("volume.nrrd", volume, {"spacings": [3.0, 1.0, 0.5]}, index_order="C")
array, header = nrrd.read("volume.nrrd", index_order="C")
print("shape", array.shape, "sizes", header["sizes"].tolist())
print("spacings", header["spacings"].tolist())
image = sitk.ReadImage("volume.nrrd")
print("SimpleITK", image.GetSize(), image.GetSpacing(), "columns first")
PYTHON
cat > expected.txt <<'SEEN'
shape (2, 5, 7) sizes [7, 5, 2]
spacings [3.0, 1.0, 0.5]
SimpleITK (7, 5, 2) (3.0, 1.0, 0.5) columns first
SEEN
venv/bin/python try.py | tee seen.txt
diff expected.txt seen.txt
