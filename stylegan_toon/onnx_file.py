"""Read the weights of an ONNX file without the onnx package.

An ONNX file is a protobuf; what is read of it: model.graph (7), graph.node (1) and .initializer (5),
node.input (1) and .op_type (4), tensor.dims (1), .data_type (2), .name (8) and .raw_data (9).
Source: onnx.proto of github.com/onnx/onnx.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

FLOAT = 1  # onnx.TensorProto.FLOAT


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
