"""ONNX files in the layout of insightface's, so small that what they must answer can be worked out by hand.

Input and output names, their order, two anchors a cell, and the size of the embedding are those of
det_10g.onnx and w600k_r50.onnx; the networks inside are a few lines.
"""

from pathlib import Path

import numpy as np

BOX = (1.0, 1.5, 2.0, 2.5)  # how far the sides are from a cell's corner, in strides: left, top, right, bottom
POINTS = ((-0.5, -0.5), (1.5, -0.5), (0.5, 0.5), (-0.25, 1.25), (1.25, 1.25))  # in strides
STRIDES = (8, 16, 32)
NAMES = {"score": ("448", "471", "494"), "box": ("451", "474", "497"), "points": ("454", "477", "500")}


def detector(path: Path, fixed: int | None = None, points: bool = True) -> Path:
    """Fires at cells of stride 8 that are red while the next one to the right is green; score 0.88 or so.

    The picture comes as (RGB - 127.5) / 128, so a saturated channel is about +1 and black about -1.
    """
    from onnx import TensorProto, helper

    nodes, outputs = [], []
    weights = {
        "look": np.float32([[[[1, 0]], [[-0.5, 1]], [[-0.5, -1]]]]),  # red minus the others; green minus blue
    }

    def node(op: str, inputs: list[str], output: str, **settings: object) -> None:
        nodes.append(helper.make_node(op, inputs, [output], **settings))

    for i, stride in enumerate(STRIDES):
        shape = {"kernel_shape": [stride, stride], "strides": [stride, stride]}
        node("AveragePool", ["input.1"], f"cells{i}", **shape)
        weights[f"edge{i}"] = np.float32([-3 if stride == 8 else -30])
        node("Conv", [f"cells{i}", "look", f"edge{i}"], f"raw{i}", pads=[0, 0, 0, 1])
        node("Sigmoid", [f"raw{i}"], f"one{i}")
        node("Concat", [f"one{i}", f"one{i}"], f"both{i}", axis=1)
        node("Transpose", [f"both{i}"], f"last{i}", perm=[0, 2, 3, 1])
        weights[f"flat{i}"] = np.int64([-1, 1])
        node("Reshape", [f"last{i}", f"flat{i}"], NAMES["score"][i])
        for name, values in (("box", BOX), ("points", np.ravel(POINTS))):
            weights[f"{name}{i}"] = np.float32([values])
            node("Mul", [NAMES["score"][i], f"{name}{i}"], f"{name}s{i}")
            node("Div", [f"{name}s{i}", NAMES["score"][i]], NAMES[name][i])
    rows = [2 * (640 // stride) ** 2 for stride in STRIDES]  # declared for 640 px, whatever comes, as there
    for kind, width in (("score", 1), ("box", 4), ("points", 10))[: 3 if points else 2]:
        for name, n in zip(NAMES[kind], rows, strict=True):
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [n, width]))
    sides = [fixed, fixed] if fixed else ["?", "?"]
    return _write(path, nodes, [1, 3, *sides], outputs, weights)


def recognition(path: Path, batch: int | str = "None", size: int = 112) -> np.ndarray:
    """A linear map of the mean colours of 7x7 fields to 512 numbers; returns its matrix."""
    from onnx import TensorProto, helper

    fields = size // 7
    matrix = np.random.default_rng(0).normal(size=(3 * fields**2, 512)).astype(np.float32)
    nodes = [
        helper.make_node("AveragePool", ["input.1"], ["cells"], kernel_shape=[7, 7], strides=[7, 7]),
        helper.make_node("Flatten", ["cells"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["683"]),
    ]
    output = helper.make_tensor_value_info("683", TensorProto.FLOAT, [batch, 512])
    _write(path, nodes, [batch, 3, size, size], [output], {"matrix": matrix})
    return matrix


def _write(path: Path, nodes: list, shape: list, outputs: list, weights: dict[str, np.ndarray]) -> Path:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    picture = helper.make_tensor_value_info("input.1", TensorProto.FLOAT, shape)
    weights = weights | {"unused": np.float32([0])}  # onnxruntime warns of it, as of some published files
    held = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "layout", [picture], outputs, held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))
    return path
