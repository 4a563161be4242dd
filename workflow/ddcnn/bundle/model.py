"""The trained model of a run as one torch module, from its file."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ddcnn import nets
from ddcnn.base.errors import InputError
from ddcnn.base.tasks import task_of
from ddcnn.bundle.file import Bundle
from ddcnn.bundle.fit import building, check_means, check_tensors
from ddcnn.coarse.inputs import SMALLEST_PROBABILITY
from ddcnn.coarse.net import CnnDnn, CoarseNet
from ddcnn.coarse.settings import CoarseSettings
from ddcnn.nets import own
from ddcnn.nets.features import num_features
from ddcnn.tiles.shards import planned

MOST_CERTAIN = 1e-16  # 1 minus the largest probability that log-odds tell from 1


@dataclass(frozen=True)
class Explanation:
    """Why a model decides as it does.

    Attributes:
        predictions: probabilities or targets ``N, K``.
        votes: those of every subdomain alone, ``N, T, K``.
        weights: by how much the prediction is larger than it would be if the subdomain said what it
            says on average of the training images, ``N, T, K``: natural log-odds of classes, which
            tell much from little where probabilities are all but 0 or 1; targets in their units.
    """

    predictions: torch.Tensor
    votes: torch.Tensor
    weights: torch.Tensor


class Model(nn.Module):
    """Tiles, local nets and coarse net as one: raw pixels to class probabilities.

    Args:
        net: from whole images to logits or standardised targets.
        description: of the bundle.
        mean_outputs: what every local net says on average of the training split, ``T, K``.
        mean_features: the same of the features, ``T, F``, if the coarse net sees them.
    """

    def __init__(
        self,
        net: CnnDnn,
        description: dict[str, Any],
        mean_outputs: torch.Tensor,
        mean_features: torch.Tensor | None = None,
    ) -> None:
        super().__init__()
        self.net, self.description = net, description
        self.register_buffer("mean_outputs", mean_outputs)
        self.register_buffer("mean_features", mean_features)
        if net.task.name == "regression":
            for name in ("mean", "std"):
                values = torch.tensor(getattr(net.task, name), dtype=torch.float64)
                self.register_buffer(f"target_{name}", values, persistent=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels and spatial axes of one image."""
        data = self.description["data"]
        return (data["channels"], *data["shape"])

    @property
    def outputs(self) -> list[str]:
        """Names of the classes, or of the targets."""
        return self.description["data"]["classes"] or self.description["data"]["targets"]

    @property
    def subdomains(self) -> list[str]:
        """Names of the tiles, with ``view`` last where there is one."""
        return self.description["subdomains"]

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Probabilities ``N, K``, or targets ``N, M`` in their own units.

        Args:
            pixels: float ``N, C, *spatial``, 0 to 255 as in the image; signals as they are.

        Raises:
            InputError: images of another shape.
        """
        if pixels.ndim != len(self.shape) + 1 or tuple(pixels.shape[1:]) != self.shape:
            raise InputError(
                f"images of the shape {tuple(pixels.shape)}; accepted: (N, "
                f"{', '.join(map(str, self.shape))}), channels first"
            )
        return self.decide(*self.net.local_outputs(pixels))

    def decide(
        self, outputs_NTK: torch.Tensor, features_NTF: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Predictions from the outputs of the local nets."""
        return self._predictions(self.net.decide(self._as_stored(outputs_NTK), features_NTF))

    @torch.no_grad()
    def explain(self, pixels: torch.Tensor) -> Explanation:
        """Votes of the subdomains and their weights in the decision, of images as above."""
        outputs, features = self.net.local_outputs(pixels)
        decided = self.net.decide(self._as_stored(outputs), features)
        others = []
        for index in range(outputs.shape[1]):
            silenced, mean = self._as_stored(outputs).clone(), self.mean_outputs[index]
            silenced[:, index] = mean
            replaced = features
            if features is not None:
                replaced = features.clone()
                replaced[:, index] = self.mean_features[index]
            others.append(self._weighed(self.net.decide(silenced, replaced)))
        weights = self._weighed(decided)[:, None] - torch.stack(others, dim=1)
        return Explanation(self._predictions(decided), self._predictions(outputs), weights)

    def _as_stored(self, outputs_NTK: torch.Tensor) -> torch.Tensor:
        """What the coarse net was fitted on: logarithms of the stored probabilities, float64.

        Those are cut off at the smallest probability, so that the pipeline's predictions are met.
        """
        net = self.net
        if net.coarse is None or net.task.name == "regression":
            return outputs_NTK
        if net.kind == "logits":
            return outputs_NTK.double()
        return outputs_NTK.softmax(dim=-1).clamp(SMALLEST_PROBABILITY, 1.0).double().log()

    def _weighed(self, outputs: torch.Tensor) -> torch.Tensor:
        """What weights are differences of: log-odds of classes, targets in their own units."""
        if self.net.task.name == "regression":
            return self._predictions(outputs)
        log_p = outputs.double().log_softmax(dim=-1).clamp(max=-MOST_CERTAIN)
        return log_p - torch.log(-torch.expm1(log_p))

    def _predictions(self, outputs: torch.Tensor) -> torch.Tensor:
        if self.net.task.name == "regression":
            return (outputs.double() * self.target_std + self.target_mean).float()
        return outputs.softmax(dim=-1)


