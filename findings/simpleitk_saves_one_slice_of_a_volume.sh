#!/usr/bin/env bash
# SimpleITK 2.5.7: a volume written to PNG loses all slices but the first, without an error.
#
# One would guess: an error, as JPEG gives for the same volume and PNG for float values.
# What happens: WriteImage returns; the file holds slice 0, and nothing is printed. TIFF keeps all
# slices; JPEG refuses.
# Why it matters: a batch conversion of scans to PNG looks right, one picture a scan, but a net
# is trained on the outermost slice of each. A list of names as the second argument writes them all.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -qq --disable-pip-version-check SimpleITK==2.5.7 numpy==2.4.6

cat > try.py <<'PYTHON'
import numpy as np
import SimpleITK as sitk


def shape_and_values(name):
    array = sitk.GetArrayFromImage(sitk.ReadImage(name))
    return array.shape, np.unique(array).tolist()


def refusal(image, name):
    try:
        sitk.WriteImage(image, name)
    except RuntimeError as error:
        return str(error).splitlines()[-1].split(": ")[-1]


volume = sitk.GetImageFromArray(np.repeat(np.arange(3, dtype=np.uint8) * 100, 64).reshape(3, 8, 8))
for name in ("volume.png", "volume.tif"):
    sitk.WriteImage(volume, name)
    print(name, *shape_and_values(name))
print("volume.jpg refused:", refusal(volume, "volume.jpg"))
print("float.png refused:", refusal(sitk.Cast(volume, sitk.sitkFloat32), "float.png"))
names = ["slice0.png", "slice1.png", "slice2.png"]
sitk.WriteImage(volume, names)
print("a list of names", [shape_and_values(name)[1] for name in names])
PYTHON
cat > expected.txt <<'SEEN'
volume.png (8, 8) [0]
volume.tif (3, 8, 8) [0, 100, 200]
volume.jpg refused: JPEG Writer can only write 2-dimensional images
float.png refused: PNG supports unsigned char and unsigned short
a list of names [[0], [100], [200]]
SEEN
venv/bin/python try.py | tee seen.txt
diff expected.txt seen.txt
