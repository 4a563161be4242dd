"""The trained model without torch: its nets by onnxruntime, the rest by NumPy.

torch takes seconds and half a gigabyte to start, for what takes a picture a millisecond. What is
computed is what :class:`ddcnn.bundle.model.Model` does, up to rounding.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from ddcnn import nets
from ddcnn.base.tasks import Task, task_of
from ddcnn.bundle.file import Bundle
from ddcnn.bundle.fit import Unfit, check_means, check_tensors
from ddcnn.bundle.onnx_graph import graph_of
from ddcnn.coarse.inputs import SMALLEST_PROBABILITY, rows_of
from ddcnn.coarse.settings import CoarseSettings
from ddcnn.nets.plan import Dense, Plan, layers_of, shapes_of
from ddcnn.tiles.geometry import resample
from ddcnn.tiles.shards import planned

FATAL = 4  # what onnxruntime writes to its log by itself; errors it raises
NO_MEMORY = ("Failed to allocate memory", "bad_alloc")
PARTS = 3  # layers of the coarse net for each hidden one: dense, ReLU, dropout


@dataclass(frozen=True)
class Served:
    """Tiles, local nets and coarse net as one: raw pixels to class probabilities.

    Attributes:
        bundle: a file whose nets may be built, from :func:`ddcnn.bundle.fit.read_model`.
        plan: the layers of a local net.

    Raises:
        Unfit: the weights are not those of the description.
    """

    bundle: Bundle
    plan: Plan

    @classmethod
    def of(cls, bundle: Bundle) -> "Served | None":
        """The model in a file; None: its nets are no plans, and need torch."""
        description = bundle.description
        net, num_outputs = description["nets"][0], task_of(description["data"]).num_outputs
        plan = nets.planned(net["architecture"], net["input_shape"], num_outputs, net["width"])
        return plan and cls(bundle, plan)

    def __post_init__(self) -> None:
        tensors, num_nets = self.bundle.tensors, len(self.description["nets"])
        of_net = shapes_of(self.plan, len(self.description["data"]["shape"]))
        for index in range(num_nets):  # which are all alike
            # One by one: a file that names more nets than it holds is refused at the first.
            check_tensors(of_net, tensors, f"net.nets.{index}.")
        means = {"mean_outputs": ("float32", (num_nets, self.task.num_outputs))}
        if self.kind == "features":
            *_, (_, last) = layers_of(self.plan)
            means["mean_features"] = "float32", (num_nets, last.num_in)
        num_inputs = tensors["net.coarse.shift"].size if self.coarse else None
        check_means(means, num_inputs, tensors)
        of_coarse = self._coarse_shapes(num_inputs) if self.coarse else {}
        check_tensors(of_coarse, tensors, "net.coarse.")
        if len(tensors) > num_nets * len(of_net) + len(means) + len(of_coarse):
            raise Unfit(f"it holds {len(tensors)} arrays, more than its description asks for")

    @property
    def description(self) -> dict[str, Any]:
        """Of the file."""
        return self.bundle.description

    @cached_property
    def task(self) -> Task:
        """What it predicts."""
        return task_of(self.description["data"])

    @property
    def coarse(self) -> CoarseSettings | None:
        """What the coarse net is, if there is one."""
        settings = self.description["coarse"]
        return settings and CoarseSettings(**settings)

    @property
    def kind(self) -> str:
        """What the coarse net sees of a tile."""
        return self.coarse.input if self.coarse else "probabilities"

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Probabilities float32 ``N, K``, or targets ``N, M`` in their own units.

        Args:
            images: ``N, *spatial, C`` as they are: uint8, or float32 of signals.
        """
        # Whole images for every thread: several threads within a layer would wait for each other.
        parts = np.array_split(images, max(1, min(_threads(), len(images))))
        return np.concatenate(list(self._pool.map(self._predict, parts)))

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(_threads())

    def _predict(self, images: np.ndarray) -> np.ndarray:
        names = [f"{name}{i}" for name in self._wanted for i in range(len(self._inputs))]
        parts = [self._subdomain(images, box) for box in self._inputs]
        found = self._run(names, {f"x{i}": part for i, part in enumerate(parts)})
        outputs = np.stack(found[: len(parts)], axis=1)
        features = np.stack(found[len(parts) :], axis=1) if self.kind == "features" else None
        return self._decide(outputs, features)

    def _run(self, names: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        try:
            return self._session.run(names, inputs)
        except Exception as error:  # onnxruntime's own have no other class in common
            if any(words in str(error) for words in NO_MEMORY):
                raise MemoryError(str(error)) from error
            raise

    @property
    def _wanted(self) -> tuple[str, ...]:
        return ("logits", "features") if self.kind == "features" else ("logits",)

    @cached_property
    def _inputs(self) -> list[tuple[slice, ...] | None]:
        """The box of every subdomain; None for the coarse view."""
        facts = self.description["plan"]
        boxes = list(planned(facts).tiles(tuple(facts["shape"])).values())
        return boxes + [None] * (len(self.description["nets"]) - len(boxes))

    def _subdomain(self, images: np.ndarray, box: tuple[slice, ...] | None) -> np.ndarray:
        if box is None:
            part = resample(images, tuple(self.description["plan"]["tile_shape"]))
        else:
            part = images[:, *box]
        return np.ascontiguousarray(np.moveaxis(part, -1, 1))

    @cached_property
    def _session(self) -> Any:
        import onnxruntime  # here: to read a model's card, nobody needs it

        data = self.description["data"]
        white = np.float32(255 if data["dtype"] == "uint8" else 1)
        mean, std = (
            np.array(data[name], np.float32).reshape(-1, *[1] * len(data["shape"]))
            for name in ("mean", "std")
        )
        weights = [self._part(f"net.nets.{index}.") for index in range(len(self._inputs))]
        graph = graph_of(weights, self.plan, 1 / (white * std), -mean / std, data["dtype"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = FATAL
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def _decide(self, outputs_NTK: np.ndarray, features_NTF: np.ndarray | None) -> np.ndarray:
        """What :meth:`ddcnn.bundle.model.Model.decide` computes."""
        if self.coarse is None:
            return self.task.predictions_of(outputs_NTK[:, 0])
        if self.task.name != "regression":
            # What the coarse net was fitted on: logarithms of stored probabilities, cut off.
            if self.kind != "logits":
                p_NTK = self.task.predictions_of(outputs_NTK)
                outputs_NTK = np.log(p_NTK.clip(SMALLEST_PROBABILITY, 1).astype(np.float64))
            outputs_NTK = outputs_NTK.astype(np.float64)
        rows = rows_of(outputs_NTK, self.kind, self.task, features_NTF)
        return self.task.predictions_of(rows.average + self._correction(rows.inputs))

    def _correction(self, inputs_NF: np.ndarray) -> np.ndarray:
        """What the dense layers of the coarse net add to the average."""
        held = self._part("net.coarse.")
        x, last = (inputs_NF - held["shift"]) * held["scale"], PARTS * len(self.coarse.layers)
        for place in range(0, last + 1, PARTS):
            x = x @ held[f"layers.{place}.weight"].T + held[f"layers.{place}.bias"]
            x = x if place == last else np.maximum(x, 0)
        return x

    def _part(self, before: str) -> dict[str, np.ndarray]:
        """The weights of one net."""
        return {
            name.removeprefix(before): value
            for name, value in self.bundle.tensors.items()
            if name.startswith(before)
        }

    def _coarse_shapes(self, num_inputs: int) -> dict[str, tuple[str, tuple[int, ...]]]:
        sizes = [num_inputs, *self.coarse.layers, self.task.num_outputs]
        layers = {
            f"layers.{PARTS * place}": Dense(*pair) for place, pair in enumerate(pairwise(sizes))
        }
        standardising = dict.fromkeys(("shift", "scale"), ("float32", (num_inputs,)))
        return standardising | shapes_of(layers, 0)


def _threads() -> int:
    """As many as torch would take: what OMP_NUM_THREADS says, or the cores that are ours."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdigit() else len(os.sched_getaffinity(0))
