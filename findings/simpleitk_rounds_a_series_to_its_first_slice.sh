#!/usr/bin/env bash
# SimpleITK 2.5.7: a DICOM series is read in the number type of its first slice.
#
# One would guess: a series is read in a type that holds the values of all its slices, which read one by
# one are 7, 3.5 and 1.75.
# What happens: the first slice decides. Its RescaleSlope is 1, so its values are whole numbers, and the
# next slices, of slopes 0.5 and 0.25, lose their fractions: 7, 3, 1. If the first slope is 0.5, all is
# float64 and exact. No warning.
# Why it matters: the slices of a PET series may have slopes of their own. Where values are small, what
# is cut off is a large part of the signal, in the scans alone whose first slope is whole, and never
# in their first slice. reader.SetOutputPixelType(sitk.sitkFloat32) keeps the values.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -qq --disable-pip-version-check SimpleITK==2.5.7 pydicom==3.0.2 numpy==2.4.6

cat > try.py <<'PYTHON'
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, PositronEmissionTomographyImageStorage, generate_uid


def write(path, position, slope, series):
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = PositronEmissionTomographyImageStorage
    data.SOPInstanceUID = generate_uid()
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.Modality, data.Units = "PT", "BQML"
    data.SeriesInstanceUID = series
    data.InstanceNumber = position + 1
    data.ImagePositionPatient = [0, 0, position]
    data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    data.PixelSpacing, data.SliceThickness = [1, 1], 1
    data.RescaleSlope, data.RescaleIntercept = slope, 0
    data.Rows = data.Columns = 4
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation, data.SamplesPerPixel = 15, 1, 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.PixelData = np.full((4, 4), 7, np.int16).tobytes()
    data.save_as(path, enforce_file_format=True)


for slopes in ((1, 0.5, 0.25), (0.5, 1, 0.25)):
    folder = Path("slopes_" + "_".join(map(str, slopes)))
    folder.mkdir()
    series = generate_uid()
    for position, slope in enumerate(slopes):
        write(folder / f"{position}.dcm", position, slope, series)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    single = [sitk.ReadImage(name)[0, 0, 0] for name in reader.GetFileNames()]
    print("slopes", slopes, "one by one", [float(value) for value in single], end=" ")
    image = reader.Execute()
    print("series", sitk.GetArrayFromImage(image)[:, 0, 0].tolist(), image.GetPixelIDTypeAsString())
    reader.SetOutputPixelType(sitk.sitkFloat32)
    print("  as float32", sitk.GetArrayFromImage(reader.Execute())[:, 0, 0].tolist())
PYTHON
cat > expected.txt <<'SEEN'
slopes (1, 0.5, 0.25) one by one [7.0, 3.5, 1.75] series [7, 3, 1] 16-bit signed integer
  as float32 [7.0, 3.5, 1.75]
slopes (0.5, 1, 0.25) one by one [3.5, 7.0, 1.75] series [3.5, 7.0, 1.75] 64-bit float
  as float32 [3.5, 7.0, 1.75]
SEEN
venv/bin/python try.py | tee seen.txt
diff expected.txt seen.txt
