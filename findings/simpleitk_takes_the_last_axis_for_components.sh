#!/usr/bin/env bash
# SimpleITK 2.5.7: of an array with four axes the last one becomes the components of a voxel.
#
# One would guess: as arrays of two and three axes become images of two and three dimensions, one of
# (times, slices, rows, columns) becomes an image of four.
# What happens: it becomes a 3D image of vectors: the columns are the components, and the three
# dimensions are rows, slices and times. GetArrayFromImage gives the array back as it was, so a round
# trip hides it. isVector=False makes four dimensions; complex arrays have four without it.
# Why it matters: spacings, resampling and smoothing then act on the wrong axes: times are smoothed as if
# they were slices, and columns not at all. The same for a batch of scans in one array.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -qq --disable-pip-version-check SimpleITK==2.5.7 numpy==2.4.6

cat > try.py <<'PYTHON'
import numpy as np
import SimpleITK as sitk

times = np.zeros((4, 8, 16, 24), np.float32)
times[0, 4, 8, 12] = 1000
for name, image in {
    "three axes": sitk.GetImageFromArray(times[0]),
    "four axes": sitk.GetImageFromArray(times),
    "isVector=False": sitk.GetImageFromArray(times, isVector=False),
    "complex": sitk.GetImageFromArray(times.astype(np.complex64)),
}.items():
    print(f"{name:14}", image.GetSize(), "components", image.GetNumberOfComponentsPerPixel(), end=" ")
    print("back", sitk.GetArrayFromImage(image).shape)
smoothed = sitk.SmoothingRecursiveGaussian(sitk.GetImageFromArray(times), 1.0)
spread = sitk.GetArrayFromImage(smoothed) > 1
print("one voxel smoothed: times, slices, rows, columns", [len(set(axis)) for axis in spread.nonzero()])
PYTHON
cat > expected.txt <<'SEEN'
three axes     (24, 16, 8) components 1 back (8, 16, 24)
four axes      (16, 8, 4) components 24 back (4, 8, 16, 24)
isVector=False (24, 16, 8, 4) components 1 back (4, 8, 16, 24)
complex        (24, 16, 8, 4) components 1 back (4, 8, 16, 24)
one voxel smoothed: times, slices, rows, columns [3, 7, 7, 1]
SEEN
venv/bin/python try.py | tee seen.txt
diff expected.txt seen.txt
