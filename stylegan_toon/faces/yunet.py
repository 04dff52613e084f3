"""YuNet in float64, for the same faces on every machine; onnxruntime, which is faster, has float32 alone.

Source: Wu, Peng, Yu 2023, "YuNet: A Tiny Millisecond-level Face Detector", and its ONNX file.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan_toon.errors import ModelError, shown
from stylegan_toon.onnx_file import read_graph

TILE = 1 << 18  # numbers of a part: two megabytes
Layer = Callable[[Tensor], Tensor]
WIDTHS = (16, 64, 64, 64, 64, 64)  # of the backbone's stages, a max-pooling behind the first, third and later
HEADS = (("cls", 1), ("bbox", 4), ("obj", 1), ("kps", 10))


@lru_cache(maxsize=2)
def load_yunet(path: Path) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """The network of an ONNX file as a function, from a picture [1, 3, H, W] to the file's outputs by name.

    The picture is BGR in 0..255, H and W multiples of 32; the outputs are float64.

    Raises: ModelError for a file that is not YuNet.
    """
    try:
        nodes, value = read_graph(path.read_bytes())
        weights = iter([(value[ins[1]], value[ins[2]]) for op, ins in nodes if op == "Conv"])
        stem = _first(*next(weights))
        stages = [_unit(weights, WIDTHS[0], WIDTHS[0])]
        for n_in, n_out in pairwise(WIDTHS):
            stages.append(_then(_unit(weights, n_in, n_in), _unit(weights, n_in, n_out)))
        top, middle, bottom = (_unit(weights, 64, 64) for _ in range(3))
        shared = [_unit(weights, 64, 64) for _ in range(3)]
        heads = [(f"{name}_{8 << i}", i, _unit(weights, 64, n, False)) for name, n in HEADS for i in range(3)]
        if next(weights, None) is not None:
            raise ValueError("weights are left over")
    except (ValueError, TypeError, IndexError, KeyError, StopIteration, RuntimeError) as error:
        raise ModelError(f"{shown(path)} is not the YuNet this program knows ({error})"[:200]) from None

    def detect(picture: np.ndarray) -> dict[str, np.ndarray]:
        x = stages[0](stem(torch.from_numpy(picture[0]).double()))
        x = stages[2](stages[1](F.max_pool2d(x, 2)))
        eight = stages[3](F.max_pool2d(x, 2))
        sixteen = stages[4](F.max_pool2d(eight, 2))
        third = top(stages[5](F.max_pool2d(sixteen, 2)))
        second = middle(sixteen + _twice(third))
        first = bottom(eight + _twice(second))
        levels = [unit(level) for unit, level in zip(shared, (first, second, third), strict=True)]
        out = {}
        for name, level, head in heads:
            y = head(levels[level]).flatten(1).T[None]
            out[name] = (y.sigmoid() if name[:3] in ("cls", "obj") else y).numpy()
        return out

    return detect


def _first(weight: np.ndarray, bias: np.ndarray) -> Layer:
    w, b = torch.tensor(weight).double(), torch.tensor(bias).double()
    return lambda x: F.conv2d(x[None], w, b, 2, 1)[0].relu_()


def _unit(
    weights: Iterator[tuple[np.ndarray, np.ndarray]], n_in: int, n_out: int, relu: bool = True
) -> Layer:
    """[n_in, H, W] -> [n_out, H, W]: a pointwise and a depthwise 3x3 convolution, as sums in float64."""
    (w, b), (w3, b3) = (
        (torch.tensor(w).double(), torch.tensor(b).double()) for w, b in (next(weights), next(weights))
    )
    if w.shape != (n_out, n_in, 1, 1) or w3.shape != (n_out, 1, 3, 3):
        raise ValueError(f"a layer is {list(w.shape)}, {list(w3.shape)}")
    w, w3 = w[:, :, 0, 0], w3[:, 0, :, :, None, None]

    def run(x: Tensor) -> Tensor:
        _, height, width = x.shape
        flat, out = x.flatten(1), x.new_empty(n_out, height, width)
        step = max(1, TILE // (n_out * width))
        for top in range(0, height, step):  # in parts that stay in the cache
            end = min(top + step, height)
            low, high = max(top - 1, 0), min(end + 1, height)
            y = torch.addmm(b[:, None], w, flat[:, low * width : high * width]).unflatten(1, (-1, width))
            y = F.pad(y, (1, 1, int(top == 0), int(end == height)))
            part = out[:, top:end]
            part.copy_(b3[:, None, None].expand_as(part))
            for i in range(3):
                for j in range(3):
                    part.addcmul_(y[:, i : i + end - top, j : j + width], w3[:, i, j])
            if relu:
                part.relu_()
        return out

    return run


def _then(one: Layer, two: Layer) -> Layer:
    return lambda x: two(one(x))


def _twice(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, 1).repeat_interleave(2, 2)
