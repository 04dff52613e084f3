"""Random state dicts in the layouts of CartoonGAN, AnimeGANv2's port and UNIT, and their networks' answers.

The answers are float64 NumPy from the layers' description, by the originals' names; nothing of the package is
used.
"""

import numpy as np
import torch

from tests.stylegan2.reference import arrays, conv, conv_transpose


class Draw:
    """Collects random tensors under names."""

    def __init__(self, seed=0):
        self.generator, self.state = torch.Generator().manual_seed(seed), {}

    def conv(self, name, n_in, n_out, kernel, bias=True, groups=1, transposed=False):
        shape = (n_in, n_out) if transposed else (n_out, n_in // groups)
        scale = 1.4 / (n_in // groups * kernel**2) ** 0.5
        weight = torch.randn(*shape, kernel, kernel, generator=self.generator) * scale
        self.state[f"{name}.weight"] = weight
        if bias:
            self.state[f"{name}.bias"] = torch.randn(n_out, generator=self.generator) * 0.3

    def norm(self, name, n, parts):
        for part, middle in zip(parts, (1, 0), strict=True):
            self.state[f"{name}.{part}"] = middle + torch.randn(n, generator=self.generator) * 0.3


def reflect(x, pad, end=None):
    """Reflection by pad, or at the end by another number."""
    sides = (pad, pad if end is None else end)
    return np.pad(x, ((0, 0), (0, 0), sides, sides), mode="reflect")


def biased(s, name, y):
    return y + s[f"{name}.bias"][:, None, None]


def standard(x, axes, eps):
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


def relu(x):
    return np.maximum(x, 0)


def leaky(x):
    return np.where(x < 0, 0.2 * x, x)


def depthwise(x, weight, stride=1):
    """Every channel with its own kernel [C, 1, k, k]; no padding."""
    parts = [conv(x[:, c : c + 1], weight[c : c + 1], stride) for c in range(x.shape[1])]
    return np.concatenate(parts, 1)


def linear(x, places, axis):
    """Interpolate x along an axis at places, clamped to its ends."""
    at = np.clip(places, 0, x.shape[axis] - 1)
    low = np.floor(at).astype(int)
    high = np.minimum(low + 1, x.shape[axis] - 1)
    shape = [1] * x.ndim
    shape[axis] = -1
    part = (at - low).reshape(shape)
    return np.take(x, low, axis) * (1 - part) + np.take(x, high, axis) * part


def cartoongan_state(width=4, blocks=3, seed=0):
    draw, w, parts = Draw(seed), width, ("scale", "shift")
    draw.conv("conv01_1", 3, w, 7)
    draw.norm("in01_1", w, parts)
    for k, n in ((2, 2 * w), (3, 4 * w)):
        draw.conv(f"conv0{k}_1", n // 2, n, 3)
        draw.conv(f"conv0{k}_2", n, n, 3)
        draw.norm(f"in0{k}_1", n, parts)
    for k in range(4, 4 + blocks):
        for i in (1, 2):
            draw.conv(f"conv{k:02}_{i}", 4 * w, 4 * w, 3)
            draw.norm(f"in{k:02}_{i}", 4 * w, parts)
    for k, n in ((1, 2 * w), (2, w)):
        draw.conv(f"deconv0{k}_1", 2 * n, n, 3, transposed=True)
        draw.conv(f"deconv0{k}_2", n, n, 3)
        draw.norm(f"in{blocks + 3 + k}_1", n, parts)
    draw.conv("deconv03_1", w, 3, 7)
    return draw.state


def cartoongan(state, x):
    s = arrays(state)

    def padded(name, y, pad):
        return biased(s, name, conv(reflect(y, pad), s[f"{name}.weight"]))

    def zeros(name, y, stride=1):
        return biased(s, name, conv(y, s[f"{name}.weight"], stride, 1))

    def norm(name, y):
        scale, shift = (s[f"{name}.{part}"][:, None, None] for part in ("scale", "shift"))
        return standard(y, (2, 3), 1e-9) * scale + shift

    y = relu(norm("in01_1", padded("conv01_1", x, 3)))
    for k in (2, 3):
        y = relu(norm(f"in0{k}_1", zeros(f"conv0{k}_2", zeros(f"conv0{k}_1", y, 2))))
    k = 4
    while f"conv{k:02}_1.weight" in s:
        z = relu(norm(f"in{k:02}_1", padded(f"conv{k:02}_1", y, 1)))
        y = y + norm(f"in{k:02}_2", padded(f"conv{k:02}_2", z, 1))
        k += 1
    for i in (1, 2):
        weight = s[f"deconv0{i}_1.weight"].transpose(1, 0, 2, 3)
        y = biased(s, f"deconv0{i}_1", conv_transpose(y, weight)[:, :, 1:, 1:])
        y = relu(norm(f"in{k - 1 + i}_1", zeros(f"deconv0{i}_2", y)))
    return np.tanh(padded("deconv03_1", y, 3))


def animeganv2_state(width=4, blocks=3, seed=0):
    draw, w, parts = Draw(seed), width, ("weight", "bias")

    def unit(name, n_in, n, kernel=3, **more):
        draw.conv(f"{name}.1", n_in, n, kernel, **{"bias": False, **more})
        draw.norm(f"{name}.2", n, parts)

    widths = {
        "a": [(3, w, 7), (w, 2 * w, 3), (2 * w, 2 * w, 3)],
        "b": [(2 * w, 4 * w, 3), (4 * w, 4 * w, 3)],
        "d": [(4 * w, 4 * w, 3)] * 2,
        "e": [(4 * w, 2 * w, 3), (2 * w, 2 * w, 3), (2 * w, w, 7)],
    }
    for letter, units in widths.items():
        for k, (n_in, n, kernel) in enumerate(units):
            unit(f"block_{letter}.{k}", n_in, n, kernel)
    unit("block_c.0", 4 * w, 4 * w)
    for k in range(1, blocks + 1):
        n, layers = (4 if k == 1 else 8) * w, f"block_c.{k}.layers"
        unit(f"{layers}.0", n, 2 * n, 1)
        unit(f"{layers}.1", 2 * n, 2 * n, groups=2 * n, bias=True)
        draw.conv(f"{layers}.2", 2 * n, 8 * w, 1, bias=False)
        draw.norm(f"{layers}.3", 8 * w, parts)
    unit(f"block_c.{blocks + 1}", 8 * w, 4 * w)
    draw.conv("out_layer.0", w, 3, 1, bias=False)
    return draw.state


def animeganv2(state, x, align_corners=True):
    s = arrays(state)

    def norm(name, y):
        scale, shift = (s[f"{name}.{part}"][:, None, None] for part in ("weight", "bias"))
        return standard(y, (1, 2, 3), 1e-5) * scale + shift

    def unit(name, y, stride=1):
        weight = s[f"{name}.1.weight"]
        y = reflect(y, 0, 1) if stride == 2 else reflect(y, weight.shape[2] // 2)
        if weight.shape[1] == 1 and y.shape[1] > 1:
            y = biased(s, f"{name}.1", depthwise(y, weight))
        else:
            y = conv(y, weight, stride)
        return leaky(norm(f"{name}.2", y))

    def grow(y, size):
        for axis in (2, 3):
            n = y.shape[axis]
            new = size[axis - 2] if align_corners else 2 * n
            places = np.linspace(0, n - 1, new) if align_corners else (np.arange(new) + 0.5) / 2 - 0.5
            y = linear(y, places, axis)
        return y

    y = unit("block_a.0", x)
    y = half = unit("block_a.2", unit("block_a.1", y, 2))
    y = unit("block_c.0", unit("block_b.1", unit("block_b.0", y, 2)))
    k = 1
    while f"block_c.{k}.layers.2.weight" in s:
        layers = f"block_c.{k}.layers"
        z = unit(f"{layers}.1", unit(f"{layers}.0", y))
        z = norm(f"{layers}.3", conv(z, s[f"{layers}.2.weight"]))
        y = y + z if y.shape == z.shape else z
        k += 1
    y = grow(unit(f"block_c.{k}", y), half.shape[2:])
    y = grow(unit("block_d.1", unit("block_d.0", y)), x.shape[2:])
    for i in range(3):
        y = unit(f"block_e.{i}", y)
    return np.tanh(conv(y, s["out_layer.0.weight"]))


def unit_state(width=4, downs=2, blocks=2, seed=0, old=False):
    """One generator. old: with the norms' statistics that torch 0.3 saved."""
    draw, w = Draw(seed), width
    deep = w * 2**downs
    draw.conv("enc.model.0.conv", 3, w, 7)
    for k in range(downs):
        draw.conv(f"enc.model.{k + 1}.conv", w * 2**k, w * 2 ** (k + 1), 4)
    for place in (f"enc.model.{downs + 1}", "dec.model.0"):
        for k in range(blocks):
            for i in range(2):
                draw.conv(f"{place}.model.{k}.model.{i}.conv", deep, deep, 3)
                if old:
                    draw.state[f"{place}.model.{k}.model.{i}.norm.running_mean"] = torch.rand(deep)
                    draw.state[f"{place}.model.{k}.model.{i}.norm.running_var"] = torch.rand(deep)
    for k in range(downs):
        n = deep // 2 ** (k + 1)
        draw.conv(f"dec.model.{2 * k + 2}.conv", 2 * n, n, 5)
        draw.norm(f"dec.model.{2 * k + 2}.norm", n, ("gamma", "beta"))
    draw.conv(f"dec.model.{2 * downs + 1}.conv", w, 3, 7)
    return draw.state


def _reflecting(s, name, y, stride=1):
    weight = s[f"{name}.conv.weight"]
    return biased(s, f"{name}.conv", conv(reflect(y, (weight.shape[2] - 1) // 2), weight, stride))


def _residuals(s, name, y):
    k = 0
    while f"{name}.model.{k}.model.0.conv.weight" in s:
        z = relu(standard(_reflecting(s, f"{name}.model.{k}.model.0", y), (2, 3), 1e-5))
        y = y + standard(_reflecting(s, f"{name}.model.{k}.model.1", z), (2, 3), 1e-5)
        k += 1
    return y


def unit_encode(state, x, downs=2):
    s = arrays(state)
    y = relu(standard(_reflecting(s, "enc.model.0", x), (2, 3), 1e-5))
    for k in range(downs):
        y = relu(standard(_reflecting(s, f"enc.model.{k + 1}", y, 2), (2, 3), 1e-5))
    return _residuals(s, f"enc.model.{downs + 1}", y)


def unit_decode(state, code, downs=2):
    s = arrays(state)
    y = _residuals(s, "dec.model.0", code)
    for k in range(downs):
        name = f"dec.model.{2 * k + 2}"
        y = _reflecting(s, name, y.repeat(2, 2).repeat(2, 3))
        std = y.std((1, 2, 3), ddof=1, keepdims=True)
        y = (y - y.mean((1, 2, 3), keepdims=True)) / (std + 1e-5)
        y = relu(y * s[f"{name}.norm.gamma"][:, None, None] + s[f"{name}.norm.beta"][:, None, None])
    return np.tanh(_reflecting(s, f"dec.model.{2 * downs + 1}", y))
