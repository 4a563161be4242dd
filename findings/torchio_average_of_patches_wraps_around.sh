#!/usr/bin/env bash
# TorchIO 1.2.1: overlapping patches that are all 200 have the average 8.
#
# One would guess: GridAggregator with overlap_mode="average" adds in a type that holds the sums, or in
# float32, which is what it returns.
# What happens: it adds in the type of the patches and divides afterwards. For uint8, eight patches of
# 200 add to 1600, which is 64 modulo 256: the average is 8, beside 200 where one patch lies. int16
# patches of 20000 average to 3616 and -12768. "crop" and "hann" are right. No warning.
# Why it matters: scans of 16 bit, masks of 0 and 255, and pictures go through a sampler unconverted;
# the values are wrong only where patches overlap and the sum is too large.
# Installs torch: several GB in the temporary folder.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -qq --disable-pip-version-check torchio==1.2.1 torch==2.15.0 numpy==2.4.6

cat > try.py <<'PYTHON'
import torch
import torchio

for kind, value in ((torch.uint8, 200), (torch.int16, 20000), (torch.float32, 20000)):
    volume = torchio.ScalarImage(tensor=torch.full((1, 8, 8, 8), value, dtype=kind))
    for mode in ("average", "crop", "hann"):
        sampler = torchio.inference.GridSampler(torchio.Subject(scan=volume), 4, 2)
        aggregator = torchio.inference.GridAggregator(sampler, overlap_mode=mode)
        for patch in sampler:
            aggregator.add_batch(patch.scan.data[None], patch[torchio.LOCATION][None])
        merged = aggregator.get_output_tensor()
        print(kind, mode, sorted(set(merged.float().round().flatten().tolist())), merged.dtype)
PYTHON
cat > expected.txt <<'SEEN'
torch.uint8 average [8.0, 72.0, 200.0] torch.float32
torch.uint8 crop [200.0] torch.uint8
torch.uint8 hann [200.0] torch.float32
torch.int16 average [-12768.0, 3616.0, 20000.0] torch.float32
torch.int16 crop [20000.0] torch.int16
torch.int16 hann [20000.0] torch.float32
torch.float32 average [20000.0] torch.float32
torch.float32 crop [20000.0] torch.float32
torch.float32 hann [20000.0] torch.float32
SEEN
venv/bin/python try.py | tee seen.txt
diff expected.txt seen.txt
