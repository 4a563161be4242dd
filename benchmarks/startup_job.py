"""What a training job does up to the end of its first step; prints the clock after every part.

Started by startup.py, with a folder that holds a shard, its labels and a card. It imports nothing
before its clock runs.
"""

import time

clock = [time.time()]
import numpy  # noqa: E402, F401

clock.append(time.time())
import torch  # noqa: E402

clock.append(time.time())
import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

from ddcnn import nets  # noqa: E402
from ddcnn.local.stage import load_images  # noqa: E402
from ddcnn.training.device import choose_device  # noqa: E402
from ddcnn.training.loop import run, training  # noqa: E402
from ddcnn.training.settings import Settings  # noqa: E402

clock.append(time.time())
folder, device = Path(sys.argv[1]), choose_device(0, 1)
card = json.loads((folder / "card.json").read_text())
train = load_images([folder / "0-0" / "x_train.npy"], folder / "y_train.npy", card, device)
clock.append(time.time())
net = nets.build("vgg", train.pixels.shape[1:], 10, 8)
clock.append(time.time())
batch = train.subset(torch.arange(128))
first = []
net.register_forward_pre_hook(lambda *_: first.append(time.time()) if not first else None)
# One step; the validation behind it is not counted.
progress = run(training(net, batch, batch, Settings(1, 128, "sgd", 0.05, 5e-4), 0, device))
clock.append(first[0] + progress.seconds)
print(json.dumps(clock), flush=True)
os._exit(0)
