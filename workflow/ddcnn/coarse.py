"""The stage train_coarse: the dense net over all local probabilities, the coarse problem.

Its input are the N local probability distributions over K classes, its target the true label
(arXiv 2302.06564, section 3.2).
"""

import logging
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ddcnn.checkpoint import save_weights
from ddcnn.device import Device, JobClock, choose_device
from ddcnn.evaluation import stack_probabilities
from ddcnn.files import read_prepared, write_json, write_npz
from ddcnn.training import Features, Settings, fit, predict_logits, training_metrics, write_history

log = logging.getLogger(__name__)

# Below it a probability says no more than "never", and its logarithm would drown the others.
SMALLEST_PROBABILITY = 1e-6


class CoarseNet(nn.Module):
    """Dense layers from the log-probabilities of all tiles to logits of the decision.

    Args:
        num_tiles: subdomains T, with the coarse view if there is one.
        classes: number of classes K.
        hidden: neurons of each hidden layer.
        dropout: probability of dropping a hidden neuron.
    """

    def __init__(self, num_tiles: int, classes: int, hidden: list[int], dropout: float):
        super().__init__()
        layers: list[nn.Module] = []
        num_in = num_tiles * classes
        for num_out in hidden:
            layers += [nn.Linear(num_in, num_out), nn.ReLU(), nn.Dropout(dropout)]
            num_in = num_out
        self.layers = nn.Sequential(*layers, nn.Linear(num_in, classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits ``N, K`` of log-probabilities ``N, T*K``."""
        return self.layers(x)


def log_probabilities(p_NTK: np.ndarray) -> torch.Tensor:
    """Input of the coarse net: float32 ``N, T*K`` from probabilities ``N, T, K``."""
    clipped = np.clip(p_NTK, SMALLEST_PROBABILITY, 1.0)
    return torch.from_numpy(np.log(clipped).reshape(len(p_NTK), -1).astype(np.float32))


def train_coarse(
    probabilities: dict[str, Path],
    labels: dict[str, Path],
    settings: Settings,
    hidden: list[int],
    dropout: float,
    fit_on: str,
    seed: int,
    out: str | Path,
    gpus: int = 0,
    threads: int = 1,
) -> None:
    """Train the coarse net; write its weights, history, metrics and probabilities to ``out``.

    Args:
        probabilities: ``probabilities.npz`` of every subdomain, in the order of the decomposition.
        labels: ``y_{split}.npy`` of ``train`` and ``val``.
        settings: how to train.
        hidden, dropout: of the net, see :class:`CoarseNet`.
        fit_on: ``train`` or ``validation``: the split whose local probabilities it learns from.
            Those of ``train`` are over-confident, because the local nets have learned them.
        seed: of the run.
        out: folder of the four files.
        gpus: 0 computes on the CPU; otherwise on a GPU if there is one.
        threads: CPU threads.
    """
    out, device = Path(out), choose_device(gpus, threads)
    clock = JobClock()
    p_NTK = {s: stack_probabilities(probabilities.values(), s) for s in ("train", "val", "test")}
    samples = {s: _features(p_NTK[s], labels[s], device) for s in ("train", "val")}
    fitted = samples["val" if fit_on == "validation" else "train"]
    clock.loaded()
    torch.manual_seed(seed)
    net = CoarseNet(*p_NTK["train"].shape[1:], hidden, dropout).to(device.torch)
    log.info("training the coarse net of %d tiles on %s", len(probabilities), device.name)
    clock.ready()
    progress = fit(net, fitted, samples["val"], settings, seed, device)
    num_features = fitted.values.shape[1]
    write_history(progress.history, out / "history.csv")
    write_npz(out / "probabilities.npz", **{s: _predict(net, p, device) for s, p in p_NTK.items()})
    write_json(
        out / "metrics.json",
        {"tile": "coarse", "tiles": list(probabilities), "seed": seed, "fit_on": fit_on}
        | training_metrics(net, (num_features,), progress, settings, len(fitted.labels), device)
        | {"hidden": list(hidden), "dropout": dropout}
        | clock.metrics(),
    )
    save_weights(net, out / "model.safetensors")


def _features(p_NTK: np.ndarray, labels: Path, device: Device) -> Features:
    values = log_probabilities(p_NTK).to(device.torch)
    return Features(values, torch.from_numpy(read_prepared(labels)).to(device.torch))


def _predict(net: nn.Module, p_NTK: np.ndarray, device: Device) -> np.ndarray:
    features = Features(log_probabilities(p_NTK).to(device.torch))
    return F.softmax(predict_logits(net, features), dim=1).cpu().numpy()
