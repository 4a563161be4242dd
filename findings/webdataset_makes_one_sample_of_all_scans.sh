#!/usr/bin/env bash
# webdataset 1.0.2: three DICOM files named by their UID are one sample.
#
# One would guess: files of a shard that differ before their suffix (".dcm") are different samples.
# What happens: the sample's key ends at the first dot, not at the last one. UIDs that begin with "1."
# all belong to the key "1", and the rest of the name counts as a kind of data. The dataset
# has one sample with three parts. No error, no warning.
# "scan.1.png" and "scan.2.png" become one sample, too. A name without dots before the suffix helps.
# Why it matters: a data set of thousands of scans has as many samples as shards, and sizes and epochs are
# wrong before anything fails; a decoder or batch that takes any one part sees one scan of each shard.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -qq --disable-pip-version-check webdataset==1.0.2 numpy==2.4.6

cat > try.py <<'PYTHON'
import io
import tarfile

import webdataset

SETS = {
    "uids": ["1.2.840.113619.2.5.1.dcm", "1.2.840.113619.2.5.2.dcm", "1.2.840.113619.2.5.3.dcm"],
    "dots": ["scan.1.png", "scan.2.png"],
    "bars": ["scan_1.png", "scan_2.png"],
}
for kind, names in SETS.items():
    with tarfile.open(f"{kind}.tar", "w") as shard:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(name)
            shard.addfile(member, io.BytesIO(name.encode()))
    for sample in webdataset.WebDataset(f"{kind}.tar", shardshuffle=False):
        parts = [key for key in sample if not key.startswith("__")]
        print(kind, "sample", repr(sample["__key__"]), "with", parts)
PYTHON
cat > expected.txt <<'SEEN'
uids sample '1' with ['2.840.113619.2.5.1.dcm', '2.840.113619.2.5.2.dcm', '2.840.113619.2.5.3.dcm']
dots sample 'scan' with ['1.png', '2.png']
bars sample 'scan_1' with ['png']
bars sample 'scan_2' with ['png']
SEEN
venv/bin/python try.py | tee seen.txt
diff expected.txt seen.txt
