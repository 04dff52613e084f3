"""Train a StyleGAN2 from scratch, or grow one by a resolution."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from stylegan_toon import __version__
from stylegan_toon.checkpoint.format import Checkpoint, load, save
from stylegan_toon.config import from_json, to_json
from stylegan_toon.data import Sampler, load_pictures
from stylegan_toon.device import choose_device, training_dtype
from stylegan_toon.errors import ModelError, UsageError
from stylegan_toon.methods.gan import Gan, GanConfig, mean_w
from stylegan_toon.methods.scratch import Scratch
from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.discriminator import Discriminator
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.stylegan2.grow import grow_discriminator, grow_generator
from stylegan_toon.training.loop import Run, newest_state, train


def look_at(gan: Gan, out: Path, meta: Mapping[str, Any], batch: int, done: int) -> dict[str, float]:
    """Write RUN/samples/<step>.png, RUN/last.safetensors and RUN/last.discriminator.safetensors."""
    from stylegan_toon.images import grid, save_png

    g = gan.g_ema
    g.w_mean.copy_(mean_w(g))
    z = torch.randn(64, g.config.z_dim, generator=torch.Generator().manual_seed(1)).to(g.w_mean.device)
    with torch.inference_mode():
        pictures = torch.cat([g(part, 0.7, "none") for part in z.split(16)])
    save_png(out / "samples" / f"{done:07d}.png", grid(pictures, 8))
    about = {**meta, "step": done, "pictures": meta.get("pictures", 0) + done * batch}
    save(out / "last.safetensors", Checkpoint("generator", to_json(g.config), about, dict(g.state_dict())))
    d_state = {k: v for k, v in gan.d.state_dict().items() if not k.startswith("old_from_rgb")}
    save(out / "last.discriminator.safetensors", Checkpoint("discriminator", to_json(gan.d.config), about, d_state))
    return {"pictures": about["pictures"]}


def open_networks(path: Path) -> tuple[Generator, Discriminator, Generator, int]:
    """g, d, g_ema and the number of pictures seen, of a run folder or of a generator file with its
    `.discriminator.safetensors` beside it (then g_ema is g)."""
    folder = path.is_dir()
    file = path / "last.safetensors" if folder else path
    made = load(file, "generator")
    config = from_json(Config, made.config)
    g, d, g_ema = Generator(config), Discriminator(config), Generator(config)
    g_ema.load_state_dict({k: v.float() for k, v in made.tensors.items()})
    g.load_state_dict(g_ema.state_dict())
    state = newest_state(path) if folder else None
    if state:
        tensors = load(state, "train-state").tensors
        g.load_state_dict({k[13:]: v for k, v in tensors.items() if k.startswith("method/gan.g.")})
        d.load_state_dict({k[13:]: v for k, v in tensors.items() if k.startswith("method/gan.d.") and "old_from" not in k})
    else:
        name = file.name.replace(".generator.safetensors", ".safetensors")
        beside = file.with_name(name.removesuffix(".safetensors") + ".discriminator.safetensors")
        if not beside.is_file():
            raise ModelError(f"{beside} is not there; growing needs the discriminator beside the generator")
        d.load_state_dict({k: v.float() for k, v in load(beside, "discriminator").tensors.items()})
    return g, d, g_ema, int(made.meta.get("pictures", 0))


def train_generator(
    data: Sequence[str],
    out: str,
    resolution: int,
    channels: Sequence[int],
    w_dim: int,
    mapping_layers: int,
    steps: int,
    method: GanConfig,
    grow: str | None = None,
    exclude: Sequence[str] = (),
    mirror: bool = True,
    save_every: int = 500,
    look_every: int = 500,
    resume: str = "auto",
    seed: int = 0,
    device: str = "auto",
    quiet: bool = False,
) -> Path:
    """Train on the pictures of data (folders, ZIPs) and return the run folder.

    Args:
        resolution, channels: of the network, channels from 4x4 up; with grow only the last channel counts.
        steps: of method.batch pictures each.
        grow: a run folder or generator file of half the resolution to go on from.
    Raises: InputError, UsageError, ModelError and those of training.loop.train.
    """
    where = choose_device(device)
    torch.manual_seed(seed)
    seen = 0
    if grow:
        g, d, g_ema, seen = open_networks(Path(grow))
        if g.config.resolution * 2 != resolution:
            raise UsageError(f"--grow {grow} is {g.config.resolution} px and grows to twice that, not {resolution}")
        g, d, g_ema = (f(n, channels[-1]) for f, n in ((grow_generator, g), (grow_discriminator, d), (grow_generator, g_ema)))
        g_ema.synthesis.blocks[-1].load_state_dict(g.synthesis.blocks[-1].state_dict())
    else:
        config = Config(resolution, tuple(channels), w_dim, w_dim, mapping_layers)
        g, d, g_ema = Generator(config), Discriminator(config), None
    method = replace(method, bf16=training_dtype(where) == torch.bfloat16)
    module = Scratch(method, g, d, g_ema).to(where)
    pictures = load_pictures(data, resolution, exclude)
    sampler = Sampler(pictures, method.batch, seed, mirror)
    folder = Path(out)
    meta = {"program": __version__, "pictures": seen}
    about = {"program": __version__, "torch": torch.__version__, "threads": torch.get_num_threads(), "pid": os.getpid(),
             "network": to_json(g.config), "training_pictures": len(pictures), "grown_from": grow, "seen_before": seen}
    train(
        module,
        lambda i: {"photo": sampler.batch(i).to(where, memory_format=torch.channels_last)},
        Run(folder, steps, save_every, look_every, 20, seed, resume, quiet),
        lambda done: look_at(module.gan, folder, meta, method.batch, done),
        about,
    )
    return folder
