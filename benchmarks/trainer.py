"""A child process of the benchmarks: builds a net, trains one epoch for every line it reads.

So the start of the process and of its library is in no measurement, and several ways of training
can be measured in turn. It is started by :mod:`workers`; by itself it is of no use.
"""

import json
import os
import sys
import time
from collections.abc import Callable

import numpy as np
from common import peak_mib
from nets import MEAN, STD, Job

MATRIX = 1024


def ddcnn_loop(job: Job) -> tuple[Callable[[], float], dict]:
    """The pipeline's own training."""
    import torch

    from ddcnn import nets
    from ddcnn.nets.cost import multiply_adds, num_parameters
    from ddcnn.training.device import choose_device
    from ddcnn.training.loop import run, training
    from ddcnn.training.samples import Images
    from ddcnn.training.settings import Settings

    device, imported = choose_device(0, 1), peak_mib()
    channels = job.shape[-1]
    normal = {"mean": [MEAN] * channels, "std": [STD] * channels}
    pixels, labels = map(torch.from_numpy, job.samples())
    train = Images(pixels, labels, **normal)
    val = Images(pixels[: job.batch], labels[: job.batch], **normal)
    torch.manual_seed(0)
    net = nets.build(job.model, job.shape, job.classes, job.width)
    settings = Settings(1, job.batch, "sgd", 0.01, 5e-4)
    facts = {
        "multiply_adds": multiply_adds(net, job.shape),
        "parameters": num_parameters(net),
        "imported_mib": imported,
    }
    return lambda: run(training(net, train, val, settings, 0, device)).seconds, facts


def plain_loop(job: Job) -> tuple[Callable[[], float], dict]:
    """What a PyTorch tutorial shows: DataLoader, float32, channels first, torch.optim."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    from ddcnn import nets

    torch.set_num_threads(1)
    pixels, labels = map(torch.from_numpy, job.samples())
    x = ((pixels.float() / 255 - MEAN) / STD).movedim(-1, 1).contiguous()
    loader = DataLoader(TensorDataset(x, labels), job.batch, shuffle=True, num_workers=0)
    torch.manual_seed(0)
    net = nets.build(job.model, job.shape, job.classes, job.width)
    optimizer = torch.optim.SGD(
        net.parameters(), 0.01, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    criterion = torch.nn.CrossEntropyLoss()

    def epoch() -> float:
        net.train()
        running_loss = 0.0
        start = time.perf_counter()
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = criterion(net(inputs), targets)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
        return time.perf_counter() - start

    return epoch, {}


def keras_fit(job: Job) -> tuple[Callable[[], float], dict]:
    """Keras' own ``fit`` on arrays; its preparations before the epoch are not counted."""
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow

        tensorflow.config.threading.set_intra_op_parallelism_threads(1)
        tensorflow.config.threading.set_inter_op_parallelism_threads(1)
        version = {"tensorflow": tensorflow.__version__}
    else:
        import torch

        torch.set_num_threads(1)
        version = {}
    import keras_nets

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.start = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            self.seconds = time.perf_counter() - self.start

    pixels, labels = job.samples()
    x = (pixels.astype(np.float32) / 255 - MEAN) / STD
    model, clock = keras_nets.compiled(job), Clock()

    def epoch() -> float:
        model.fit(x, labels, batch_size=job.batch, shuffle=True, verbose=0, callbacks=[clock])
        return clock.seconds

    parameters = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    return epoch, {
        "parameters": parameters,
        "versions": {"keras": keras.__version__, **version},
    }


def matrix_product(job: Job) -> tuple[Callable[[], float], dict]:
    """The limit: seconds of a product of two float32 matrices of 1024 x 1024."""
    import torch

    torch.set_num_threads(1)
    a, b = torch.randn(2, MATRIX, MATRIX)
    out = torch.empty(MATRIX, MATRIX)

    def products() -> float:
        start = time.perf_counter()
        for _ in range(20):
            torch.mm(a, b, out=out)
        return (time.perf_counter() - start) / 20

    return products, {"operations": 2 * MATRIX**3}


WAYS = {
    "ddcnn": ddcnn_loop,
    "ddcnn, kernels of torch": ddcnn_loop,
    "PyTorch, DataLoader": plain_loop,
    "Keras on TensorFlow": keras_fit,
    "Keras on PyTorch": keras_fit,
    "matrix product": matrix_product,
}


def main() -> None:
    way, job = sys.argv[1], Job(**json.loads(sys.argv[2]))
    # Libraries may print: answers have a pipe of their own.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    held = np.ones(job.held_bytes, np.uint8)
    epoch, facts = WAYS[way](job)
    print(json.dumps(facts | {"held": len(held)}), file=answers)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        seconds = epoch()
        # Of all threads: whether one thread was really all that it took.
        cores = (time.process_time() - cpu) / (time.perf_counter() - wall)
        answer = {"seconds": seconds, "cores": cores, "peak_mib": peak_mib()}
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main()
