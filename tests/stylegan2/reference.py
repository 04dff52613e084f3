"""StyleGAN2 in float64 NumPy, from the formulas, on state dicts in rosinality's layout; and such state dicts.

Nothing of the package is used: per-sample weights, shifted matrix products, explicit zero insertion.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

FIR = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64.0


def arrays(state):
    return {name: tensor.numpy().astype(np.float64) for name, tensor in state.items()}


def upfirdn(x, f, up=1, down=1, pad=(0, 0)):
    n, c, h, w = x.shape
    zeros = np.zeros((n, c, h * up, w * up))
    zeros[:, :, ::up, ::up] = x
    x = np.pad(zeros, ((0, 0), (0, 0), pad, pad))
    oh, ow = x.shape[2] - f.shape[0] + 1, x.shape[3] - f.shape[1] + 1
    flipped = f[::-1, ::-1]
    y = sum(
        flipped[i, j] * x[:, :, i : i + oh, j : j + ow] for i in range(f.shape[0]) for j in range(f.shape[1])
    )
    return y[:, :, ::down, ::down]


def conv(x, weight, stride=1, pad=0):
    """x [N, C, H, W], weight [O, C, k, k]: one matrix product a tap."""
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    n, c, h, w = x.shape
    out, _, k, _ = weight.shape
    oh, ow = (h - k) // stride + 1, (w - k) // stride + 1
    y = np.zeros((n, out, oh * ow))
    for i in range(k):
        for j in range(k):
            part = x[:, :, i : i + (oh - 1) * stride + 1 : stride, j : j + (ow - 1) * stride + 1 : stride]
            y += weight[:, :, i, j] @ part.reshape(n, c, -1)
    return y.reshape(n, out, oh, ow)


def conv_transpose(x, weight):
    """Stride 2, no padding: every input pixel adds its 3x3 stamp at twice its place."""
    n, c, h, w = x.shape
    out, _, k, _ = weight.shape
    y = np.zeros((n, out, 2 * h + 1, 2 * w + 1))
    for i in range(k):
        for j in range(k):
            stamp = (weight[:, :, i, j] @ x.reshape(n, c, -1)).reshape(n, out, h, w)
            y[:, :, i : i + 2 * h : 2, j : j + 2 * w : 2] += stamp
    return y


def lrelu(x):
    return np.where(x < 0, 0.2 * x, x) * np.sqrt(2)


def linear(x, weight, bias, lr_mul=1.0):
    return x @ (weight * lr_mul / np.sqrt(weight.shape[1])).T + bias * lr_mul


def mapping(s, z):
    x = z / np.sqrt((z**2).mean(1, keepdims=True) + 1e-8)
    i = 1
    while f"style.{i}.weight" in s:
        x = lrelu(linear(x, s[f"style.{i}.weight"], s[f"style.{i}.bias"], 0.01))
        i += 1
    return x


def modulated(s, name, x, w, demodulate=True, up=False):
    """One convolution a sample, with its own weights."""
    weight = s[f"{name}.weight"][0]
    n_in, k = weight.shape[1], weight.shape[2]
    styles = linear(w, s[f"{name}.modulation.weight"], s[f"{name}.modulation.bias"])
    results = []
    for sample, style in zip(x, styles, strict=True):
        own = weight / np.sqrt(n_in * k * k) * style[None, :, None, None]
        if demodulate:
            own = own / np.sqrt((own**2).sum((1, 2, 3)) + 1e-8)[:, None, None, None]
        if up:
            results.append(upfirdn(conv_transpose(sample[None], own), 4 * FIR, pad=(1, 1))[0])
        else:
            results.append(conv(sample[None], own, pad=k // 2)[0])
    return np.stack(results)


def styled(s, name, x, w, noise, up=False):
    y = modulated(s, f"{name}.conv", x, w, up=up)
    y = y + s[f"{name}.noise.weight"] * noise
    return lrelu(y + s[f"{name}.activate.bias"][None, :, None, None])


def synthesis(s, w_plus):
    """[N, L, D] -> all running pictures, const noise."""
    x = np.repeat(s["input.input"], len(w_plus), 0)
    x = styled(s, "conv1", x, w_plus[:, 0], s["noises.noise_0"])
    rgbs = [modulated(s, "to_rgb1.conv", x, w_plus[:, 1], demodulate=False) + s["to_rgb1.bias"]]
    j = 0
    while f"to_rgbs.{j}.bias" in s:
        x = styled(s, f"convs.{2 * j}", x, w_plus[:, 1 + 2 * j], s[f"noises.noise_{2 * j + 1}"], up=True)
        x = styled(s, f"convs.{2 * j + 1}", x, w_plus[:, 2 + 2 * j], s[f"noises.noise_{2 * j + 2}"])
        rgb = modulated(s, f"to_rgbs.{j}.conv", x, w_plus[:, 3 + 2 * j], demodulate=False)
        rgbs.append(rgb + s[f"to_rgbs.{j}.bias"] + upfirdn(rgbs[-1], 4 * FIR, up=2, pad=(2, 1)))
        j += 1
    return rgbs


def generator(state, z, psi=1.0, latent_avg=None):
    """Pictures of z [N, Z], const noise, every layer truncated."""
    s = arrays(state)
    w = mapping(s, z.astype(np.float64))
    if psi != 1:
        mean = latent_avg.numpy().astype(np.float64)
        w = mean + psi * (w - mean)
    blocks = sum(key.startswith("to_rgbs.") and key.endswith("conv.weight") for key in s)
    return synthesis(s, np.repeat(w[:, None], 2 * blocks + 2, 1))[-1]


def stddev_channel(x, group=4):
    n, c, h, w = x.shape
    group = min(group, n)
    y = x.reshape(group, n // group, c, h, w)
    deviation = np.sqrt(((y - y.mean(0)) ** 2).mean(0) + 1e-8).mean((1, 2, 3))  # [n / group]
    return np.concatenate([x, np.tile(deviation, group)[:, None, None, None] * np.ones((n, 1, h, w))], 1)


def equal_conv(s, name, x, stride=1, pad=0):
    weight = s[f"{name}.weight"]
    return conv(x, weight / np.sqrt(weight[0].size), stride, pad)


def act(s, y, bias):
    return lrelu(y + s[bias][None, :, None, None])


def trunk(s, x):
    """fromRGB and the residual blocks: pictures to features of 4x4."""
    x = act(s, equal_conv(s, "convs.0.0", x), "convs.0.1.bias")
    k = 1
    while f"convs.{k}.skip.1.weight" in s:
        y = act(s, equal_conv(s, f"convs.{k}.conv1.0", x, pad=1), f"convs.{k}.conv1.1.bias")
        y = equal_conv(s, f"convs.{k}.conv2.1", upfirdn(y, FIR, pad=(2, 2)), stride=2)
        y = act(s, y, f"convs.{k}.conv2.2.bias")
        skip = equal_conv(s, f"convs.{k}.skip.1", upfirdn(x, FIR, pad=(1, 1)), stride=2)
        x = (y + skip) / np.sqrt(2)
        k += 1
    return x


def cartoon_encoder(state, x):
    """Codes [N, L * D] of pictures: the trunk, then a 4x4 convolution without padding."""
    s = arrays(state)
    x = trunk(s, x.astype(np.float64))
    head = max(int(key.split(".")[1]) for key in s)
    return equal_conv(s, f"convs.{head}", x)[:, :, 0, 0]


def discriminator(state, x):
    """Scores [N] of pictures [N, 3, R, R]."""
    s = arrays(state)
    x = trunk(s, x.astype(np.float64))
    x = act(s, equal_conv(s, "final_conv.0", stddev_channel(x), pad=1), "final_conv.1.bias")
    x = lrelu(linear(x.reshape(len(x), -1), s["final_linear.0.weight"], s["final_linear.0.bias"]))
    return linear(x, s["final_linear.1.weight"], s["final_linear.1.bias"])[:, 0]


def generator_state(channels, style_dim=512, n_mlp=8, seed=0):
    """A random g_ema in rosinality's layout, every bias and noise strength away from zero."""
    draw = torch.Generator().manual_seed(seed)

    def rand(*shape, scale=1.0):
        return torch.randn(shape, generator=draw) * scale

    s = {}
    for i in range(1, n_mlp + 1):
        s[f"style.{i}.weight"] = rand(style_dim, style_dim, scale=100)
        s[f"style.{i}.bias"] = rand(style_dim, scale=10)
    s["input.input"] = rand(1, channels[0], 4, 4)

    def conv_layer(name, n_in, n_out, k):
        s[f"{name}.conv.weight"] = rand(1, n_out, n_in, k, k)
        s[f"{name}.conv.modulation.weight"] = rand(n_in, style_dim)
        s[f"{name}.conv.modulation.bias"] = 1 + rand(n_in, scale=0.2)

    def styled_layer(name, n_in, n_out):
        conv_layer(name, n_in, n_out, 3)
        s[f"{name}.noise.weight"] = 0.1 + rand(1, scale=0.1).abs()
        s[f"{name}.activate.bias"] = rand(n_out, scale=0.2)

    kernel = torch.tensor(FIR, dtype=torch.float32)
    styled_layer("conv1", channels[0], channels[0])
    conv_layer("to_rgb1", channels[0], 3, 1)
    s["to_rgb1.bias"] = rand(1, 3, 1, 1, scale=0.2)
    s["noises.noise_0"] = rand(1, 1, 4, 4)
    for j in range(len(channels) - 1):
        size = 8 * 2**j
        styled_layer(f"convs.{2 * j}", channels[j], channels[j + 1])
        s[f"convs.{2 * j}.conv.blur.kernel"] = kernel * 4
        styled_layer(f"convs.{2 * j + 1}", channels[j + 1], channels[j + 1])
        conv_layer(f"to_rgbs.{j}", channels[j + 1], 3, 1)
        s[f"to_rgbs.{j}.bias"] = rand(1, 3, 1, 1, scale=0.2)
        s[f"to_rgbs.{j}.upsample.kernel"] = kernel * 4
        s[f"noises.noise_{2 * j + 1}"] = rand(1, 1, size, size)
        s[f"noises.noise_{2 * j + 2}"] = rand(1, 1, size, size)
    return s


