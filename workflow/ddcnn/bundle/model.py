"""The trained model of a run as one torch module, from its file."""

import importlib
import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ddcnn import nets
from ddcnn.base.errors import InputError
from ddcnn.base.memory import require_memory
from ddcnn.base.tasks import task_of
from ddcnn.bundle.expected import Expected
from ddcnn.bundle.file import Bundle
from ddcnn.coarse.inputs import SMALLEST_PROBABILITY
from ddcnn.coarse.net import CnnDnn, CoarseNet
from ddcnn.coarse.settings import CoarseSettings
from ddcnn.nets import own
from ddcnn.nets.features import num_features
from ddcnn.tiles.shards import planned

VIEW_BYTES = 24  # of a weight of the coarse view, which is made of whole numbers


@dataclass(frozen=True)
class Explanation:
    """Why a model decides as it does.

    Attributes:
        predictions: probabilities or targets ``N, K``.
        votes: those of every subdomain alone, ``N, T, K``.
        weights: by how much the prediction is larger than it would be if the subdomain said what it
            says on average of the training images, ``N, T, K``.
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
        predictions = self.decide(outputs, features)
        others = []
        for index in range(outputs.shape[1]):
            silenced, mean = self._as_stored(outputs).clone(), self.mean_outputs[index]
            silenced[:, index] = mean
            replaced = features
            if features is not None:
                replaced = features.clone()
                replaced[:, index] = self.mean_features[index]
            others.append(self._predictions(self.net.decide(silenced, replaced)))
        weights = predictions[:, None] - torch.stack(others, dim=1)
        return Explanation(predictions, self._predictions(outputs), weights)

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

    def _predictions(self, outputs: torch.Tensor) -> torch.Tensor:
        if self.net.task.name == "regression":
            return (outputs.double() * self.target_std + self.target_mean).float()
        return outputs.softmax(dim=-1)


def model_of(path: str | Path, bundle: Bundle, net_file: str | Path | None = None) -> Model:
    """What a file holds as a model in evaluation mode, on the CPU; see :func:`ddcnn.load`."""
    description, tensors = bundle.description, bundle.tensors
    Expected.of(description)
    _check_nets(path, description["nets"][0]["architecture"], net_file)
    require_memory(f"{path}: its coarse view", _view_bytes(description), "allow more memory")
    try:
        return _model(description, tensors).eval().requires_grad_(False)
    # The digest is right, so it was written like this: by another version, or by hand.
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, InputError) and not isinstance(error, Unfit):
            raise
        if "allocate memory" in str(error):
            raise
        reason = " ".join(f"{error}".split())[:300]
        raise InputError(
            f"{path}: its description does not fit its weights ({reason}); write it again with "
            "this version of ddcnn"
        ) from error


class Unfit(InputError):
    """Tensors are not those of the description."""


def _model(description: dict[str, Any], tensors: dict[str, np.ndarray]) -> Model:
    net = _build(description, tensors)
    outputs = len(net.nets), net.task.num_outputs
    shapes = {"mean_outputs": outputs}
    if net.kind == "features":
        shapes["mean_features"] = outputs[0], _num_features(net, description)
    if net.coarse is not None:
        num_inputs = math.prod(shapes.get("mean_features", outputs))
        if len(net.coarse.shift) != num_inputs:
            raise Unfit(f"net.coarse.shift: {len(net.coarse.shift)}, its nets give {num_inputs}")
    means = {name: torch.empty(shape) for name, shape in shapes.items()}
    _check_tensors(means, tensors, "")
    model = Model(net, description, *means.values())
    # The tensors of the file become the model's: nothing is built to be replaced.
    model.load_state_dict({n: torch.tensor(v) for n, v in tensors.items()}, assign=True)
    return model


def _num_features(net: CnnDnn, description: dict[str, Any]) -> int:
    """Features of a local net: F of :meth:`CnnDnn.decide`."""
    first, built = net.nets[0], description["nets"][0]
    if own.is_own(built["architecture"]):
        return num_features(first, built["input_shape"])
    return first.classifier.in_features


def _check_tensors(
    wanted: Mapping[str, torch.Tensor], tensors: dict[str, np.ndarray], before: str
) -> None:
    """Raise :class:`Unfit` where the file's tensors have other names, sizes or types of numbers."""
    for name, tensor in wanted.items():
        found, asked = tensors.get(before + name), f"{tensor.dtype} {tuple(tensor.shape)}"
        has = "none" if found is None else f"torch.{found.dtype} {found.shape}"
        if has != asked:
            raise Unfit(f"{before}{name}: {has}, its description asks for {asked}")
        if found.dtype.kind == "f" and not np.isfinite(found).all():
            raise Unfit(f"{before}{name}: not all of its numbers are finite")


def _view_bytes(description: dict[str, Any]) -> int:
    """Memory of the matrices that average images to the coarse view, while they are made."""
    plan = description["plan"]
    pairs = zip(plan["shape"], plan["tile_shape"], strict=True)
    return VIEW_BYTES * sum(map(math.prod, pairs)) * description["run"]["coarse_view"]


def _check_nets(path: str | Path, name: str, net_file: str | Path | None) -> None:
    """No name in the file may import anything: the user's own net only from a file he names."""
    if not own.is_own(name):
        if name not in nets.ARCHITECTURES:
            raise InputError(f"{path}: it has nets {name!r}, which this version does not know")
        return
    if net_file is None:
        raise InputError(
            f"{path}: its nets are {name}, Python code that is not in the file; if you have "
            "it and trust it, name it: --net-file my_nets.py (in Python: net_file=)"
        )
    _allow(name, Path(net_file))


def _allow(name: str, file: Path) -> None:
    """Make ``module:factory`` importable from the file that the user names, and only from it."""
    module = own.module_of(name)
    parts = Path(*module.split(".")).with_suffix(".py").parts
    file = file.resolve()
    if not file.is_file() or file.parts[-len(parts) :] != parts:
        raise InputError(f"--net-file {file}: the model's nets are {name}, so in {'/'.join(parts)}")
    folder = str(file.parents[len(parts) - 1])
    if folder not in sys.path:
        sys.path.append(folder)
    importlib.invalidate_caches()
    found = own.folder_of(name) / Path(*parts)
    if not found.is_file() or not found.samefile(file):
        raise InputError(f"--net-file {file}: {found} hides it; give it another folder or name")


def _build(description: dict[str, Any], tensors: dict[str, np.ndarray]) -> CnnDnn:
    """The net without weights, after a look at whether the file has those that it needs."""
    data, plan = description["data"], description["plan"]
    task, settings = task_of(data), description["coarse"]
    boxes = planned(plan).tiles(tuple(data["shape"]))
    local_nets = []
    for index in range(len(description["nets"])):  # which are all alike
        local_nets.append(_local_net(description["nets"][0], task.num_outputs))
        # One by one: a file that names more nets than it holds is refused at the first.
        _check_tensors(local_nets[-1].state_dict(), tensors, f"net.nets.{index}.")
    coarse = None
    if settings:
        num_inputs = tensors["net.coarse.shift"].size
        with torch.device("meta"):
            coarse = CoarseNet.of(CoarseSettings(**settings), num_inputs, task.num_outputs)
        _check_tensors(coarse.state_dict(), tensors, "net.coarse.")
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
