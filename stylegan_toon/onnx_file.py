"""Read the weights of an ONNX file, and write such files, without the onnx package.

An ONNX file is a protobuf; what is read of it: model.graph (7), graph.node (1) and .initializer (5),
node.input (1) and .op_type (4), tensor.dims (1), .data_type (2), .name (8) and .raw_data (9).
Written are these, and what a graph needs beside them; the numbers of their fields stand where they are used.
Source: onnx.proto of github.com/onnx/onnx.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from stylegan_toon import __version__

FLOAT, INT64 = 1, 7  # onnx.TensorProto
IR_VERSION, OPSET = 8, 17  # of 2022, which every onnxruntime from 1.12 on opens


def read_graph(data: bytes) -> tuple[list[tuple[str, list[str]]], dict[str, np.ndarray]]:
    """The nodes of the graph in order, (operator, names of its inputs), and its float32 weights by name.

    Raises: ValueError, TypeError, IndexError or KeyError for what is no ONNX file.
    """
    graph = dict(_fields(data))[7]
    value: dict[str, np.ndarray] = {}
    nodes: list[tuple[str, list[str]]] = []
    for number, part in _fields(graph):
        if number == 1:
            fields = list(_fields(part))
            nodes.append((str(dict(fields)[4], "utf8"), [str(v, "utf8") for k, v in fields if k == 1]))
        elif number == 5:
            fields = list(_fields(part))
            one = dict(fields)
            if one.get(2) == FLOAT:
                shape = [size for k, v in fields if k == 1 for size in _dims(v)]
                value[str(one[8], "utf8")] = np.frombuffer(one[9], "<f4").reshape(shape)
    return nodes, value


def _dims(value: Any) -> Iterator[int]:
    """dims is repeated: one number a field, or all of them packed in one."""
    at = 0
    while not isinstance(value, int) and at < len(value):
        number, at = _varint(value, at)
        yield number
    if isinstance(value, int):
        yield value


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a protobuf message: (number, value), an int or bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        if tag & 7 == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        if tag & 7 == 2:
            size, at = _varint(data, at)
        elif tag & 7 in (1, 5):
            size = 8 if tag & 7 == 1 else 4
        else:
            raise ValueError(f"no protobuf at byte {at}")
        if at + size > len(data):
            raise ValueError("cut short")
        yield tag >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return number, at


class Graph:
    """An ONNX graph as it grows: every node is added after those that it reads."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._weights: list[bytes] = []

    def add(
        self,
        op: str,
        *inputs: str | np.ndarray,
        output: str | None = None,
        **settings: int | float | Sequence[int],
    ) -> str:
        """The name of the one output of a new node; an array, float32 or int64, becomes a weight of the file.

        Args:
            output: what it is called; by default the operator and a number.
            settings: the attributes of the operator.
        """
        name = output or f"{op}_{len(self._nodes)}"
        names = [part if isinstance(part, str) else self._weight(part) for part in inputs]
        node = [*((1, one) for one in names), (2, name), (3, f"node {name}"), (4, op)]
        self._nodes.append(_message(*node, *((5, _setting(k, v)) for k, v in settings.items())))
        return name

    def model(
        self,
        inputs: Mapping[str, Sequence[int | str]],
        outputs: Mapping[str, Sequence[int | str]],
        metadata: Mapping[str, str],
    ) -> bytes:
        """The file: inputs and outputs are float32 of these shapes, where a string names a free size."""
        graph = _message(
            *((1, node) for node in self._nodes),
            (2, "stylegan-toon"),
            *((5, weight) for weight in self._weights),
            *((11, _value(name, shape)) for name, shape in inputs.items()),
            *((12, _value(name, shape)) for name, shape in outputs.items()),
        )
        return _message(
            (1, IR_VERSION),
            (2, "stylegan-toon"),
            (3, __version__),
            (7, graph),
            (8, _message((1, ""), (2, OPSET))),
            *((14, _message((1, key), (2, text))) for key, text in metadata.items()),
        )

    def _weight(self, array: np.ndarray) -> str:
        name = f"weight_{len(self._weights)}"
        kind, layout = (INT64, "<i8") if array.dtype == np.int64 else (FLOAT, "<f4")
        dims = [(1, size) for size in array.shape]
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, as in torch
            data = array.astype(layout).tobytes()
        self._weights.append(_message(*dims, (2, kind), (8, name), (9, data)))
        return name


def _value(name: str, shape: Sequence[int | str]) -> bytes:
    """A ValueInfoProto: a float32 tensor."""
    sizes = [(1, _message((2 if isinstance(size, str) else 1, size))) for size in shape]
    tensor = _message((1, FLOAT), (2, _message(*sizes)))
    return _message((1, name), (2, _message((1, tensor))))


def _setting(name: str, value: int | float | Sequence[int]) -> bytes:
    """An AttributeProto: FLOAT (1), INT (2) or INTS (7)."""
    if isinstance(value, float):
        return _message((1, name), (2, value), (20, 1))
    if isinstance(value, int):
        return _message((1, name), (3, value), (20, 2))
    return _message((1, name), *((8, one) for one in value), (20, 7))


def _message(*fields: tuple[int, int | float | str | bytes]) -> bytes:
    """The fields (number, value) one after another: whole numbers from 0 up, float32, text, or bytes."""
    parts = []
    for number, value in fields:
        if isinstance(value, int):
            parts += [_as_varint(number << 3), _as_varint(value)]
        elif isinstance(value, float):
            parts += [_as_varint(number << 3 | 5), struct.pack("<f", value)]
        else:
            data = value.encode() if isinstance(value, str) else value
            parts += [_as_varint(number << 3 | 2), _as_varint(len(data)), data]
    return b"".join(parts)


def _as_varint(number: int) -> bytes:
    low = []
    while number > 127:
        low.append(number & 127 | 128)
        number >>= 7
    return bytes([*low, number])
