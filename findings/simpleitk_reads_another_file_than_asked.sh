#!/usr/bin/env bash
# SimpleITK 2.5.7: asked for scan.nii.gz, it reads scan.nii where one lies beside it, without a word.
#
# One would guess: ReadImage opens the file it is given.
# What happens: the values are those of scan.nii, although scan.nii.gz exists and was named in full.
# nibabel reads the file that was named.
# Why it matters: who unpacks a scan to look at it, or writes a changed copy unpacked, trains and
# measures on that copy from then on; and a timing of packed files measures unpacked ones.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -qq --disable-pip-version-check SimpleITK==2.5.7 numpy==2.4.6 nibabel==5.4.2

cat > try.py <<'PYTHON'
import nibabel
import numpy as np
import SimpleITK as sitk


def most(name):
    return int(sitk.GetArrayFromImage(sitk.ReadImage(name)).max())


def write(name, value):
    sitk.WriteImage(sitk.GetImageFromArray(np.full((3, 4, 5), value, np.int16)), name)


write("scan.nii.gz", 1)
print("alone:", most("scan.nii.gz"))
write("scan.nii", 2)
print("beside scan.nii:", most("scan.nii.gz"))
print("nibabel:", int(nibabel.load("scan.nii.gz").get_fdata().max()))
PYTHON
cat > expected.txt <<'SEEN'
alone: 1
beside scan.nii: 2
nibabel: 1
SEEN
venv/bin/python try.py | tee seen.txt
diff expected.txt seen.txt
