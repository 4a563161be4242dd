#!/usr/bin/env bash
# statsmodels 0.15.0: one missing p-value changes what multipletests says of the others, by method.
#
# One would guess: a nan among the p-values is left out, makes every answer nan, or is refused (scipy's
# false_discovery_control refuses it); in any case alike for all methods.
# What happens: "bonferroni" and "holm" count it as a test, so 0.02 is corrected to 0.06 by holm instead
# of 0.04. "simes-hochberg", "hommel" and "fdr_bh" give nan for all corrected values, and yet they say
# which are rejected: "fdr_bh" all three, "simes-hochberg" one, "hommel" none, not even 0.001.
# No warning.
# Why it matters: a test that could not be made, say since all differences are 0, is nan in a table of
# comparisons. Whether the other rows are significant then depends on it. Take nan out before.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -qq --disable-pip-version-check statsmodels==0.15.0 numpy==2.4.6 scipy==1.17.1 pandas==3.1.1

cat > try.py <<'PYTHON'
from statsmodels.stats.multitest import multipletests

for values in ([0.001, 0.02, 0.03], [0.001, 0.02, 0.03, float("nan")]):
    print(values)
    for method in ("bonferroni", "holm", "simes-hochberg", "hommel", "fdr_bh"):
        rejected, corrected, *_ = multipletests(values, 0.05, method)
        print(f"  {method:15}", rejected.tolist(), corrected.round(4).tolist())
PYTHON
cat > expected.txt <<'SEEN'
[0.001, 0.02, 0.03]
  bonferroni      [True, False, False] [0.003, 0.06, 0.09]
  holm            [True, True, True] [0.003, 0.04, 0.04]
  simes-hochberg  [True, True, True] [0.003, 0.03, 0.03]
  hommel          [True, True, True] [0.003, 0.03, 0.03]
  fdr_bh          [True, True, True] [0.003, 0.03, 0.03]
[0.001, 0.02, 0.03, nan]
  bonferroni      [True, False, False, False] [0.004, 0.08, 0.12, nan]
  holm            [True, False, False, False] [0.004, 0.06, 0.06, nan]
  simes-hochberg  [True, False, False, False] [nan, nan, nan, nan]
  hommel          [False, False, False, False] [nan, nan, nan, nan]
  fdr_bh          [True, True, True, False] [nan, nan, nan, nan]
SEEN
venv/bin/python try.py | tee seen.txt
diff expected.txt seen.txt
