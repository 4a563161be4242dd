#!/usr/bin/env bash
# nibabel 5.4.2: changes to the array of get_fdata are seen by get_fdata, and not saved.
#
# One would guess: the array is either a copy, so that a second get_fdata gives the old values, or the
# image's own, so that the new values are saved.
# What happens: get_fdata keeps its array and returns the same one again, so the change is there
# whenever one looks. nib.save writes the values of the file (or the array that the image was made
# from), and slicer cuts those, too. Only where the image was made from a float64 array, the two
# are one array, and the same program saves the change. No error.
# Why it matters: voxels that were masked or filled in place, a face or burnt-in name included, look
# gone in the program and are back in every saved file. Make a new image from the array.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -qq --disable-pip-version-check nibabel==5.4.2 numpy==2.4.6

cat > try.py <<'PYTHON'
import nibabel as nib
import numpy as np


def saved(image):
    nib.save(image, "saved.nii")
    return int(nib.load("saved.nii").get_fdata()[0, 0, 0])


for kind in ("float64", "float32", "int16", "loaded"):
    image = nib.Nifti1Image(np.ones((2, 2, 2), "int16" if kind == "loaded" else kind), np.eye(4))
    if kind == "loaded":
        nib.save(image, "image.nii")
        image = nib.load("image.nii")
    image.get_fdata()[:] = 0
    print(f"{kind:8} get_fdata {int(image.get_fdata()[0, 0, 0])}", end=" ")
    print(f"slicer {int(image.slicer[:1].get_fdata()[0, 0, 0])} saved {saved(image)}")
PYTHON
cat > expected.txt <<'SEEN'
float64  get_fdata 0 slicer 0 saved 0
float32  get_fdata 0 slicer 1 saved 1
int16    get_fdata 0 slicer 1 saved 1
loaded   get_fdata 0 slicer 1 saved 1
SEEN
venv/bin/python try.py | tee seen.txt
diff expected.txt seen.txt
