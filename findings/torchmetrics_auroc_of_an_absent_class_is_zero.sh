#!/usr/bin/env bash
# torchmetrics 1.9.0: a class that is absent counts as AUROC 0, and the AUROC of logits has ties.
#
# One would guess: a class without an image is left out of the mean or makes it nan (scikit-learn's
# roc_auc_score); and AUROC depends on the order of the scores only.
# What happens: the absent class gets 0, worse than guessing, and the default mean takes it
# in: flawless predictions score 2/3. It warns "No positive samples in targets". And
# scores outside of [0, 1] go through a float32 sigmoid first: logits 20 ... 50 all become 1, so
# the AUROC is 0.5; the same order within [0, 1] gives 0.75.
# Why it matters: small or grouped test parts lack rare classes, so the score falls with the
# split, not with the net; and a confident net gets a worse AUROC than a hesitant one.
# Installs torch: several GB in the temporary folder.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -qq --disable-pip-version-check torchmetrics==1.9.0 torch==2.15.0 numpy==2.4.6

cat > try.py <<'PYTHON'
import warnings

import torch
from torchmetrics.functional.classification import binary_auroc, multiclass_auroc

warnings.simplefilter("ignore")
p_NK = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.4, 0.3]])
labels = torch.tensor([0, 1, 1])  # class 2 is absent
print("each class", multiclass_auroc(p_NK, labels, 3, average=None).tolist())
print("mean", round(multiclass_auroc(p_NK, labels, 3).item(), 4))
print("one class only", binary_auroc(torch.tensor([0.2, 0.3]), torch.tensor([0, 0])).item())
labels = torch.tensor([0, 1, 0, 1])
for scores in ([20.0, 30.0, 40.0, 50.0], [0.2, 0.3, 0.4, 0.5]):
    print(scores, binary_auroc(torch.tensor(scores), labels).item())
PYTHON
cat > expected.txt <<'SEEN'
each class [1.0, 1.0, 0.0]
mean 0.6667
one class only 0.0
[20.0, 30.0, 40.0, 50.0] 0.5
[0.2, 0.3, 0.4, 0.5] 0.75
SEEN
venv/bin/python try.py | tee seen.txt
diff expected.txt seen.txt
