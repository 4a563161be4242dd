#!/usr/bin/env bash
# nibabel 5.4.2: whole numbers from a float array, saved as uint8, do not come back as whole numbers.
#
# One would guess: labels 0.0, 1.0, 2.0, 3.0 saved with set_data_dtype(np.uint8) are stored as
# 0, 1, 2, 3, since they fit.
# What happens: float data for an integer type are stretched over the whole type: 0, 85, 170, 255
# are stored with a slope of 0.0117647..., and get_fdata returns 1.00000002, 2.00000004, 3.00000006.
# No label but 0 equals its number. Of labels 0 ... 6 some come back below their number, so
# astype(int) gives 0, 0, 2, 3, 4, 4, 6: class 1 becomes background, class 5 becomes class 4.
# The same stretching takes place when a scaled image is loaded and saved untouched: slope 0.1
# becomes another one, and all stored values change.
# Why it matters: label maps are often float after resampling or a net's argmax in float. Masks by
# `==` are then empty, and a class of the training set is silently lost. Save an integer array.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -qq --disable-pip-version-check nibabel==5.4.2 numpy==2.4.6

cat > try.py <<'PYTHON'
import nibabel as nib
import numpy as np


def saved(image, name):
    nib.save(image, name)
    return nib.load(name)


for classes in (4, 7):
    labels = nib.Nifti1Image(np.arange(classes, dtype=np.float32).reshape(-1, 1, 1), np.eye(4))
    labels.set_data_dtype(np.uint8)
    read = saved(labels, "labels.nii")
    values = read.get_fdata().ravel()
    print("stored", read.dataobj.get_unscaled().ravel().tolist(), "slope", float(read.dataobj.slope))
    print("equal ", (values == np.arange(classes)).tolist())
    print("as int", values.astype(int).tolist())
scaled = nib.Nifti1Image(np.arange(4, dtype=np.int16).reshape(-1, 1, 1), np.eye(4))
scaled.header.set_slope_inter(0.1, -3)
first = saved(scaled, "first.nii")
print("slope  ", round(first.dataobj.slope, 6), first.dataobj.get_unscaled().ravel().tolist())
second = saved(first, "second.nii")
print("resaved", round(second.dataobj.slope, 9), second.dataobj.get_unscaled().ravel().tolist())
PYTHON
cat > expected.txt <<'SEEN'
stored [0, 85, 170, 255] slope 0.0117647061124444
equal  [True, False, False, False]
as int [0, 1, 2, 3]
stored [0, 42, 85, 128, 170, 212, 255] slope 0.0235294122248888
equal  [True, False, False, False, False, False, False]
as int [0, 0, 2, 3, 4, 4, 6]
slope   0.1 [0, 1, 2, 3]
resaved 4.578e-06 [-32768, -10923, 10922, 32767]
SEEN
venv/bin/python try.py | tee seen.txt
diff expected.txt seen.txt
