"""The parts of every data set: one to learn from, one to choose by, one to report on."""

SPLITS = ("train", "val", "test")
FITTING = SPLITS[:2]  # a training sees the labels of these
JUDGED = SPLITS[1:]  # decisions on these are scored
