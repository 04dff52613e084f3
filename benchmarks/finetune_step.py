"""One step of fine-tuning (D, lazy R1, G with structure loss, EMA) against a plain version, as JSON.

    python benchmarks/finetune_step.py [--source faces-64] [--batch 4] [--threads 2] [--rounds 3]

Both begin with the weights of the source and its discriminator, see the same pictures, codes and variations
and run in turn in this one process, 16 steps each a round, R1 in the first; figures are medians over rounds.
Where other programs compete for the cores, cpu_time_speedup is steadier than speedup. Peak memory is that of
a process of its own for each, 16 steps long.

The plain version makes every sample's own weights, runs them as one convolution with groups = batch, filters
planes as pictures of one channel, keeps plain memory layout, draws the source to its full size, and takes
torch's plain Adam, as the published PyTorch code does on a CPU.
"""

import argparse
import copy
import json
import math
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from generator import plain_fir, plain_generator
from torch import Tensor

from stylegan_toon.methods.freezesg import Config, FreezeSG
from stylegan_toon.pipelines.networks import fitted, open_networks
from stylegan_toon.stylegan2.discriminator import Discriminator
from stylegan_toon.stylegan2.generator import Generator

CYCLE = 16  # steps between two of R1
Step = Callable[[Tensor, int], dict[str, float]]


def plain_conv(layer: torch.nn.Module, x: Tensor) -> Tensor:
    y = F.conv2d(x, layer.weight * layer.scale, layer.bias, stride=layer.stride, padding=layer.padding)
    return F.leaky_relu(y, 0.2) * math.sqrt(2) if layer.activate else y


def plain_linear(layer: torch.nn.Module, x: Tensor) -> Tensor:
    y = F.linear(x, layer.weight * layer.scale, layer.bias * layer.lr_mul)
    return F.leaky_relu(y, 0.2) * math.sqrt(2) if layer.activate else y


def plain_discriminator(d: Discriminator, x: Tensor) -> Tensor:
    """Scores [N] of pictures [N, 3, R, R]."""
    x = plain_conv(d.from_rgb, x)
    for block in d.blocks:
        y = plain_conv(block.conv1, plain_fir(plain_conv(block.conv0, x), block.fir, 1, 2, 2))
        skip = plain_fir(x, block.fir, 1, 1, 1)[:, :, ::2, ::2]
        x = (y + plain_conv(block.skip, skip)) / math.sqrt(2)
    n, c, h, w = x.shape
    size = min(d.config.group, n)
    deviation = (x.reshape(size, -1, c, h, w).var(0, unbiased=False) + 1e-8).sqrt().mean([1, 2, 3])
    x = torch.cat([x, deviation.repeat(size).reshape(n, 1, 1, 1).expand(n, 1, h, w)], 1)
    x = plain_linear(d.fc, plain_conv(d.final_conv, x).flatten(1))
    return plain_linear(d.out, x).squeeze(1)


def rgbs_of(g: Generator, z: Tensor) -> list[Tensor]:
    """The running toRGB sums of the plain generator, which ends in the picture: [N, 3, 4, 4] and up."""
    found: list[Tensor] = []
    plain_generator(g, z, found)
    return found


def ours(source: Generator, d: Discriminator, config: Config) -> Step:
    module = FreezeSG(config, source, d)
    optimizers = module.optimizers()

    def step(real: Tensor, i: int) -> dict[str, float]:
        real = real.to(memory_format=torch.channels_last)
        return {name: float(value) for name, value in module.step({"cartoon": real}, optimizers, i).items()}

    return step


