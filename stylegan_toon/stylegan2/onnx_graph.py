"""A generator as an ONNX graph: the operations of Mapping and Synthesis, their constants multiplied out.

Every batch size goes through, and no convolution has groups: a modulated one scales activations, and the FIR
filters take every channel for a picture of its own. The gain sqrt(2) after a leaky ReLU stands in front of
it, in weights and biases. That the graph is the network, pipelines/export.py sees whenever it writes one.
"""

import numpy as np
from torch import Tensor

from cuda_ops.fused_bias_act import GAIN, SLOPE
from stylegan_toon.nn.equalized import EqualLinear
from stylegan_toon.nn.modulated import ModulatedConv2d, StyledConv, ToRGB
from stylegan_toon.onnx_file import Graph
from stylegan_toon.stylegan2.generator import Generator, Mapping, SynthesisBlock

PARTS = ("generator", "mapping", "synthesis")
NOISES = ("none", "const")  # random noise would make a file that cannot be checked
EPSILON = 1e-8


def to_onnx(generator: Generator, part: str, noise: str, metadata: dict[str, str]) -> bytes:
    """An ONNX file, float32 with a free batch N, of a part of the generator.

    mapping: z [N, Z] and psi [1] -> w_plus [N, L, D], truncated; synthesis: w_plus -> picture [N, 3, R, R],
    unbounded and nominally in [-1, 1]; generator: z and psi -> picture.
    Args:
        part: one of PARTS. noise: one of NOISES.
    """
    config, graph = generator.config, Graph()
    sizes: dict[str, list[int | str]] = {
        "z": ["N", config.z_dim],
        "psi": [1],
        "w_plus": ["N", config.n_layers, config.w_dim],
        "picture": ["N", 3, config.resolution, config.resolution],
    }
    if part != "synthesis":
        _codes(graph, generator)
    if part != "mapping":
        _synthesis(graph, generator, noise)
    inputs = ("w_plus",) if part == "synthesis" else ("z", "psi")
    output = "w_plus" if part == "mapping" else "picture"
    return graph.model({name: sizes[name] for name in inputs}, {output: sizes[output]}, metadata)


def _codes(graph: Graph, generator: Generator) -> None:
    """w_plus of z, as Generator.codes, and pulled towards the centre by psi, as latents.truncate."""
    n_layers, n_source = generator.config.n_layers, 2 * generator.config.source_resolutions
    own = _mapping(graph, generator.mapping)
    source = own if generator.source_mapping is None else _mapping(graph, generator.source_mapping)
    w_plus = graph.add("Concat", *[source] * n_source, *[own] * (n_layers - n_source), axis=1)
    centre = _array(generator.centre())
    away = graph.add("Mul", graph.add("Sub", w_plus, centre), "psi")
    graph.add("Add", away, centre, output="w_plus")


def _mapping(graph: Graph, mapping: Mapping) -> str:
    """w [N, 1, D] of z."""
    mean = graph.add("ReduceMean", graph.add("Mul", "z", "z"), axes=[1], keepdims=1)
    x = graph.add("Div", "z", graph.add("Sqrt", graph.add("Add", mean, np.array([EPSILON]))))
    for layer in mapping.layers:
        assert isinstance(layer, EqualLinear)
        x = graph.add("LeakyRelu", _linear(graph, x, layer, GAIN), alpha=SLOPE)
    return graph.add("Unsqueeze", x, np.array([1]))


def _synthesis(graph: Graph, generator: Generator, noise: str) -> None:
    """The picture of w_plus; the order of its layers is that of Synthesis.forward."""
    synthesis = generator.synthesis
    ws = [graph.add("Gather", "w_plus", np.array(i), axis=1) for i in range(generator.config.n_layers)]
    x: str | np.ndarray = _array(synthesis.const)[None]
    fir, picture = _array(synthesis.fir)[None, None], ""
    for k, block in enumerate(synthesis.blocks):
        assert isinstance(block, SynthesisBlock)
        edge = 4 * 2**k
        if k:
            x = _styled(graph, x, ws[2 * k - 1], block.conv0, noise, edge)
        x = _styled(graph, x, ws[2 * k], block.conv1, noise, edge)
        rgb = _to_rgb(graph, x, ws[2 * k + 1], block.to_rgb)
        if k:
            planes = graph.add("Reshape", picture, np.array([-1, 1, edge // 2, edge // 2]))
            doubled = graph.add("ConvTranspose", planes, fir, strides=[2, 2], pads=[1, 1, 1, 1])
            rgb = graph.add("Add", rgb, graph.add("Reshape", doubled, np.array([-1, 3, edge, edge])))
        picture = rgb
    graph.add("Identity", picture, output="picture")


def _styled(graph: Graph, x: str | np.ndarray, w: str, layer: StyledConv, noise: str, edge: int) -> str:
    """StyledConv: convolution, noise, bias, leaky ReLU; edge is that of its result."""
    y, style = _modulated(graph, x, w, layer.conv)
    if layer.conv.up:
        planes = graph.add("Reshape", y, np.array([-1, 1, edge + 1, edge + 1]))
        fir = _array(layer.conv.fir)[None, None, ::-1, ::-1]
        y = graph.add("Conv", planes, fir, pads=[1, 1, 1, 1])
        y = graph.add("Reshape", y, np.array([-1, len(layer.bias), edge, edge]))
    squares = np.square(_array(layer.conv.weight)).sum((2, 3))  # [out, in]
    power = graph.add("Gemm", graph.add("Mul", style, style), squares, np.array([EPSILON]), transB=1)
    gain = graph.add("Div", np.array([GAIN]), graph.add("Sqrt", power))
    y = graph.add("Mul", y, graph.add("Unsqueeze", gain, np.array([2, 3])))
    if noise == "const":
        y = graph.add("Add", y, GAIN * _array(layer.noise_strength) * _array(layer.noise_const))
    y = graph.add("Add", y, GAIN * _array(layer.bias)[:, None, None])
    return graph.add("LeakyRelu", y, alpha=SLOPE)


def _to_rgb(graph: Graph, x: str, w: str, layer: ToRGB) -> str:
    y, _ = _modulated(graph, x, w, layer.conv)
    return graph.add("Add", y, _array(layer.bias)[:, None, None])


def _modulated(graph: Graph, x: str | np.ndarray, w: str, conv: ModulatedConv2d) -> tuple[str, str]:
    """The convolution of x scaled by its style, before filter and demodulation; and the style [N, in]."""
    style = _linear(graph, w, conv.affine, conv.scale)
    x = graph.add("Mul", x, graph.add("Unsqueeze", style, np.array([2, 3])))
    weight = _array(conv.weight)
    if conv.up:
        return graph.add("ConvTranspose", x, weight.swapaxes(0, 1), strides=[2, 2]), style
    return graph.add("Conv", x, weight, pads=[conv.kernel // 2] * 4), style


def _linear(graph: Graph, x: str, layer: EqualLinear, gain: float) -> str:
    """gain * layer(x) without its activation."""
    weight, bias = _array(layer.weight) * (gain * layer.scale), _array(layer.bias) * (gain * layer.lr_mul)
    return graph.add("Gemm", x, weight, bias, transB=1)


def _array(tensor: Tensor) -> np.ndarray:
    """float64, in which constants are multiplied out before the file rounds them to float32."""
    return tensor.detach().cpu().double().numpy()
