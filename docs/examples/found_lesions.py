"""How many lesions every method of the lesson's third experiment finds, with 95 % intervals.

python docs/examples/found_lesions.py results/reports/lesson-voting/predictions.csv
"""

import sys

import pandas as pd

from ddcnn.evaluation.intervals import wilson

rows = pd.read_csv(sys.argv[1])
rows = rows[rows["split"] == "test"]
has_lesion = rows["label"] == "lesion"
print(f"{'method':10}  {'lesions found':38}  false alarms")
for method in ("global", "cnn-dnn", "logistic", "weighted", "mean", "vote", "best-tile"):
    decided = rows[method].dropna() == "lesion"
    found, alarms = decided[has_lesion], decided[~has_lesion]
    low, high = wilson(found.sum(), len(found))
    count = f"{found.sum()} of {len(found)}: {100 * found.mean():.1f} %"
    interval = f"(95 %: {100 * low:.1f} to {100 * high:.1f} %)"
    print(f"{method:10}  {count:17} {interval:20}  {alarms.sum()} of {len(alarms)}")
