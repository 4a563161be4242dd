#!/usr/bin/env bash
# MONAI 1.6.1: PersistentDataset gives volumes that other transforms made, and those of replaced files.
#
# One would guess: the folder of prepared volumes is searched by what was prepared and how, since it
# outlives the program; a new window of intensities prepares them anew.
# What happens: the name of a prepared volume is made from the item of the list only, here the path. A
# second run with other transforms, or after the scan was replaced, gets the old values. No warning.
# hash_transform=pickle_hashing sees other transforms; a replaced file is not seen with it either.
# Why it matters: two settings compared in one folder train on the same volumes, so that the window,
# the spacing or the crop seems to make no difference. Take one folder a setting, and empty it.
# Installs torch: several GB in the temporary folder.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -qq --disable-pip-version-check monai==1.6.1 torch==2.15.0 numpy==2.4.6

cat > try.py <<'PYTHON'
import numpy as np
from monai.data import PersistentDataset
from monai.data.utils import pickle_hashing
from monai.transforms import Compose, LoadImage, ScaleIntensityRange


def prepared(top, **options):
    transforms = Compose([LoadImage(), ScaleIntensityRange(0, top, 0, 1)])
    volume = PersistentDataset(["scan.npy"], transforms, cache_dir="prepared", **options)[0]
    return round(float(volume.max()), 3)


np.save("scan.npy", np.full((4, 4, 4), 50, np.float32))
print("0 ... 100", prepared(100), "0 ... 1000", prepared(1000))
hashed = {"hash_transform": pickle_hashing}
print("hashed: 0 ... 100", prepared(100, **hashed), "0 ... 1000", prepared(1000, **hashed))
np.save("scan.npy", np.full((4, 4, 4), 90, np.float32))
print("replaced: 0 ... 100", prepared(100), "hashed", prepared(100, **hashed))
PYTHON
cat > expected.txt <<'SEEN'
0 ... 100 0.5 0 ... 1000 0.5
hashed: 0 ... 100 0.5 0 ... 1000 0.05
replaced: 0 ... 100 0.5 hashed 0.5
SEEN
venv/bin/python try.py | tee seen.txt
diff expected.txt seen.txt