def model_of(path: str | Path, bundle: Bundle) -> Model:
    """What a file holds, as a model in evaluation mode, on the CPU; see :func:`ddcnn.load`."""
    with building(path):
        return _model(bundle.description, bundle.tensors).eval().requires_grad_(False)


def _model(description: dict[str, Any], tensors: dict[str, np.ndarray]) -> Model:
    net = _build(description, tensors)
    outputs = len(net.nets), net.task.num_outputs
    shapes = {"mean_outputs": outputs}
    if net.kind == "features":
        shapes["mean_features"] = outputs[0], _num_features(net, description)
    num_inputs = None if net.coarse is None else len(net.coarse.shift)
    check_means({name: ("float32", shape) for name, shape in shapes.items()}, num_inputs, tensors)
    model = Model(net, description, *(torch.empty(shape) for shape in shapes.values()))
    # The tensors of the file become the model's: nothing is built to be replaced.
    model.load_state_dict({n: torch.tensor(v) for n, v in tensors.items()}, assign=True)
    return model


def _num_features(net: CnnDnn, description: dict[str, Any]) -> int:
    """Features of a local net: F of :meth:`CnnDnn.decide`."""
    first, built = net.nets[0], description["nets"][0]
    if own.is_own(built["architecture"]):
        return num_features(first, built["input_shape"])
    return first.classifier.in_features


def _check_state(module: nn.Module, tensors: dict[str, np.ndarray], before: str) -> None:
    wanted = {
        name: (str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape))
        for name, tensor in module.state_dict().items()
    }
    check_tensors(wanted, tensors, before)


def _build(description: dict[str, Any], tensors: dict[str, np.ndarray]) -> CnnDnn:
    """The net without weights, after a look at whether the file has those that it needs."""
    data, plan = description["data"], description["plan"]
    task, settings = task_of(data), description["coarse"]
    boxes = planned(plan).tiles(tuple(data["shape"]))
    local_nets = []
    for index in range(len(description["nets"])):  # which are all alike
        local_nets.append(_local_net(description["nets"][0], task.num_outputs))
        # One by one: a file that names more nets than it holds is refused at the first.
        _check_state(local_nets[-1], tensors, f"net.nets.{index}.")
    coarse = None
    if settings:
        num_inputs = tensors["net.coarse.shift"].size
        with torch.device("meta"):
            coarse = CoarseNet.of(CoarseSettings(**settings), num_inputs, task.num_outputs)
        _check_state(coarse, tensors, "net.coarse.")
    return CnnDnn(
        boxes,
        local_nets,
        coarse,
        settings["input"] if settings else "probabilities",
        task,
        data["shape"],
        data["mean"],
        data["std"],
        white=255 if data["dtype"] == "uint8" else 1,
    )


def _local_net(net: dict[str, Any], num_outputs: int) -> nn.Module:
    """On torch's meta device, where it takes no memory and no time; a user's own on the CPU."""
    arguments = net["architecture"], net["input_shape"], num_outputs, net["width"], net["dropout"]
    if not own.is_own(net["architecture"]):
        with torch.device("meta"):
            return nets.build(*arguments)
    with _random_state_kept():
        return nets.build(*arguments)


@contextmanager
def _random_state_kept() -> Iterator[None]:
    """Loading a model must not change what a program draws after it."""
    state = torch.get_rng_state()
    try:
        yield
    finally:
        torch.set_rng_state(state)
