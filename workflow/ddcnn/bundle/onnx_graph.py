"""Nets that are plans as one ONNX graph, for onnxruntime.

The bytes are written here: what is needed of the format is a page, and importing the package
``onnx`` takes longer than predicting a picture. The tests read them with that package.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from ddcnn.nets import plan as plans

IR_VERSION, OPSET = 10, 20
TYPES = {"float32": 1, "uint8": 2}  # of TensorProto
EPSILON = 1e-5  # of torch's batch norms
# Wire types of protobuf.
VARINT, BYTES, FIXED32 = 0, 2, 5


def graph_of(
    nets: Sequence[Mapping[str, np.ndarray]],
    plan: plans.Plan,
    scale: np.ndarray,
    offset: np.ndarray,
    dtype: str,
) -> bytes:
    """Several nets of one plan, each with an input and two outputs of its own.

    Net i takes ``x{i}``, pixels ``N, C, *spatial``, and gives ``logits{i}``, ``N, K``, and
    ``features{i}``, which its last dense layer sees.

    Args:
        nets: weights of every net by the names of its module.
        plan: their layers, the last of which is dense.
        scale, offset: float32 ``C, 1, ...``: nets see pixels * scale + offset.
        dtype: of the pixels: uint8 or float32.
    """
    num_axes = scale.ndim - 1
    constants = [_tensor("scale", scale), _tensor("offset", offset)]
    nodes, values = [], []
    for index, weights in enumerate(nets):
        constants += [
            _tensor(f"{index}.{name}", value)
            for name, value in weights.items()
            if value.dtype == np.float32
        ]
        nodes += _nodes(index, plan, weights, num_axes)
        values.append((11, _value(f"x{index}", dtype, 2 + num_axes)))
        values += [(12, _value(f"{name}{index}", "float32", 2)) for name in ("logits", "features")]
    graph = _message(*_each(1, nodes), (2, "ddcnn"), *_each(5, constants), *values)
    return _message((1, IR_VERSION), (7, graph), (8, _message((2, OPSET))))


def _nodes(
    index: int, plan: plans.Plan, weights: Mapping[str, np.ndarray], num_axes: int
) -> Iterator[bytes]:
    yield _node("Cast", [f"x{index}"], f"{index}.float", to=TYPES["float32"])
    yield _node("Mul", [f"{index}.float", "scale"], f"{index}.scaled")
    yield _node("Add", [f"{index}.scaled", "offset"], f"{index}.normal")
    last, layers = f"{index}.normal", list(plans.layers_of(plan))
    for name, layer in layers[:-1]:
        for operation, attributes in _operations(layer, num_axes):
            used = [f"{index}.{name}.{each}" for each in _order(layer, name, weights)]
            out = f"{index}.{name}.{operation}"
            yield _node(operation, [last, *used], out, **attributes)
            last = out
    yield _node("Identity", [last], f"features{index}")
    used = [f"{index}.{layers[-1][0]}.{each}" for each in ("weight", "bias")]
    yield _node("Gemm", [last, *used], f"logits{index}", transB=1)


def _operations(layer: plans.Layer, num_axes: int) -> list[tuple[str, dict[str, object]]]:
    """What ONNX computes for a layer, outside of training."""
    match layer:
        case plans.Convolution(padding=padding):
            return [("Conv", {"pads": [padding] * (2 * num_axes)})]
        case plans.Norm():
            return [("BatchNormalization", {"epsilon": EPSILON})]
        case plans.Pool():
            window = [plans.POOLED] * num_axes
            return [("MaxPool", {"kernel_shape": window, "strides": window})]
        case plans.Dense():
            return [("Gemm", {"transB": 1})]
        case plans.Drop():
            return []
    kinds = {
        plans.Relu: ["Relu"],
        plans.Average: ["GlobalAveragePool", "Flatten"],
        plans.Flatten: ["Flatten"],
    }
    return [(operation, {}) for operation in kinds[type(layer)]]


def _order(layer: plans.Layer, name: str, weights: Mapping[str, np.ndarray]) -> list[str]:
    """Names of a layer's weights as ONNX takes them."""
    names = ("weight", "bias", "running_mean", "running_var")
    return [each for each in names if f"{name}.{each}" in weights]


def _node(operation: str, inputs: Sequence[str], output: str, **attributes: object) -> bytes:
    described = [_attribute(name, value) for name, value in attributes.items()]
    return _message(*_each(1, inputs), (2, output), (4, operation), *_each(5, described))


def _attribute(name: str, value: object) -> bytes:
    """A number or a list of whole ones."""
    if isinstance(value, float):
        return _message((1, name), (2, value), (20, 1))
    if isinstance(value, int):
        return _message((1, name), (3, value), (20, 2))
    return _message((1, name), *_each(8, value), (20, 7))


def _tensor(name: str, value: np.ndarray) -> bytes:
    content = np.ascontiguousarray(value).astype("<f4", copy=False).tobytes()
    return _message(*_each(1, value.shape), (2, TYPES["float32"]), (8, name), (9, content))


def _value(name: str, dtype: str, num_axes: int) -> bytes:
    """An input or output of any size."""
    sizes = _message(*_each(1, [_message((2, f"{name}.{axis}")) for axis in range(num_axes)]))
    kind = _message((1, _message((1, TYPES[dtype]), (2, sizes))))
    return _message((1, name), (2, kind))


def _each(number: int, values: Iterable[object]) -> list[tuple[int, object]]:
    return [(number, value) for value in values]


def _message(*fields: tuple[int, object]) -> bytes:
    """A message of protobuf: numbers and contents of its fields."""
    return b"".join(_field(number, value) for number, value in fields)


def _field(number: int, value: object) -> bytes:
    if isinstance(value, float):
        return _varint(number << 3 | FIXED32) + struct.pack("<f", value)
    if isinstance(value, int):
        return _varint(number << 3 | VARINT) + _varint(value)
    content = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | BYTES) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; every byte but the last has the eighth bit set."""
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])
