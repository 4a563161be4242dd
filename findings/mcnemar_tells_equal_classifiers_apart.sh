#!/usr/bin/env bash
# statsmodels 0.15.0: McNemar's test of a classifier with itself can be significant.
#
# One would guess: two classifiers that are right on the same images differ by nothing, p = 1 (the
# exact test says so) or nan.
# What happens: with exact=False and the continuity correction, which is the default, the statistic
# is (|b - c| - 1)^2 / (b + c) = 1 / 0 = inf, so p is 0.0. With b = c = 2 it is 1/4, not 0. Without
# the correction p is nan.
# Why it matters: exact=False is the usual choice for large test sets, and two settings of a tiled
# training (another solver, one more worker) often decide every test image alike. A table of
# p-values then marks the pair that does not differ at all as the surest difference.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -qq --disable-pip-version-check statsmodels==0.15.0 scipy==1.17.1 numpy==2.4.6 pandas==3.1.1

cat > try.py <<'PYTHON'
import warnings

from statsmodels.stats.contingency_tables import mcnemar

warnings.simplefilter("ignore")  # numpy tells of a division by zero; p is returned all the same
both_right_or_wrong = [[90, 0], [0, 10]]
print("exact", mcnemar(both_right_or_wrong).pvalue)
print("exact=False", mcnemar(both_right_or_wrong, exact=False).pvalue)
print("uncorrected", mcnemar(both_right_or_wrong, exact=False, correction=False).pvalue)
print("statistic, b = c = 2:", mcnemar([[90, 2], [2, 10]], exact=False).statistic)
PYTHON
cat > expected.txt <<'SEEN'
exact 1.0
exact=False 0.0
uncorrected nan
statistic, b = c = 2: 0.25
SEEN
venv/bin/python try.py | tee seen.txt
diff expected.txt seen.txt