def discriminator_state(channels, seed=1):
    """A random d in rosinality's layout; channels from 4x4 up."""
    draw = torch.Generator().manual_seed(seed)

    def rand(*shape, scale=1.0):
        return torch.randn(shape, generator=draw) * scale

    widths = list(channels[::-1])
    kernel = torch.tensor(FIR, dtype=torch.float32)
    s = {"convs.0.0.weight": rand(widths[0], 3, 1, 1), "convs.0.1.bias": rand(widths[0], scale=0.2)}
    for k in range(1, len(widths)):
        n_in, n_out = widths[k - 1], widths[k]
        s[f"convs.{k}.conv1.0.weight"] = rand(n_in, n_in, 3, 3)
        s[f"convs.{k}.conv1.1.bias"] = rand(n_in, scale=0.2)
        s[f"convs.{k}.conv2.0.kernel"] = kernel
        s[f"convs.{k}.conv2.1.weight"] = rand(n_out, n_in, 3, 3)
        s[f"convs.{k}.conv2.2.bias"] = rand(n_out, scale=0.2)
        s[f"convs.{k}.skip.0.kernel"] = kernel
        s[f"convs.{k}.skip.1.weight"] = rand(n_out, n_in, 1, 1)
    last = widths[-1]
    s["final_conv.0.weight"] = rand(last, last + 1, 3, 3)
    s["final_conv.1.bias"] = rand(last, scale=0.2)
    s["final_linear.0.weight"] = rand(last, last * 16)
    s["final_linear.0.bias"] = rand(last, scale=0.2)
    s["final_linear.1.weight"] = rand(1, last)
    s["final_linear.1.bias"] = rand(1, scale=0.2)
    return s


def write_pt(path: Path, legacy=False, **entries):
    """As rosinality's train.py saves: networks, optimisers, the arguments as a Namespace."""
    some = torch.zeros(3)
    optimiser = {"state": {0: {"step": 1, "exp_avg": some}}, "param_groups": [{"lr": 0.002, "params": [0]}]}
    args = argparse.Namespace(size=64, path="lmdb", mixing=0.9, arch="stylegan2", ckpt=None)
    whole = {**entries, "g_optim": optimiser, "d_optim": optimiser, "args": args, "ada_aug_p": 0.25}
    torch.save(whole, path, _use_new_zipfile_serialization=not legacy)
    return path
