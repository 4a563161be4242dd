#!/usr/bin/env bash
# torchinfo 1.8.0: a linear layer over 16 tokens costs as much as one over a single token.
#
# One would guess: total_mult_adds counts the multiply-adds of the forward pass for the given
# input_size, since a convolution's count grows with it.
# What happens: for a linear layer it is parameters times the batch size, whatever the other axes are.
# 2 x 16 x 8 numbers to 4 outputs are counted as 64, as are 2 x 1 x 8; they are 1024. Attention over 10
# tokens, 4160 multiply-adds, is counted as 0. A convolution of the same work (kernel 1) has 1024.
# Why it matters: nets are compared by this number. Those with tokens (transformers, mixers, a dense
# layer applied to each tile) seem to be cheaper than they are by the number of tokens.
# Installs torch: several GB in the temporary folder.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -qq --disable-pip-version-check torchinfo==1.8.0 torch==2.15.0 numpy==2.4.6

cat > try.py <<'PYTHON'
import torch
from torch import nn
from torchinfo import summary

for tokens in (1, 16):
    layer = nn.Linear(8, 4, bias=False)
    print("linear, tokens", tokens, summary(layer, input_size=(2, tokens, 8), verbose=0).total_mult_adds)
    layer = nn.Conv1d(8, 4, 1, bias=False)
    print("kernel 1, tokens", tokens, summary(layer, input_size=(2, 8, tokens), verbose=0).total_mult_adds)
attention = nn.MultiheadAttention(8, 2, bias=False, batch_first=True)
inputs = [torch.rand(1, 10, 8)] * 3
print("attention", summary(attention, input_data=inputs, verbose=0).total_mult_adds)
PYTHON
cat > expected.txt <<'SEEN'
linear, tokens 1 64
kernel 1, tokens 1 64
linear, tokens 16 64
kernel 1, tokens 16 1024
attention 0
SEEN
venv/bin/python try.py | tee seen.txt
diff expected.txt seen.txt