def plain(source: Generator, d: Discriminator, config: Config) -> Step:
    known = FreezeSG(config, source, d)  # for what is frozen, and for the same ADA
    known.optimizers()
    still = {name for name, p in known.gan.g.named_parameters() if not p.requires_grad}
    augment = known.gan.augment
    g, d = copy.deepcopy(source).train(), copy.deepcopy(d).train()
    g_ema, beta = copy.deepcopy(source).requires_grad_(False), 0.5 ** (config.batch / config.ema_images)
    for name, p in g.named_parameters():
        p.requires_grad_(name not in still)
    lazy = config.r1_every / (config.r1_every + 1)
    opt_g = torch.optim.Adam([p for p in g.parameters() if p.requires_grad], config.lr, betas=(0.0, 0.99))
    opt_d = torch.optim.Adam(d.parameters(), config.lr * lazy, betas=(0.0, 0.99**lazy))

    def step(real: Tensor, i: int) -> dict[str, float]:
        d.requires_grad_(True)
        with torch.no_grad():
            fake = rgbs_of(g, torch.randn(len(real), g.config.z_dim))[-1]
            seen_real, seen_fake = augment(real), augment(fake)
        scores, fakes = plain_discriminator(d, seen_real), plain_discriminator(d, seen_fake)
        loss_d = F.softplus(-scores).mean() + F.softplus(fakes).mean()
        opt_d.zero_grad()
        loss_d.backward()
        opt_d.step()
        augment.update(scores.detach().sign().sum(), len(scores), i)
        if i % config.r1_every == 0:
            pictures = seen_real.detach().requires_grad_()
            (grad,) = torch.autograd.grad(plain_discriminator(d, pictures).sum(), pictures, create_graph=True)
            r1 = grad.square().sum([1, 2, 3]).mean()
            opt_d.zero_grad()
            (r1 * (config.r1_weight / 2 * config.r1_every)).backward()
            opt_d.step()
        d.requires_grad_(False)
        z = torch.randn(len(real), g.config.z_dim)
        mine = rgbs_of(g, z)
        with torch.no_grad():
            theirs = rgbs_of(source, z)
        pairs = list(zip(mine, theirs, strict=True))[: config.structure_layers]
        structure = sum((F.mse_loss(a, b) for a, b in pairs), torch.zeros([]))
        loss_g = F.softplus(-plain_discriminator(d, augment(mine[-1]))).mean()
        opt_g.zero_grad()
        (loss_g + config.structure_weight * structure).backward()
        opt_g.step()
        with torch.no_grad():
            for average, p in zip(g_ema.parameters(), g.parameters(), strict=True):
                average.mul_(beta).add_(p, alpha=1 - beta)
        return {"d": loss_d.item(), "g": loss_g.item(), "g/structure": structure.item()}

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", default="faces-64")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory-of", choices=["ours", "plain"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    g, d, _, _ = open_networks(options.source)
    wanted = Config(batch=options.batch, noise_lr=0.0, r1_weight=-1.0, path_weight=0.0, mixing=0.0,
                    freeze_g=1, structure_layers=3, structure_weight=1.0, ada_p=0.2, ema_images=1500.0,
                    ema_ramp=0.0)  # fmt: skip
    config = fitted(wanted, g, torch.device("cpu"))
    with torch.no_grad():  # as finetune draws the shipped generators
        for name, parameter in g.named_parameters():
            if name.endswith("noise_strength"):
                parameter.zero_()
    size = g.config.resolution
    generator = torch.Generator().manual_seed(1)
    real = torch.rand([CYCLE, options.batch, 3, size, size], generator=generator) * 2 - 1

    def cycle(step: Step) -> list[dict[str, float]]:
        out = []
        for i in range(CYCLE):
            torch.manual_seed(i)
            out.append(step(real[i], i))
        return out

    makers = {"ours": ours, "plain": plain}
    if options.memory_of:
        cycle(makers[options.memory_of](g, d, config))
        status = Path("/proc/self/status").read_text()  # getrusage would begin at the parent's peak
        print(int(status.split("VmHWM:")[1].split()[0]) // 1024)
        return
    steps = {name: make(copy.deepcopy(g), copy.deepcopy(d), config) for name, make in makers.items()}
    first = {name: cycle(step) for name, step in steps.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    work: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(options.rounds):
        for name, step in steps.items():
            start, used = time.perf_counter(), time.process_time()
            cycle(step)
            times[name].append((time.perf_counter() - start) / CYCLE)
            work[name].append((time.process_time() - used) / CYCLE)
    again = [sys.executable, *sys.argv, "--memory-of"]
    memory = {name: int(subprocess.check_output([*again, name])) for name in steps}
    median = {name: statistics.median(values) for name, values in times.items()}
    cpu = {name: statistics.median(values) for name, values in work.items()}
    a, b = first["ours"][0], first["plain"][0]
    print(json.dumps({
        "torch": torch.__version__, "machine": platform.machine(), "threads": options.threads,
        "source": options.source, "resolution": size, "batch": options.batch,
        "ours_ms": round(median["ours"] * 1000), "plain_ms": round(median["plain"] * 1000),
        "speedup": round(median["plain"] / median["ours"], 2),
        "cpu_time_speedup": round(cpu["plain"] / cpu["ours"], 2),
        "cpu_time_speedup_of_each_round": [
            round(p / o, 2) for p, o in zip(work["plain"], work["ours"], strict=True)
        ],
        "peak_memory_mb": memory,
        "relative_difference_of_first_losses": {
            name: float(f"{abs(a[name] - b[name]) / max(abs(b[name]), 1e-12):.1g}") for name in ("d", "g")
        },
    }, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
