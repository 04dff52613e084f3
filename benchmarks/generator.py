"""The 256 px generator forward (30 M parameters) against a plain grouped-convolution version, as JSON.

    python benchmarks/generator.py [--threads 2] [--rounds 5] [--batch 1 4]

Both have the same random weights and constant noise and run in turn in this one process; figures are
medians. Where other programs compete for the cores, cpu_time_speedup is steadier than speedup.

The plain version makes every sample's own weights, runs them as one convolution with groups = batch, and
filters planes as a batch of one-channel pictures, as the original PyTorch code does on a CPU. Ours is the
network as load_generator gives it: float32, eval, weights laid out once at load.
"""

import argparse
import json
import math
import platform
import statistics
import time

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan_toon.nn.modulated import ModulatedConv2d
from stylegan_toon.stylegan2.config import Config, channels_for
from stylegan_toon.stylegan2.files import build_generator, generator_checkpoint
from stylegan_toon.stylegan2.generator import Generator


def plain_fir(x: Tensor, fir: Tensor, up: int, before: int, after: int) -> Tensor:
    """Zero insertion, padding and a 4x4 filter, each plane a picture of one channel."""
    n, c, h, w = x.shape
    x = x.reshape(-1, 1, h, 1, w, 1)
    x = F.pad(x, [0, up - 1, 0, 0, 0, up - 1]).reshape(-1, 1, h * up, w * up)
    x = F.conv2d(F.pad(x, [before, after, before, after]), fir.flip(0, 1)[None, None])
    return x.reshape(n, c, x.shape[2], x.shape[3])


def plain_modulated(conv: ModulatedConv2d, x: Tensor, w: Tensor) -> Tensor:
    """[N, in, H, W] -> [N, out, H', W'] with weights [N, out, in, k, k] and groups = N."""
    n, n_in, h, width = x.shape
    n_out, k = conv.weight.shape[0], conv.kernel
    style = F.linear(w, conv.affine.weight / math.sqrt(w.shape[1]), conv.affine.bias)
    weight = conv.weight / math.sqrt(n_in * k * k) * style[:, None, :, None, None]
    if conv.demodulate:
        weight = weight * (weight.square().sum([2, 3, 4]) + 1e-8).rsqrt()[:, :, None, None, None]
    x = x.reshape(1, n * n_in, h, width)
    if not conv.up:
        y = F.conv2d(x, weight.reshape(n * n_out, n_in, k, k), padding=k // 2, groups=n)
        return y.reshape(n, n_out, h, width)
    weight = weight.transpose(1, 2).reshape(n * n_in, n_out, k, k)
    y = F.conv_transpose2d(x, weight, stride=2, groups=n)
    return plain_fir(y.reshape(n, n_out, *y.shape[2:]), conv.fir, 1, 1, 1)


def plain_generator(g: Generator, z: Tensor, rgbs: list[Tensor] | None = None) -> Tensor:
    """Pictures [N, 3, R, R] of z [N, Z] with g's weights and constant noise; rgbs takes the running sums."""
    x = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
    for layer in g.mapping.layers:
        x = F.linear(x, layer.weight * (layer.lr_mul / math.sqrt(x.shape[1])), layer.bias * layer.lr_mul)
        x = F.leaky_relu(x, 0.2) * math.sqrt(2)
    w, rgb = x, None
    x = g.synthesis.const[None].repeat(len(z), 1, 1, 1)
    for block in g.synthesis.blocks:
        for layer in (block.conv0, block.conv1) if hasattr(block, "conv0") else (block.conv1,):
            x = plain_modulated(layer.conv, x, w) + layer.noise_strength * layer.noise_const
            x = F.leaky_relu(x + layer.bias[None, :, None, None], 0.2) * math.sqrt(2)
        own = plain_modulated(block.to_rgb.conv, x, w) + block.to_rgb.bias[None, :, None, None]
        rgb = own if rgb is None else own + plain_fir(rgb, g.synthesis.fir, 2, 2, 1)
        if rgbs is not None:
            rgbs.append(rgb)
    return rgb


def random_generator() -> tuple[Generator, Generator]:
    """One set of random weights as (ours as loaded, plain memory layout)."""
    torch.manual_seed(0)
    g = Generator(Config(256, channels_for(256)))
    with torch.no_grad():
        for name, parameter in g.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(0.1)
    g.eval().requires_grad_(False)
    return build_generator(generator_checkpoint(g)), g


def compare(ours: Generator, plain: Generator, batch: int, rounds: int) -> dict[str, object]:
    """Time both in turn, rounds times after one warm-up."""
    z = torch.randn(batch, ours.config.z_dim, generator=torch.Generator().manual_seed(1))
    runs = {"ours": lambda: ours(z, noise="const"), "plain": lambda: plain_generator(plain, z)}
    times: dict[str, list[float]] = {name: [] for name in runs}
    work: dict[str, list[float]] = {name: [] for name in runs}
    pictures = {name: run() for name, run in runs.items()}
    for _ in range(rounds):
        for name, run in runs.items():
            start, used = time.perf_counter(), time.process_time()
            run()
            times[name].append(time.perf_counter() - start)
            work[name].append(time.process_time() - used)
    median = {name: statistics.median(values) for name, values in times.items()}
    error = (pictures["ours"] - pictures["plain"]).abs().max() / pictures["plain"].abs().max()
    pairs = zip(times["plain"], times["ours"], strict=True)
    return {
        "batch": batch,
        "ours_ms": round(median["ours"] * 1000, 1),
        "plain_ms": round(median["plain"] * 1000, 1),
        "speedup": round(median["plain"] / median["ours"], 2),
        "cpu_time_speedup": round(statistics.median(work["plain"]) / statistics.median(work["ours"]), 2),
        "speedup_of_each_round": [round(p / o, 2) for p, o in pairs],
        "max_relative_difference": float(f"{float(error):.2g}"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    ours, plain = random_generator()
    with torch.inference_mode():
        results = [compare(ours, plain, batch, options.rounds) for batch in options.batch]
    parameters = sum(p.numel() for p in ours.parameters())
    about = {"torch": torch.__version__, "machine": platform.machine(), "threads": options.threads}
    print(json.dumps({"parameters": parameters, "resolution": 256, **about, "results": results}, indent=2))


if __name__ == "__main__":
    main()
